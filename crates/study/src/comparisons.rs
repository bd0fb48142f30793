//! Judges that set answers side by side: they begin when all models have answered.

use std::collections::BTreeMap;

use tunebench_judge::rival;
use tunebench_spec::Generation;

use crate::error::StudyError;
use crate::frames::RunFrames;
use crate::judgements::{Answers, Judging};
use crate::model_key::ModelKey;
use crate::observer::{Event, Observer};
use crate::run_folder::RunFolder;

/// Has one such judge compare the answers that are in the frames, each arm's with its rivals', and puts what it says there.
/// Why not all could be compared, if so.
///
/// # Errors
/// When nothing can begin, or the baseline has no answers.
pub fn compare(
    judging: &Judging<'_>,
    frames: &mut RunFrames,
    folder: &RunFolder,
    observer: &mut dyn Observer,
) -> Result<Option<String>, StudyError> {
    let judge = judging.judge;
    observer.on_event(&Event::ComparisonStarted { judge: judge.name() });
    let answered: Vec<(ModelKey, Vec<Generation>)> =
        frames.answered().into_iter().map(|(key, rows)| (key, rows.to_vec())).collect();
    let baseline = judge.settings.baseline.as_deref();
    if let Some(name) = baseline.filter(|name| !answered.iter().any(|(key, _)| key.arm == *name)) {
        let fault = "it has no answers; let it take part in the evaluation (`evaluate`, or [eval] bases)";
        return Err(StudyError::Invalid(format!("judge `{}`: baseline `{name}`: {fault}", judge.name())));
    }
    let mut stopped: Option<String> = None;
    for (model, generations) in &answered {
        let is_rival = |key: &ModelKey| key.arm != model.arm && baseline.is_none_or(|name| key.arm == name);
        let mut arms: BTreeMap<&str, Vec<&[Generation]>> = BTreeMap::new();
        for (key, rows) in answered.iter().filter(|(key, _)| is_rival(key)) {
            arms.entry(&key.arm).or_default().push(rows);
        }
        let number = model.number as usize;
        let rivals: Vec<&[Generation]> = arms.values().filter_map(|of_arm| rival(number, of_arm).copied()).collect();
        if rivals.is_empty() {
            frames.judged(model, judge.name(), Vec::new());
            continue;
        }
        let found = judging.judge(&Answers { model, generations, rivals: &rivals }, folder, observer)?;
        frames.judged(model, judge.name(), found.judgements);
        stopped = stopped.or(found.stopped);
    }
    Ok(stopped)
}
