//! Two arms compared item by item: the difference, how sure it is, what it varies by, and what would show more.

use std::path::Path;

use tunebench_statistics::{
    Average, Component, Demand, Design, Enough, Interval, NoInterval, Scope, Variances, Verdict, components, contrast,
    designs_that_show, detectable_of, estimate, holm, verdict,
};

use crate::counts::counts;
use crate::error::{Error, Result};
use crate::estimates::{ALPHA, verdict_words};
use crate::evidence::{Evidence, Judged};
use crate::run::Run;
use crate::sample::Sample;
use crate::table::{Cell, Table};

/// The numbers of trainings that [`Comparison::enough`] is about.
pub const SEEDS: [usize; 4] = [2, 3, 5, 10];

/// `a` minus `b` by one judge.
#[derive(Clone, Debug)]
pub struct Comparison {
    pub judge: String,
    pub a: String,
    pub b: String,
    pub margin: f64,
    /// By category, then the macro average where there is one, then the micro average.
    pub rows: Vec<Row>,
    /// Why there is no macro average.
    pub no_macro: Option<String>,
    /// What the scores vary by, with its name.
    pub varies_by: Vec<(&'static str, Component)>,
    /// What would show a difference of the margin; or why that cannot be said.
    pub enough: Result<Vec<Enough>, String>,
    /// What was left out, a sentence each.
    pub notes: Vec<String>,
}

/// A difference in one category or on average.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub category: String,
    /// Items that all trainings of both arms have a score for.
    pub items: usize,
    pub mean_a: f64,
    pub mean_b: f64,
    pub difference: f64,
    /// Interval, degrees of freedom and what it is over; or why there is none.
    pub inference: Result<(Interval, f64, Scope), NoInterval>,
    pub p: Option<f64>,
    /// Adjusted for the number of categories; none of an average.
    pub p_holm: Option<f64>,
    /// The true difference that a study like this would show 4 times in 5.
    pub detectable: Option<f64>,
    pub verdict: Verdict,
}

/// One comparison per judge, as tables: the differences, what the scores vary by, and what would show the margin.
///
/// # Errors
/// When the frames cannot be read, an arm has no judgements, no item was scored for both, the judgements cannot be compared,
/// or the margin is none.
pub fn compare(dir: &Path, a: &str, b: &str, margin: f64) -> Result<Vec<Table>> {
    let run = Run::open(dir)?;
    let evidence = Evidence::read(&run)?;
    let mut tables = Vec::new();
    for comparison in comparisons(&run, &evidence, a, b, margin)? {
        let title = |title: String| evidence.title(&title, &comparison.judge);
        tables.push(differences(&comparison, title(format!("{a} minus {b}"))));
        tables.push(varies_by(&comparison, title("What these scores vary by".into())));
        tables.push(enough(&comparison, title(format!("What would show a difference of {margin}"))));
    }
    Ok(tables)
}

/// Of each judge that scored an item for both.
///
/// # Errors
/// As [`compare`].
pub fn comparisons(run: &Run, evidence: &Evidence, a: &str, b: &str, margin: f64) -> Result<Vec<Comparison>> {
    if !(margin > 0.0 && margin < 1.0) {
        return Err(Error::BadMargin(margin));
    }
    if a == b {
        return Err(Error::SameArm(a.to_owned()));
    }
    evidence.check_known(&[a, b])?;
    let mut found = Vec::new();
    for judge in evidence.judges.iter().filter(|judge| evidence.has(judge, a) && evidence.has(judge, b)) {
        found.extend(comparison(run, &evidence.of(judge, &[a, b])?, a, b, margin)?);
    }
    match found.is_empty() {
        true => Err(Error::NothingInCommon(format!("{a}, {b}"))),
        false => Ok(found),
    }
}

