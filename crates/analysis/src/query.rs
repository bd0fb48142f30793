//! SQL over the frames, answered as a table.

use std::path::Path;

use polars::prelude::{AnyValue, Column as FrameColumn};
use tunebench_results::Frames;

use crate::error::Result;
use crate::table::{Cell, Column, Table};

/// Runs `sql` over the frames of a run folder; the tables are `arms`, `steps`, `losses`, `generations`, `judgements`, `scores`.
///
/// # Errors
/// When `dir` is not a run folder, a frame is damaged, or the query fails.
pub fn query(dir: &Path, sql: &str) -> Result<Table> {
    let frame = Frames::open(dir)?.query(sql)?;
    let cells: Vec<Vec<Cell>> =
        frame.columns().iter().map(|column| column.as_materialized_series().iter().map(cell).collect()).collect();
    let column = |(column, cells): (&FrameColumn, &Vec<Cell>)| Column {
        name: column.name().to_string(),
        decimals: decimals(cells),
        is_prose: false,
    };
    let columns = frame.columns().iter().zip(&cells).map(column).collect();
    let rows = (0..frame.height()).map(|i| cells.iter().map(|column| column[i].clone()).collect()).collect();
    Ok(Table { title: sql.to_owned(), columns, rows, notes: Vec::new() })
}

fn cell(value: AnyValue) -> Cell {
    match value {
        AnyValue::Null => Cell::Missing,
        AnyValue::String(text) => text.into(),
        AnyValue::StringOwned(text) => text.as_str().into(),
        AnyValue::Float32(number) => f64::from(number).into(),
        AnyValue::Float64(number) => number.into(),
        other if other.is_integer() => match other.extract::<i128>() {
            Some(integer) => Cell::Integer(integer),
            None => other.to_string().into(),
        },
        other => other.to_string().into(),
    }
}

/// Four digits after the point, or as many as give the smallest number of the column four digits that are not zero.
fn decimals(cells: &[Cell]) -> usize {
    let sizes = cells.iter().filter_map(|cell| match cell {
        Cell::Number(number) if *number != 0.0 && number.is_finite() => Some(number.abs().log10().floor()),
        _ => None,
    });
    let smallest = sizes.reduce(f64::min).unwrap_or(0.0);
    (3.0 - smallest).clamp(4.0, 12.0) as usize
}
