//! A trained arm in a run folder, opened without its study, its plugins or its data.
//!
//! `arm.json` is written last, so its presence says that the training beside it is finished.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tunebench_files as files;
use tunebench_model::formats::gguf::{GgufType, quantized};
use tunebench_model::formats::safetensors::Float;
use tunebench_model::{Tokenizer, Tuning, Weights};
use tunebench_spec::study::Form as ArmForm;
use tunebench_spec::{ArmRecord, Decoder, GradientReceipt, LossLog, StepLog};

use crate::base::{Base, SharedBase};
use crate::error::{Locate, StudyError};
use crate::model_encoder::Form;
use crate::model_files::VIRTUAL_BASE;
use crate::run_folder;

/// What `arm.json` says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ArmFile {
    pub record: ArmRecord,
    pub shape: Decoder,
    /// How a conversation becomes text for this arm's evaluation.
    pub template: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub add_bos_token: bool,
    pub base: Base,
}

impl ArmFile {
    /// How a conversation is written for this arm.
    pub fn form(&self) -> Form<'_> {
        Form { template: &self.template, add_bos_token: self.add_bos_token }
    }
}

/// A trained arm with its weights.
pub struct TrainedArm {
    pub file: ArmFile,
    /// What it started from.
    pub weights: Weights,
    pub tuning: Tuning,
    pub tokenizer: Tokenizer,
}

/// The arm file of a finished training; `None` when it is not finished.
///
/// # Errors
/// When it cannot be read.
pub fn finished(root: &Path, identity: &str) -> Result<Option<ArmFile>, StudyError> {
    let path = run_folder::training(root, identity).join("arm.json");
    if !path.exists() {
        return Ok(None);
    }
    let file = files::read_json(&path);
    file.map(Some).map_err(|source| StudyError::Damaged { source, remedy: "delete its folder to train it again" })
}

/// The log of a training.
///
/// # Errors
/// When it cannot be read.
pub fn steps(root: &Path, identity: &str) -> Result<Vec<StepLog>, StudyError> {
    Ok(tunebench_train::steps(&run_folder::training(root, identity))?)
}

/// Whether everything moved in a training that was to; none where that is not known.
///
/// # Errors
/// When it cannot be read.
pub fn receipt(root: &Path, identity: &str) -> Result<Option<GradientReceipt>, StudyError> {
    Ok(tunebench_train::receipt(&run_folder::training(root, identity))?)
}

/// The losses that a training measured of itself.
///
/// # Errors
/// When they cannot be read.
pub fn losses(root: &Path, identity: &str) -> Result<Vec<LossLog>, StudyError> {
    Ok(tunebench_train::losses(&run_folder::training(root, identity))?)
}

/// The step whose weights are the result of a finished training.
///
/// # Errors
/// When its record cannot be read.
pub fn kept_step(root: &Path, identity: &str) -> Result<Option<u64>, StudyError> {
    Ok(finished(root, identity)?.map(|file| file.record.kept_step))
}

/// Whether a training broke off because a loss or a gradient was not finite.
pub fn has_diverged(root: &Path, identity: &str) -> bool {
    diverged_file(root, identity).exists()
}

/// Notes that a training diverged, and how: it would do so again.
///
/// # Errors
/// When the file cannot be written.
pub fn mark_diverged(root: &Path, identity: &str, why: &str) -> Result<(), StudyError> {
    Ok(files::write_json(&diverged_file(root, identity), &why)?)
}

fn diverged_file(root: &Path, identity: &str) -> PathBuf {
    run_folder::training(root, identity).join("diverged.json")
}

/// Notes what is known of a training that stopped on the way.
///
/// # Errors
/// When the file cannot be written.
pub fn stop(root: &Path, record: &ArmRecord) -> Result<(), StudyError> {
    Ok(files::write_json(&stopped_file(root, &record.identity), record)?)
}

/// What is known of a training that stopped on the way; `None` when it never did.
///
/// # Errors
/// When the file cannot be read.
pub fn stopped(root: &Path, identity: &str) -> Result<Option<ArmRecord>, StudyError> {
    let path = stopped_file(root, identity);
    if !path.exists() {
        return Ok(None);
    }
    let record = files::read_json(&path);
    record.map(Some).map_err(|source| StudyError::Damaged { source, remedy: "delete its folder to train it again" })
}

fn stopped_file(root: &Path, identity: &str) -> PathBuf {
    run_folder::training(root, identity).join("stopped.json")
}

