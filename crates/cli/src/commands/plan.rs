//! `tunebench plan`: parameters and steps of every arm, before a weight is read.

use anyhow::Result;
use tunebench_kernels::machine;

use super::print;
use crate::args::{Plan, Shared};
use crate::run::memory;
use crate::run::plan::{self, PlanRow};
use crate::run::setup::Setup;

pub fn run(args: &Plan, shared: &Shared) -> Result<()> {
    let setup = Setup::open(&args.file, shared)?;
    let rows = plan::rows(&setup, &plan::plan(&setup)?.whole()?);
    if args.json {
        return print(&format!("{}\n", serde_json::to_string_pretty(&rows)?));
    }
    print(&text(&rows))
}

fn text(rows: &[PlanRow]) -> String {
    let header =
        ["arm", "tuner", "total", "trainable", "additional", "trained %", "examples", "steps", "rate", "memory"];
    let mut table = vec![header.map(str::to_owned)];
    let or_all = |n: Option<u64>| n.map_or_else(|| "all".to_owned(), grouped);
    table.extend(rows.iter().map(|r| {
        [
            super::printable(&r.arm),
            super::printable(&r.tuner),
            grouped(r.total_params),
            grouped(r.trainable_params),
            grouped(r.additional_params),
            format!("{:.3}", r.trainable_percent),
            or_all(r.examples),
            r.steps.map_or_else(|| "?".to_owned(), grouped),
            format!("{:e}", r.learning_rate),
            r.memory_bytes.map_or_else(|| "?".to_owned(), memory::shown),
        ]
    }));
    let width = |i: usize| table.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |row: &[String; 10]| {
        let cells = row.iter().zip(&widths).enumerate().map(|(i, (cell, w))| match i {
            0 | 1 => format!("{cell:<w$}"),
            _ => format!("{cell:>w$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let mut text: String = table.iter().map(line).collect();
    for row in rows.iter().filter(|row| row.fits == Some(false)) {
        let needed = row.memory_bytes.unwrap_or(0);
        text += &format!(
            "{}: training takes {} bytes at its peak, {}; this machine has {}. {}\n",
            super::printable(&row.arm),
            grouped(needed),
            memory::shown(needed),
            memory::shown(machine::memory::total().unwrap_or(0)),
            memory::REMEDY
        );
    }
    text
}

/// 17891328 as 17,891,328.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}
