//! Dropout's masks, and what they are multiplied with.

use half::bf16;
use tunebench_kernels::Element;
use tunebench_kernels::ops::dropout::{Drops, dropout, dropout_add};
use tunebench_spec::random::Stream;

use crate::{everywhere, f32s, normal};

/// The reference's masks: each example draws its own, one word after the other, two elements a word.
fn masks(p: f64, ends: &[usize], streams: &[Stream], d: usize) -> Vec<f32> {
    let (threshold, kept) = ((p * 2f64.powi(32)) as u32, (1.0 / (1.0 - p)) as f32);
    let (mut mask, mut start) = (Vec::new(), 0);
    for (end, stream) in ends.iter().zip(streams) {
        let (mut stream, count) = (stream.clone(), (end - start) * d);
        for _ in 0..count.div_ceil(2) {
            let word = stream.next_u64();
            mask.extend([word as u32, (word >> 32) as u32].map(|w| if w < threshold { 0.0 } else { kept }));
        }
        mask.truncate(end * d);
        start = *end;
    }
    mask
}

fn check<E: Element>(d: usize, ends: &[usize], p: f64) {
    let n = ends.last().copied().unwrap_or(0) * d;
    let (x, g, before): (Vec<E>, Vec<f32>, Vec<f32>) = (normal("x", n), normal("g", n), normal("before", n));
    let streams: Vec<Stream> = (0..ends.len() as u64).map(|i| Stream::new(5, &[i])).collect();
    let drops = Drops { p, seq_ends: ends, streams: &streams };
    let [out, sums] = everywhere(|level| {
        let (mut out, mut sums) = (vec![E::default(); n], before.clone());
        dropout(level, &x, d, &drops, &mut out);
        dropout_add(level, &g, d, &drops, &mut sums);
        [f32s(&out), sums]
    });
    let mask = masks(p, ends, &streams, d);
    let right: Vec<f32> = x.iter().zip(&mask).map(|(x, m)| E::from_f32(x.to_f32() * m).to_f32()).collect();
    assert_eq!(out, right);
    assert_eq!(sums, (0..n).map(|i| before[i] + g[i] * mask[i]).collect::<Vec<_>>());
}

#[test]
fn masks_are_the_references() {
    let cases: [(usize, &[usize]); 5] =
        [(1, &[1]), (99, &[101, 101, 202, 203]), (5, &[7, 30]), (20_001, &[1, 3, 4]), (8, &[])];
    for (d, ends) in cases {
        for p in [0.0, 0.1, 0.75] {
            check::<f32>(d, ends, p);
            check::<bf16>(d, ends, p);
        }
    }
}
