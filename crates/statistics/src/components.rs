//! What scores vary by: item, arm by item, seed, seed by item, repeat.
//!
//! Model: score = arm + item + arm×item + seed within arm + seed×item + repeat, items within categories. Variances are found
//! by the method of moments: each mean square of the analysis of variance is set equal to what it expects (Searle,
//! Casella, McCulloch 1992, "Variance components", chapter 4). With S trainings, K arms, R repeats of an answer:
//!
//! - repeats within an answer expect  repeat;
//! - trainings by items, of one arm, expect  seed×item + repeat / R;
//! - items of one arm expect  trainings by items + S (item + arm×item);
//! - means of trainings, as [`crate::spread`]'s T times S, expect  seed + (trainings by items) Σ w² / n;
//! - arms by items, of the arms' means over trainings, expect  arm×item + (trainings by items) / S;
//! - items, of the same, expect  arms by items + K item.
//!
//! Unbalanced data: an item that a training lacks is left out, and counted; repeats of unequal number enter by their
//! harmonic mean, trainings of unequal number by the mean over arms of 1 / S.

use crate::Error;
use crate::average::{Average, Strata, strata};
use crate::mean_squares::{average_of, column_means, interactions, mean, rows, squares};
use crate::scores::{ItemCount, Scores, Table};

/// A variance, in squared units of the score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Component {
    /// Never negative.
    pub variance: f64,
    /// Degrees of freedom of the mean square that it comes from: how well it is known.
    pub df: f64,
    /// The moments gave less than 0, of which 0 was made: it is too small to be seen in these scores.
    pub was_negative: bool,
}

/// Variances of a study.
#[derive(Clone, Debug, PartialEq)]
pub struct Components {
    /// Null with one arm, which cannot part it from arm×item.
    pub item: Option<Component>,
    /// Null with one arm. Where no arm has two trainings, seed×item and what of repeats an average leaves are in it.
    pub arm_item: Option<Component>,
    /// Mean of the arms', weighted by degrees of freedom; null where no arm has two trainings.
    pub seed: Option<Component>,
    /// Likewise. Where answers have one score each, their repeat variance is in it.
    pub seed_item: Option<Component>,
    /// Null where no answer has two scores.
    pub repeat: Option<Component>,
    /// Items that all trainings of all arms answered.
    pub items: ItemCount,
    /// By arm.
    pub arms: Vec<ArmComponents>,
}

/// Variances of one arm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ArmComponents {
    /// Item and arm×item together; null where each category has one item. With one training, seed×item and repeat are in it.
    pub items: Option<Component>,
    /// Null with one training, or where each category has one item. Likewise below.
    pub seed: Option<Component>,
    pub seed_item: Option<Component>,
    pub repeat: Option<Component>,
    /// Items that all trainings of the arm answered.
    pub used: ItemCount,
}

/// Mean squares of one arm.
struct Moments {
    arm: ArmComponents,
    /// Trainings by items, and before 0 was made of what is negative: seed.
    interaction: Option<(f64, f64)>,
    raw_seed: Option<(f64, f64)>,
    raw_repeat: Option<(f64, f64)>,
    repeats: f64,
    trainings: f64,
}

/// Variances of the study and of each arm. Items vary within categories, or all together for [`Average::Micro`]; the seed
/// variance is that of the trainings' `average`.
///
/// # Errors
/// A category that there is not, or in which no item was answered by all trainings of all arms.
pub fn components(scores: &Scores, average: Average) -> Result<Components, Error> {
    let arms: Vec<usize> = (0..scores.arms().len()).collect();
    let moments: Vec<Moments> = arms.iter().map(|arm| moments(scores, *arm, average)).collect::<Result<_, _>>()?;
    let pooled = |pick: fn(&Moments) -> Option<(f64, f64)>| pool(moments.iter().filter_map(pick));
    let repeat = pooled(|m| m.raw_repeat);
    let interaction = pooled(|m| m.interaction);
    let of_repeats = repeat.map_or(0.0, |(variance, _)| variance / harmonic(moments.iter().map(|m| m.repeats)));
    let seed_item = interaction.map(|(square, df)| component(square - of_repeats, df));
    let strata = strata(scores, average, &arms)?;
    let per_training = moments.iter().map(|m| 1.0 / m.trainings).sum::<f64>() / moments.len() as f64;
    let noise = interaction.map_or(of_repeats, |(square, _)| square) * per_training;
    let (item, arm_item) = items_and_arms(scores, &strata, noise)?;
    Ok(Components {
        item,
        arm_item,
        seed: pooled(|m| m.raw_seed).map(|(variance, df)| component(variance, df)),
        seed_item,
        repeat: repeat.map(|(variance, df)| component(variance, df)),
        items: strata.count,
        arms: moments.into_iter().map(|m| m.arm).collect(),
    })
}

