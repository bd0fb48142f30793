//! How work is cut for threads: in tasks of a fixed size, so that the number of threads changes no byte.

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::team::share;

/// Elements of a task. What is smaller than two tasks is not worth a second thread.
pub const TASK: usize = 1 << 14;

/// Elements of a task of whole rows of `width`.
pub fn task_of_rows(width: usize) -> usize {
    (TASK / width.max(1)).max(1) * width.max(1)
}

/// Does `work(0)` to `work(count - 1)` on all threads; none begins before those with lower numbers have begun.
pub fn in_order(count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    (0..count).into_par_iter().with_max_len(1).for_each(|_| work(next.fetch_add(1, Ordering::Relaxed)));
}

/// Does `work(0)` to `work(count - 1)` on all threads, each some that follow each other: what lies behind a piece in memory is
/// as a rule its thread's next.
pub fn each(count: usize, work: impl Fn(usize) + Sync) {
    if count > 1 && share(count, &work) {
        return;
    }
    (0..count).into_par_iter().with_max_len(1).for_each(&work);
}
