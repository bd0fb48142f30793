//! A study file, resolved: where its paths point and which plugins it may name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tunebench_host::Registry;
use tunebench_hub::Wanted;
use tunebench_model::backend::Backend;
use tunebench_rows::Expanded;
use tunebench_spec::Study;
use tunebench_spec::study::Model;

use crate::error::{Locate, StudyError};
use crate::hub_files::{HubFiles, is_address};
use crate::judge_servers::LocalModels;
use crate::judges::LOCAL;
use crate::token_cache::TokenCache;

/// A study with what it needs around it.
pub struct StudyContext {
    pub study: Study,
    /// Folder of the study file, which its paths are relative to.
    pub home: PathBuf,
    pub plugins: Registry,
    /// What trains and answers.
    pub backend: &'static dyn Backend,
    /// Where measurements of this machine are kept, if anywhere.
    pub calibration_file: Option<PathBuf>,
    pub hub: HubFiles,
    /// Where tokens are kept, if anywhere: else they are made anew each time, and stay in memory.
    pub token_cache: Option<TokenCache>,
}

impl StudyContext {
    /// Reads a study file, and adds to `plugins` those that it may name: the files it lists, which must be given or added
    /// by the user already, and of the added plugins the ones it needs.
    ///
    /// # Errors
    /// When the file cannot be read or is no study, or when a plugin file is refused.
    pub fn open(file: &Path, mut plugins: Registry, backend: &'static dyn Backend) -> Result<Self, StudyError> {
        let place = || format!("study file {}", file.display());
        let text = std::fs::read_to_string(file).at(place())?;
        let study = Study::from_toml(&text).at(place())?;
        let home = file.parent().unwrap_or(Path::new("")).to_owned();
        for file in &study.study.plugins {
            add_named(&mut plugins, &resolve(&home, file)?)?;
        }
        for (kind, name) in study.plugin_names() {
            let locked = plugins.lock_file().named(kind, name).filter(|_| plugins.find(kind, name).is_err());
            if let Some(path) = locked.map(|locked| locked.path.clone()) {
                plugins.add(&path)?;
            }
        }
        let (hub, token_cache) = (HubFiles::default(), None);
        Ok(Self { study, home, plugins, backend, calibration_file: None, hub, token_cache })
    }

    /// Where the models are that our own engine may run for a judge. Of those on the hub what a judge names is fetched.
    ///
    /// # Errors
    /// What the hub refuses.
    pub fn local_models(&self) -> Result<LocalModels, StudyError> {
        let judges = self.study.eval.iter().flat_map(|eval| eval.judges()).filter_map(|judge| judge.chat);
        let named: Vec<String> =
            judges.filter_map(|chat| Some(chat.base_url.strip_prefix(LOCAL)?.to_owned())).collect();
        let is_path = |source: &str| !source.starts_with("init:") && !source.starts_with("preset:");
        let is_whole = |model: &&Model| model.adapter.is_none() && model.quantise.is_none();
        let models = self.study.models.iter().filter(|model| is_path(&model.source)).filter(is_whole);
        let mut by_id = BTreeMap::new();
        for Model { id, source, .. } in models {
            let path = match is_address(source) {
                // Nothing large is fetched for a judge that may ask another model.
                true if !named.contains(id) && !self.hub.is_here(source, Wanted::Model)? => None,
                true => self.hub.paths(source, Wanted::Model)?.pop(),
                false => resolve(&self.home, source).ok(),
            };
            by_id.extend(path.map(|path| (id.clone(), path)));
        }
        Ok(LocalModels { home: self.home.clone(), by_id })
    }

    /// Where a path of the study points, or an address of the hub; the latter may be several files, and is downloaded where it
    /// is not in the cache.
    ///
    /// # Errors
    /// As [`Self::path`], and what the hub refuses.
    pub fn paths(&self, text: &str, wanted: Wanted, hint: Option<&str>) -> Result<Vec<PathBuf>, StudyError> {
        match is_address(text) {
            true => self.hub.paths(text, wanted),
            false => Ok(vec![self.path(text, hint)?]),
        }
    }

    /// Every address of the study: of what, as it is written, and what is wanted of it.
    fn addresses(&self) -> impl Iterator<Item = (String, &str, Wanted)> {
        let models = self.study.models.iter().flat_map(|model| {
            let parts = [
                (Some(&model.source), Wanted::Model),
                (model.adapter.as_ref(), Wanted::Adapter),
                (model.tokenizer.as_ref(), Wanted::Tokenizer),
            ];
            let place = format!("model `{}`", model.id);
            parts.into_iter().filter_map(move |(text, wanted)| Some((place.clone(), text?.as_str(), wanted)))
        });
        let datasets = self.study.datasets.iter().flat_map(|dataset| {
            let place = format!("dataset `{}`", dataset.id);
            dataset.source.paths().iter().map(move |text| (place.clone(), text.as_str(), Wanted::Data))
        });
        models.chain(datasets).filter(|(_, text, _)| is_address(text))
    }

