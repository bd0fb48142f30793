//! Medians and ratios, and how they are written: as Markdown tables, and short in JSON.

use serde::Serializer;

/// The middle of some numbers, the mean of the two in the middle when their number is even; none of none.
pub fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = values[(values.len() - 1) / 2];
    Some(f64::midpoint(lower, upper))
}

/// None where there is nothing to divide by.
pub fn ratio(ours: f64, theirs: Option<f64>) -> Option<f64> {
    theirs.filter(|theirs| *theirs > 0.0).map(|theirs| ours / theirs)
}

pub fn number(value: Option<f64>, decimals: usize) -> String {
    value.map(|value| format!("{value:.decimals$}")).unwrap_or_default()
}

/// A Markdown table whose first column is text and the others, to the right, numbers; columns are padded.
pub fn table(columns: &[&str], rows: Vec<Vec<String>>) -> String {
    let width = |i: usize| rows.iter().map(|row| row[i].len()).chain([columns[i].len(), 4]).max().unwrap_or(4);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells = cells.zip(&widths).enumerate();
        let cells = cells.map(|(i, (cell, &w))| if i == 0 { format!("{cell:<w$}") } else { format!("{cell:>w$}") });
        format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
    };
    let rules: Vec<String> = widths.iter().enumerate().map(|(i, &w)| rule(i, w)).collect();
    let mut text = line(&mut columns.iter().copied()) + &line(&mut rules.iter().map(String::as_str));
    for row in &rows {
        text += &line(&mut row.iter().map(String::as_str));
    }
    text
}

fn rule(column: usize, width: usize) -> String {
    if column == 0 { "-".repeat(width) } else { format!("{}:", "-".repeat(width - 1)) }
}

/// Four digits behind the point: no more is ever meant.
pub fn short<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((value * 1e4).round() / 1e4)
}

pub fn short_if_any<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => short(value, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 9.0].into_iter()), Some(3.0));
        assert_eq!(median([].into_iter()), None);
    }

    #[test]
    fn there_is_no_ratio_to_nothing() {
        assert_eq!(ratio(1.0, Some(2.0)), Some(0.5));
        assert_eq!((ratio(1.0, Some(0.0)), ratio(1.0, None)), (None, None));
    }
}
