//! Scores: their picture, the table of arms, differences of pairs, categories.

use maud::{Markup, html};

use super::view::Page;
use crate::data::{Arm, CategoryScore, Interval, Pair, Scope, Verdict};
use crate::draw::rows::{self, ScoreRow};
use crate::error::Error;
use crate::html::{Heading, name, number, table};
use crate::numbers;
use crate::words::{self, Word};

/// Picture and table of all arms.
pub fn scores(page: &Page) -> Result<Option<Markup>, Error> {
    let scored: Vec<_> = page.arms.iter().filter_map(|arm| arm.score.map(|score| (*arm, score))).collect();
    let rows: Vec<ScoreRow> = scored
        .iter()
        .map(|(arm, score)| ScoreRow {
            name: &arm.name,
            tuner: page.tuner(arm),
            mean: score.mean,
            interval: score.interval,
            scope: score.scope,
            letters: &arm.letters,
        })
        .collect();
    let scale = (page.report.scale.low, page.report.scale.high);
    let label = page.label(&words::SCORES);
    let wide = rows::scores(&rows::WIDE, &label, &rows, scale)?;
    let narrow = rows::scores(&rows::NARROW, &label, &rows, scale)?;
    let has = |scope: Scope| rows.iter().any(|row| row.scope == scope);
    Ok(Some(html! {
        @if !rows.is_empty() {
            p.note { (page.say(&words::SCORES_NOTE)) " "
                @if has(Scope::ItemsAndTrainings) { (page.say(&words::BAR_BOTH)) " " }
                @if has(Scope::ItemsOnly) { (page.say(&words::BAR_ITEMS)) } }
            figure {
                div.wide { (wide) } div.narrow { (narrow) }
                figcaption.axis { (page.say(&words::MEAN_SCORE)) }
            }
        }
        @for note in &page.report.score_notes { p.note { (page.text(note)) } }
        (arms(page)?)
    }))
}

fn arms(page: &Page) -> Result<Markup, Error> {
    let words = |word: &Word| Heading::words(page.say(word));
    let numbers = |word: &Word| Heading::numbers(page.say(word));
    let headings = [
        numbers(&words::RANK),
        words(&words::ARM),
        numbers(&words::SCORE),
        words(&words::INTERVAL),
        words(&words::GROUP),
        words(&words::SCOPE),
        numbers(&words::SEEDS),
        numbers(&words::ITEMS),
        words(&words::BASE),
        words(&words::TUNER),
        words(&words::DATASET),
    ];
    let rows = page.arms.iter().enumerate().map(|(i, arm)| arm_row(page, i + 1, arm));
    let rows = rows.collect::<Result<Vec<Markup>, Error>>()?;
    Ok(table(page.report.language, &words::ARMS_TABLE.with(&[]), &headings, &rows))
}

fn arm_row(page: &Page, place: usize, arm: &Arm) -> Result<Markup, Error> {
    let score = arm.score;
    let scope = score.map(|score| match score.scope {
        Scope::ItemsAndTrainings => words::SCOPE_BOTH,
        Scope::ItemsOnly => words::SCOPE_ITEMS,
    });
    let whole = |value: f64| numbers::grouped(value as u64);
    Ok(html! {
        tr {
            (number(Some(place as f64), whole))
            th scope="row" { (page.mark(page.tuner(arm))?) (name(&arm.name)) }
            (number(score.map(|s| s.mean), numbers::score))
            (interval(score.and_then(|s| s.interval), numbers::score))
            td { (name(&arm.letters)) }
            td { @if let Some(scope) = scope { (page.say(&scope)) } }
            (number(Some(f64::from(arm.seeds)), whole))
            (number(Some(f64::from(arm.items)), whole))
            td { (name(&arm.base)) }
            td { (name(&arm.tuner)) }
            td { (name(&arm.dataset)) }
        }
    })
}

/// Both ends; sorted by the lower.
fn interval(ends: Option<Interval>, show: fn(f64) -> String) -> Markup {
    html! {
        @match ends {
            Some(Interval { low, high }) => { td.interval data-v=(low) { "[" (show(low)) ", " (show(high)) "]" } }
            None => { td.interval.none { "–" } }
        }
    }
}