fn comparison(run: &Run, judged: &Judged, a: &str, b: &str, margin: f64) -> Result<Option<Comparison>> {
    let (judged, n_left_out) = judged.complete();
    let Some(sample) = Sample::of(run, &judged)? else { return Ok(None) };
    let (at_a, at_b) = (sample.index(a)?, sample.index(b)?);
    let of = |name: &str, average| row(&sample, (at_a, at_b), name, average, margin);
    let complete = counts(&judged).into_iter().next().map(|counts| counts.complete).unwrap_or_default();

    let names = sample.scores.categories();
    let mut rows: Vec<Row> =
        names.iter().enumerate().map(|(i, name)| of(name, Average::Category(i))).collect::<Result<_>>()?;
    rows.iter_mut().for_each(|row| row.items = complete.get(&row.category).copied().unwrap_or(0));
    adjust(&mut rows, &sample, (at_a, at_b), margin)?;
    let macro_average = sample.macro_average();
    if let Ok(average) = macro_average {
        rows.push(of(tunebench_results::MACRO_AVERAGE, average)?);
    }
    rows.push(of(tunebench_results::MICRO_AVERAGE, Average::Micro)?);

    let mut notes = judged.notes.clone();
    if n_left_out > 0 {
        notes.push(format!("{n_left_out} items without a score for a training of one of the two are left out."));
    }
    let parts = components(&sample.as_given, macro_average.as_ref().copied().unwrap_or(Average::Micro))?;
    let named = [
        ("item", parts.item),
        ("arm by item", parts.arm_item),
        ("training", parts.seed),
        ("training by item", parts.seed_item),
        ("repeat of the judge", parts.repeat),
    ];
    let varies_by = named.into_iter().filter_map(|(name, part)| Some((name, part?))).collect();
    let design = Design { items: parts.items.used, categories: names.len(), seeds: 1, repeats: judged.repeats() };
    let enough = what_shows(&parts, &design, margin);
    Ok(Some(Comparison {
        judge: judged.judge.clone(),
        a: a.to_owned(),
        b: b.to_owned(),
        margin,
        rows,
        no_macro: macro_average.err(),
        varies_by,
        enough,
        notes,
    }))
}

/// What would show `margin`, from what the scores vary by. Where no arm was trained twice, trainings are taken to have no
/// noise, which the scope then says.
///
/// # Errors
/// A sentence that says what is not known.
pub fn what_shows(
    parts: &tunebench_statistics::Components,
    design: &Design,
    margin: f64,
) -> Result<Vec<Enough>, String> {
    let demand = Demand::default();
    let found = match (Variances::seen(parts), parts.arm_item) {
        (Ok(variances), _) => designs_that_show(&variances, margin, design, &SEEDS, demand),
        (Err(_), Some(arm_item)) => {
            let items_only = Variances { arm_item: arm_item.variance, seed: 0.0, seed_item: 0.0, repeat: 0.0 };
            designs_that_show(&items_only, margin, design, &[1], demand)
        }
        (Err(why), None) => Err(why),
    };
    found.map_err(|why| why.to_string())
}

fn row(sample: &Sample, (a, b): (usize, usize), name: &str, average: Average, margin: f64) -> Result<Row> {
    let found = contrast(&sample.scores, a, b, average, sample.seeds_of(a, b))?;
    let mean = |arm| estimate(&sample.scores, arm, average).map(|estimate| estimate.mean);
    let p = found.test.map(|test| test.p);
    let spread = found.inference.as_ref().ok().map(|known| known.spread);
    let detectable = spread.map(|spread| detectable_of(&spread, Demand::default())).transpose()?;
    Ok(Row {
        category: name.to_owned(),
        items: found.items.used,
        mean_a: mean(a)?,
        mean_b: mean(b)?,
        difference: found.difference,
        verdict: verdict(&found, p, margin, ALPHA)?,
        inference: found.inference.map(|known| (known.interval, known.df, known.scope)),
        p,
        p_holm: None,
        detectable: detectable.map(|found| found.difference),
    })
}

/// Holm's p-values over the categories, and the verdicts that follow from them.
fn adjust(rows: &mut [Row], sample: &Sample, (a, b): (usize, usize), margin: f64) -> Result<()> {
    let p_values: Vec<f64> = rows.iter().filter_map(|row| row.p).collect();
    let mut adjusted = holm(&p_values).into_iter();
    for (i, row) in rows.iter_mut().enumerate() {
        row.p_holm = row.p.and_then(|_| adjusted.next());
        let found = contrast(&sample.scores, a, b, Average::Category(i), sample.seeds_of(a, b))?;
        row.verdict = verdict(&found, row.p_holm, margin, ALPHA)?;
    }
    Ok(())
}

