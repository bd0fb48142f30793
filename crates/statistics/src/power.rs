//! How small a difference a comparison would show, and how many items and trainings would show a given one.
//!
//! The variances are put into the mean squares of [`crate::spread`], which says what they expect. The trainings' mean
//! square then comes out anywhere between nothing and several times that, and the interval with it; so the power is the
//! mean, over the distribution of that mean square (chi-square / df), of the chance that the estimate lies beyond the
//! interval's half width. The items' mean square is taken as expected. With one training the power is exactly
//! noncentral t.

use crate::Error;
use crate::components::Components;
use crate::distributions::{normal_cdf, root_of_decreasing, t_test_power, variance_quantile};
use crate::mean_squares::{Part, Scope, sum};
use crate::spread::Spread;

/// Points of the distribution of the trainings' mean squares, of equal probability.
const POINTS: usize = 128;
/// Step of the second coordinate of those points: a lattice that fills the square evenly (the golden ratio's fraction).
const LATTICE: f64 = 0.618_033_988_749_894_9;
/// Designs of more items are not looked at.
pub const MOST_ITEMS: usize = 10_000_000;

/// Variances of a study, seen or guessed, in squared units of the score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Variances {
    pub arm_item: f64,
    pub seed: f64,
    pub seed_item: f64,
    pub repeat: f64,
}

/// How two arms would be compared, each with as much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Design {
    /// All categories together, equally many in each.
    pub items: usize,
    pub categories: usize,
    pub seeds: usize,
    /// Scores of each answer.
    pub repeats: usize,
}

/// What a test should do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Demand {
    /// Probability to find the difference, such as 0.8.
    pub power: f64,
    /// Level of the two-sided test, such as 0.05.
    pub alpha: f64,
}

impl Default for Demand {
    fn default() -> Self {
        Self { power: 0.8, alpha: 0.05 }
    }
}

/// The smallest true difference that would be found with the power demanded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detectable {
    /// In units of the score.
    pub difference: f64,
    pub standard_error: f64,
    pub df: f64,
    /// With one seed: items only, as if trainings had no noise.
    pub scope: Scope,
}

/// Items that a number of trainings needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enough {
    pub seeds: usize,
    /// All categories together; null where [`MOST_ITEMS`] do not suffice, because the trainings' own noise remains.
    pub items: Option<usize>,
    pub scope: Scope,
}

impl Variances {
    /// Those of a study. Where answers have one score each, the repeats' variance is in `seed_item`.
    ///
    /// # Errors
    /// One arm, or no arm with two trainings: then state a guess.
    pub fn seen(components: &Components) -> Result<Self, Error> {
        let stated = "state a guess of it";
        let arm_item =
            components.arm_item.ok_or(Error::NotEstimated { what: "the variance of arm by item", remedy: stated })?;
        let seed = components.seed.ok_or(Error::NotEstimated { what: "the variance of seeds", remedy: stated })?;
        let seed_item = components.seed_item.map_or(0.0, |component| component.variance);
        let repeat = components.repeat.map_or(0.0, |component| component.variance);
        Ok(Self { arm_item: arm_item.variance, seed: seed.variance, seed_item, repeat })
    }

    fn check(&self) -> Result<(), Error> {
        let all = [
            ("the variance of arm by item", self.arm_item),
            ("the variance of seeds", self.seed),
            ("the variance of seed by item", self.seed_item),
            ("the variance of repeats", self.repeat),
        ];
        match all.into_iter().find(|(_, value)| !(*value >= 0.0 && value.is_finite())) {
            Some((what, value)) => Err(Error::OutOfRange { what, value, rule: "at least 0" }),
            None => Ok(()),
        }
    }
}

/// The smallest difference of two arms with nested seeds that `design` would show.
///
/// # Errors
/// Negative variances or all 0; a design without seeds, repeats or categories, or with fewer than two items in each;
/// power or level out of (0, 1), or a power no higher than the level.
pub fn smallest_detectable(variances: &Variances, design: &Design, demand: Demand) -> Result<Detectable, Error> {
    detectable(&expected(variances, design)?, demand)
}

/// The smallest difference that comparisons find with the power demanded, where `spread` is what they expect.
///
/// # Errors
/// A spread of 0; power or level out of (0, 1), or a power no higher than the level.
pub fn detectable_of(spread: &Spread, demand: Demand) -> Result<Detectable, Error> {
    let Spread { items, seeds, shared, judge } = *spread;
    detectable(&Expected { items, seeds: seeds.into_iter().collect(), shared, judge }, demand)
}

/// A [`Spread`] whose trainings' part is not added up yet.
struct Expected {
    items: Part,
    /// Of each sample of trainings; none where there is one training.
    seeds: Vec<Part>,
    shared: f64,
    judge: Option<Part>,
}

impl Expected {
    fn spread(&self, seeds: &[Part]) -> Spread {
        let seeds = (!seeds.is_empty()).then(|| sum(seeds));
        Spread { items: self.items, seeds, shared: self.shared, judge: self.judge }
    }
}

