//! Scores of the kernels that multiply pairs of bf16: softmax and packing in one go, by AVX-512.

use std::arch::x86_64::*;
use std::mem::transmute;

use half::bf16;

use super::avx512::transpose;
use super::bf16_dots::{self, bits};
use super::{AttentionKernel, PackedScores};
use crate::Element;
use crate::attention::score_tile::{OnlineSoftmax, ScoreTile};
use crate::attention::softmax::EXP2;
use crate::gemm::kernel::Kernel as _;
use crate::simd::dispatch::{Amx, Avx512Bf16};

/// Queries of a strip, two vectors of them.
const QUERIES: usize = 32;

macro_rules! attention_kernel {
    ($($kernel:ident;)*) => {$(
        impl AttentionKernel for $kernel {
            fn online_softmax(scores: &mut [f32], tile: ScoreTile, state: OnlineSoftmax<'_>, probs: &mut [bf16]) {
                // SAFETY: this kernel runs only where the CPU has AVX-512 with bf16.
                unsafe { online_softmax(scores, tile, state, probs) }
            }

            fn transpose(sums: &[f32], head_dim: usize, to: &mut [f32]) {
                // SAFETY: as above.
                unsafe { transpose(sums, head_dim, to) }
            }

            fn dot<E: Element>(a: &[E], b: &[E]) -> f32 {
                // SAFETY: as above.
                unsafe { bf16_dots::dot(bits(a), bits(b)) }
            }

            fn qk_dots<E: Element>(rows: &[E], query: &[E], to: &mut [f32]) {
                // SAFETY: as above.
                unsafe { bf16_dots::qk_dots(bits(rows), bits(query), to) }
            }

            fn weighted_sum<E: Element>(rows: &[E], width: usize, weights: &[f32], sums: &mut [f32]) {
                // SAFETY: as above.
                unsafe { bf16_dots::weighted_sum(bits(rows), width, weights, sums) }
            }

            fn softmax_backward(
                both: [&mut [f32]; 2],
                tile: ScoreTile,
                stats: [&[f32]; 2],
                packed: PackedScores<'_, bf16>,
                d_strip: &mut [bf16],
            ) {
                // SAFETY: as above.
                unsafe { softmax_backward::<{ Self::MR }>(both, tile, stats, packed, d_strip) }
            }
        }
    )*};
}
attention_kernel! {
    Avx512Bf16;
    Amx;
}

/// `2^x` as [`softmax`](crate::attention::softmax) does it, but with fused multiply-adds and down to 0; not for infinities.
#[inline]
#[target_feature(enable = "avx512f")]
fn exp2(x: __m512) -> __m512 {
    let whole = _mm512_roundscale_ps::<0>(x);
    let f = _mm512_sub_ps(x, whole);
    let mut p = _mm512_set1_ps(EXP2[0]);
    for factor in &EXP2[1..] {
        p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(*factor));
    }
    _mm512_scalef_ps(p, whole)
}

/// Two vectors of a row of a strip.
#[inline]
#[target_feature(enable = "avx512f")]
fn row(strip: &[f32], r: usize) -> [__m512; 2] {
    two(&strip[r * QUERIES..])
}

#[inline]
#[target_feature(enable = "avx512f")]
fn two(from: &[f32]) -> [__m512; 2] {
    let from = &from[..QUERIES];
    // SAFETY: 32 numbers.
    unsafe { [_mm512_loadu_ps(from.as_ptr()), _mm512_loadu_ps(from.as_ptr().add(16))] }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn put(to: &mut [f32], values: [__m512; 2]) {
    let to = &mut to[..QUERIES];
    // SAFETY: 32 numbers.
    unsafe {
        _mm512_storeu_ps(to.as_mut_ptr(), values[0]);
        _mm512_storeu_ps(to.as_mut_ptr().add(16), values[1]);
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn put_bf16(to: &mut [bf16], values: __m512i) {
    let to = &mut to[..QUERIES];
    // SAFETY: 32 numbers.
    unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), values) };
}

