//! Every backend under its name. A new one is a file beside this one and a row here.

use candle_core::Device;

use super::Backend;
use super::fast::Fast;
use super::reference::Reference;

/// Passes written by hand over CPU kernels: weights and activations in bf16, trained weights in f32.
pub const FAST: &dyn Backend = &Fast;

/// Plain operations of a tensor library under its autograd, f32, on the CPU: slow, and what others are tested against.
pub const REFERENCE: &dyn Backend = &Reference { device: Device::Cpu };

/// Every backend, the default first.
pub const ALL: [&dyn Backend; 2] = [FAST, REFERENCE];

/// The backend of this name.
///
/// # Errors
/// A sentence that lists the names.
pub fn named(name: &str) -> Result<&'static dyn Backend, String> {
    let names = || ALL.map(Backend::name).join(", ");
    ALL.into_iter()
        .find(|backend| backend.name() == name)
        .ok_or_else(|| format!("no engine `{name}`; there are: {}", names()))
}
