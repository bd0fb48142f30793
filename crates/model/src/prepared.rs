//! What an engine has made of weights that stay as they are, kept beside them for the next model over the same.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tunebench_kernels::SimdLevel;

/// Forms of weights, each made once; all copies share what they hold.
#[derive(Clone, Default)]
pub(crate) struct Prepared(Arc<Mutex<Made>>);

/// By weight and form.
type Made = BTreeMap<(String, Form), Arc<dyn Any + Send + Sync>>;

/// What a weight was made to. Engines of other numbers or kernels make other forms of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Form {
    pub purpose: Purpose,
    pub is_bf16: bool,
    pub level: SimdLevel,
}

/// What reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    /// Rows that are looked up: plain numbers.
    Rows,
    /// Products of the forward pass, and of the backward pass: packed.
    Forward,
    Backward,
}

impl Prepared {
    /// A weight in this form, if it was made.
    pub fn find<T: Send + Sync + 'static>(&self, weight: &str, form: Form) -> Option<Arc<T>> {
        self.all().get(&(weight.to_owned(), form)).cloned()?.downcast().ok()
    }

    /// Keeps a weight in this form.
    pub fn keep<T: Send + Sync + 'static>(&self, weight: &str, form: Form, made: &Arc<T>) {
        let made: Arc<dyn Any + Send + Sync> = made.clone();
        self.all().insert((weight.to_owned(), form), made);
    }

    fn all(&self) -> MutexGuard<'_, Made> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Debug for Prepared {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.all().keys()).finish()
    }
}
