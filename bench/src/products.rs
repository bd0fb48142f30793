//! Matrix products of the sizes that training and generation are made of, beside the peak of the instruction they use.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Result, ensure};
use half::bf16;
use serde_json::{Value, json};
use tunebench_kernels::SimdLevel;
use tunebench_kernels::gemm::{Matrix, MatrixMut, Store, gemm, peak};
use tunebench_spec::random::Stream;

use crate::figures::median;
use crate::tokens::SEED;

/// Options of `kernels`.
#[derive(clap::Args)]
pub struct Args {
    /// Rounds over all shapes, each with the peak measured anew; medians are printed.
    #[arg(long, default_value_t = 5)]
    repeats: usize,
}

/// `m`, `k`, `n` of `[m, k] x [k, n]`.
type Shape = [usize; 3];

/// SmolLM2-135M's linears and head over a batch of 1,024 tokens, a gradient of a weight, a step of generating 64 rows;
/// and LLaMA 7B's linears over 256 tokens.
const SHAPES: [Shape; 9] = [
    [1024, 576, 576],
    [1024, 576, 192],
    [1024, 576, 1536],
    [1024, 1536, 576],
    [1536, 1024, 576],
    [1024, 576, 49152],
    [64, 576, 1536],
    [256, 4096, 4096],
    [256, 4096, 11008],
];

/// A measurement repeats its product until it has taken this many seconds.
const LONG_ENOUGH: f64 = 0.05;

/// A line for each shape, in Gflop/s over all threads.
pub fn measure(args: &Args) -> Result<Vec<Value>> {
    ensure!(args.repeats > 0, "--repeats must be at least 1");
    let level = SimdLevel::chosen()?;
    let mut peaks = Vec::new();
    let mut speeds = vec![Vec::new(); SHAPES.len()];
    for _ in 0..args.repeats {
        peaks.push(peak::<bf16>(level) / 1e9);
        for (shape, speeds) in SHAPES.into_iter().zip(&mut speeds) {
            speeds.push(speed(level, shape) / 1e9);
        }
    }
    let peak = median(peaks);
    let line = |([m, k, n], speeds): (Shape, Vec<f64>)| {
        let shape = format!("{m}x{k}x{n}");
        json!({ "shape": shape, "gflops": median(speeds), "peak": peak, "level": level.name() })
    };
    Ok(SHAPES.into_iter().zip(speeds).map(line).collect())
}

/// Operations per second of `x Wᵀ`, bf16 in and out, weights stored `[n, k]` as a model's are.
fn speed(level: SimdLevel, [m, k, n]: Shape) -> f64 {
    let mut stream = Stream::new(SEED, &[m as u64, k as u64, n as u64]);
    let mut values =
        |count: usize| -> Vec<bf16> { (0..count).map(|_| bf16::from_f64(2.0 * stream.uniform() - 1.0)).collect() };
    let (x, weight) = (values(m * k), values(n * k));
    let mut out = vec![bf16::ZERO; m * n];
    let mut run = || {
        let terms = [(Matrix::new(&x, m, k), Matrix::new(&weight, n, k).t())];
        gemm(level, &terms, 1.0, MatrixMut::new(&mut out, m, n), Store::Set);
        black_box(&mut out);
    };
    run();
    let (begin, mut runs) = (Instant::now(), 0u32);
    while runs == 0 || begin.elapsed().as_secs_f64() < LONG_ENOUGH {
        run();
        runs += 1;
    }
    2.0 * (m * k * n) as f64 * f64::from(runs) / begin.elapsed().as_secs_f64()
}
