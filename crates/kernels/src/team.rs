//! A team of threads (in OpenMP's sense) that stays awake between short pieces of work: a token of one text is some two hundred
//! products of a few microseconds, and a thread that is woken for each would spend a tenth of its time on being woken.
//!
//! One thread leads: what it hands to [`share`] is also done by whoever of the pool's threads waits for it. The others wait
//! with their eyes open, take whatever else the pool has to do between two looks, and are never waited for unless they have begun:
//! a thread that is busy elsewhere costs nothing but its help.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::yield_now;

/// Looks for work of the team between two looks for work of the pool: about a microsecond.
const LOOKS: usize = 32;

/// Work that is shared among threads, by its numbers.
type Work<'w> = dyn Fn(usize) + Sync + 'w;

thread_local! {
    /// The team that this thread leads, if it leads one.
    static LED: Cell<Option<Arc<Team>>> = const { Cell::new(None) };
}

/// What a leader and the members have in common.
struct Team {
    leader: usize,
    /// What is to be done while `is_open`.
    job: UnsafeCell<Option<*const Work<'static>>>,
    is_open: AtomicBool,
    /// Of each thread of the pool.
    parts: Vec<Part>,
    /// Members that may be looking at `job`.
    inside: AtomicUsize,
    is_over: AtomicBool,
    /// What a member's work panicked with.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// Numbers of a job that are a thread's to do, and others' once these have done theirs. Apart in the caches.
#[repr(align(128))]
struct Part {
    /// The next that nobody has begun with.
    next: AtomicUsize,
    end: AtomicUsize,
}

// SAFETY: `job` is written by the leader alone, while no member is inside of an open job; its work is shared among threads.
unsafe impl Sync for Team {}
// SAFETY: as above.
unsafe impl Send for Team {}

/// Does `work` as the leader of a team of all threads of this pool.
pub fn with_team<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| {
        let Some(leader) = rayon::current_thread_index().filter(|_| rayon::current_num_threads() > 1) else {
            return work();
        };
        let team = Arc::new(Team::new(leader));
        let members = team.clone();
        // The leader has a share too, which it may come to when it waits for others of the pool. Nobody waits for a thread that
        // never comes to its own.
        rayon::spawn_broadcast(move |thread| {
            if thread.index() != leader {
                members.serve(thread.index());
            }
        });
        let _led = Led { team: team.clone(), before: LED.replace(Some(team)) };
        work()
    })
}

/// Does `work(0)` to `work(count - 1)` with the team that this thread leads; says whether it leads one, and did.
pub fn share(count: usize, work: &Work<'_>) -> bool {
    // Nobody leads while it works: what is shared within shared work is the pool's.
    let Some(team) = LED.take() else { return false };
    team.lead(count, work);
    LED.set(Some(team));
    true
}

/// A team that is led, until this is dropped.
struct Led {
    team: Arc<Team>,
    /// What the thread led before.
    before: Option<Arc<Team>>,
}

impl Drop for Led {
    fn drop(&mut self) {
        LED.set(self.before.take());
        self.team.is_over.store(true, SeqCst);
    }
}

impl Team {
    /// Of all threads of the current one's pool.
    fn new(leader: usize) -> Self {
        let parts = (0..rayon::current_num_threads()).map(|_| Part { next: 0.into(), end: 0.into() });
        Self {
            leader,
            job: UnsafeCell::new(None),
            is_open: false.into(),
            parts: parts.collect(),
            inside: 0.into(),
            is_over: false.into(),
            panic: Mutex::new(None),
        }
    }

    fn lead(&self, count: usize, work: &Work<'_>) {
        // SAFETY: only how long it lives is forgotten, and `Opened` waits for all who use it.
        let forgotten: *const Work<'static> = unsafe { std::mem::transmute(std::ptr::from_ref(work)) };
        // SAFETY: no job is open, and nobody is inside of the last one.
        unsafe { *self.job.get() = Some(forgotten) };
        for (i, part) in self.parts.iter().enumerate() {
            part.next.store(count * i / self.parts.len(), Relaxed);
            part.end.store(count * (i + 1) / self.parts.len(), Relaxed);
        }
        self.is_open.store(true, SeqCst);
        let opened = Opened(self);
        self.work(self.leader, work);
        drop(opened);
        let panicked = self.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(panicked) = panicked {
            resume_unwind(panicked);
        }
    }

