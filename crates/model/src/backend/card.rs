//! What a graphics card says of itself, where the program is linked with CUDA.

use candle_core::Device;

/// Bytes of a card: what is free now, and all. None of what is no card.
#[cfg(feature = "cuda")]
pub(super) fn memory(device: &Device) -> Option<[u64; 2]> {
    let Device::Cuda(card) = device else { return None };
    let (free, all) = card.cuda_stream().context().mem_get_info().ok()?;
    Some([free as u64, all as u64])
}

/// No device of this program is a card.
#[cfg(not(feature = "cuda"))]
pub(super) fn memory(_: &Device) -> Option<[u64; 2]> {
    None
}

/// Whether this program is linked with CUDA.
pub(super) fn is_linked() -> bool {
    cfg!(feature = "cuda")
}
