//! Judging all answers of a run at once, when all models have answered: by judges that set answers side by side, in batches that
//! may take a day each, or by a model that our own engine holds in memory for it.

use std::collections::BTreeMap;

use tunebench_spec::{Generation, Judgement, Study};

use crate::error::StudyError;
use crate::frames::RunFrames;
use crate::judgements::{Answers, Judgements, Judging};
use crate::model_key::ModelKey;
use crate::observer::{Event, Observer};
use crate::run_folder::RunFolder;

/// A model with its answers.
type Answered = (ModelKey, Vec<Generation>);

/// Has one judge judge the answers that are in the frames, and puts what it says there. Why not all could be judged, if so.
///
/// # Errors
/// When nothing can begin, or the baseline has no answers.
pub fn judge_together(
    judging: &Judging<'_>,
    study: &Study,
    frames: &mut RunFrames,
    folder: &RunFolder,
    observer: &mut dyn Observer,
) -> Result<Option<String>, StudyError> {
    let judge = judging.judge;
    observer.on_event(&Event::JudgingTogether { judge: judge.name() });
    let answered: Vec<Answered> = frames.answered(study).into_iter().map(|(key, rows)| (key, rows.to_vec())).collect();
    let rivals: Vec<Vec<&[Generation]>> = match judge.compares() {
        false => vec![Vec::new(); answered.len()],
        true => rivals(judge.name(), judge.settings.baseline.as_deref(), &answered, observer)?,
    };
    let answers: Vec<Answers<'_>> =
        answered.iter().zip(&rivals).map(|((_, generations), rivals)| Answers { generations, rivals }).collect();
    let Judgements { judgements, stopped } = judging.judge(&answers, folder, observer)?;
    let mut by_model: BTreeMap<(String, u64), Vec<Judgement>> = BTreeMap::new();
    for row in judgements {
        by_model.entry((row.arm.clone(), row.seed)).or_default().push(row);
    }
    for (model, _) in &answered {
        frames.judged(model, judge.name(), by_model.remove(&(model.arm.clone(), model.seed)).unwrap_or_default());
    }
    Ok(stopped)
}

/// Of each model the answers that its own stand against: those of the baseline, or of each other arm.
fn rivals<'a>(
    judge: &str,
    baseline: Option<&str>,
    answered: &'a [Answered],
    observer: &mut dyn Observer,
) -> Result<Vec<Vec<&'a [Generation]>>, StudyError> {
    if let Some(name) = baseline.filter(|name| !answered.iter().any(|(key, _)| key.arm == *name)) {
        let fault = "it has no answers; let it take part in the evaluation (`evaluate`, or [eval] bases)";
        return Err(StudyError::Invalid(format!("judge `{judge}`: baseline `{name}`: {fault}")));
    }
    let mut all = Vec::new();
    for (model, _) in answered {
        let is_rival = |key: &ModelKey| key.arm != model.arm && baseline.is_none_or(|name| key.arm == name);
        let mut arms: BTreeMap<&str, Vec<&Answered>> = BTreeMap::new();
        for rival in answered.iter().filter(|(key, _)| is_rival(key)) {
            arms.entry(&rival.0.arm).or_default().push(rival);
        }
        let found = arms.values().filter_map(|of_arm| counterpart(model, of_arm));
        let found: Vec<&[Generation]> = found.map(Vec::as_slice).collect();
        // The baseline has none, and is not judged.
        if found.len() < arms.len() {
            let note = format!(
                "{model}: {} of {} arms have no answers of a training of its number to compare with",
                arms.len() - found.len(),
                arms.len()
            );
            observer.on_event(&Event::JudgingNote(&note));
        }
        all.push(found);
    }
    Ok(all)
}

/// Of a rival's trainings, the answers of the one that stands against this one: that of its number, or the only one there is.
fn counterpart<'a>(model: &ModelKey, of_arm: &[&'a Answered]) -> Option<&'a Vec<Generation>> {
    let mut found = of_arm.iter().filter(|(key, _)| key.of == 1 || model.of == 1 || key.number == model.number);
    found.next().map(|(_, rows)| rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trainings_meet_those_of_their_number() {
        let key = |number, of| ModelKey { number, of, ..ModelKey::single("arm", u64::from(number)) };
        let rivals: Vec<Answered> = [2, 3].map(|number| (key(number, 3), Vec::new())).into();
        let only = [(key(1, 1), Vec::new())];
        let met = |number, of, rivals: &[Answered]| {
            let rivals: Vec<_> = rivals.iter().collect();
            let found = counterpart(&key(number, of), &rivals)?;
            rivals.iter().find(|(_, rows)| std::ptr::eq(rows, found)).map(|(key, _)| key.number)
        };
        assert_eq!(met(2, 3, &rivals), Some(2));
        assert_eq!(met(3, 3, &rivals), Some(3));
        assert_eq!(met(1, 3, &rivals), None, "the rival's first training failed");
        assert_eq!(met(4, 4, &rivals), None, "the rival has no such number");
        assert_eq!(met(1, 3, &[]), None, "the rival has no answers");
        assert_eq!(met(3, 3, &only), Some(1), "of one that was trained once, or never");
        assert_eq!(met(1, 1, &rivals), Some(2), "a base model against the first there is");
    }
}