fn moments(scores: &Scores, arm: usize, average: Average) -> Result<Moments, Error> {
    let table = scores.table(arm)?;
    let strata = strata(scores, average, &[arm])?;
    let rows = rows(table, &strata);
    let trainings = rows.len() as f64;
    let item_means = column_means(&rows);
    let df_items = (strata.items.len() - strata.pieces.len()) as f64;
    let (raw_repeat, repeats) = of_repeats(table, &strata);
    let df = (trainings - 1.0) * df_items;
    let interaction = (df > 0.0).then(|| (interactions(&rows, &item_means, &strata).iter().sum::<f64>() / df, df));
    let between: f64 = strata.pieces.iter().map(|piece| squares(&item_means[piece.range.clone()])).sum();
    let items = (df_items > 0.0).then(|| {
        let noise = interaction.map_or(0.0, |(square, _)| square / trainings);
        component(between / df_items - noise, df_items)
    });
    let raw_seed = interaction.map(|(square, _)| {
        let means: Vec<f64> = rows.iter().map(|row| average_of(row, &strata)).collect();
        let share: f64 = strata.pieces.iter().map(|piece| piece.weight.powi(2) / piece.n()).sum();
        (squares(&means) / (trainings - 1.0) - square * share, trainings - 1.0)
    });
    let of_repeats = raw_repeat.map_or(0.0, |(variance, _)| variance / repeats);
    let arm = ArmComponents {
        items,
        seed: raw_seed.map(|(variance, df)| component(variance, df)),
        seed_item: interaction.map(|(square, df)| component(square - of_repeats, df)),
        repeat: raw_repeat.map(|(variance, df)| component(variance, df)),
        used: strata.count,
    };
    Ok(Moments { arm, interaction, raw_seed, raw_repeat, repeats, trainings })
}

/// Mean square and degrees of freedom within answers, if any has two scores; and the harmonic mean of their numbers.
fn of_repeats(table: &Table, strata: &Strata) -> (Option<(f64, f64)>, f64) {
    let cells = || table.rows.iter().flat_map(|row| strata.items.iter().map(|place| row[*place]));
    let df: f64 = cells().map(|cell| f64::from(cell.repeats) - 1.0).sum();
    let squares: f64 = cells().map(|cell| cell.squares).sum();
    let repeats = harmonic(cells().map(|cell| f64::from(cell.repeats)));
    ((df > 0.0).then(|| (squares / df, df)), repeats)
}

/// Item and arm×item, from the arms' means over trainings, in which trainings leave the variance `noise`.
fn items_and_arms(
    scores: &Scores,
    strata: &Strata,
    noise: f64,
) -> Result<(Option<Component>, Option<Component>), Error> {
    let arms = scores.arms().len();
    let df_items = (strata.items.len() - strata.pieces.len()) as f64;
    if arms < 2 || df_items == 0.0 {
        return Ok((None, None));
    }
    let arm_means = |arm: usize| Ok(column_means(&rows(scores.table(arm)?, strata)));
    let arm_means: Vec<Vec<f64>> = (0..arms).map(arm_means).collect::<Result<_, Error>>()?;
    let item_means = column_means(&arm_means);
    let df = (arms - 1) as f64 * df_items;
    let arms_by_items = interactions(&arm_means, &item_means, strata).iter().sum::<f64>() / df;
    let between: f64 = strata.pieces.iter().map(|piece| squares(&item_means[piece.range.clone()])).sum();
    let item = between / df_items - arms_by_items / arms as f64;
    Ok((Some(component(item, df_items)), Some(component(arms_by_items - noise, df))))
}

fn component(variance: f64, df: f64) -> Component {
    Component { variance: variance.max(0.0), df, was_negative: variance < 0.0 }
}

/// Mean weighted by degrees of freedom, and their sum.
fn pool(parts: impl Iterator<Item = (f64, f64)>) -> Option<(f64, f64)> {
    let (sum, df) = parts.fold((0.0, 0.0), |(sum, total), (variance, df)| (sum + variance * df, total + df));
    (df > 0.0).then(|| (sum / df, df))
}

fn harmonic(numbers: impl Iterator<Item = f64>) -> f64 {
    1.0 / mean(&numbers.map(|number| 1.0 / number).collect::<Vec<_>>())
}
