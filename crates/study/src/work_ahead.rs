//! How much of a run there is to do, and how many processes would gain by doing it side by side.

/// What is to be trained, before any of it is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WorkAhead {
    /// Trainings that can be done at once, now: none of them starts from another that is not there.
    pub trainings: usize,
    /// Of the largest of their models.
    pub parameters: u64,
    /// Operations that all of them take together, six for each parameter and token.
    pub operations: f64,
    /// Bytes that must be there at the peak of the largest of them, where that can be said; a file that is mapped is shared.
    pub memory: Option<u64>,
    /// Whether the engine computes on a device of its own, which one training keeps busy.
    pub has_device: bool,
}

/// A model of fewer parameters leaves cores idle when several threads share one training: a step's products are so short that
/// threads wait for each other. Above it, one training with all threads is as fast, and takes the memory of one
/// (BENCHMARKS.md).
pub const SMALL: u64 = 10_000_000;

/// Less than this is done in the seconds that a worker takes to read the study's data.
const LITTLE: f64 = 1e12;

impl WorkAhead {
    /// How many processes gain by working side by side, on so many threads and bytes: one where the trainings keep the machine
    /// busy by themselves.
    pub fn jobs(&self, threads: usize, memory: Option<u64>) -> usize {
        if self.has_device || self.parameters >= SMALL || self.operations < LITTLE {
            return 1;
        }
        let by_memory = match (memory, self.memory) {
            (Some(there), Some(needed)) => usize::try_from(there / needed.max(1)).unwrap_or(usize::MAX),
            _ => usize::MAX,
        };
        self.trainings.min(threads).min(by_memory).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_models_are_trained_side_by_side() {
        let tiny =
            WorkAhead { trainings: 8, parameters: 100_000, operations: 1e13, memory: Some(1 << 20), has_device: false };
        assert_eq!(tiny.jobs(4, Some(1 << 30)), 4, "a thread each");
        assert_eq!(WorkAhead { trainings: 3, ..tiny }.jobs(4, Some(1 << 30)), 3, "no more than there are trainings");
        assert_eq!(tiny.jobs(4, Some(5 << 19)), 2, "as many as fit into memory");
        assert_eq!(tiny.jobs(4, Some(1)), 1, "whether it fits is said where it is trained");
        assert_eq!(tiny.jobs(4, None), 4);
        assert_eq!(WorkAhead { trainings: 0, ..tiny }.jobs(4, None), 1);
        assert_eq!(WorkAhead { operations: 1e10, ..tiny }.jobs(4, None), 1, "it is done before a worker has begun");
        assert_eq!(WorkAhead { parameters: 7_000_000_000, ..tiny }.jobs(64, None), 1, "it keeps all cores busy");
        assert_eq!(WorkAhead { has_device: true, ..tiny }.jobs(4, None), 1, "it keeps its device busy");
    }
}
