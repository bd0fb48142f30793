//! What trainings cost, lost and learned: pictures of cost, forgetting and loss, grids, and tables of any kind.

use maud::{Markup, html};

use super::view::Page;
use crate::data::{Arm, Curve, Text};
use crate::draw::curves as drawn_curves;
use crate::draw::pareto::{self, Costs, Point};
use crate::draw::rows::{self, ForgettingRow};
use crate::error::Error;
use crate::html::{Heading, name, number, table};
use crate::numbers;
use crate::words::{self, Word};

/// What a score can be set against: name, axis, unit on it, layout, value.
struct Cost {
    id: &'static str,
    name: Word,
    axis: Text,
    costs: Costs,
    value: fn(&Arm) -> Option<f64>,
    /// What the value is multiplied by to be in the axis' unit.
    per_unit: f64,
}

fn costs(page: &Page) -> Vec<Cost> {
    const UNITS: [(&str, f64); 3] = [("h", 1.0), ("min", 60.0), ("s", 3600.0)];
    let longest = page.arms.iter().filter_map(|arm| arm.train_hours).fold(0.0, f64::max);
    let (unit, per_hour) = UNITS.into_iter().find(|(_, per_hour)| longest * per_hour >= 2.0).unwrap_or(("s", 3600.0));
    vec![
        Cost {
            id: "hours",
            name: words::BY_HOURS,
            axis: words::AXIS_HOURS.with(&[unit]),
            costs: Costs::Linear,
            value: |arm| arm.train_hours,
            per_unit: per_hour,
        },
        Cost {
            id: "memory",
            name: words::BY_MEMORY,
            axis: words::AXIS_MEMORY.with(&[]),
            costs: Costs::Linear,
            value: |arm| arm.peak_memory_bytes.map(|bytes| bytes as f64),
            per_unit: 1.0 / 1_073_741_824.0,
        },
        Cost {
            id: "params",
            name: words::BY_PARAMS,
            axis: words::AXIS_PARAMS.with(&[]),
            costs: Costs::Logarithmic(numbers::count),
            // A logarithm has no zero: an arm without any parameter is named under the picture.
            value: |arm| arm.trainable_params.filter(|params| *params > 0).map(|params| params as f64),
            per_unit: 1.0,
        },
        Cost {
            id: "cost",
            name: words::BY_COST,
            axis: words::AXIS_COST.with(&[]),
            costs: Costs::Linear,
            value: |arm| arm.cost_usd,
            per_unit: 1.0,
        },
    ]
}

/// Score against each cost of which at least two arms have one; the script shows one at a time.
pub fn pareto(page: &Page) -> Result<Option<Markup>, Error> {
    let mut pictures = Vec::new();
    for cost in costs(page) {
        let points = page.arms.iter().enumerate().filter_map(|(i, arm)| {
            let (score, tuner) = (arm.score?, page.tuner(arm));
            let cost = (cost.value)(arm)? * cost.per_unit;
            Some(Point { name: &arm.name, number: i + 1, tuner, cost, mean: score.mean, interval: score.interval })
        });
        let points: Vec<Point> = points.collect();
        if points.len() < 2 {
            continue;
        }
        let missing = page.arms.iter().filter(|arm| !points.iter().any(|p| p.name == arm.name));
        let missing: Vec<&str> = missing.map(|arm| arm.name.as_str()).collect();
        let label = page.label(&cost.name);
        let wide = pareto::pareto(&pareto::WIDE, &label, &points, &cost.costs)?;
        let narrow = pareto::pareto(&pareto::NARROW, &label, &points, &cost.costs)?;
        let body = html! {
            p.up { "↑ " (page.say(&words::MEAN_SCORE)) }
            div.wide { (wide) } div.narrow { (narrow) }
            figcaption.axis { (page.text(&cost.axis)) }
            @if !missing.is_empty() { p.note { (page.text(&words::WITHOUT.with(&[&missing.join(", ")]))) } }
        };
        pictures.push((cost.id, cost.name, body));
    }
    let has_pictures = !pictures.is_empty();
    let table = spent(page);
    if !has_pictures && table.is_none() {
        return Ok(None);
    }
    let legend = legend(page)?;
    Ok(Some(html! {
        @if has_pictures {
            p.note { (page.say(&words::PARETO_NOTE)) }
            (legend)
            div.tabs role="group" aria-label=(page.label(&words::AGAINST)) {
                span { (page.say(&words::AGAINST)) }
                @for (i, (id, title, _)) in pictures.iter().enumerate() {
                    button type="button" data-tab=(id) aria-pressed=(i == 0) { (page.say(title)) }
                }
            }
            @for (id, _, body) in &pictures { figure.tab data-tab=(id) { (body) } }
        }
        @for note in &page.report.cost_notes { p.note { (page.text(note)) } }
        @if let Some(table) = table { (table) }
    }))
}

