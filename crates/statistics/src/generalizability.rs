//! What the marks of several judges, asked again and again, vary by: the answer, the judge, the judge's own taste of an
//! answer, and chance; and what more judges or repeats would bring.
//!
//! mark = mean + answer + judge + judge×answer + repeat, all random and crossed (generalizability theory: Cronbach et
//! al. 1972, "The dependability of behavioral measurements"). Variances by Henderson's first method (1953, "Estimation
//! of variance and covariance components"; Searle, Casella, McCulloch 1992, "Variance components", section 5.3): sums
//! of squared totals over answers, judges, cells and all, each set equal to what it expects under unequal numbers. They
//! are unbiased however unbalanced the marks are, and those of the analysis of variance where they are balanced. An
//! estimate below 0 is shown as 0, and [`Component::was_negative`] says so.

use std::collections::BTreeMap;

use crate::Error;
use crate::components::Component;
use crate::inverse::{Matrix, inverse, times};
use crate::marks::is_mark;

/// One mark.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JudgedMark {
    /// Names the answer: arm, training and item together.
    pub answer: usize,
    pub judge: usize,
    /// Several of one judge for one answer are repeats.
    pub mark: f64,
}

/// Variances of marks, in squared units of the mark.
#[derive(Clone, Debug, PartialEq)]
pub struct Generalizability {
    pub mean: f64,
    /// What answers differ by, which is what judges are there for. With one judge, judge×answer is in it.
    pub answer: Component,
    /// Some judges are stricter than others. Null with one judge; known badly with two or three.
    pub judge: Option<Component>,
    /// Judges differ about an answer beyond their strictness. Null with one judge. Where no answer has two marks of one
    /// judge, repeat is in it.
    pub judge_answer: Option<Component>,
    /// A judge differs from itself. Null where no answer has two marks of one judge.
    pub repeat: Option<Component>,
    pub answers: usize,
    pub judges: usize,
    pub marks: usize,
}

/// How answers would be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JudgingDesign {
    pub answers: usize,
    pub judges: usize,
    /// Marks of each judge for each answer.
    pub repeats: usize,
}

/// What a design gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Precision {
    /// Of the mean over the answers, of other answers and other judges like these.
    pub standard_error: f64,
    /// Of the mean over these answers by these judges: repeats alone.
    pub repeat_standard_error: f64,
    /// Of one answer's mean mark, of other judges.
    pub answer_standard_error: f64,
    /// Share of the variance of answers' mean marks that is the answers': the generalizability coefficient (relative;
    /// it leaves out the judges' strictness, which all answers share). Null where nothing varies.
    pub reliability: Option<f64>,
}

/// The variances of `marks`.
///
/// # Errors
/// No mark; one that is not finite; fewer than two answers; answers and judges so few or so placed that their variances
/// cannot be told apart, such as each judge with answers of its own.
pub fn generalizability(marks: &[JudgedMark]) -> Result<Generalizability, Error> {
    let totals = Totals::new(marks)?;
    let (answers, judges, cells) = (totals.answers.len(), totals.judges.len(), totals.cells.len());
    if answers < 2 {
        let why = "there is one answer; judge two or more";
        return Err(Error::Undefined { what: "the variance of answers", why });
    }
    let several_judges = judges > 1;
    let has_repeats = marks.len() > cells;
    // Equations and unknowns, both in the order answer, judge, judge×answer, repeat. What cannot be parted is left out,
    // and is then in the one that the fields name.
    let known = [true, several_judges, several_judges, has_repeats];
    let solved = totals.solve(known).ok_or(Error::Undefined {
        what: "the variance of answers, judges and repeats",
        why: "they cannot be told apart in these marks; let several judges mark the same answers",
    })?;
    let df = [answers - 1, judges - 1, (cells + 1).saturating_sub(answers + judges), marks.len() - cells];
    let mut parts = known.iter().zip(df).zip(solved).map(|((known, df), variance)| {
        known.then_some(Component { variance: variance.max(0.0), df: df as f64, was_negative: variance < 0.0 })
    });
    let answer = parts.next().flatten().ok_or(Error::Empty)?;
    let mut next = || parts.next().flatten();
    let (judge, judge_answer, repeat) = (next(), next(), next());
    Ok(Generalizability { mean: totals.mean, answer, judge, judge_answer, repeat, answers, judges, marks: marks.len() })
}

