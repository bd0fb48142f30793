//! Judging what a run folder holds: again, or by another judge. It takes neither models nor data of the study.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use tunebench_host::Registry;
use tunebench_model::backend::Backend;
use tunebench_spec::study::{ChatSettings, JudgeSettings};
use tunebench_spec::{Example, Study};

use crate::error::{Locate, StudyError};
use crate::frames::RunFrames;
use crate::human_labels;
use crate::judge_cost;
use crate::judge_servers::{JudgeServers, LocalModels};
use crate::judgements::{Judging, JudgingOptions};
use crate::judges::OpenJudge;
use crate::observer::{Event, Observer};
use crate::run_folder::{self, RunFolder, Sharing};
use crate::together::judge_together;

/// What of a run folder is judged again, and how.
#[derive(Clone, Debug, Default)]
pub struct JudgeAgain {
    /// A judge that is added to those of the run, or takes the place of the one of its name; without it all of the run's judge.
    pub judge: Option<JudgeSettings>,
    /// Fields of [`ChatSettings`] that are otherwise than the run says.
    pub chat: BTreeMap<String, Value>,
    pub options: JudgingOptions,
    /// Says what it would cost, and asks nobody.
    pub is_forecast: bool,
}

/// A run folder, opened to be judged.
pub(crate) struct JudgedRun {
    pub study: Study,
    pub folder: RunFolder,
    pub items: Vec<Example>,
    pub frames: RunFrames,
    pub servers: JudgeServers,
}

impl JudgedRun {
    /// Opens a run folder for writing.
    ///
    /// # Errors
    /// When it is none, or another run is writing to it, or it keeps no items.
    pub fn open(root: &Path, backend: &'static dyn Backend) -> Result<Self, StudyError> {
        let study = run_folder::study(root)?;
        let folder = RunFolder::open(root, Sharing::Alone)?;
        let items: Vec<Example> = human_labels::items(root)?.into_values().collect();
        let frames = RunFrames::read(root)?;
        if frames.answered(&study).is_empty() {
            let fault = "it holds no answers to judge; run its study first";
            return Err(StudyError::Invalid(format!("{}: {fault}", root.display())));
        }
        let models = run_folder::local_models(root);
        let models: LocalModels =
            if models.exists() { tunebench_files::read_json(&models)? } else { LocalModels::default() };
        Ok(Self { study, folder, items, frames, servers: JudgeServers::new(models, backend) })
    }

    /// All judges of the run: those of its study, and those that were added.
    ///
    /// # Errors
    /// When the file of the added ones is damaged.
    pub fn judges(&self) -> Result<Vec<JudgeSettings>, StudyError> {
        let mut judges: Vec<JudgeSettings> = self.study.eval.iter().flat_map(|eval| eval.judges()).collect();
        for added in added(self.folder.root())? {
            judges.retain(|judge| judge.name() != added.name());
            judges.push(added);
        }
        Ok(judges)
    }

