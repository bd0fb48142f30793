//! The pieces of a decoder against plain computation in f64: on every level, for both storages, on one thread and two.
#![allow(clippy::unwrap_used)]

mod activation;
mod adamw;
mod bias;
mod cross_entropy;
mod dropout;
mod embedding;
mod head_order;
mod layer_norm;
mod reduce;
mod rms_norm;
mod rms_norm_heads;
mod rope;
mod softcap;

use rayon::ThreadPoolBuilder;
use tunebench_kernels::{Element, SimdLevel};
use tunebench_spec::random::Stream;

/// Rows and widths: within a vector, beside its edges, and in several tasks.
const SHAPES: [[usize; 2]; 6] = [[1, 1], [3, 17], [5, 64], [2, 130], [70, 579], [3, 20_001]];

/// Standard normal numbers, rounded to what `E` holds.
fn normal<E: Element>(name: &str, n: usize) -> Vec<E> {
    let mut stream = Stream::named(11, name);
    (0..n).map(|_| E::from_f32(stream.normal() as f32)).collect()
}

fn f64s<E: Element>(x: &[E]) -> Vec<f64> {
    x.iter().map(|x| f64::from(x.to_f32())).collect()
}

fn f32s<E: Element>(x: &[E]) -> Vec<f32> {
    x.iter().map(|x| x.to_f32()).collect()
}

/// What `run` yields, the same bytes on every level and on one thread and two.
fn everywhere<const N: usize>(run: impl Fn(SimdLevel) -> [Vec<f32>; N] + Sync) -> [Vec<f32>; N] {
    let mut all = Vec::new();
    for threads in [1, 2] {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        all.extend(SimdLevel::available().map(|level| (level, threads, pool.install(|| run(level)))));
    }
    let bits = |x: &[Vec<f32>; N]| x.each_ref().map(|x| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>());
    let (_, _, first) = &all[0];
    for (level, threads, other) in &all {
        assert!(bits(first) == bits(other), "{level:?} with {threads} threads yields other bytes");
    }
    first.clone()
}

/// Asserts that each number is right to `tolerance`, of itself and of 1, and where stored as `E` to its rounding.
fn assert_close<E: Element>(what: &str, found: &[f32], right: &[f64], tolerance: f64) {
    assert_eq!(found.len(), right.len(), "{what}");
    // Half of the last of 8 bits.
    let rounding = if E::IS_BF16 { 1.0 / 256.0 } else { 0.0 };
    for (i, (found, right)) in found.iter().zip(right).enumerate() {
        let allowed = tolerance * (1.0 + right.abs()) + rounding * right.abs();
        assert!((f64::from(*found) - right).abs() <= allowed, "{what} [{i}]: {found}, not {right}");
    }
}
