//! Errors that no call could return: those of plugin values that were dropped.

use std::sync::{Mutex, PoisonError};

use crate::error::HostError;

static LATE_ERRORS: Mutex<Vec<HostError>> = Mutex::new(Vec::new());

/// Errors raised while plugin values were dropped, since this was last called.
pub fn take_late_errors() -> Vec<HostError> {
    std::mem::take(&mut *LATE_ERRORS.lock().unwrap_or_else(PoisonError::into_inner))
}

pub(crate) fn add(error: HostError) {
    LATE_ERRORS.lock().unwrap_or_else(PoisonError::into_inner).push(error);
}