    /// Downloads all that comes from the hub: what was meant, and where it is.
    ///
    /// # Errors
    /// What is missing, refused or broken.
    pub fn fetch(&self) -> Result<Vec<(String, Vec<PathBuf>)>, StudyError> {
        let fetch = |(place, text, wanted): (String, &str, Wanted)| {
            let paths = self.hub.paths(text, wanted).at(&place)?;
            Ok((format!("{place}: {text}"), paths))
        };
        self.addresses().map(fetch).collect()
    }

    /// Whether all that comes from the hub is in the cache, for what must not download gigabytes without being asked to.
    ///
    /// # Errors
    /// Names the first that is not.
    pub fn must_be_here(&self) -> Result<(), StudyError> {
        for (place, text, wanted) in self.addresses() {
            if self.hub.is_here(text, wanted).at(&place)? {
                continue;
            }
            let remedy = match self.hub.is_offline()? {
                true => "and HF_HUB_OFFLINE forbids to fetch it",
                false => "and `tunebench fetch` with this study downloads it",
            };
            return Err(StudyError::Absent(format!("`{text}` is not in the hub's cache, {remedy}"))).at(place);
        }
        Ok(())
    }

    /// The files that a path or address of the study means: one, those of a folder, or those that fit a name with `*`; `hint` is said
    /// when nothing is there.
    ///
    /// # Errors
    /// As [`StudyContext::path`], and when a folder's files do not belong together.
    pub fn files(&self, text: &str, hint: Option<&str>) -> Result<Expanded, StudyError> {
        if is_address(text) {
            return Ok(Expanded { files: self.hub.paths(text, Wanted::Data)?, remark: None });
        }
        let path = match text.contains('*') {
            true => resolve(&self.home, text)?,
            false => self.path(text, hint)?,
        };
        tunebench_rows::expand(&path).map_err(|error| StudyError::Invalid(error.to_string()))
    }

    /// Where rows wait that memory does not hold.
    pub fn scratch_folder(&self) -> PathBuf {
        self.token_cache.as_ref().map_or_else(std::env::temp_dir, |cache| cache.folder.clone())
    }

    /// Where a path of the study points; `hint` is said when nothing is there.
    ///
    /// # Errors
    /// When nothing is there, or an environment variable that the path names is not set.
    pub fn path(&self, text: &str, hint: Option<&str>) -> Result<PathBuf, StudyError> {
        let found = resolve(&self.home, text).and_then(|path| match path.exists() {
            true => Ok(path),
            false => {
                Err(StudyError::Absent(format!("{}: no such file or folder{}", path.display(), windows_advice(text))))
            }
        });
        match hint {
            Some(hint) => found.map_err(|error| StudyError::Absent(format!("{error}; {hint}"))),
            None => found,
        }
    }
}

/// A plugin that a study file names: a study may come from anywhere, so the user must have said yes to the file.
fn add_named(plugins: &mut Registry, path: &Path) -> Result<(), StudyError> {
    let path = path.canonicalize().at(format_args!("plugin file {}", path.display()))?;
    let is_given = plugins.plugins().any(|plugin| plugin.path == path);
    if !is_given && plugins.lock_file().of(&path).is_none() {
        return Err(StudyError::UntrustedPlugin { path });
    }
    plugins.add(&path)?;
    Ok(())
}

/// The remedy where a path is written as Windows has it.
fn windows_advice(path: &str) -> String {
    if cfg!(windows) || !path.contains('\\') {
        return String::new();
    }
    let plain = path.replace('\\', "/");
    match plain.split_once(":/") {
        Some((drive, rest)) if drive.len() == 1 => format!(
            "; a path of Windows: write where the file is on this machine, under WSL /mnt/{}/{rest}",
            drive.to_lowercase()
        ),
        _ => format!("; folders are parted by `/` here: write {plain}"),
    }
}

/// `text` with its `${NAME}`s replaced from the environment, relative to `home` unless absolute.
fn resolve(home: &Path, text: &str) -> Result<PathBuf, StudyError> {
    let mut path = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, after)) = after.split_once('}') else {
            return Err(StudyError::Invalid(format!("{text}: a `${{` without its `}}`")));
        };
        let Some(value) = std::env::var(name).ok().filter(|v| !v.is_empty()) else {
            let fault = format!("the environment variable {name} is not set, which `{text}` needs");
            return Err(StudyError::Absent(fault));
        };
        path += before;
        path += &value;
        rest = after;
    }
    path += rest;
    Ok(home.join(path))
}
