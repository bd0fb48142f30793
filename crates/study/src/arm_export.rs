//! A trained arm of a run folder, written for other programs: what is exported and where it may go.

use std::fs;
use std::path::{Path, PathBuf};

use tunebench_export::compare::{self, Scores};
use tunebench_export::{About, Difference, Report, Source as Kept, Target, Trained, gguf, merged};
use tunebench_files as files;
use tunebench_model::QuantisedWeights;
use tunebench_model::backend::{self, Backend};
use tunebench_model::formats::gguf::GgufType;
use tunebench_model::formats::safetensors::Float;
use tunebench_model::{Source, Tokenizer};

use crate::adapter_export::{self, AdapterExport};
use crate::base::Base;
use crate::error::{Locate, StudyError};
use crate::judge_servers::LocalModels;
use crate::memory;
use crate::model_encoder::ModelEncoder;
use crate::run_folder;
use crate::trained_arm::{self, ArmFile, TrainedArm};

/// Tokens of the texts by which a model and its export are compared.
const COMPARED: usize = 32;

/// Writes the whole model with the tuning folded in, as a Hugging Face folder: with the numbers of the base model's files, or
/// all as `float`, in files of at most `shard_bytes`.
///
/// # Errors
/// When the folder may not be written, the tuning cannot be folded in, or what was written is another model.
pub fn save_merged(
    root: &Path,
    arm: &str,
    out: &Path,
    options: (Option<Float>, u64),
    engine: &'static dyn Backend,
) -> Result<Report, StudyError> {
    let (float, shard_bytes) = options;
    with_trained(root, arm, out, engine, |trained, target| {
        merged::write(trained, target, merged::Options { float, shard_bytes })
    })
}

/// Writes the whole model as a GGUF file, with a `Modelfile` beside it.
///
/// # Errors
/// As [`save_merged`], and when llama.cpp has no such model.
pub fn save_gguf(
    root: &Path,
    arm: &str,
    out: &Path,
    kind: GgufType,
    engine: &'static dyn Backend,
) -> Result<Report, StudyError> {
    with_trained(root, arm, out, engine, |trained, target| gguf::write(trained, target, kind))
}

/// Bytes as `5GB`, `500MB`, `2GiB` or a plain number.
///
/// # Errors
/// A sentence.
pub fn bytes(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 7] = [
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
        ("GB", 1_000_000_000),
        ("MB", 1_000_000),
        ("KB", 1000),
        ("", 1),
    ];
    let found =
        UNITS.iter().find_map(|(unit, size)| Some((text.strip_suffix(unit)?.trim().parse::<u64>().ok()?, size)));
    let whole = found.and_then(|(count, size)| count.checked_mul(*size)).filter(|bytes| *bytes > 0);
    whole.ok_or_else(|| "a size such as 5GB, 500MB or 2GiB".to_owned())
}

/// A format of numbers by its short name.
///
/// # Errors
/// A sentence.
pub fn float(text: &str) -> Result<Float, String> {
    let known = [("f32", Float::F32), ("f16", Float::F16), ("bf16", Float::BF16)];
    let found = known.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    found.map(|(_, float)| float).ok_or_else(|| "one of f32, f16, bf16".to_owned())
}

/// A kind of GGUF file by llama.cpp's name.
///
/// # Errors
/// A sentence.
pub fn gguf_type(text: &str) -> Result<GgufType, String> {
    let found = GgufType::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(text));
    found.ok_or_else(|| format!("one of {}", GgufType::ALL.map(GgufType::name).join(", ")))
}

/// The folder `out`, where an export of this run may be written.
///
/// # Errors
/// Why it may not.
pub fn target(root: &Path, out: &Path) -> Result<Target, StudyError> {
    Ok(Target::new(out, &sources(root))?)
}

