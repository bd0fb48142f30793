//! Keeps panics on the plugin's side: every entry runs under [`call`], every value is dropped under a guard.

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use abi_stable::std_types::{RErr, ROk};

use crate::abi::{AbiError, AbiResult, code};
use crate::{Error, Result};

thread_local! {
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Notes where a panic happened instead of printing it. A plugin has its own copy of std, so this hook is its own.
pub fn install_hook() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            LAST_PANIC.with(|last| *last.borrow_mut() = info.to_string());
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

/// A value whose `Drop` may panic without harm.
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
        }
    }
}

impl From<AbiError> for Error {
    fn from(error: AbiError) -> Self {
        Self::new(error.message.into_string())
    }
}
