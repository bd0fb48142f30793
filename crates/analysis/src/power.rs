//! Beforehand: the difference that a study could show, and how many items and trainings would show a stated one, from what
//! an earlier run's scores vary by, or from a guess that is stated.

use std::path::Path;

pub use tunebench_statistics::Design;
use tunebench_statistics::{Average, Demand, Variances, components, designs_that_show, smallest_detectable};

use crate::error::{Error, Result};
use crate::evidence::Evidence;
use crate::run::Run;
use crate::sample::Sample;
use crate::table::{Cell, Table};

/// What scores vary by where nothing was seen yet: scores from 0 to 1 whose arms differ by a quarter from item to item (a
/// standard deviation), whose trainings differ by 0.02 on average, and by a fifth on an item. Toy and small real studies of
/// ours lie around it.
pub const GUESS: Variances = Variances { arm_item: 0.25 * 0.25, seed: 0.02 * 0.02, seed_item: 0.2 * 0.2, repeat: 0.0 };

/// The numbers of trainings that are tried.
const SEEDS: [usize; 6] = [1, 2, 3, 5, 8, 12];

/// Where the variances come from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// The scores of a run folder, by its first judge.
    Seen(&'a Path),
    /// [`GUESS`].
    Guess,
}

/// What a study of this design could show, and what would show a difference of `margin`.
///
/// # Errors
/// When the run's frames cannot be read or compared, or tell nothing of what trainings vary by.
pub fn power(source: Source<'_>, design: &Design, margin: f64) -> Result<Table> {
    if !(margin > 0.0 && margin < 1.0) {
        return Err(Error::BadMargin(margin));
    }
    let (variances, from) = match source {
        Source::Seen(dir) => (seen(dir)?, format!("what the scores in {} vary by", dir.display())),
        Source::Guess => (GUESS, "a guess, as nothing was judged yet".to_owned()),
    };
    let columns = [("seeds", 0), ("items", 0), ("over", 0), ("shows", 3), ("enough_items", 0)];
    let mut table = Table::new(format!("What would show a difference of {margin}"), &columns);
    for seeds in SEEDS {
        let design = Design { seeds, ..*design };
        let found = smallest_detectable(&variances, &design, Demand::default())?;
        let enough = designs_that_show(&variances, margin, &design, &[seeds], Demand::default())?;
        let enough = enough.first().and_then(|enough| enough.items).map_or_else(|| Cell::from("none"), Cell::from);
        table.rows.push(vec![
            seeds.into(),
            design.items.into(),
            found.scope.to_string().into(),
            found.difference.into(),
            enough,
        ]);
    }
    let sd = |variance: f64| variance.sqrt();
    table.notes.push(format!(
        "From {from}: standard deviations of {:.3} (arm by item), {:.3} (training), {:.3} (training by item), {:.3} (repeat \
         of the judge).",
        sd(variances.arm_item),
        sd(variances.seed),
        sd(variances.seed_item),
        sd(variances.repeat)
    ));
    table.notes.push(
        "shows: the true difference of two arms that so many seeds and items find 4 times in 5 at p < 0.05. enough_items: \
         the items that would find the stated one; none where the trainings' own noise is too large for any."
            .to_owned(),
    );
    table.notes.push("One seed says nothing of other trainings: as if they had no noise.".to_owned());
    Ok(table)
}

/// What the scores of a run vary by.
fn seen(dir: &Path) -> Result<Variances> {
    let run = Run::open(dir)?;
    let evidence = Evidence::read(&run)?;
    let arms = evidence.arm_names();
    let Some(judge) = evidence.judges.first() else { return Err(Error::NothingInCommon(arms.join(", "))) };
    let (judged, _) = evidence.of(judge, &arms)?.complete();
    let Some(sample) = Sample::of(&run, &judged)? else { return Err(Error::NothingInCommon(arms.join(", "))) };
    let average = sample.macro_average().unwrap_or(Average::Micro);
    Ok(Variances::seen(&components(&sample.as_given, average)?)?)
}