fn detectable(expected: &Expected, demand: Demand) -> Result<Detectable, Error> {
    let spread = expected.spread(&expected.seeds);
    let standard_error = spread.standard_error();
    if standard_error <= 0.0 {
        return Err(Error::OutOfRange { what: "the sum of all variances", value: 0.0, rule: "above 0" });
    }
    let difference = standard_error * noncentrality(expected, standard_error, demand)?;
    Ok(Detectable { difference, standard_error, df: spread.df(), scope: spread.scope() })
}

/// For each number of `seeds`, the fewest items that show `difference`; `design`'s own items and seeds are not looked
/// at.
///
/// # Errors
/// As [`smallest_detectable`]; a difference that is not above 0.
pub fn designs_that_show(
    variances: &Variances,
    difference: f64,
    design: &Design,
    seeds: &[usize],
    demand: Demand,
) -> Result<Vec<Enough>, Error> {
    if !(difference > 0.0 && difference.is_finite()) {
        return Err(Error::OutOfRange { what: "the difference to show", value: difference, rule: "above 0" });
    }
    let enough = |seeds: usize| {
        let at = |items: usize| smallest_detectable(variances, &Design { items, seeds, ..*design }, demand);
        let shows = |items: usize| Ok(at(items)?.difference <= difference);
        let scope = at(2 * design.categories)?.scope;
        Ok(Enough { seeds, items: fewest(2 * design.categories, MOST_ITEMS, shows)?, scope })
    };
    seeds.iter().map(|seeds| enough(*seeds)).collect()
}

/// The smallest number from `low` to `high` of which `holds` is true, when it stays true from there on.
fn fewest(mut low: usize, high: usize, holds: impl Fn(usize) -> Result<bool, Error>) -> Result<Option<usize>, Error> {
    let mut top = low;
    while !holds(top)? {
        if top >= high {
            return Ok(None);
        }
        low = top + 1;
        top = (2 * top).min(high);
    }
    while low < top {
        let middle = low.midpoint(top);
        if holds(middle)? {
            top = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok(Some(top))
}

fn expected(variances: &Variances, design: &Design) -> Result<Expected, Error> {
    variances.check()?;
    let counts = [
        ("the number of seeds", design.seeds),
        ("the number of repeats", design.repeats),
        ("the number of categories", design.categories),
    ];
    if let Some((what, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
        return Err(Error::OutOfRange { what, value: 0.0, rule: "at least 1" });
    }
    if design.items < 2 * design.categories {
        let value = design.items as f64;
        return Err(Error::OutOfRange { what: "the number of items", value, rule: "at least 2 in each category" });
    }
    let [items, seeds, repeats] = [design.items, design.seeds, design.repeats].map(|count| count as f64);
    let interaction = variances.seed_item + variances.repeat / repeats;
    let shared = 2.0 * interaction / seeds / items;
    let by_items = Part { variance: 2.0 * variances.arm_item / items + shared, df: items - design.categories as f64 };
    let of_arm = Part { variance: (variances.seed + interaction / items) / seeds, df: seeds - 1.0 };
    Ok(match design.seeds {
        1 => Expected { items: by_items, seeds: Vec::new(), shared: 0.0, judge: None },
        _ => Expected { items: by_items, seeds: vec![of_arm, of_arm], shared, judge: None },
    })
}

/// The true difference in standard errors at which the test has the power.
fn noncentrality(expected: &Expected, standard_error: f64, demand: Demand) -> Result<f64, Error> {
    let Demand { power, alpha } = demand;
    if !(alpha > 0.0 && alpha < 1.0) {
        return Err(Error::OutOfRange { what: "the level of the test", value: alpha, rule: "between 0 and 1" });
    }
    if !(power > alpha && power < 1.0) {
        return Err(Error::OutOfRange { what: "the power", value: power, rule: "between the level of the test and 1" });
    }
    let half_widths = half_widths(expected, standard_error, alpha);
    let df = expected.spread(&[]).df();
    let power_at = |noncentrality: f64| match &half_widths {
        None => t_test_power(noncentrality, df, alpha),
        Some(widths) => {
            let beyond = |width: &f64| normal_cdf(noncentrality - width) + normal_cdf(-noncentrality - width);
            widths.iter().map(beyond).sum::<f64>() / widths.len() as f64
        }
    };
    let mut high = 8.0;
    while power_at(high) < power && high < 1e9 {
        high *= 2.0;
    }
    Ok(root_of_decreasing(0.0, high, |noncentrality| power - power_at(noncentrality)))
}

/// Half widths in true standard errors, as the trainings' mean squares come out; null where there are none.
fn half_widths(expected: &Expected, standard_error: f64, alpha: f64) -> Option<Vec<f64>> {
    if expected.seeds.is_empty() {
        return None;
    }
    let half_width = |point: usize| {
        let drawn = |(sample, part): (usize, &Part)| {
            let tail = match sample {
                0 => (point as f64 + 0.5) / POINTS as f64,
                _ => (0.5 + point as f64 * LATTICE).fract(),
            };
            Part { variance: part.variance * variance_quantile(tail, part.df), ..*part }
        };
        let seeds: Vec<Part> = expected.seeds.iter().enumerate().map(drawn).collect();
        expected.spread(&seeds).half_width(alpha) / standard_error
    };
    Some((0..POINTS).map(half_width).collect())
}
