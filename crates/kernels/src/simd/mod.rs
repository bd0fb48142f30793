//! CPU levels, storage, and what all kernels are written with.

#[cfg(target_arch = "x86_64")]
mod amx_permission;
pub mod dispatch;
pub mod element;
pub mod exp;
pub mod lanes;
pub mod level;
pub mod multiversion;
#[cfg(target_arch = "x86_64")]
pub mod transpose;
