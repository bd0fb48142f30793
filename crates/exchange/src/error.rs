//! What can go wrong between ranks.

/// Why ranks cannot begin or go on together.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The launcher made several ranks of us, which without its library would each do the whole work.
    #[error(
        "{launcher} started several ranks, but no MPI library can be opened ({faults}); install the MPI that belongs to the \
         launcher, or name its library by {variable}"
    )]
    NoLibrary { launcher: String, faults: String, variable: &'static str },
    #[error("{file}: it has no `{symbol}`, so it is no MPI library that ranks can use; name another by {variable}")]
    Symbol { file: String, symbol: &'static str, variable: &'static str },
    /// Handles and constants would mean something else to it.
    #[error(
        "{file} calls itself \"{found}\", where {expected} was expected; name the library that belongs to the launcher by \
         {variable}"
    )]
    OtherLibrary { file: String, found: String, expected: &'static str, variable: &'static str },
    #[error(
        "{file} lets one thread alone call it, but ranks need MPI_THREAD_SERIALIZED; use an MPI that was built with threads"
    )]
    OneThread { file: String },
    /// Each would do the whole work, beside the others.
    #[error(
        "Slurm started {tasks} tasks of this program that know nothing of each other; start ranks by `srun --mpi=pmix` or \
         `--mpi=pmi2`, as the cluster's MPI speaks (`srun --mpi=list`), or workers with --worker"
    )]
    WithoutMpi { tasks: usize },
    /// As before.
    #[error(
        "{launcher} started {started} ranks, and {file} knows of {found}; start the ranks by the launcher that belongs to it, \
         name another library by {variable}, or start this outside of what a launcher started"
    )]
    OtherCount { launcher: &'static str, started: usize, file: String, found: usize, variable: &'static str },
    #[error("{call} failed: {text}; start all ranks again")]
    Call { call: &'static str, text: String },
    /// A fault of the program, or ranks that were given different work.
    #[error("rank {rank} {does} where rank {other} {other_does}; all ranks must be given the same work")]
    OutOfStep { rank: usize, does: String, other: usize, other_does: String },
    /// By [`crate::Exchange::abort`], or without a word.
    #[error("rank {rank} has ended: {message}")]
    Ended { rank: usize, message: String },
    #[error(
        "rank {rank} has another {what} than rank 0: {found}, there {expected}; the bytes of a training depend on it, so \
         start all ranks with the same"
    )]
    Differs { rank: usize, what: String, found: String, expected: String },
    #[error("{bytes} bytes in parts of {counts:?} for {size} ranks do not fit together; this is a fault of tunebench")]
    Counts { bytes: usize, counts: Vec<usize>, size: usize },
    #[error("what rank 0 tells the others cannot be written or read: {0}; this is a fault of tunebench")]
    Told(serde_json::Error),
}