/// The queries that see key `r`.
#[inline]
#[target_feature(enable = "avx512f")]
fn masks(tile: ScoreTile, r: usize) -> [__mmask16; 2] {
    if r >= tile.keys {
        return [0; 2];
    }
    let from = u32::MAX.checked_shl(r.saturating_sub(tile.last) as u32).unwrap_or(0);
    // The windows of the queries from here on begin after the key.
    let past = r.saturating_add(tile.window).saturating_sub(tile.last).min(QUERIES);
    let mask = from & !u32::MAX.checked_shl(past as u32).unwrap_or(0);
    [mask as u16, (mask >> 16) as u16]
}

/// Rows of a tile that all queries see: whole pairs of them, so that those before and after are pairs too.
#[inline]
fn seen_by_all(tile: ScoreTile) -> std::ops::Range<usize> {
    let end = tile.keys.min(tile.last + 1) & !1;
    tile.outside_window(QUERIES).next_multiple_of(2).min(end)..end
}

/// What sums of queries are multiplied by: 1 where a query has seen no key and so has no largest score.
#[inline]
#[target_feature(enable = "avx512f")]
fn or_one_where_none(rescale: [__m512; 2], max: [__m512; 2]) -> [__m512; 2] {
    let none = _mm512_set1_ps(f32::NEG_INFINITY);
    [0, 1].map(|v| {
        let is_none = _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(max[v], none);
        _mm512_mask_mov_ps(rescale[v], is_none, _mm512_set1_ps(1.0))
    })
}

/// A row in bf16.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn narrowed(row: [__m512; 2]) -> __m512i {
    // SAFETY: both are 64 bytes of any value.
    unsafe { transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(row[1], row[0])) }
}

/// Two rows as pairs, a query after the other.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn put_pairs(to: &mut [bf16], rows: [__m512i; 2]) {
    const fn places(from: u16) -> [u16; 32] {
        let mut places = [0; 32];
        let mut i = 0;
        while i < 32 {
            places[i as usize] = from + i / 2 + 32 * (i % 2);
            i += 1;
        }
        places
    }
    static LOW: [u16; 32] = places(0);
    static HIGH: [u16; 32] = places(16);
    let (low, high) = to[..2 * QUERIES].split_at_mut(QUERIES);
    // SAFETY: both tables are 64 bytes.
    let (at_low, at_high) =
        unsafe { (_mm512_loadu_si512((&raw const LOW).cast()), _mm512_loadu_si512((&raw const HIGH).cast())) };
    put_bf16(low, _mm512_permutex2var_epi16(rows[0], at_low, rows[1]));
    put_bf16(high, _mm512_permutex2var_epi16(rows[0], at_high, rows[1]));
}

