//! Keeps panics on the plugin's side: every entry runs under [`call`], every value is dropped under a guard.

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, Once};

use abi_stable::std_types::{RErr, ROk, ROption, RString};

use crate::abi::{AbiError, AbiResult, code};
use crate::{Error, Result};

thread_local! {
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What a value said when it panicked while it was dropped, where nobody waits for a result.
static FAULT: Mutex<Option<String>> = Mutex::new(None);

/// Notes where a panic happened instead of printing it. A plugin has its own copy of std, so this hook is its own.
pub fn install_hook() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            let said = info.payload_as_str().unwrap_or("without a message");
            let place = info.location().map_or_else(String::new, |place| format!(" ({place})"));
            LAST_PANIC.with(|last| *last.borrow_mut() = format!("{said}{place}"));
        }));
    });
}

/// Runs plugin code; a panic becomes an error with its message and place.
pub fn call<T>(f: impl FnOnce() -> Result<T>) -> AbiResult<T> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(value)) => ROk(value),
        Ok(Err(error)) => RErr(AbiError::new(code::REFUSED, error.message())),
        Err(payload) => {
            std::mem::forget(payload); // its own Drop may panic
            RErr(AbiError::new(code::PANIC, &LAST_PANIC.with(RefCell::take)))
        }
    }
}

/// The panic of a [`Guarded`] value's drop since this was last asked.
pub extern "C" fn take_fault() -> ROption<RString> {
    FAULT.lock().map_or(None, |mut fault| fault.take()).map(RString::from).into()
}

/// A value whose `Drop` may panic without harm; [`take_fault`] tells of it.
pub struct Guarded<T>(ManuallyDrop<T>);

impl<T> Guarded<T> {
    pub fn new(value: T) -> Self {
        Self(ManuallyDrop::new(value))
    }
}

impl<T> std::ops::Deref for Guarded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> std::ops::DerefMut for Guarded<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        // SAFETY: `self.0` is dropped here and nowhere else, and never used afterwards.
        let value = unsafe { ManuallyDrop::take(&mut self.0) };
        // A panic payload may itself panic when dropped; forgetting it is the only safe end.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
            std::mem::forget(payload);
            if let Ok(mut fault) = FAULT.lock() {
                *fault = Some(LAST_PANIC.with(RefCell::take));
            }
        }
    }
}

impl From<AbiError> for Error {
    fn from(error: AbiError) -> Self {
        Self::new(error.message.into_string())
    }
}
