//! The counter that every durable write passes, and the point at which a test has the process killed.
//!
//! Only debug builds, which tests run, look at the variable; in a release build a write is its effect and nothing else.
//! The process ends by `abort`: as after SIGKILL nothing of it runs any more, no destructor, no flush, no other thread.

use std::io;

/// Makes the next durable write of this process by `effect`. `tear` does what a kill in the middle of it would leave;
/// a write that has no middle does nothing there.
#[cfg(debug_assertions)]
pub(crate) fn durable<T>(
    tear: impl FnOnce() -> io::Result<()>,
    effect: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static DONE: AtomicU64 = AtomicU64::new(0);
    let number = DONE.fetch_add(1, Ordering::SeqCst) + 1;
    match point::chosen()? {
        Some(point) if point.number == number => {
            match point.moment {
                point::Moment::Before => {}
                point::Moment::Torn => tear()?,
                point::Moment::After => drop(effect()?),
            }
            std::process::abort()
        }
        _ => effect(),
    }
}

#[cfg(not(debug_assertions))]
pub(crate) fn durable<T>(
    _tear: impl FnOnce() -> io::Result<()>,
    effect: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    effect()
}

#[cfg(debug_assertions)]
mod point {
    use std::io;
    use std::sync::OnceLock;

    /// `N:before`, `N:torn` or `N:after`, N counted from 1.
    const VARIABLE: &str = "TUNEBENCH_KILL_AT_WRITE";

    #[derive(Clone, Copy)]
    pub enum Moment {
        Before,
        Torn,
        After,
    }

    #[derive(Clone, Copy)]
    pub struct Point {
        pub number: u64,
        pub moment: Moment,
    }

    /// What the environment asks for, read once. A value that cannot be read fails the first write.
    pub fn chosen() -> io::Result<Option<Point>> {
        static CHOSEN: OnceLock<Result<Option<Point>, String>> = OnceLock::new();
        let chosen = CHOSEN.get_or_init(|| match std::env::var(VARIABLE) {
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(e) => Err(format!("{VARIABLE}: {e}")),
            Ok(text) => match parse(&text) {
                Some(point) => Ok(Some(point)),
                None => Err(format!("{VARIABLE} is `{text}`, not N:before, N:torn or N:after")),
            },
        });
        chosen.clone().map_err(io::Error::other)
    }

    fn parse(text: &str) -> Option<Point> {
        let (number, moment) = text.split_once(':')?;
        let moment = match moment {
            "before" => Moment::Before,
            "torn" => Moment::Torn,
            "after" => Moment::After,
            _ => return None,
        };
        Some(Point { number: number.parse().ok()?, moment })
    }
}
