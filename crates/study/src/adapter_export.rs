//! A trained arm's adapter as a folder that PEFT loads, over a model that is there: the one that the arm's chain of bases
//! begins with, where one adapter can be all that stands on it; else a model that is written beside it.

use std::path::{Path, PathBuf};

use tunebench_model::formats::safetensors::Float;
use tunebench_model::{Tuning, Weights};
use tunebench_peft::{Form, Kind};
use tunebench_spec::Decoder;
use tunebench_spec::study::Quantise;

use crate::base::Base;
use crate::error::{Locate, StudyError};
use crate::model_files::ModelFiles;
use crate::run_folder;
use crate::trained_arm::{self, ArmFile};

/// The folder beside an adapter's files that holds its base, where that is no model of its own.
pub const BASE: &str = "base";

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterExport {
    pub kind: Kind,
    pub base: AdapterBase,
    /// What the one adapter is made of, nearest the base first: the base's own adapter, arms that the arm starts from, the arm.
    pub stacked: Vec<String>,
}

/// The model that an exported adapter is to be loaded over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdapterBase {
    /// The one that the study names, without any adapter.
    Original(PathBuf, Option<Quantise>),
    /// Written beside the adapter, because it is nowhere else: fresh weights, or all that lies below the arm folded in.
    Written(PathBuf),
}

/// What kind of adapter a finished training is. No weight is read.
///
/// # Errors
/// When it is none that PEFT knows, is not finished, or its plan is damaged.
pub fn kind(root: &Path, identity: &str) -> Result<Kind, StudyError> {
    let folder = run_folder::training(root, identity);
    let Some(file) = trained_arm::finished(root, identity)? else { return Err(StudyError::Unfinished { folder }) };
    let recorded = tunebench_train::load_plan(&folder)?;
    tunebench_peft::kind(&file.shape, &recorded).in_arm(&file.record.arm)
}

/// Writes the adapter of a finished training to `out`, which will lie at `home`, where its configuration names a base that is
/// written beside it. Loaded with PEFT as [`AdapterExport::base`] says, it gives the arm's logits.
///
/// # Errors
/// As [`kind`]; when a file of the training or of its base is missing or damaged, or `out` cannot be written.
pub fn save(root: &Path, identity: &str, out: &Path, home: &Path) -> Result<AdapterExport, StudyError> {
    let kind = kind(root, identity)?;
    let chain = Chain::open(root, identity)?;
    let (arm, shape) = (chain.top(), &chain.top().shape);
    if let (Base::Files { files, identity: known }, Some((forms, stacked))) = (&chain.root, chain.forms(root)?)
        // What was folded in before the model was quantised cannot stand over it.
        && (files.quantise.is_none() || files.adapter.is_none())
        && let Ok(form) = tunebench_peft::stack(forms)
    {
        if files.identity()? != *known {
            return Err(StudyError::BaseChanged { files: files.to_string() });
        }
        tunebench_peft::write::write(out, shape, &files.source.display().to_string(), &form)?;
        return Ok(AdapterExport { kind, base: AdapterBase::Original(files.source.clone(), files.quantise), stacked });
    }
    let trained = trained_arm::open(root, identity)?;
    tunebench_model::save(&out.join(BASE), shape, &trained.weights, Some(&trained.tokenizer), Float::F32)?;
    let base = std::path::absolute(home).at(home.display())?.join(BASE);
    tunebench_peft::save(out, shape, &base.display().to_string(), &trained.tuning).in_arm(&arm.record.arm)?;
    Ok(AdapterExport { kind, base: AdapterBase::Written(base), stacked: vec![arm.record.arm.clone()] })
}

/// What was written to `dir`, opened again over its base, as whoever gets it would.
///
/// # Errors
/// When a file is missing or damaged.
pub fn open(dir: &Path, export: &AdapterExport) -> Result<(Decoder, Weights, Tuning), StudyError> {
    let (source, quantise) = match &export.base {
        AdapterBase::Original(path, quantise) => (path.clone(), *quantise),
        // It may lie elsewhere so far than it will.
        AdapterBase::Written(_) => (dir.join(BASE), None),
    };
    let files = ModelFiles { source, adapter: None, quantise };
    let (shape, (weights, _)) = (files.open()?.shape, files.load()?);
    let adapter = tunebench_peft::load(dir, &shape).at(dir.display())?;
    let (weights, tuning) = adapter.applied(&shape, weights).at(dir.display())?;
    Ok((shape, weights, tuning))
}

/// Adapters, and what each is called.
type NamedForms = (Vec<Form>, Vec<String>);

/// An arm and all that it starts from.
struct Chain {
    /// What the first of them started from.
    root: Base,
    /// Identities and arms, the first of them first.
    arms: Vec<(String, ArmFile)>,
}

impl Chain {
    fn open(root: &Path, identity: &str) -> Result<Self, StudyError> {
        let mut arms: Vec<(String, ArmFile)> = Vec::new();
        let mut next = identity.to_owned();
        loop {
            let folder = run_folder::training(root, &next);
            // An identity is a hash of what lies below, so no file that we wrote goes round in a circle.
            if arms.iter().any(|(known, _)| *known == next) {
                return Err(StudyError::Invalid(format!("{}: it starts from itself", folder.display())));
            }
            let Some(file) = trained_arm::finished(root, &next)? else { return Err(StudyError::Unfinished { folder }) };
            let base = file.base.clone();
            arms.push((next, file));
            match base {
                Base::Arm { identity } => next = identity,
                base => {
                    arms.reverse();
                    return Ok(Self { root: base, arms });
                }
            }
        }
    }

    /// The arm itself.
    fn top(&self) -> &ArmFile {
        // A chain is opened from its top.
        &self.arms[self.arms.len() - 1].1
    }

    /// All adapters of the chain and what they are called; none where something else lies in it.
    fn forms(&self, root: &Path) -> Result<Option<NamedForms>, StudyError> {
        let (mut forms, mut names) = (Vec::new(), Vec::new());
        let shape = &self.top().shape;
        if let Base::Files { files, .. } = &self.root
            && let Some(adapter) = files.adapter(shape)?
        {
            if !adapter.whole.is_empty() {
                return Ok(None);
            }
            forms.push(adapter.form);
            names.push(adapter.inspection.folder.display().to_string());
        }
        for (identity, file) in &self.arms {
            let folder = run_folder::training(root, identity);
            // Whole weights, perhaps gigabytes, are not read for this.
            if tunebench_peft::kind(shape, &tunebench_train::load_plan(&folder)?).is_err() {
                return Ok(None);
            }
            let tuning = tunebench_train::load_result(&folder, shape).in_arm(&file.record.arm)?;
            forms.push(Form::of(shape, &tuning)?);
            names.push(file.record.arm.clone());
        }
        Ok(Some((forms, names)))
    }
}