/// Marks a training as finished, so that nothing tells any more where it stopped on the way.
///
/// # Errors
/// When the file cannot be written, or what was noted at a stop cannot be removed.
pub fn finish(root: &Path, file: &ArmFile) -> Result<(), StudyError> {
    let identity = &file.record.identity;
    files::write_json(&run_folder::training(root, identity).join("arm.json"), file)?;
    let stopped = stopped_file(root, identity);
    if stopped.exists() {
        std::fs::remove_file(&stopped)?;
    }
    Ok(())
}

/// Opens a finished arm with all its weights.
///
/// # Errors
/// When it is not finished, or a file of it or of its base is missing or damaged.
pub fn open(root: &Path, identity: &str) -> Result<TrainedArm, StudyError> {
    open_over(root, identity, &mut SharedBase::none())
}

/// As [`open`]; `shared` may have its base.
///
/// # Errors
/// As [`open`].
pub fn open_over(root: &Path, identity: &str, shared: &mut SharedBase) -> Result<TrainedArm, StudyError> {
    let (file, tuning) = tuned(root, identity)?;
    let weights = base_weights(root, &file.base, &file.shape, shared)?;
    Ok(TrainedArm { file, weights, tuning, tokenizer: tokenizer(root, identity)? })
}

/// What a finished training trained, without what it started from.
///
/// # Errors
/// When it is not finished, or a file of it is missing or damaged.
pub fn tuned(root: &Path, identity: &str) -> Result<(ArmFile, Tuning), StudyError> {
    let folder = run_folder::training(root, identity);
    let Some(file) = finished(root, identity)? else { return Err(StudyError::Unfinished { folder }) };
    let tuning = tunebench_train::load_result(&folder, &file.shape).in_arm(&file.record.arm)?;
    Ok((file, tuning))
}

/// The tokenizer that a training kept beside its result.
///
/// # Errors
/// When it is missing or damaged.
pub fn tokenizer(root: &Path, identity: &str) -> Result<Tokenizer, StudyError> {
    Ok(Tokenizer::from_file(&run_folder::training(root, identity).join("tokenizer.json"))?)
}

/// The weights that an arm's training starts from; `shared` may have them, and else lets go of what it has.
///
/// # Errors
/// As [`open`], and when the files are not those the arm was trained on.
pub fn base_weights(root: &Path, base: &Base, shape: &Decoder, shared: &mut SharedBase) -> Result<Weights, StudyError> {
    base.check()?;
    if let Some((weights, tuning)) = shared.find(base, shape) {
        return trainable(weights, &tuning);
    }
    // What an arm starts from may begin with what is held, which then goes into it.
    let mut before = shared.once();
    let (weights, tuning) = match base {
        Base::Arm { identity } => {
            let parent = open_over(root, identity, &mut before)?;
            let name = &parent.file.record.arm;
            let merged =
                parent.tuning.merge(shape, parent.weights).at(format_args!("folding `{name}` into its weights"));
            (merged?, Tuning::none())
        }
        Base::Init { seed } => {
            before.let_go();
            (Weights::init(shape, *seed)?, Tuning::none())
        }
        Base::Files { files, .. } => {
            before.let_go();
            files.load()?
        }
    };
    trainable(shared.keep(base, shape, weights, &tuning), &tuning)
}

/// Weights that training may start from: nothing stands in front of them.
fn trainable(weights: Weights, beside: &Tuning) -> Result<Weights, StudyError> {
    match beside.recorded().plan.virtual_tokens {
        None => Ok(weights),
        Some(_) => Err(StudyError::Invalid(VIRTUAL_BASE.to_owned())),
    }
}

/// The arm of this name in a run folder, by its `arms.parquet`: of its trainings the first that stands for it, or the one
/// with the seed that follows an `@`, as in `LoRA@2`.
///
/// # Errors
/// When there is none, or nothing of it was trained; else as [`open`].
pub fn find(root: &Path, arm: &str) -> Result<TrainedArm, StudyError> {
    let arms: Vec<ArmRecord> = tunebench_results::Frames::open(root)?.read()?;
    let record = row(root, &arms, arm)?;
    let Some(form) = record.form() else { return open(root, &named(root, &arms, arm)?.identity) };
    let is_parent = |other: &&ArmRecord| other.arm == record.base && other.selected && other.seed == record.seed;
    let parent = arms.iter().find(is_parent).ok_or_else(|| StudyError::NothingTrained(record.base.clone()))?;
    let formed = in_form(root, open(root, &parent.identity)?, form).in_arm(&record.arm)?;
    Ok(TrainedArm { file: ArmFile { record: record.clone(), ..formed.file }, ..formed })
}

