//! SIGINT, SIGTERM and SIGHUP: the first asks a run to end once what was computed is kept, a second ends the process at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

/// What was received so far.
#[derive(Clone, Debug, Default)]
pub struct Signals {
    /// 0 for none.
    number: Arc<AtomicUsize>,
}

impl Signals {
    /// From now on the first signal is noted, and a second one ends the process with 128 and its number.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn catch() -> io::Result<Self> {
        let (signals, is_second) = (Self::default(), Arc::new(AtomicBool::new(false)));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            flag::register_conditional_shutdown(signal, 128 + signal, is_second.clone())?;
            flag::register(signal, is_second.clone())?;
            flag::register_usize(signal, signals.number.clone(), signal as usize)?;
        }
        Ok(signals)
    }

    /// Takes the end of standard input for a SIGTERM: whoever holds it open has ended.
    pub fn end_with_input(&self) {
        let number = self.number.clone();
        std::thread::spawn(move || {
            let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
            number.store(SIGTERM as usize, Ordering::Relaxed);
        });
    }

    /// The number of the signal that came, if one did.
    pub fn received(&self) -> Option<u8> {
        u8::try_from(self.number.load(Ordering::Relaxed)).ok().filter(|number| *number > 0)
    }
}
