//! Marks in Markdown tables: `| 得分 | 0.8 |`, a column of marks with one row, or with a row of the total.

use std::ops::Range;

use crate::before::before;
use crate::behind::{Ending, may_end};
use crate::headed::heading_at;
use crate::mark::Mark;
use crate::number::{Odd, number};
use crate::quotes::blank;
use crate::scale::{Of, Scale};
use crate::text::{line_end, skip_decoration, word_at};
use crate::words::{FULL, Rank};

/// Names of the row that holds the whole answer's mark.
const TOTAL_ROWS: &[&str] = &["总分", "总计", "合计", "总体", "总评", "综合", "最终", "total", "overall", "final"];

/// A cell, by where it stands.
type Cell = Range<usize>;

/// The marks of all tables, which are taken out of the text.
pub fn take_marks(text: &mut [char], scale: Scale) -> Vec<Mark> {
    let mut marks = Vec::new();
    for lines in tables(text) {
        let rows: Vec<Vec<Cell>> = lines.iter().filter(|line| !is_rule(text, line)).map(|l| cells(text, l)).collect();
        let has_header = lines.get(1).is_some_and(|line| is_rule(text, line));
        marks.extend(of_table(text, &rows, has_header, scale));
        for line in lines {
            if let Some(part) = text.get_mut(line) {
                blank(part);
            }
        }
    }
    marks
}

/// Lines of each table: such as begin with a bar, or have bars beside a line of rules.
fn tables(text: &[char]) -> Vec<Vec<Range<usize>>> {
    let (mut tables, mut table, mut at) = (Vec::new(), Vec::new(), 0);
    while at <= text.len() {
        let end = line_end(text, at);
        let line = text.get(at..end).unwrap_or_default();
        if line.contains(&'|') {
            table.push(at..end);
        } else {
            tables.push(std::mem::take(&mut table));
        }
        at = end + 1;
    }
    tables.push(table);
    let begins_with_bar = |line: &Range<usize>| text.get(skip_blank(text, line)) == Some(&'|');
    tables.retain(|lines: &Vec<Range<usize>>| {
        !lines.is_empty() && (lines.iter().all(begins_with_bar) || lines.iter().any(|line| is_rule(text, line)))
    });
    tables
}

fn skip_blank(text: &[char], line: &Range<usize>) -> usize {
    line.start + text.get(line.clone()).unwrap_or_default().iter().take_while(|c| **c == ' ').count()
}

/// `| --- | :-: |`
fn is_rule(text: &[char], line: &Range<usize>) -> bool {
    let line = text.get(line.clone()).unwrap_or_default();
    line.contains(&'-') && line.iter().all(|c| matches!(c, '|' | '-' | ':' | ' ' | '+'))
}

fn cells(text: &[char], line: &Range<usize>) -> Vec<Cell> {
    let bars: Vec<usize> = line.clone().filter(|i| text.get(*i) == Some(&'|')).collect();
    let (mut cells, mut start) = (Vec::new(), line.start);
    for bar in bars.into_iter().chain([line.end]) {
        let is_edge = text.get(start..bar).unwrap_or_default().iter().all(|c| *c == ' ');
        // Before the first bar and behind the last one there is nothing.
        if !(is_edge && (start == line.start || bar == line.end)) {
            cells.push(start..bar);
        }
        start = bar + 1;
    }
    cells
}

fn of_table(text: &[char], rows: &[Vec<Cell>], has_header: bool, scale: Scale) -> Vec<Mark> {
    let header = rows.first().filter(|_| has_header);
    let body = rows.get(usize::from(has_header)..).unwrap_or_default();
    let column = |is: &dyn Fn(&Cell) -> bool| header.and_then(|cells| cells.iter().position(is));
    let mark_column = column(&|cell| heading_of(text, cell).is_some());
    let full_column = column(&|cell| word_at(text, skip_decoration(text, cell.start), FULL).is_some());
    let value = |cell: &Cell| Some(Of::Full(number(text, skip_decoration(text, cell.start))?.ok()?.value));
    let names_full = |cell: &Cell| word_at(text, skip_decoration(text, cell.start), FULL).is_some();
    // `| 满分 | 10 |` is a row of its own.
    let full_row = rows.iter().find(|row| row.first().is_some_and(names_full)).and_then(|row| row.get(1));
    let full = |row: &[Cell]| full_column.and_then(|column| row.get(column)).or(full_row).and_then(value);
    let read = |heading: &Cell, cell: &Cell, row: &[Cell], rank| cell_mark(text, heading, cell, full(row), scale, rank);
    if let (Some(column), Some(header)) = (mark_column.filter(|_| !body.is_empty()), header) {
        let is_total = |row: &&Vec<Cell>| {
            let name = row.first().map(|cell| skip_decoration(text, cell.start));
            column > 0 && name.is_some_and(|name| TOTAL_ROWS.iter().any(|word| word_at(text, name, &[*word]).is_some()))
        };
        let totals: Vec<&Vec<Cell>> = body.iter().filter(is_total).collect();
        let (rank, row) = match (body, totals.as_slice()) {
            (_, [row]) => (Rank::Final, *row),
            ([row], []) => (Rank::Plain, row),
            _ => return Vec::new(),
        };
        let (Some(heading), Some(cell)) = (header.get(column), row.get(column)) else { return Vec::new() };
        return read(heading, cell, row, rank).into_iter().collect();
    }
    let pair = |row: &Vec<Cell>| match row.as_slice() {
        [name, cell] | [name, cell, _] => {
            let rank = heading_of(text, name)?;
            read(name, cell, row, rank)
        }
        _ => None,
    };
    rows.iter().filter_map(pair).collect()
}

/// The rank of a cell that is a heading of marks and nothing else.
fn heading_of(text: &[char], cell: &Cell) -> Option<Rank> {
    let (at, rank, end) = cell.clone().find_map(|at| heading_at(text, at).map(|(_, rank, end)| (at, rank, end)))?;
    let before = before_within(text, cell, at)?;
    let rest = skip_decoration(text, end);
    (rest >= cell.end || text.get(rest) == Some(&'(')).then_some(if before { Rank::Final } else { rank })
}

/// Whether the words of a cell before its heading make it final; none when they make it a part's.
fn before_within(text: &[char], cell: &Cell, at: usize) -> Option<bool> {
    let words: Vec<char> = text.get(cell.start..at)?.to_vec();
    before(&words, words.len()).map(|before| before.is_final)
}

fn cell_mark(text: &[char], heading: &Cell, cell: &Cell, full: Option<Of>, scale: Scale, rank: Rank) -> Option<Mark> {
    let at = skip_decoration(text, cell.start);
    let content = text.get(at..cell.end)?;
    if content.iter().all(|c| *c == ' ') {
        return None;
    }
    let mark = match number(content, 0) {
        Some(Ok(found)) => {
            let mark = Mark::of_number(content, 0, 0, found, full, scale);
            let share = mark.share.clone().unwrap_or_default();
            let ends = skip_decoration(content, found.end) >= content.len()
                || may_end(content, found.end, Ending { share, bare_integer: found.bare_integer, scale });
            if mark.share.is_ok() && !ends { Mark::unread(content, 0, 0..content.len(), Odd::Unclear) } else { mark }
        }
        Some(Err(odd)) => Mark::unread(content, 0, 0..content.len(), odd),
        None if content.iter().any(|c| c.is_numeric()) => Mark::unread(content, 0, 0..content.len(), Odd::Unclear),
        None => return None,
    };
    Some(Mark { start: heading.start.min(at), end: at + mark.end, ..mark }.ranked(rank, false))
}