/// The identity of the training that [`find`] opens, for what is asked of trainings alone.
///
/// # Errors
/// As [`named`].
pub fn find_identity(root: &Path, arm: &str) -> Result<String, StudyError> {
    let arms: Vec<ArmRecord> = tunebench_results::Frames::open(root)?.read()?;
    Ok(named(root, &arms, arm)?.identity.clone())
}

/// As [`find_identity`], its row among those of the run folder.
///
/// # Errors
/// When there is none, nothing of it was trained, or it is an arm in another form.
pub fn named<'a>(root: &Path, arms: &'a [ArmRecord], arm: &str) -> Result<&'a ArmRecord, StudyError> {
    let record = row(root, arms, arm)?;
    match (record.form(), record.steps) {
        (Some(_), _) => Err(StudyError::Invalid(format!(
            "`{}` is `{}` in another form, which is no training; chat, export merged and export gguf take it",
            record.arm, record.base
        ))),
        (None, 0) => Err(StudyError::NothingTrained(arm.to_owned())),
        (None, _) => Ok(record),
    }
}

/// The row of an arm among those of a run folder.
fn row<'a>(root: &Path, arms: &'a [ArmRecord], arm: &str) -> Result<&'a ArmRecord, StudyError> {
    let is_known = |name: &str| arms.iter().any(|record| record.arm == name);
    let (name, seed) = match arm.rsplit_once('@') {
        Some((name, seed)) if !is_known(arm) => (name, seed.parse::<u64>().ok()),
        _ => (arm, None),
    };
    let is_it =
        |record: &&ArmRecord| record.arm == name && record.selected && (name == arm || seed == Some(record.seed));
    let Some(record) = arms.iter().find(is_it) else {
        let mut known: Vec<String> = arms.iter().filter(|r| r.selected).map(shown).collect();
        known.dedup();
        return Err(StudyError::UnknownArm { name: arm.to_owned(), known: known.join(", ") }).at(root.display());
    };
    Ok(record)
}

fn shown(record: &ArmRecord) -> String {
    let is_of_training = record.steps > 0 || record.form().is_some();
    if is_of_training { format!("{}@{}", record.arm, record.seed) } else { record.arm.clone() }
}

/// A trained arm with its tuning folded into its weights, and those in another form.
///
/// # Errors
/// When it cannot be folded, or a number does not fit the form.
pub fn in_form(root: &Path, trained: TrainedArm, form: ArmForm) -> Result<TrainedArm, StudyError> {
    let TrainedArm { file, weights, tuning, tokenizer } = trained;
    let merged = tuning.merge(&file.shape, weights)?;
    let weights = match form {
        ArmForm::Merged => merged.stored_as(&file.shape, &stored_floats(root, &file.base)?)?,
        ArmForm::F16 => quantized(&file.shape, merged, GgufType::F16)?,
        ArmForm::BF16 => quantized(&file.shape, merged, GgufType::BF16)?,
        ArmForm::Q8_0 => quantized(&file.shape, merged, GgufType::Q8_0)?,
        ArmForm::Q4_K_M => quantized(&file.shape, merged, GgufType::Q4_K_M)?,
    };
    Ok(TrainedArm { file, weights, tuning: Tuning::none(), tokenizer })
}

/// How the base model that an arm's chain begins with has each weight in its file; nothing of fresh weights, which are f32.
///
/// # Errors
/// When a file of it or of an arm between is missing or damaged.
pub fn stored_floats(root: &Path, base: &Base) -> Result<BTreeMap<String, Float>, StudyError> {
    match base {
        Base::Init { .. } => Ok(BTreeMap::new()),
        Base::Files { files, .. } => Ok(files.open()?.floats()?),
        Base::Arm { identity } => match finished(root, identity)? {
            Some(parent) => stored_floats(root, &parent.base),
            None => Err(StudyError::Unfinished { folder: run_folder::training(root, identity) }),
        },
    }
}

impl TrainedArm {
    /// Writes the whole model with the tuning folded in, as a Hugging Face folder with numbers as `float`, with nothing of what
    /// its base has beside: for a base that is made here.
    ///
    /// # Errors
    /// When the tuning cannot be folded in, or the folder cannot be written.
    pub fn save_merged(self, out: &Path, float: Float) -> Result<(), StudyError> {
        let weights = self.tuning.merge(&self.file.shape, self.weights)?;
        Ok(tunebench_model::save(out, &self.file.shape, &weights, Some(&self.tokenizer), float)?)
    }
}
