//! A view as plain lines: for pipes, logs and whoever looks once.

use crate::columns::{self, Column};
use crate::state::{Row, Standing, View};
use crate::text;
use crate::words;

/// The state in lines, each ended by a line break.
pub fn lines(view: &View<'_>) -> String {
    let mut lines = Vec::new();
    if view.standing != Standing::None {
        lines.push(joined(": ", [view.study.clone(), words::standing(view.standing).into()]));
    }
    lines.push(words::advice(view));
    lines.push(words::time(view));
    if view.standing != Standing::None {
        lines.push(joined("; ", [words::counts(view), words::memory(view)]));
    }
    if !view.rows.is_empty() {
        let columns = columns::plain(view);
        lines.push(String::from("\n") + &line(&columns, |column| columns::heading(column).into()));
        lines.extend(view.rows.iter().map(|row| line(&columns, |column| columns::cell(column, row))));
    }
    let errors = view.rows.iter().filter_map(|row| Some(format!("\n{}\n  {}", words::name(row), row.error.as_ref()?)));
    lines.extend(errors);
    lines.extend(view.rows.iter().map(losses));
    if !view.messages.is_empty() {
        lines.push(format!("\nmessages:\n{}", view.messages.join("\n")));
    }
    lines.retain(|line| !line.is_empty());
    lines.join("\n") + "\n"
}

fn losses(row: &Row<'_>) -> String {
    match words::losses(row) {
        losses if losses.is_empty() => losses,
        losses => format!("{}: {losses}", words::name(row)),
    }
}

fn joined<const N: usize>(between: &str, parts: [String; N]) -> String {
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(between)
}

fn line(columns: &[(Column, usize)], cell: impl Fn(Column) -> String) -> String {
    let mut out = String::new();
    for (column, width) in columns {
        let text = cell(*column);
        let missing = " ".repeat(width.saturating_sub(text::width(&text)));
        out += &if columns::is_right(*column) { missing + &text } else { text + &missing };
        out += " ".repeat(columns::GAP + 1).as_str();
    }
    out.trim_end().to_owned()
}
