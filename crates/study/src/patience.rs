//! What one machine has written may take a while to be seen on another: network file systems keep for a minute what they saw last.

use std::time::{Duration, Instant};

use crate::error::StudyError;
use crate::observer::{Observer, Stop};

/// How long that may take.
pub const PATIENCE: Duration = Duration::from_secs(90);
pub const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Opens what another machine may have written just now: until it is seen here.
///
/// # Errors
/// Why it cannot be opened; what is not there, only when it has not come for long.
pub fn patiently<T>(observer: &dyn Observer, mut open: impl FnMut() -> Result<T, StudyError>) -> Result<T, StudyError> {
    let begin = Instant::now();
    loop {
        match open() {
            Err(error) if error.is_unseen() && begin.elapsed() < PATIENCE && observer.stop() == Stop::No => {
                std::thread::sleep(LOOK_INTERVAL);
            }
            opened => return opened,
        }
    }
}
