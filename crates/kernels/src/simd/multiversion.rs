//! One body, compiled once for each width of vector.
//!
//! A kernel that works element by element, or adds up in [`LANES`] fixed lanes, is written once as plain Rust. The
//! compiler turns it into vector instructions, for each [`SimdLevel`](crate::SimdLevel) its own. No body uses fused
//! multiply-add, so a kernel yields the same bytes on every level.

/// Sums are kept in this many lanes, which are added up at the end.
pub(crate) const LANES: usize = 16;

/// Defines `name::<E…>(level, arguments…)` by a body in plain Rust.
macro_rules! multiversion {
    ($(#[$doc:meta])* $vis:vis fn $name:ident $(<$($E:ident),+>)? ($($arg:ident : $type:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$doc])*
        $vis fn $name $(<$($E: crate::Element),+>)? (level: crate::SimdLevel, $($arg: $type),*) $(-> $ret)? {
            #[inline(always)]
            fn body $(<$($E: crate::Element),+>)? ($($arg: $type),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2 $(<$($E: crate::Element),+>)? ($($arg: $type),*) $(-> $ret)? {
                body($($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512 $(<$($E: crate::Element),+>)? ($($arg: $type),*) $(-> $ret)? {
                body($($arg),*)
            }

            match level.min(crate::SimdLevel::best()) {
                crate::SimdLevel::Portable => body($($arg),*),
                // SAFETY: the CPU has the instructions of its best level and of those below.
                #[cfg(target_arch = "x86_64")]
                crate::SimdLevel::Avx2 => unsafe { avx2($($arg),*) },
                // SAFETY: as above; the levels above AVX-512 include it.
                #[cfg(target_arch = "x86_64")]
                _ => unsafe { avx512($($arg),*) },
                #[cfg(not(target_arch = "x86_64"))]
                _ => body($($arg),*),
            }
        }
    };
}
pub(crate) use multiversion;