fn differences(found: &Comparison, title: String) -> Table {
    let columns = [
        ("category", 0),
        ("items", 0),
        ("mean_a", 3),
        ("mean_b", 3),
        ("difference", 3),
        ("ci_low", 3),
        ("ci_high", 3),
        ("df", 1),
        ("p", 4),
        ("p_holm", 4),
        ("detectable", 3),
        ("verdict", 0),
    ];
    let mut table = Table::new(title, &columns);
    for row in &found.rows {
        let known = row.inference.as_ref().ok();
        table.rows.push(vec![
            row.category.as_str().into(),
            row.items.into(),
            row.mean_a.into(),
            row.mean_b.into(),
            row.difference.into(),
            known.map(|(interval, ..)| interval.low).into(),
            known.map(|(interval, ..)| interval.high).into(),
            known.map(|(_, df, _)| *df).into(),
            row.p.into(),
            row.p_holm.into(),
            row.detectable.into(),
            verdict_words(row.verdict, "a", "b", found.margin).into(),
        ]);
    }
    let scope = found.rows.iter().find_map(|row| row.inference.as_ref().ok()).map(|(_, _, scope)| *scope);
    let scope_words = scope.map_or_else(String::new, |scope| format!(", over {scope}"));
    table.notes.push(format!("a is {}, b is {}; ci: 95 % interval of the difference{scope_words}.", found.a, found.b));
    if scope == Some(Scope::ItemsOnly) {
        table.notes.push(
            "An arm was trained once, so the intervals do not contain the training's own noise, which may be larger; give the \
             study `seeds = 3` or more."
                .into(),
        );
    }
    table.notes.push("p_holm: adjusted for the number of categories, whose verdicts are by it.".into());
    table
        .notes
        .push("detectable: the true difference that a study like this would show 4 times in 5 at p < 0.05.".into());
    table.notes.extend(found.no_macro.as_ref().map(|why| format!("No macro average: {why}.")));
    let reasons =
        found.rows.iter().filter_map(|row| Some(format!("{}: {}.", row.category, row.inference.as_ref().err()?)));
    table.notes.extend(reasons);
    table.notes.extend(found.notes.iter().cloned());
    table
}

fn varies_by(found: &Comparison, title: String) -> Table {
    let mut table =
        Table::new(title, &[("part", 0), ("variance", 5), ("standard_deviation", 3), ("df", 0), ("percent", 1)]);
    let total: f64 = found.varies_by.iter().map(|(_, part)| part.variance).sum();
    for (name, part) in &found.varies_by {
        table.rows.push(vec![
            (*name).into(),
            part.variance.into(),
            part.variance.sqrt().into(),
            part.df.into(),
            (total > 0.0).then(|| 100.0 * part.variance / total).into(),
        ]);
        if part.was_negative {
            table.notes.push(format!("{name}: too small to be seen in these scores, so 0 stands for it."));
        }
    }
    if !found.varies_by.iter().any(|(name, _)| *name == "training") {
        table.notes.push("Neither arm was trained twice, so nothing is known of how much trainings vary.".into());
    }
    table.notes.push("df: how well each is known; a variance of few degrees of freedom is rough.".into());
    table
}

fn enough(found: &Comparison, title: String) -> Table {
    let mut table = Table::new(title, &[("seeds", 0), ("items", 0), ("over", 0)]);
    match &found.enough {
        Ok(designs) => {
            for design in designs {
                let items = design.items.map_or_else(|| Cell::from("more than any"), Cell::from);
                table.rows.push(vec![design.seeds.into(), items, design.scope.to_string().into()]);
            }
        }
        Err(why) => table.notes.push(format!("That cannot be said: {why}.")),
    }
    table.notes.push(
        "items: the fewest that show such a difference 4 times in 5, equally many in each category; seeds: trainings of each arm."
            .into(),
    );
    table
}
