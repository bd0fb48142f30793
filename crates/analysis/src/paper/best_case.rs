//! Which of the paper's differences its 1,000 items could tell from chance, if its trainings had no noise at all.
//!
//! The paper prints no spread, so one is assumed. A score lies between 0 and 1, so its variance over items of mean m is at
//! most m(1 - m) (Bhatia and Davis 2000, "A better bound on the variance"): that is the largest standard deviation, and a
//! smaller one is a stated part of it. The scores of two arms for one item go together; how much is assumed as well. The
//! error of the difference of macro averages over k categories with n items each is then
//! √(Σ (s₁² + s₂² - 2ρ s₁ s₂) / n) / k, and a difference is told apart when it is more than 1.96 of it.

use tunebench_statistics::distributions::normal_cdf;
use tunebench_statistics::holm;

use super::figures::{Paper, PaperArm};
use crate::table::{Cell, Table};

/// Two-sided 5 % of the normal distribution: hundreds of items leave no room for Student's.
const Z: f64 = 1.959_963_984_540_054;

/// How far apart the scores of items lie, and how far two arms agree on them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Assumption {
    pub name: &'static str,
    /// Standard deviation over items, as a part of the largest possible one.
    pub spread: f64,
    /// Of two arms' scores over items.
    pub correlation: f64,
}

/// From the least favourable to the most.
pub const ASSUMPTIONS: [Assumption; 6] = [
    Assumption { name: "largest, 0", spread: 1.0, correlation: 0.0 },
    Assumption { name: "largest, 0.5", spread: 1.0, correlation: 0.5 },
    Assumption { name: "largest, 0.8", spread: 1.0, correlation: 0.8 },
    Assumption { name: "half, 0", spread: 0.5, correlation: 0.0 },
    Assumption { name: "half, 0.5", spread: 0.5, correlation: 0.5 },
    Assumption { name: "half, 0.8", spread: 0.5, correlation: 0.8 },
];

/// Two arms of the paper.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    pub a: String,
    pub b: String,
    /// Macro average of `a` minus that of `b`, recomputed from the scores by category.
    pub difference: f64,
    /// Standard error of the difference under each of [`ASSUMPTIONS`].
    pub errors: [f64; 6],
}

impl Pair {
    /// Under each of [`ASSUMPTIONS`], without regard to the other pairs.
    pub fn told_apart(&self) -> [bool; 6] {
        self.errors.map(|error| self.difference.abs() > Z * error)
    }
}

/// Every two arms, in the order of the paper's tables; the higher one first.
pub fn pairs(paper: &Paper) -> Vec<Pair> {
    let arms = paper.arms.iter().enumerate();
    arms.flat_map(|(i, a)| paper.arms.iter().skip(i + 1).map(move |b| pair(paper, a, b))).collect()
}

fn pair(paper: &Paper, a: &PaperArm, b: &PaperArm) -> Pair {
    let (a, b) = if a.recomputed() < b.recomputed() { (b, a) } else { (a, b) };
    let largest = |mean: f64| (mean * (1.0 - mean)).max(0.0).sqrt();
    let error = |assumption: Assumption| {
        let scores = a.scores.iter().zip(&b.scores).zip(&paper.items);
        let variances = scores.map(|((a, b), items)| {
            let (a, b) = (assumption.spread * largest(*a), assumption.spread * largest(*b));
            (a * a + b * b - 2.0 * assumption.correlation * a * b) / *items as f64
        });
        variances.sum::<f64>().sqrt() / paper.categories.len() as f64
    };
    Pair {
        a: a.name.clone(),
        b: b.name.clone(),
        difference: a.recomputed() - b.recomputed(),
        errors: ASSUMPTIONS.map(error),
    }
}

/// Each difference with its standard errors, and under how many assumptions it is told apart.
pub fn pairs_table(paper: &Paper) -> Table {
    let errors = ASSUMPTIONS.map(|assumption| (assumption.name, 4));
    let columns = [("a", 0), ("b", 0), ("difference", 3)].into_iter().chain(errors).chain([("told_apart", 0)]);
    let title =
        "Sun et al. 2023: differences that its 1,000 items could tell from chance (standard errors by assumption)";
    let mut table = Table::new(title, &columns.collect::<Vec<_>>());
    let row = |pair: &Pair| -> Vec<Cell> {
        let head = [pair.a.as_str().into(), pair.b.as_str().into(), pair.difference.into()];
        let words = match pair.told_apart().iter().filter(|told| **told).count() {
            0 => "never".to_owned(),
            n if n == ASSUMPTIONS.len() => "always".to_owned(),
            n => format!("{n} of {}", ASSUMPTIONS.len()),
        };
        head.into_iter().chain(pair.errors.map(Cell::from)).chain([words.into()]).collect()
    };
    table.rows = pairs(paper).iter().map(row).collect();
    table.notes = vec![
        "Best case: the trainings are taken to have no noise, so these are the errors of the items alone.".into(),
        "Assumed, as the paper prints no spread: the standard deviation of an item's score is the largest that its category's \
         mean m allows, √(m(1 - m)), or half of it; and the scores of two arms for one item correlate by 0, 0.5 or 0.8."
            .into(),
        "Told apart: the difference is more than 1.96 standard errors (5 %, two-sided, each pair by itself).".into(),
    ];
    table
}

/// How many of the differences each assumption tells apart, each pair by itself and with Holm's correction for all of them.
pub fn assumptions_table(paper: &Paper) -> Table {
    let columns = [
        ("spread", 0),
        ("correlation", 1),
        ("pairs", 0),
        ("told_apart", 0),
        ("after_holm", 0),
        ("smallest_told_apart", 3),
    ];
    let mut table = Table::new("Sun et al. 2023: how many of its differences each assumption tells apart", &columns);
    let pairs = pairs(paper);
    for (i, assumption) in ASSUMPTIONS.iter().enumerate() {
        let p_values: Vec<f64> =
            pairs.iter().map(|pair| 2.0 * normal_cdf(-pair.difference.abs() / pair.errors[i])).collect();
        let after_holm = holm(&p_values).into_iter().filter(|p| *p < 0.05).count();
        let told = pairs.iter().filter(|pair| pair.told_apart()[i]);
        let smallest = told.clone().map(|pair| pair.difference).reduce(f64::min);
        table.rows.push(vec![
            if assumption.spread < 1.0 { "half of the largest".into() } else { "largest".into() },
            assumption.correlation.into(),
            pairs.len().into(),
            told.count().into(),
            after_holm.into(),
            smallest.into(),
        ]);
    }
    table.notes.push("after_holm: the chance of any false claim among all pairs stays below 5 %.".into());
    table
}
