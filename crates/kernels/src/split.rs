//! How work is cut for threads: in tasks of a fixed size, so that their number changes no byte.

/// Elements of a task. What is smaller than two tasks is not worth a second thread.
pub(crate) const TASK: usize = 1 << 14;

/// Elements of a task of whole rows of `width`.
pub(crate) fn task_of_rows(width: usize) -> usize {
    (TASK / width.max(1)).max(1) * width.max(1)
}
