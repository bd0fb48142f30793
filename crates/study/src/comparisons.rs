//! Judges that set answers side by side: they begin when all models have answered.

use std::collections::BTreeMap;

use tunebench_spec::{Generation, Study};

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
    study: &Study,
    frames: &mut RunFrames,
    folder: &RunFolder,
    observer: &mut dyn Observer,
) -> Result<Option<String>, StudyError> {
    let judge = judging.judge;
    observer.on_event(&Event::ComparisonStarted { judge: judge.name() });
    let answered: Vec<(ModelKey, Vec<Generation>)> =
        frames.answered(study).into_iter().map(|(key, rows)| (key, rows.to_vec())).collect();
    let baseline = judge.settings.baseline.as_deref();
    if let Some(name) = baseline.filter(|name| !answered.iter().any(|(key, _)| key.arm == *name)) {
        let fault = "it has no answers; let it take part in the evaluation (`evaluate`, or [eval] bases)";
        return Err(StudyError::Invalid(format!("judge `{}`: baseline `{name}`: {fault}", judge.name())));
    }
    let mut stopped: Option<String> = None;
    for (model, generations) in &answered {
        let is_rival = |key: &ModelKey| key.arm != model.arm && baseline.is_none_or(|name| key.arm == name);
        let mut arms: BTreeMap<&str, Vec<&(ModelKey, Vec<Generation>)>> = BTreeMap::new();
        for rival in answered.iter().filter(|(key, _)| is_rival(key)) {
            arms.entry(&rival.0.arm).or_default().push(rival);
        }
        let rivals = arms.values().filter_map(|of_arm| counterpart(model, of_arm));
        let rivals: Vec<&[Generation]> = rivals.map(Vec::as_slice).collect();
        if rivals.len() < arms.len() {
            let note = format!(
                "{model}: {} of {} arms have no answers of a training of its number to compare with",
                arms.len() - rivals.len(),
                arms.len()
            );
            observer.on_event(&Event::JudgingNote(&note));
        }
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

/// Of a rival's trainings, the answers of the one that stands against this one: that of its number, or the only one there is.
fn counterpart<'a>(model: &ModelKey, of_arm: &[&'a (ModelKey, Vec<Generation>)]) -> Option<&'a Vec<Generation>> {
    let mut found = of_arm.iter().filter(|(key, _)| key.of == 1 || model.of == 1 || key.number == model.number);
    found.next().map(|(_, rows)| rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trainings_meet_those_of_their_number() {
        let key = |number, of| ModelKey { number, of, ..ModelKey::single("arm", u64::from(number)) };
        let rivals: Vec<(ModelKey, Vec<Generation>)> = [2, 3].map(|number| (key(number, 3), Vec::new())).into();
        let only = [(key(1, 1), Vec::new())];
        let met = |number, of, rivals: &[(ModelKey, Vec<Generation>)]| {
            let rivals: Vec<_> = rivals.iter().collect();
            let found = counterpart(&key(number, of), &rivals)?;
            rivals.iter().find(|(_, rows)| std::ptr::eq(rows, found)).map(|(key, _)| key.number)
        };
        assert_eq!(met(2, 3, &rivals), Some(2));
        assert_eq!(met(3, 3, &rivals), Some(3));
        assert_eq!(met(1, 3, &rivals), None, "the rival's first training failed");
        assert_eq!(met(3, 3, &only), Some(1), "of one that was trained once, or never");
        assert_eq!(met(1, 1, &rivals), Some(2), "a base model against the first there is");
    }
}