/// What each arm took, where anything is known of any.
fn spent(page: &Page) -> Option<Markup> {
    let columns =
        [words::TIME, words::MEMORY, words::TRAINABLE, words::ADDITIONAL, words::COST, words::HELD_OUT, words::BITS];
    let values = |arm: &Arm| {
        [
            arm.train_hours,
            arm.peak_memory_bytes.map(|bytes| bytes as f64),
            arm.trainable_params.map(|params| params as f64),
            arm.additional_params.map(|params| params as f64),
            arm.cost_usd,
            arm.held_out_nats_per_token,
            arm.held_out_bits_per_byte,
        ]
    };
    let shown: [fn(f64) -> String; 7] = [
        numbers::hours,
        |bytes| numbers::bytes(bytes as u64),
        numbers::count,
        numbers::count,
        numbers::usd,
        |loss| numbers::fixed(loss, 3),
        |loss| numbers::fixed(loss, 3),
    ];
    let mut headings = vec![Heading::numbers(page.say(&words::RANK)), Heading::words(page.say(&words::ARM))];
    // A column of nothing says nothing.
    let known: Vec<usize> = (0..columns.len())
        .filter(|column| page.arms.iter().any(|arm| values(arm).get(*column).is_some_and(Option::is_some)))
        .collect();
    let is_known = |column: usize| known.contains(&column);
    let shown_columns = columns.iter().enumerate().filter(|(column, _)| is_known(*column));
    headings.extend(shown_columns.map(|(_, word)| Heading::numbers(page.say(word))));
    let row = |(i, arm): (usize, &&Arm)| {
        html! { tr {
            (number(Some((i + 1) as f64), |place| numbers::grouped(place as u64)))
            th scope="row" { (name(&arm.name)) }
            @for (column, (value, show)) in values(arm).into_iter().zip(shown).enumerate() {
                @if is_known(column) { (number(value, show)) }
            }
        } }
    };
    let rows: Vec<Markup> = page.arms.iter().enumerate().map(row).collect();
    (!known.is_empty()).then(|| table(page.report.language, &words::SPENT.with(&[]), &headings, &rows))
}

/// Which color and mark is which tuner.
fn legend(page: &Page) -> Result<Markup, Error> {
    let marks = (0..page.tuners.len()).map(|tuner| page.mark(tuner)).collect::<Result<Vec<_>, Error>>()?;
    Ok(html! { ul.legend { @for (mark, tuner) in marks.iter().zip(&page.tuners) { li { (mark) (name(tuner)) } } } })
}

/// Loss on general language before and after.
pub fn forgetting(page: &Page) -> Result<Option<Markup>, Error> {
    let found = page.arms.iter().filter_map(|arm| arm.forgetting.map(|losses| (*arm, losses)));
    let found: Vec<_> = found.collect();
    let rows: Vec<ForgettingRow> = found
        .iter()
        .map(|(arm, losses)| ForgettingRow {
            name: &arm.name,
            tuner: page.tuner(arm),
            before: losses.before_bits_per_byte,
            after: losses.after_bits_per_byte,
        })
        .collect();
    if rows.is_empty() {
        return Ok(None);
    }
    let label = page.label(&words::FORGETTING);
    let (wide, narrow) =
        (rows::forgetting(&rows::WIDE, &label, &rows)?, rows::forgetting(&rows::NARROW, &label, &rows)?);
    Ok(Some(html! {
        p.note { (page.say(&words::FORGETTING_NOTE)) }
        figure {
            div.wide { (wide) } div.narrow { (narrow) }
            figcaption.axis { (page.say(&words::FORGETTING_AXIS)) }
        }
    }))
}

