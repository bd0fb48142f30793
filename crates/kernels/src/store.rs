//! Whether a kernel sets its result or adds to it: beta 0 or 1 in the words of BLAS.

/// What becomes of the values that were there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// They are replaced.
    Set,
    /// The result is added to them.
    Add,
}
