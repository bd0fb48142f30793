//! AMX: whether the tiles of bf16 are there, and leave to use them.

use std::arch::x86_64::{__cpuid, __cpuid_count};

/// Linux hands out the tiles' state on request: `arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)`.
const ARCH_REQ_XCOMP_PERM: libc::c_int = 0x1023;
const XFEATURE_XTILEDATA: libc::c_ulong = 18;
/// Bits of leaf 7's edx.
const AMX_BF16: u32 = 1 << 22;
const AMX_TILE: u32 = 1 << 24;

/// Whether the CPU has bf16 tiles and the kernel lets this process use them.
pub fn is_available() -> bool {
    if __cpuid(0).eax < 7 {
        return false;
    }
    let features = __cpuid_count(7, 0).edx;
    features & AMX_BF16 != 0 && features & AMX_TILE != 0 && is_permitted()
}

#[cfg(target_os = "linux")]
fn is_permitted() -> bool {
    // SAFETY: the call takes two numbers and changes only what this process may execute.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn is_permitted() -> bool {
    false
}
