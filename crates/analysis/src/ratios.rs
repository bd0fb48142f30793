//! How many times as long full fine-tuning takes as another method on the same model and data: the paper's "3 to 5 times".

use crate::duration;
use crate::paper::figures::{Paper, PaperArm};
use crate::run::{Arm, Run};
use crate::table::Table;

/// Two arms that differ in the method.
#[derive(Clone, Debug, PartialEq)]
pub struct Ratio {
    pub full: String,
    pub other: String,
    /// Of one epoch, mean over the trainings.
    pub full_hours: f64,
    pub other_hours: f64,
    /// Lowest and highest ratio of two trainings; none with one training each.
    pub range: Option<(f64, f64)>,
}

impl Ratio {
    pub fn ratio(&self) -> f64 {
        self.full_hours / self.other_hours
    }
}

/// Every weight is trained and none is added.
fn is_full(arm: &Arm) -> bool {
    arm.is_trained() && arm.record.additional_params == 0 && arm.record.trainable_params == arm.record.model_params
}

/// Each arm of full fine-tuning against each of another method with its base, data and number of examples.
pub fn of_run(run: &Run) -> Vec<Ratio> {
    let full = run.arms.iter().filter(|arm| is_full(arm));
    let against = |full: &Arm| -> Vec<Ratio> {
        let key = |arm: &Arm| (arm.record.base.clone(), arm.record.dataset.clone(), arm.record.examples);
        let others = run
            .arms
            .iter()
            .filter(|arm| arm.is_trained() && !arm.is_variant() && !is_full(arm) && key(arm) == key(full));
        others.filter_map(|other| ratio(full, other)).collect()
    };
    full.flat_map(against).collect()
}

fn ratio(full: &Arm, other: &Arm) -> Option<Ratio> {
    let hours = |arm: &Arm| -> Vec<f64> { arm.trainings.iter().map(|training| training.hours_per_epoch).collect() };
    let (of_full, of_other) = (hours(full), hours(other));
    let ratios: Vec<f64> = of_full.iter().flat_map(|full| of_other.iter().map(move |other| full / other)).collect();
    let (low, high) = (ratios.iter().copied().reduce(f64::min), ratios.iter().copied().reduce(f64::max));
    let found = Ratio {
        full: full.name.clone(),
        other: other.name.clone(),
        full_hours: full.mean(|training| training.hours_per_epoch)?,
        other_hours: other.mean(|training| training.hours_per_epoch)?,
        range: low.zip(high).filter(|_| ratios.len() > 1),
    };
    (found.other_hours > 0.0).then_some(found)
}

/// The paper's arms: LoRA and full tuning of one model on one data set, told by their names.
pub fn of_paper(paper: &Paper) -> Vec<Ratio> {
    let as_lora = |name: &str| {
        let (head, last) = name.rsplit_once("FT(")?;
        Some(format!("{head}LoRA({last}"))
    };
    let pair = |full: &PaperArm| {
        let name = as_lora(&full.name)?;
        let other = paper.arms.iter().find(|arm| arm.name == name)?;
        Some(Ratio {
            full: full.name.clone(),
            other: other.name.clone(),
            full_hours: full.hours_per_epoch as f64,
            other_hours: other.hours_per_epoch as f64,
            range: None,
        })
    };
    paper.arms.iter().filter(|arm| arm.additional_params.is_none()).filter_map(pair).collect()
}

/// A row for each pair.
pub fn table(title: &str, ratios: &[Ratio]) -> Table {
    let columns = [
        ("full_fine_tuning", 0),
        ("other", 0),
        ("full_epoch", 0),
        ("other_epoch", 0),
        ("full_hours_per_epoch", 4),
        ("other_hours_per_epoch", 4),
        ("ratio", 2),
        ("lowest", 2),
        ("highest", 2),
    ];
    let mut table = Table::new(title, &columns);
    table.rows = ratios
        .iter()
        .map(|found| {
            vec![
                found.full.as_str().into(),
                found.other.as_str().into(),
                duration::words(3600.0 * found.full_hours).into(),
                duration::words(3600.0 * found.other_hours).into(),
                found.full_hours.into(),
                found.other_hours.into(),
                found.ratio().into(),
                found.range.map(|(low, _)| low).into(),
                found.range.map(|(_, high)| high).into(),
            ]
        })
        .collect();
    table.notes.push(match ratios.is_empty() {
        true => "No arm of full fine-tuning shares base, data and examples with one of another method.".into(),
        false => "lowest, highest: over the trainings of both. The paper says 3 to 5 times.".into(),
    });
    table
}