/// A pair with the arm that the page shows first in front, and the places of both.
fn best_first(page: &Page, pair: &Pair) -> (usize, usize, Pair) {
    let place = |name: &str| page.arms.iter().position(|arm| arm.name == name).unwrap_or(usize::MAX);
    let (first, second) = (place(&pair.first), place(&pair.second));
    if first <= second {
        return (first, second, pair.clone());
    }
    let verdict = match pair.verdict {
        Verdict::FirstBetter => Verdict::SecondBetter,
        Verdict::SecondBetter => Verdict::FirstBetter,
        same => same,
    };
    let turned = Pair {
        first: pair.second.clone(),
        second: pair.first.clone(),
        difference: -pair.difference,
        interval: pair.interval.map(|ends| Interval { low: -ends.high, high: -ends.low }),
        verdict,
        ..*pair
    };
    (second, first, turned)
}

/// Differences, in the order of the arms.
pub fn pairs(page: &Page) -> Option<Markup> {
    let pairs = &page.report.pairs;
    let headings = [
        Heading::words(page.say(&words::FIRST)),
        Heading::words(page.say(&words::SECOND)),
        Heading::words(page.say(&words::VERDICT)),
        Heading::numbers(page.say(&words::DIFFERENCE)),
        Heading::words(page.say(&words::INTERVAL)),
        Heading::numbers(page.say(&words::ADJUSTED_P)),
    ];
    let mut ordered: Vec<(usize, usize, Pair)> = pairs.iter().map(|pair| best_first(page, pair)).collect();
    ordered.sort_by_key(|(first, second, _)| (*first, *second));
    let rows = ordered.iter().map(|(_, _, pair)| {
        let (word, class) = match (pair.verdict, pair.within_margin) {
            (Verdict::FirstBetter, false) => (words::FIRST_BETTER, "told"),
            (Verdict::SecondBetter, false) => (words::SECOND_BETTER, "told"),
            (Verdict::FirstBetter, true) => (words::FIRST_SLIGHTLY_BETTER, "same"),
            (Verdict::SecondBetter, true) => (words::SECOND_SLIGHTLY_BETTER, "same"),
            (Verdict::Equivalent, _) => (words::EQUIVALENT, "same"),
            (Verdict::NotToldApart, _) => (words::NOT_TOLD_APART, "open"),
        };
        html! {
            tr {
                th scope="row" { (name(&pair.first)) }
                td { (name(&pair.second)) }
                td { span.verdict.(class) { (page.say(&word)) } }
                (number(Some(pair.difference), numbers::signed))
                (interval(pair.interval, numbers::signed))
                (number(pair.adjusted_p, numbers::p_value))
            }
        }
    });
    let rows: Vec<Markup> = rows.collect();
    (!rows.is_empty()).then(|| {
        html! {
            p.note { (page.say(&words::PAIRS_NOTE)) }
            (table(page.report.language, &words::PAIRS.with(&[]), &headings, &rows))
        }
    })
}

/// Steps of the heat table's color.
const HEATS: usize = 10;

/// A table of arms and categories, values printed, their height also as a shade.
pub fn categories(page: &Page) -> Option<Markup> {
    let scores = &page.report.categories;
    let mut names: Vec<&str> = Vec::new();
    for score in scores {
        if !names.contains(&score.category.as_str()) {
            names.push(&score.category);
        }
    }
    let range = scores.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), s| (a.min(s.mean), b.max(s.mean)));
    let mut headings = vec![Heading::words(page.say(&words::ARM))];
    headings.extend(names.iter().map(|category| Heading::numbers(name(category))));
    let row = |arm: &&Arm| {
        let cell = |category: &&str| scores.iter().find(|s| s.arm == arm.name && s.category == **category);
        html! { tr { th scope="row" { (name(&arm.name)) } @for category in &names { (heat(cell(category), range)) } } }
    };
    let rows: Vec<Markup> = page.arms.iter().map(row).collect();
    (!scores.is_empty()).then(|| {
        html! {
            p.note { (page.say(&words::CATEGORIES_NOTE)) }
            (table(page.report.language, &words::CATEGORIES.with(&[]), &headings, &rows))
        }
    })
}

fn heat(score: Option<&CategoryScore>, (least, most): (f64, f64)) -> Markup {
    let Some(score) = score else { return html! { td.n.none { "–" } } };
    let height = if most > least { (score.mean - least) / (most - least) } else { 0.5 };
    let step = ((height * HEATS as f64) as usize).min(HEATS - 1);
    html! {
        td.n.heat.{ "h" (step) } data-v=(score.mean) {
            (numbers::fixed(score.mean, 2))
            small {
                @if let Some(ends) = score.interval { "[" (numbers::fixed(ends.low, 2)) ", " (numbers::fixed(ends.high, 2)) "] · " }
                (score.items)
            }
        }
    }
}