    /// Does what of a job nobody has begun with, a thread's own first.
    fn work(&self, thread: usize, work: &Work<'_>) {
        let (before, own) = self.parts.split_at(thread);
        for part in own.iter().chain(before) {
            loop {
                let number = part.next.fetch_add(1, Relaxed);
                if number >= part.end.load(Relaxed) {
                    break;
                }
                work(number);
            }
        }
    }

    /// A member's part, until the team is over.
    fn serve(&self, thread: usize) {
        while !self.is_over.load(SeqCst) {
            for _ in 0..LOOKS {
                if self.is_open.load(Relaxed) {
                    self.help(thread);
                }
                spin_loop();
            }
            // Work of the pool, or else another process's turn.
            if rayon::yield_now() != Some(rayon::Yield::Executed) {
                yield_now();
            }
        }
    }

    fn help(&self, thread: usize) {
        self.inside.fetch_add(1, SeqCst);
        if self.is_open.load(SeqCst) {
            // SAFETY: the job is open, and whoever closes it waits for those inside before the job or its work ends.
            let job = unsafe { (*self.job.get()).map(|work| &*work) };
            if let Some(work) = job
                && let Err(panicked) = catch_unwind(AssertUnwindSafe(|| self.work(thread, work)))
            {
                *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panicked);
            }
        }
        self.inside.fetch_sub(1, SeqCst);
    }
}

/// An open job, which is closed when all who look at it are done.
struct Opened<'t>(&'t Team);

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        self.0.is_open.store(false, SeqCst);
        let mut looks = 0;
        while self.0.inside.load(SeqCst) > 0 {
            looks += 1;
            match looks % (64 * LOOKS) {
                0 => yield_now(),
                _ => spin_loop(),
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc::channel;

    use rayon::ThreadPoolBuilder;
    use rayon::prelude::*;

    use super::*;

    fn pool(threads: usize) -> rayon::ThreadPool {
        ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
    }

    /// How often each number of a job is done; by the pool where nobody leads.
    fn done(count: usize) -> Vec<usize> {
        let done: Vec<AtomicUsize> = (0..count).map(|_| 0.into()).collect();
        crate::tasks::each(count, |number| {
            // What is shared within is nobody's but the pool's.
            (0..3).into_par_iter().for_each(|_| {
                done[number].fetch_add(1, Relaxed);
            });
        });
        done.iter().map(|done| done.load(Relaxed)).collect()
    }

    #[test]
    fn each_number_is_done_once_however_many_threads_there_are() {
        for threads in [1, 2, 5] {
            pool(threads).install(|| {
                with_team(|| {
                    for count in (0..40).chain([1000]) {
                        assert_eq!(done(count), vec![3; count], "{count} by {threads}");
                        assert_eq!(with_team(|| done(count)), vec![3; count], "{count} by {threads}, a team in a team");
                    }
                });
                assert_eq!(done(10), [3; 10], "after a team");
            });
        }
    }

    #[test]
    fn a_panic_is_the_leaders_wherever_it_was() {
        pool(2).install(|| {
            for wrong in 0..20 {
                with_team(|| {
                    let work = |number| assert_ne!(number, wrong, "as it should");
                    assert!(catch_unwind(|| crate::tasks::each(20, work)).is_err(), "number {wrong}");
                    assert_eq!(done(20), [3; 20], "after number {wrong}");
                });
            }
            assert!(catch_unwind(|| with_team(|| panic!("as it should"))).is_err());
            assert_eq!(with_team(|| done(5)), [3; 5]);
        });
    }

    #[test]
    fn nobody_waits_for_threads_that_are_busy_elsewhere() {
        let pool = pool(3);
        let (end, until) = channel::<()>();
        let until = Arc::new(Mutex::new(until));
        for _ in 0..2 {
            let until = until.clone();
            // It ends with an error, when nobody can send any more.
            pool.spawn(move || assert!(until.lock().unwrap().recv().is_err()));
        }
        pool.install(|| assert_eq!(with_team(|| done(50)), [3; 50]));
        drop(end);
    }
}