/// # Safety
/// The CPU has AVX-512 with bf16.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn online_softmax(scores: &[f32], tile: ScoreTile, state: OnlineSoftmax<'_>, probs: &mut [bf16]) {
    let keys = tile.keys;
    let factor = _mm512_set1_ps(tile.factor);
    let whole = seen_by_all(tile);
    let before = two(state.max);
    let mut max = before;
    for r in whole.clone() {
        let row = row(scores, r);
        max = [0, 1].map(|v| _mm512_max_ps(row[v], max[v]));
    }
    for r in (0..whole.start).chain(whole.end..keys) {
        let (row, masks) = (row(scores, r), masks(tile, r));
        max = [0, 1].map(|v| _mm512_mask_max_ps(max[v], masks[v], row[v], max[v]));
    }
    // The first time, the difference is infinite.
    let lowest = _mm512_set1_ps(-200.0);
    let rescale = [0, 1].map(|v| {
        let difference = _mm512_mul_ps(_mm512_sub_ps(before[v], max[v]), factor);
        exp2(_mm512_max_ps(lowest, difference))
    });
    let rescale = match whole.start {
        0 => rescale,
        _ => or_one_where_none(rescale, max),
    };
    put(state.max, max);
    let base = max.map(|max| _mm512_mul_ps(max, factor));
    let mut sum = [_mm512_setzero_ps(); 2];
    let mut probs = probs.chunks_exact_mut(2 * QUERIES);
    for r in (0..keys.next_multiple_of(QUERIES)).step_by(2) {
        let Some(pairs) = probs.next() else { break };
        if r >= keys {
            put_bf16(&mut pairs[..QUERIES], _mm512_setzero_si512());
            put_bf16(&mut pairs[QUERIES..], _mm512_setzero_si512());
            continue;
        }
        let rows = [r, r + 1].map(|r| {
            let row = row(scores, r.min(keys - 1));
            let mut p = [0, 1].map(|v| exp2(_mm512_fmsub_ps(row[v], factor, base[v])));
            if r < whole.start || r >= whole.end {
                let masks = masks(tile, r);
                p = [0, 1].map(|v| _mm512_maskz_mov_ps(masks[v], p[v]));
            }
            sum = [0, 1].map(|v| _mm512_add_ps(sum[v], p[v]));
            narrowed(p)
        });
        put_pairs(pairs, rows);
    }
    let earlier = two(state.sum);
    put(state.sum, [0, 1].map(|v| _mm512_fmadd_ps(earlier[v], rescale[v], sum[v])));
    put(state.rescale, rescale);
}

/// # Safety
/// The CPU has AVX-512 with bf16.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn softmax_backward<const MR: usize>(
    [scores, gradients]: [&mut [f32]; 2],
    tile: ScoreTile,
    [lse, delta]: [&[f32]; 2],
    packed: PackedScores<'_, bf16>,
    d_strip: &mut [bf16],
) {
    let keys = tile.keys;
    let factor = _mm512_set1_ps(tile.factor);
    let (lse, delta) = (two(lse), two(delta));
    let whole = seen_by_all(tile);
    let PackedScores { probs, d_scores, before, panel, .. } = packed;
    let mut pairs = d_strip.chunks_exact_mut(2 * QUERIES);
    // A panel ends with rows that nobody sees; they count for queries that come later.
    for (i, first) in (0..keys).step_by(MR).enumerate() {
        let at = i * panel + before..i * panel + before + MR * QUERIES;
        let (probs, d_scores) = (&mut probs[at.clone()], &mut d_scores[at]);
        for r in (first..first + MR).step_by(2) {
            let rows = [r, r + 1].map(|r| {
                let (scores, gradients) = (row(scores, r), row(gradients, r));
                let mut p = [0, 1].map(|v| exp2(_mm512_fmsub_ps(scores[v], factor, lse[v])));
                let mut d = [0, 1].map(|v| _mm512_mul_ps(p[v], _mm512_sub_ps(gradients[v], delta[v])));
                if r < whole.start || r >= whole.end {
                    let masks = masks(tile, r);
                    p = [0, 1].map(|v| _mm512_maskz_mov_ps(masks[v], p[v]));
                    d = [0, 1].map(|v| _mm512_maskz_mov_ps(masks[v], d[v]));
                }
                let d = narrowed(d);
                put_bf16(&mut probs[(r - first) * QUERIES..], narrowed(p));
                put_bf16(&mut d_scores[(r - first) * QUERIES..], d);
                d
            });
            if let Some(pairs) = pairs.next() {
                put_pairs(pairs, rows);
            }
        }
    }
    let done = keys.next_multiple_of(MR);
    for pairs in pairs.take((keys.next_multiple_of(QUERIES).saturating_sub(done)) / 2) {
        put_bf16(&mut pairs[..QUERIES], _mm512_setzero_si512());
        put_bf16(&mut pairs[QUERIES..], _mm512_setzero_si512());
    }
}
