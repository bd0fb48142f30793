//! A dataset, tried: all its rows, and that reading goes on from every position.

use std::collections::BTreeMap;

use serde_json::Value;

use super::options;
use super::random::Random;
use crate::{Dataset, Error, Example, Position, Result, Row, Source};

/// More rows than a test needs: a dataset that never ends is stopped here.
const MOST_ROWS: usize = 10_000;

/// The rows that a dataset makes of files, given as name and text.
///
/// Read again they must be the same; from the position before each row, in this dataset or a fresh one and in any
/// order, they must go on with that row. Examples must have turns, and ids of their own.
///
/// # Errors
/// When the dataset refuses, or the first row that breaks the contract.
pub fn read_rows<D: Dataset>(files: &[(&str, &str)], options: Value) -> Result<Vec<Row>> {
    let open = || {
        let source = Source::in_memory(files.iter().map(|(name, text)| (*name, text.as_bytes())));
        D::open(source, self::options(&options)?)
    };
    let mut dataset = open()?;
    let mut positions = vec![dataset.position()];
    let mut rows = Vec::new();
    while let Some(row) = dataset.next()? {
        rows.push(row);
        positions.push(dataset.position());
        if rows.len() > MOST_ROWS {
            return Err(format!("more than {MOST_ROWS} rows; does `next` ever yield `None`?").into());
        }
    }
    check_examples(&rows)?;
    expect(&mut open()?, &rows, 0, "read again")?;
    for (index, position) in positions.iter().enumerate() {
        let mut fresh = open()?;
        seek(&mut fresh, index, position)?;
        expect(&mut fresh, &rows, index, &format!("after `seek` to the position before row {}", index + 1))?;
    }
    for index in Random::named("seek").shuffled(positions.len()) {
        seek(&mut dataset, index, &positions[index])?;
        expect_row(&mut dataset, &rows, index, "after `seek` in a dataset that has been read")?;
    }
    Ok(rows)
}

/// Seeks as the host does, by a position that it kept as JSON.
fn seek<D: Dataset>(dataset: &mut D, index: usize, position: &Position) -> Result<()> {
    let kept = serde_json::to_string(position).and_then(|json| serde_json::from_str(&json));
    let position = kept.map_err(|e| Error::new(format!("position {position:?}: {e}")))?;
    dataset.seek(&position).map_err(|e| Error::new(format!("`seek` to the position before row {}: {e}", index + 1)))
}

/// That the dataset goes on with row `from` (from 0) of `rows`, and ends behind the last one.
fn expect<D: Dataset>(dataset: &mut D, rows: &[Row], from: usize, when: &str) -> Result<()> {
    (from..=rows.len()).try_for_each(|index| expect_row(dataset, rows, index, when))
}

/// That row `index` is next; behind the last one, that there is none.
fn expect_row<D: Dataset>(dataset: &mut D, rows: &[Row], index: usize, when: &str) -> Result<()> {
    let (found, wanted) = (dataset.next()?, rows.get(index));
    if found.as_ref() == wanted {
        return Ok(());
    }
    let show = |row: Option<&Row>| row.map_or("the end".into(), |row| format!("{row:?}"));
    let (found, wanted) = (show(found.as_ref()), show(wanted));
    Err(Error::new(format!("row {} {when} is {found}, expected {wanted}", index + 1)))
}

/// What each example must have.
fn check_examples(rows: &[Row]) -> Result<()> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, row) in rows.iter().enumerate() {
        let Row::Example(Example { id, turns, .. }) = row else { continue };
        let at = |fault: String| Error::new(format!("row {} (`{id}`): {fault}", index + 1));
        if id.is_empty() {
            return Err(at("its id is empty".into()));
        }
        if turns.is_empty() {
            return Err(at("it has no turns; a row without any is a `Row::Skip`".into()));
        }
        if let Some(first) = seen.insert(id, index) {
            return Err(at(format!("row {} has the same id", first + 1)));
        }
    }
    Ok(())
}