/// A small picture of losses for each arm.
pub fn curves(page: &Page) -> Result<Option<Markup>, Error> {
    let all = &page.report.curves;
    if all.iter().all(|curve| curve.training.is_empty() && curve.held_out.is_empty()) {
        return Ok(None);
    }
    let axes = drawn_curves::axes(all);
    let mut pictures = Vec::new();
    for arm in &page.arms {
        let of_arm: Vec<&Curve> = all.iter().filter(|curve| curve.arm == arm.name).collect();
        if !of_arm.is_empty() {
            pictures.push((&arm.name, drawn_curves::curves(&arm.name, &of_arm, page.tuner(arm), &axes)?));
        }
    }
    let cut = words::CURVES_CUT.with(&[&numbers::grouped(axes.cut as u64), &numbers::fixed(axes.highest, 1)]);
    Ok(Some(html! {
        p.note { (page.say(&words::CURVES_NOTE)) @if axes.cut > 0 { " " (page.text(&cut)) } }
        @for note in &page.report.curve_notes { p.note { (page.text(note)) } }
        div.small-pictures { @for (arm, picture) in &pictures {
            figure { figcaption { (name(arm)) } (picture) }
        } }
    }))
}

/// What the grids tried.
pub fn candidates(page: &Page) -> Option<Markup> {
    let candidates = &page.report.candidates;
    let headings = [
        Heading::words(page.say(&words::ARM)),
        Heading::words(page.say(&words::CANDIDATE)),
        Heading::numbers(page.say(&words::STEPS)),
        Heading::numbers(page.say(&words::HELD_OUT)),
        Heading::words(page.say(&words::SELECTED)),
        Heading::words(page.say(&words::EDGE)),
    ];
    let rows = candidates.iter().map(|candidate| {
        html! {
            tr.selected[candidate.selected] {
                th scope="row" { (name(&candidate.arm)) }
                td { (name(&candidate.candidate)) }
                (number(Some(candidate.steps as f64), |steps| numbers::grouped(steps as u64)))
                (number(candidate.held_out_nats_per_token, |v| numbers::fixed(v, 4)))
                td { @if candidate.selected { "✓ " (page.say(&words::YES)) } }
                td { (name(&candidate.at_edge)) }
            }
        }
    });
    let rows: Vec<Markup> = rows.collect();
    (!rows.is_empty()).then(|| {
        html! {
            p.note { (page.say(&words::CANDIDATES_NOTE)) }
            (table(page.report.language, &words::CANDIDATES.with(&[]), &headings, &rows))
        }
    })
}

/// Tables that the study brings: ledger, lint, cost, lengths, factors.
pub fn tables(page: &Page) -> Option<Markup> {
    all(page, &page.report.tables, None)
}

/// What is known of the judges.
pub fn judges(page: &Page) -> Option<Markup> {
    all(page, &page.report.judge_tables, Some(&words::JUDGES_NOTE))
}

/// Arms compared two by two.
pub fn compared(page: &Page) -> Option<Markup> {
    all(page, &page.report.pair_tables, Some(&words::COMPARED_NOTE))
}

/// Tables under their titles, below a note; none where there are none.
fn all(page: &Page, tables: &[crate::data::Table], note: Option<&Word>) -> Option<Markup> {
    (!tables.is_empty()).then(|| {
        html! {
            @if let Some(note) = note { p.note { (page.say(note)) } }
            @for table in tables { (one(page, table)) }
        }
    })
}

/// A table of any kind; of one without rows its notes say why.
fn one(page: &Page, given: &crate::data::Table) -> Markup {
    let is_number = |column: usize| {
        let mut cells = given.rows.iter().filter_map(|row| row.get(column));
        cells.any(|cell| cell.value.is_some())
    };
    let numeric: Vec<bool> = (0..given.columns.len()).map(is_number).collect();
    let heading = |(i, words): (usize, &Text)| match numeric.get(i).is_some_and(|is| *is) {
        true => Heading::numbers(page.text(words)),
        false => Heading::words(page.text(words)),
    };
    let headings: Vec<Heading> = given.columns.iter().enumerate().map(heading).collect();
    let row = |cells: &Vec<crate::data::Cell>| {
        html! { tr { @for (i, cell) in cells.iter().enumerate() {
            @if i == 0 { th scope="row" data-v=[cell.value] { (page.text(&cell.shown)) } }
            @else if let Some(value) = cell.value { td.n data-v=(value) { (page.text(&cell.shown)) } }
            @else if numeric.get(i).is_some_and(|is| *is) { td.n.none { (page.text(&cell.shown)) } }
            @else { td { (page.text(&cell.shown)) } }
        } } }
    };
    let rows: Vec<Markup> = given.rows.iter().map(row).collect();
    html! {
        h3 { (page.text(&given.title)) }
        @if !rows.is_empty() { (table(page.report.language, &given.title, &headings, &rows)) }
        @for note in &given.notes { p.note { (page.text(note)) } }
    }
}
