//! Memory: whether a model fits, and how many texts it may answer at once.

use tunebench_kernels::machine::memory::MemoryLimit;
use tunebench_model::MemoryNeed;
use tunebench_model::backend::{Backend, Generator};

/// Rows that are answered at once, at most: more of them win nothing on a CPU.
const MOST_PLACES: usize = 32;

/// What answering takes, and what there is.
#[derive(Debug)]
pub(crate) struct Memory {
    backend: &'static dyn Backend,
    limit: Option<MemoryLimit>,
}

impl Memory {
    pub(crate) fn new(backend: &'static dyn Backend) -> Self {
        Self { backend, limit: backend.memory_limit() }
    }

    /// Why so much does not fit, in two words of bytes: what must be there, and the limit.
    pub(crate) fn exceeded(&self, need: MemoryNeed) -> Option<(String, String)> {
        let limit = self.limit.as_ref().filter(|limit| need.exceeds(limit))?;
        Some((shown(need.required(limit)), limit.to_string()))
    }

    /// What one text with its reply takes, of so many tokens, and the model.
    pub(crate) fn of_one(&self, model: &dyn Generator, tokens: usize) -> MemoryNeed {
        self.backend.answering_memory(model.shape(), model.quantised(), 1, tokens)
    }

    /// How many texts of so many tokens may be answered at once: half of what is free now may go to them. One where a reply
    /// would depend on the company it is made in.
    pub(crate) fn places(&self, model: &dyn Generator, tokens: usize) -> usize {
        if !model.has_independent_rows() {
            return 1;
        }
        let free = self.backend.memory_free().map_or(u64::MAX, |bytes| bytes / 2);
        let needed = |rows| self.backend.answering_memory(model.shape(), model.quantised(), rows, tokens).own;
        let alone = needed(0);
        (1..=MOST_PLACES).rev().find(|rows| needed(*rows).saturating_sub(alone) <= free).unwrap_or(1)
    }
}

fn shown(bytes: u64) -> String {
    match bytes as f64 / f64::from(1 << 30) {
        gib if gib < 1.0 => format!("{:.0} MiB", gib * 1024.0),
        gib => format!("{gib:.1} GiB"),
    }
}