fn with_trained(
    root: &Path,
    arm: &str,
    out: &Path,
    engine: &'static dyn Backend,
    write: impl FnOnce(Trained<'_>, &Target) -> Result<Report, tunebench_export::Error>,
) -> Result<Report, StudyError> {
    let target = target(root, out)?;
    let TrainedArm { file, weights, tuning, tokenizer } = trained_arm::find(root, arm)?;
    let base = root_files(root, &file.base)?;
    let base_name = base.as_ref().map_or_else(|| file.record.base.clone(), |(path, _)| shown(path));
    let base = base.map(|(_, source)| source);
    let template =
        chat_template(&file, &tokenizer, base.as_ref()).at(format_args!("arm `{arm}`: its chat template"))?;
    let about = About { record: &file.record, base_name: &base_name, chat_template: Some(&template) };
    let backend = scorer(&file, engine);
    let trained =
        Trained { shape: &file.shape, weights, tuning, tokenizer: &tokenizer, base: base.as_ref(), about, backend };
    Ok(write(trained, &target)?)
}

/// A model's path, or its name on the hub where it lies in the hub's cache.
fn shown(path: &Path) -> String {
    let repository = path.components().find_map(|part| part.as_os_str().to_str()?.strip_prefix("models--"));
    repository.map_or_else(|| path.display().to_string(), |name| name.replacen("--", "/", 1))
}

/// The template that an arm was trained with, in Jinja.
fn chat_template(file: &ArmFile, tokenizer: &Tokenizer, base: Option<&Source>) -> Result<String, StudyError> {
    let mut tokenizer = tokenizer.clone();
    // Run folders of earlier versions did not keep it beside the tokenizer.
    if let (None, Some(base)) = (&tokenizer.conversations.chat_template, base) {
        tokenizer.conversations.chat_template = base.chat_template()?;
    }
    Ok(ModelEncoder::new(file.form(), tokenizer, file.shape.vocab_size)?.encoder.chat_template())
}

/// What computes the scores that are compared: the reference engine in f32, unless the model would not fit so.
fn scorer(file: &ArmFile, engine: &'static dyn Backend) -> &'static dyn Backend {
    let needed = backend::REFERENCE.answering_memory(&file.shape, &QuantisedWeights::new(), 1, COMPARED);
    // Beside what is compared with it.
    let needed = needed + needed.own;
    if memory::exceeded(needed, backend::REFERENCE).is_none() { backend::REFERENCE } else { engine }
}

/// Path and files of the model that an arm's chain of bases begins with; none of fresh weights.
fn root_files(root: &Path, base: &Base) -> Result<Option<(PathBuf, Source)>, StudyError> {
    match base {
        Base::Init { .. } => Ok(None),
        Base::Files { files, .. } => Ok(Some((files.source.clone(), files.open()?))),
        Base::Arm { identity } => match trained_arm::finished(root, identity)? {
            Some(parent) => root_files(root, &parent.base),
            None => Err(StudyError::Unfinished { folder: run_folder::training(root, identity) }),
        },
    }
}

/// All that a run is made of, as far as its folder tells.
fn sources(root: &Path) -> Vec<Kept> {
    let mut all = vec![Kept { what: "the run folder".into(), path: root.to_owned() }];
    let entries = fs::read_dir(root.join("work")).into_iter().flatten().filter_map(Result::ok);
    let mut trainings: Vec<PathBuf> =
        entries.map(|entry| entry.path().join("arm.json")).filter(|p| p.is_file()).collect();
    trainings.sort();
    for file in trainings.iter().filter_map(|path| files::read_json::<ArmFile>(path).ok()) {
        let Base::Files { files, .. } = &file.base else { continue };
        let arm = &file.record.arm;
        all.push(Kept { what: format!("the model that arm `{arm}` was trained on"), path: files.source.clone() });
        let adapter = files.adapter.iter().cloned();
        all.extend(adapter.map(|path| Kept { what: format!("an adapter that arm `{arm}` starts from"), path }));
    }
    let home = files::read_json::<LocalModels>(&run_folder::local_models(root)).map(|models| models.home);
    let study = run_folder::study(root).ok();
    // Where the study file lay is known of a study with an evaluation; without it, absolute paths are found all the same.
    let home = home.unwrap_or_else(|_| PathBuf::from("/"));
    for study in study.iter() {
        for model in &study.models {
            let paths = [Some(&model.source), model.adapter.as_ref(), model.tokenizer.as_ref()];
            let named = paths.into_iter().flatten();
            all.extend(named.map(|path| Kept { what: format!("of model `{}`", model.id), path: home.join(path) }));
        }
        for dataset in &study.datasets {
            let named = dataset.source.paths().iter();
            all.extend(
                named.map(|path| Kept { what: format!("a source of dataset `{}`", dataset.id), path: home.join(path) }),
            );
        }
    }
    all
}

/// Writes the adapter alone, as a PEFT folder, after the scores of its base with it were compared with the arm's.
///
/// # Errors
/// When the folder may not be written, what was trained is no adapter that PEFT knows, or what was written is another.
pub fn save_adapter(
    root: &Path,
    arm: &str,
    out: &Path,
    engine: &'static dyn Backend,
) -> Result<(AdapterExport, Difference), StudyError> {
    let target = target(root, out)?;
    let identity = trained_arm::find_identity(root, arm)?;
    let mut saved = None;
    if let Some(above) = target.path().parent() {
        files::create_folder(above)?;
    }
    files::write_new_folder(target.path(), |dir| -> Result<(), StudyError> {
        let export = adapter_export::save(root, &identity, dir, target.path())?;
        let TrainedArm { file, weights, tuning, tokenizer } = trained_arm::open(root, &identity)?;
        let (shape, backend) = (&file.shape, scorer(&file, engine));
        let before = Scores::of(backend, shape, weights, tuning, &tokenizer)?;
        let (_, weights, tuning) = adapter_export::open(dir, &export)?;
        let after = Scores::of(backend, shape, weights, tuning, &tokenizer)?;
        compare::check_folding(&before, &after)?;
        saved = Some((export, before.difference(&after)));
        Ok(())
    })?;
    saved.ok_or_else(|| StudyError::Invalid("no adapter was written".into()))
}