    /// Settings with the study's server where they name none, and with these fields of it otherwise.
    fn resolved(&self, settings: JudgeSettings, fields: &BTreeMap<String, Value>) -> Result<JudgeSettings, StudyError> {
        let study = self.study.eval.as_ref().map(|eval| eval.chat.clone());
        let mut chat = serde_json::to_value(settings.chat.clone().or(study).unwrap_or_default())?;
        if let Value::Object(object) = &mut chat {
            object.extend(fields.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        let chat: ChatSettings = serde_json::from_value(chat).at("[eval.chat]")?;
        Ok(JudgeSettings { chat: Some(chat), ..settings })
    }

    /// A judge that is to be added, where none of the run has its name, or that one is the same: its words would take the place
    /// of what another judge said.
    fn added_as(&self, settings: JudgeSettings) -> Result<JudgeSettings, StudyError> {
        let server = |of: &JudgeSettings| of.chat.clone().unwrap_or_default().base_url;
        let is_same = |a: &JudgeSettings, b: &JudgeSettings| {
            (&a.judge, &a.judge_options, &a.baseline, server(a)) == (&b.judge, &b.judge_options, &b.baseline, server(b))
        };
        let known = self.judges()?.into_iter().find(|judge| judge.name() == settings.name());
        match known {
            Some(known) if !is_same(&self.resolved(known.clone(), &BTreeMap::new())?, &settings) => {
                Err(StudyError::Invalid(format!(
                    "the run has another judge `{}` already, whose judgements would be lost; give this one a --name of its own",
                    settings.name()
                )))
            }
            _ => Ok(settings),
        }
    }

    /// One judge at work.
    pub fn judging<'a>(&'a self, judge: &'a OpenJudge, options: JudgingOptions) -> Judging<'a> {
        let seed = self.study.study.seed;
        Judging { judge, items: &self.items, servers: &self.servers, seed, options }
    }
}

/// Judges the answers of a run folder, and puts what is said into its frames.
///
/// # Errors
/// When nothing can begin, or not all answers could be judged: what was is kept.
pub fn judge_again(
    root: &Path,
    plugins: &Registry,
    backend: &'static dyn Backend,
    again: &JudgeAgain,
    observer: &mut dyn Observer,
) -> Result<(), StudyError> {
    let mut run = JudgedRun::open(root, backend)?;
    let settings = match &again.judge {
        Some(settings) => vec![run.added_as(run.resolved(settings.clone(), &again.chat)?)?],
        None if again.chat.contains_key("base_url") || again.chat.contains_key("dialect") => {
            let fault = "another server is another judge; say which with --judge, and give it a --name";
            return Err(StudyError::Invalid(fault.to_owned()));
        }
        None => {
            let judges = run.judges()?.into_iter().map(|settings| run.resolved(settings, &again.chat));
            judges.collect::<Result<Vec<_>, _>>()?
        }
    };
    let judges: Vec<OpenJudge> =
        settings.into_iter().map(|settings| OpenJudge::open(plugins, settings)).collect::<Result<_, _>>()?;
    for judge in &judges {
        observer.on_event(&Event::JudgingForecast { forecast: &cost(&run, judge)? });
    }
    if again.is_forecast {
        return Ok(());
    }
    for judge in &judges {
        run.servers.check_settings(judge, judge.first_request(&run.items).as_ref())?;
    }
    for judge in judges.iter().filter(|_| !again.options.is_replay) {
        let Some(request) = judge.first_request(&run.items) else { continue };
        if let Some(remark) = judge_cost::remark(&request.model, &judge.chat()) {
            observer.on_event(&Event::JudgeRemark { judge: judge.name(), remark: &remark });
        }
        let said = run.servers.probe(judge, &request)?;
        observer.on_event(&Event::JudgeProbed { judge: judge.name(), said: &said });
    }
    if again.judge.is_some() {
        judges.iter().try_for_each(|judge| remember(root, &judge.settings))?;
    }
    let mut failures = Vec::new();
    for judge in &judges {
        let stopped = by(&mut run, judge, again.options.clone(), observer);
        // What was judged before it broke off is kept.
        run.frames.write_judgements(root)?;
        failures.extend(stopped?.map(|reason| StudyError::JudgingStopped { model: judge.name().to_owned(), reason }));
    }
    if failures.is_empty() { Ok(()) } else { Err(StudyError::Failed(failures)) }
}

/// Has one judge judge all answers; why not all could be judged, if so.
fn by(
    run: &mut JudgedRun,
    judge: &OpenJudge,
    options: JudgingOptions,
    observer: &mut dyn Observer,
) -> Result<Option<String>, StudyError> {
    let JudgedRun { study, folder, items, frames, servers } = run;
    let judging = Judging { judge, items, servers, seed: study.study.seed, options };
    judge_together(&judging, study, frames, folder, observer)
}

/// What one judge takes for the answers that are there.
fn cost(run: &JudgedRun, judge: &OpenJudge) -> Result<judge_cost::JudgingForecast, StudyError> {
    let items: BTreeMap<&str, &Example> = run.items.iter().map(|item| (item.id.as_str(), item)).collect();
    let answered = run.frames.answered(&run.study);
    let answers = answered.iter().flat_map(|(_, rows)| rows.iter());
    let asked: Vec<(&Example, &str)> =
        answers.filter_map(|row| Some((*items.get(row.item.as_str())?, row.answer.as_str()))).collect();
    let mut arms: Vec<&str> = answered.iter().map(|(key, _)| key.arm.as_str()).collect();
    arms.dedup();
    judge_cost::of_answers(judge, &asked, arms.len() as u64)
}

/// The judges that were added to a run.
fn added(root: &Path) -> Result<Vec<JudgeSettings>, StudyError> {
    let path = run_folder::judges(root);
    match path.exists() {
        true => Ok(tunebench_files::read_json(&path)?),
        false => Ok(Vec::new()),
    }
}

/// Keeps what a judge is, before it is asked anything.
fn remember(root: &Path, settings: &JudgeSettings) -> Result<(), StudyError> {
    let mut judges = added(root)?;
    judges.retain(|judge| judge.name() != settings.name());
    judges.push(settings.clone());
    Ok(tunebench_files::write_json(&run_folder::judges(root), &judges)?)
}