impl Generalizability {
    /// What judging by `design` would give, if other judges are like these. Where a variance is not known, it is taken
    /// as what the fields say it is part of: with one judge known, the judges' own part is missing, and so is refused.
    ///
    /// # Errors
    /// A number of 0; one judge, of which nothing is known of others.
    pub fn precision(&self, design: JudgingDesign) -> Result<Precision, Error> {
        let counts = [
            ("the number of answers", design.answers),
            ("the number of judges", design.judges),
            ("the number of repeats", design.repeats),
        ];
        if let Some((what, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(Error::OutOfRange { what, value: 0.0, rule: "at least 1" });
        }
        let (Some(judge), Some(judge_answer)) = (self.judge, self.judge_answer) else {
            let remedy = "let a second judge mark some of the answers";
            return Err(Error::NotEstimated { what: "the variance of judges", remedy });
        };
        let [answers, judges, repeats] = [design.answers, design.judges, design.repeats].map(|count| count as f64);
        let of_repeats = self.repeat.map_or(0.0, |part| part.variance) / (judges * repeats);
        let of_taste = judge_answer.variance / judges + of_repeats;
        let of_judges = judge.variance / judges;
        let signal = self.answer.variance;
        Ok(Precision {
            standard_error: ((signal + of_taste) / answers + of_judges).sqrt(),
            repeat_standard_error: (of_repeats / answers).sqrt(),
            answer_standard_error: (of_judges + of_taste).sqrt(),
            reliability: (signal + of_taste > 0.0).then(|| signal / (signal + of_taste)),
        })
    }
}

/// Marks less their mean, summed: number and sum.
type Sums<K> = BTreeMap<K, (f64, f64)>;

struct Totals {
    n: f64,
    mean: f64,
    /// Sum of squares of single marks.
    squares: f64,
    answers: Sums<usize>,
    judges: Sums<usize>,
    cells: Sums<(usize, usize)>,
}

impl Totals {
    fn new(marks: &[JudgedMark]) -> Result<Self, Error> {
        if marks.is_empty() {
            return Err(Error::Empty);
        }
        if let Some((row, mark)) = marks.iter().enumerate().find(|(_, mark)| !is_mark(mark.mark)) {
            return Err(Error::NotFinite { row, score: mark.mark });
        }
        let n = marks.len() as f64;
        let mean = marks.iter().map(|mark| mark.mark).sum::<f64>() / n;
        let (mut answers, mut judges, mut cells) = (Sums::new(), Sums::new(), Sums::new());
        let mut squares = 0.0;
        for JudgedMark { answer, judge, mark } in marks {
            let value = mark - mean;
            squares += value * value;
            add(answers.entry(*answer).or_default(), value);
            add(judges.entry(*judge).or_default(), value);
            add(cells.entry((*answer, *judge)).or_default(), value);
        }
        Ok(Self { n, mean, squares, answers, judges, cells })
    }

    /// The variances from the equations of the places that are `known`; 0 at the others.
    fn solve(&self, known: [bool; 4]) -> Option<[f64; 4]> {
        let n = self.n;
        let over = |of: fn(&(usize, usize)) -> usize, sums: &Sums<usize>| -> f64 {
            self.cells
                .iter()
                .map(|(cell, (count, _))| count * count / sums.get(&of(cell)).map_or(1.0, |sum| sum.0))
                .sum()
        };
        let (by_answer, by_judge) = (over(|cell| cell.0, &self.answers), over(|cell| cell.1, &self.judges));
        let [answers, judges, cells] = [self.answers.len(), self.judges.len(), self.cells.len()].map(|len| len as f64);
        // Uncorrected sums of squares, and how often each variance is in what they expect.
        let of_answers = (totals(&self.answers), [n, by_answer, by_answer, answers]);
        let of_judges = (totals(&self.judges), [by_judge, n, by_judge, judges]);
        let of_cells = (totals(&self.cells), [n, n, n, cells]);
        let of_marks = (self.squares, [n; 4]);
        // The mean was taken away, so that its sum of squares is 0.
        let of_all = (0.0, [counts(&self.answers) / n, counts(&self.judges) / n, counts(&self.cells) / n, 1.0]);
        let sum = |parts: &[(f64, (f64, [f64; 4]))]| {
            let mut total = (0.0, [0.0; 4]);
            for (sign, (value, coefficients)) in parts {
                total.0 += sign * value;
                total.1.iter_mut().zip(coefficients).for_each(|(total, coefficient)| *total += sign * coefficient);
            }
            total
        };
        let equations = [
            sum(&[(1.0, of_answers), (-1.0, of_all)]),
            sum(&[(1.0, of_judges), (-1.0, of_all)]),
            sum(&[(1.0, of_cells), (-1.0, of_answers), (-1.0, of_judges), (1.0, of_all)]),
            sum(&[(1.0, of_marks), (-1.0, of_cells)]),
        ];
        let places: Vec<usize> = (0..4).filter(|place| known[*place]).collect();
        let matrix: Matrix =
            places.iter().map(|row| places.iter().map(|column| equations[*row].1[*column]).collect()).collect();
        let right: Vec<f64> = places.iter().map(|row| equations[*row].0).collect();
        let mut variances = [0.0; 4];
        for (place, variance) in places.iter().zip(times(&inverse(&matrix)?, &right)) {
            variances[*place] = variance;
        }
        Some(variances)
    }
}

fn add(sum: &mut (f64, f64), value: f64) {
    sum.0 += 1.0;
    sum.1 += value;
}

/// Σ total² / number.
fn totals<K>(sums: &Sums<K>) -> f64 {
    sums.values().map(|(count, total)| total * total / count).sum()
}

/// Σ number².
fn counts<K>(sums: &Sums<K>) -> f64 {
    sums.values().map(|(count, _)| count * count).sum()
}
