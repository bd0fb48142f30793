//! Every backend under its name. A new one is a file beside this one and a row here.

use super::fast::Fast;
use super::reference::Reference;
use super::{Backend, Cuda};

/// Passes written by hand over CPU kernels: weights and activations in bf16, trained weights in f32.
pub const FAST: &dyn Backend = &Fast;

/// Plain operations of a tensor library under its autograd, f32, on the CPU: slow, and what others are tested against.
pub const REFERENCE: &dyn Backend = &Reference;

/// Every backend that any machine has, the default first.
pub const ALL: [&dyn Backend; 2] = [FAST, REFERENCE];

/// The backend of this name: one of [`ALL`], or a graphics card, `cuda`, `cuda:1`, `cuda-f32`.
///
/// # Errors
/// A sentence that lists the names, or that says what a card takes.
pub fn named(name: &str) -> Result<&'static dyn Backend, String> {
    let of_all = ALL.into_iter().find(|backend| backend.name() == name).map(Ok);
    of_all.or_else(|| Cuda::named(name)).unwrap_or_else(|| {
        let names = ALL.map(Backend::name).join(", ");
        Err(format!(
            "no engine `{name}`; there are: {names}; and of tunebench-cuda: cuda, cuda:N, cuda-f32, cuda-f32:N"
        ))
    })
}
