//! Other people's code over strangers' bytes: a panic in it becomes an error with its message.
//!
//! For libraries that index and unwrap what a file says. What can be checked beforehand is; this is for the rest. It holds
//! no abort and no endless loop.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// Whether a panic on this thread is to be told to whoever called, and not to the terminal.
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs `f`. What it changes must be dropped or as good as before when it breaks off.
///
/// # Errors
/// The message and place of a panic.
pub fn guarded<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    install_hook();
    let was_guarded = IS_GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(f));
    IS_GUARDED.set(was_guarded);
    result.map_err(|payload| {
        std::mem::forget(payload); // its own Drop may panic
        LAST_PANIC.with(RefCell::take)
    })
}

/// Panics elsewhere go where they went before.
fn install_hook() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !IS_GUARDED.get() {
                return before(info);
            }
            let said = info.payload_as_str().unwrap_or("without a message");
            let file = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
            let place = info.location().map_or_else(String::new, |at| format!(" ({}:{})", file(at.file()), at.line()));
            LAST_PANIC.with(|last| *last.borrow_mut() = format!("{said}{place}"));
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::guarded;

    #[test]
    fn a_panic_is_an_error_that_says_what_and_where() {
        assert_eq!(guarded(|| 1), Ok(1));
        let index = [1, 2].len() + 1;
        let fault = guarded(|| vec![1, 2][index]).unwrap_err();
        assert!(fault.starts_with("index out of bounds: the len is 2 but the index is 3 (guarded.rs:"), "{fault}");
        let nested = guarded(|| guarded(|| panic!("inner")).map(|()| 0).map_err(|fault| panic!("outer of {fault}")));
        assert!(nested.unwrap_err().starts_with("outer of inner (guarded.rs:"));
    }
}
