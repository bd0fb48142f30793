//! A table as text for a terminal, as Markdown and as JSON.

use serde::ser::{SerializeMap, SerializeSeq, SerializeStruct};
use serde::{Serialize, Serializer};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::escape;
use crate::table::{Cell, Column, Table};

/// Terminal columns after which the text of a cell is cut; Markdown and JSON show all of it.
const MAX_CELL_WIDTH: usize = 60;
const GAP: &str = "  ";

impl Table {
    /// Aligned text: numbers to the right, wide characters counted as two columns, no trailing spaces.
    pub fn to_text(&self) -> String {
        let head = self.columns.iter().map(|column| cut(&escape::line(&column.name))).collect();
        let body = self.rows.iter().map(|row| {
            self.shown(row, |text, column| match column.is_prose {
                true => escape::line(text),
                false => cut(&escape::line(text)),
            })
        });
        let rows: Vec<Vec<String>> = std::iter::once(head).chain(body).collect();
        let widths: Vec<usize> = (0..self.columns.len()).map(|i| column_width(&rows, i)).collect();
        let right: Vec<bool> = (0..self.columns.len()).map(|i| self.is_numeric(i)).collect();

        let mut lines = vec![escape::line(&self.title), String::new()];
        for (n, row) in rows.iter().enumerate() {
            let cells = row.iter().zip(&widths).zip(&right).map(|((cell, width), right)| pad(cell, *width, *right));
            lines.push(cells.collect::<Vec<_>>().join(GAP).trim_end().to_owned());
            if n == 0 {
                let rule: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
                lines.push(rule.join(GAP));
            }
        }
        if !self.notes.is_empty() {
            lines.push(String::new());
            lines.extend(self.notes.iter().map(|note| escape::line(note)));
        }
        lines.join("\n") + "\n"
    }

    /// A GitHub-flavoured Markdown table under a heading.
    pub fn to_markdown(&self) -> String {
        let row = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
        let rule = |i| if self.is_numeric(i) { "---:".to_owned() } else { "---".to_owned() };
        let mut lines = vec![format!("### {}", escape::markdown(&self.title)), String::new()];
        lines.push(row(self.columns.iter().map(|column| escape::markdown(&column.name)).collect()));
        lines.push(row((0..self.columns.len()).map(rule).collect()));
        lines.extend(self.rows.iter().map(|cells| row(self.shown(cells, |text, _| escape::markdown(text)))));
        for note in &self.notes {
            lines.extend([String::new(), escape::markdown(note)]);
        }
        lines.join("\n") + "\n"
    }

    /// `{"title", "columns", "rows": [{column: value}], "notes"}` with keys in the order of the columns; a missing value is
    /// null, and a number that JSON lacks is the text `NaN`, `inf` or `-inf`.
    pub fn to_json(&self) -> String {
        let json = serde_json::to_string_pretty(self).expect("a table has text keys only");
        escape::json(&json) + "\n"
    }

    fn shown(&self, row: &[Cell], text: impl Fn(&str, &Column) -> String) -> Vec<String> {
        let show = |(cell, column): (&Cell, &Column)| match cell {
            Cell::Text(value) => text(value, column),
            Cell::Integer(value) => grouped(*value),
            Cell::Number(value) => rounded(*value, column.decimals),
            Cell::Missing => "-".to_owned(),
        };
        row.iter().zip(&self.columns).map(show).collect()
    }

    fn is_numeric(&self, column: usize) -> bool {
        let mut cells = self.rows.iter().filter_map(|row| row.get(column)).filter(|cell| **cell != Cell::Missing);
        cells.clone().next().is_some() && cells.all(|cell| !matches!(cell, Cell::Text(_)))
    }
}

/// Digits in groups of three: 17,891,328.
fn grouped(value: i128) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut out = if value < 0 { "-".to_owned() } else { String::new() };
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A difference of rounding errors is no negative zero.
fn rounded(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(digits) if digits.chars().all(|c| matches!(c, '0' | '.')) => digits.to_owned(),
        _ => text,
    }
}

fn column_width(rows: &[Vec<String>], column: usize) -> usize {
    rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max().unwrap_or(0)
}

fn pad(cell: &str, width: usize, right: bool) -> String {
    let space = " ".repeat(width.saturating_sub(cell.width()));
    if right { space + cell } else { cell.to_owned() + &space }
}

fn cut(text: &str) -> String {
    if text.width() <= MAX_CELL_WIDTH {
        return text.to_owned();
    }
    let mut width = 0;
    let fits = |c: &char| {
        width += c.width().unwrap_or(0);
        width < MAX_CELL_WIDTH
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        let mut table = serializer.serialize_struct("Table", 4)?;
        table.serialize_field("title", &self.title)?;
        table.serialize_field("columns", &names)?;
        table.serialize_field("rows", &Rows { names: &names, rows: &self.rows })?;
        table.serialize_field("notes", &self.notes)?;
        table.end()
    }
}

struct Rows<'a> {
    names: &'a [&'a str],
    rows: &'a [Vec<Cell>],
}

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rows = serializer.serialize_seq(Some(self.rows.len()))?;
        for cells in self.rows {
            rows.serialize_element(&Row { names: self.names, cells })?;
        }
        rows.end()
    }
}

struct Row<'a> {
    names: &'a [&'a str],
    cells: &'a [Cell],
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_map(Some(self.cells.len()))?;
        for (name, cell) in self.names.iter().zip(self.cells) {
            row.serialize_entry(name, cell)?;
        }
        row.end()
    }
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Integer(value) => serializer.serialize_i128(*value),
            Self::Number(number) if number.is_finite() => serializer.serialize_f64(*number),
            Self::Number(number) => serializer.serialize_str(&number.to_string()),
            Self::Missing => serializer.serialize_none(),
        }
    }
}
