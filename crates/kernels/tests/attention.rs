//! Attention against plain sums in f64, on every level, for several heads and lengths, however many threads.
#![allow(clippy::unwrap_used)]

use half::bf16;
use tunebench_kernels::attention::{
    AttentionSpec, BLOCK, Heads, KeyBias, PagedCache, Saved, backward, decode, forward,
};
use tunebench_kernels::{Element, SimdLevel};
use tunebench_spec::random::Stream;

const LAYOUTS: &[Heads] = &[
    Heads { heads: 2, kv_heads: 2, head_dim: 64 },
    Heads { heads: 9, kv_heads: 3, head_dim: 16 },
    Heads { heads: 3, kv_heads: 1, head_dim: 64 },
    Heads { heads: 2, kv_heads: 1, head_dim: 128 },
    Heads { heads: 4, kv_heads: 1, head_dim: 20 },
    Heads { heads: 1, kv_heads: 1, head_dim: 1 },
];

const ENDS: &[&[usize]] = &[&[1], &[7, 8, 72], &[65, 65, 130, 193], &[200, 203], &[64, 449]];

fn random<E: Element>(name: &str, n: usize, size: f64) -> Vec<E> {
    let mut stream = Stream::named(7, name);
    (0..n).map(|_| E::from_f32((size * stream.normal()) as f32)).collect()
}

/// Queries and keys large enough that probabilities are uneven.
fn inputs<E: Element>(heads: Heads, n: usize) -> (Vec<E>, Vec<E>) {
    let Heads { heads: h, kv_heads: k, head_dim: e } = heads;
    (random("qkv", n * (h + 2 * k) * e, 1.2), random("d_out", n * h * e, 1.0))
}

/// What attention yields, all in one type.
struct Results<T> {
    out: Vec<T>,
    lse: Vec<T>,
    d_qkv: Vec<T>,
}

fn run<E: Element>(level: SimdLevel, spec: &AttentionSpec, ends: &[usize], qkv: &[E], d_out: &[E]) -> Results<E> {
    let n = *ends.last().unwrap();
    // What was there before must not matter.
    let mut out = vec![E::from_f32(f32::NAN); d_out.len()];
    let mut lse = vec![f32::NAN; n * spec.heads.heads];
    forward(level, spec, ends, qkv, &mut out, &mut lse);
    let mut d_qkv = vec![E::from_f32(f32::NAN); qkv.len()];
    backward(level, spec, ends, Saved { qkv, out: &out, lse: &lse }, d_out, &mut d_qkv);
    Results { out, lse: lse.into_iter().map(E::from_f32).collect(), d_qkv }
}

fn plain<E: Element>(spec: &AttentionSpec, ends: &[usize], qkv: &[E], d_out: &[E]) -> Results<f64> {
    let Heads { heads: h, kv_heads: k, head_dim: e } = spec.heads;
    let n = *ends.last().unwrap();
    let row = (h + 2 * k) * e;
    let x: Vec<f64> = qkv.iter().map(|x| f64::from(x.to_f32())).collect();
    let d: Vec<f64> = d_out.iter().map(|x| f64::from(x.to_f32())).collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let add = |to: &mut [f64], from: &[f64], by: f64| to.iter_mut().zip(from).for_each(|(to, from)| *to += from * by);
    let scale = f64::from(spec.scale);
    let mut results = Results { out: vec![0.0; n * h * e], lse: vec![0.0; n * h], d_qkv: vec![0.0; n * row] };
    let mut from = 0;
    for &to in ends {
        for (t, head) in (from..to).flat_map(|t| (0..h).map(move |head| (t, head))) {
            let q = t * row + head * e;
            let keys = |s: usize| s * row + (h + head / (h / k)) * e;
            let values = |s: usize| keys(s) + k * e;
            let first = spec.window.map_or(from, |window| from.max((t + 1).saturating_sub(window)));
            let capped = |x: f64| spec.softcap.map_or(x, |cap| f64::from(cap) * (x / f64::from(cap)).tanh());
            let products: Vec<f64> =
                (first..=t).map(|s| capped(scale * dot(&x[q..q + e], &x[keys(s)..keys(s) + e]))).collect();
            let slope = f64::from(spec.key_bias.slope(head, h));
            let scores: Vec<f64> =
                (first..=t).zip(&products).map(|(s, product)| product - slope * (t - s) as f64).collect();
            let max = scores.iter().copied().fold(f64::MIN, f64::max);
            let lse = max + scores.iter().map(|s| (s - max).exp()).sum::<f64>().ln();
            let out = (t * h + head) * e..(t * h + head + 1) * e;
            let d = &d[out.clone()];
            for (s, score) in (first..=t).zip(&scores) {
                add(&mut results.out[out.clone()], &x[values(s)..values(s) + e], (score - lse).exp());
            }
            let delta = dot(&results.out[out.clone()], d);
            for ((s, score), product) in (first..=t).zip(&scores).zip(&products) {
                let p = (score - lse).exp();
                let slope = spec.softcap.map_or(1.0, |cap| 1.0 - (product / f64::from(cap)).powi(2));
                let gradient = scale * slope * p * (dot(d, &x[values(s)..values(s) + e]) - delta);
                add(&mut results.d_qkv[values(s)..values(s) + e], d, p);
                add(&mut results.d_qkv[q..q + e], &x[keys(s)..keys(s) + e], gradient);
                add(&mut results.d_qkv[keys(s)..keys(s) + e], &x[q..q + e], gradient);
            }
            results.lse[head * n + t] = lse;
        }
        from = to;
    }
    results
}

/// Errors are measured against the root of the mean square of the whole buffer: sums cancel, so single numbers may be
/// small by chance.
fn compare<E: Element>(found: &[E], right: &[f64], tolerance: f64, what: &str) {
    let size = (right.iter().map(|x| x * x).sum::<f64>() / right.len() as f64).sqrt().max(0.1);
    for (i, (found, right)) in found.iter().zip(right).enumerate() {
        let error = (f64::from(found.to_f32()) - right).abs();
        assert!(error <= tolerance * (size + right.abs()), "{what} {i}: {found:?}, not {right}");
    }
}

fn check<E: Element>(spec: &AttentionSpec, ends: &[usize], tolerances: [f64; 3]) {
    let (qkv, d_out) = inputs::<E>(spec.heads, *ends.last().unwrap());
    let right = plain(spec, ends, &qkv, &d_out);
    for level in SimdLevel::available() {
        let found = run(level, spec, ends, &qkv, &d_out);
        let what = |of: &str| format!("{level:?} {spec:?} {ends:?} {of}");
        compare(&found.out, &right.out, tolerances[0], &what("out"));
        compare(&found.lse, &right.lse, tolerances[1], &what("lse"));
        compare(&found.d_qkv, &right.d_qkv, tolerances[2], &what("d_qkv"));
    }
}

// f32 rounds to 6e-8, and scores of up to 10 to ten times that, which is what the probabilities are off by; 3.5e-6 has
// been seen. Sums that cancel lose a digit more backward.
const TOLERANCES_F32: [f64; 3] = [6e-6, 2e-6, 2e-5];
// bf16 rounds to 4e-3: probabilities and the result forward. Backward, the rounded result is subtracted from rounded
// gradients, on every level; 3.3e-2 has been seen.
const TOLERANCES_BF16: [f64; 3] = [8e-3, 4e-3, 5e-2];

#[test]
fn attention_of_f32_is_right() {
    tunebench_amx_emulator::install();
    for (&heads, &ends) in LAYOUTS.iter().flat_map(|heads| ENDS.iter().map(move |ends| (heads, ends))) {
        check::<f32>(&AttentionSpec::causal(heads), ends, TOLERANCES_F32);
    }
}

#[test]
fn attention_of_bf16_is_right() {
    tunebench_amx_emulator::install();
    for (&heads, &ends) in LAYOUTS.iter().flat_map(|heads| ENDS.iter().map(move |ends| (heads, ends))) {
        check::<bf16>(&AttentionSpec::causal(heads), ends, TOLERANCES_BF16);
    }
}

/// Windows of one key, within a vector, at the edges of strips, tasks and blocks, and longer than a sequence.
const WINDOWS: [usize; 6] = [1, 31, 64, 100, 192, 300];

#[test]
fn a_sliding_window_is_right() {
    tunebench_amx_emulator::install();
    for (window, heads) in WINDOWS.into_iter().zip([LAYOUTS[1], LAYOUTS[4]].into_iter().cycle()) {
        let spec = AttentionSpec { window: Some(window), ..AttentionSpec::causal(heads) };
        check::<f32>(&spec, &[7, 300, 490], TOLERANCES_F32);
        check::<bf16>(&spec, &[7, 300, 490], TOLERANCES_BF16);
    }
}

#[test]
fn a_scale_of_its_own_is_used() {
    tunebench_amx_emulator::install();
    let spec = AttentionSpec { scale: 0.2, ..AttentionSpec::causal(LAYOUTS[1]) };
    check::<f32>(&spec, &[70, 203], TOLERANCES_F32);
    check::<bf16>(&spec, &[70, 203], TOLERANCES_BF16);
}

/// Head widths of Phi-3 mini, OPT-2.7B, GPT-NeoX and Gemma.
#[test]
fn heads_of_any_width_are_right() {
    tunebench_amx_emulator::install();
    for head_dim in [80, 96, 256] {
        let spec = AttentionSpec::causal(Heads { heads: 2, kv_heads: 1, head_dim });
        check::<f32>(&spec, &[7, 230], TOLERANCES_F32);
        check::<bf16>(&spec, &[7, 230], TOLERANCES_BF16);
    }
}

/// A cap that turns most scores, one that turns few, and slopes; of heads that are a power of two and others; and all with
/// windows.
fn shaped() -> Vec<AttentionSpec> {
    let mut specs = Vec::new();
    for heads in [LAYOUTS[1], LAYOUTS[2], LAYOUTS[4], Heads { heads: 2, kv_heads: 1, head_dim: 128 }] {
        let causal = AttentionSpec::causal(heads);
        specs.push(AttentionSpec { softcap: Some(1.5), ..causal });
        specs.push(AttentionSpec { softcap: Some(30.0), scale: 0.3, window: Some(100), ..causal });
        specs.push(AttentionSpec { key_bias: KeyBias::Alibi, ..causal });
        specs.push(AttentionSpec { key_bias: KeyBias::Alibi, softcap: Some(5.0), window: Some(31), ..causal });
    }
    specs
}

// Under a cap probabilities are even, and results of many keys smaller beside what they are sums of, by which they are
// rounded; so f32 has twice the room, and bf16 two and a half times.
#[test]
fn capped_and_sloped_scores_are_right() {
    tunebench_amx_emulator::install();
    for spec in shaped() {
        for ends in [&[7, 8, 72][..], &[64, 449]] {
            check::<f32>(&spec, ends, TOLERANCES_F32.map(|tolerance| 2.0 * tolerance));
            check::<bf16>(&spec, ends, TOLERANCES_BF16.map(|tolerance| 2.5 * tolerance));
        }
    }
}

/// Those of BLOOM-560m (16 heads) and of 12 heads, by the authors' `get_slopes`.
#[test]
fn slopes_are_those_of_the_authors() {
    let slopes = |heads: usize| (0..heads).map(|head| KeyBias::Alibi.slope(head, heads)).collect::<Vec<_>>();
    let powers: Vec<f32> = (1..=16).map(|i| 0.5f32.powf(f32::from(i as u8) / 2.0)).collect();
    assert!(slopes(16).iter().zip(&powers).all(|(found, right)| (found / right - 1.0).abs() < 1e-6));
    let of_8 = (1..=8).map(|i| 0.5f32.powi(i));
    let between = [0.5f32.powf(0.5), 0.5f32.powf(1.5), 0.5f32.powf(2.5), 0.5f32.powf(3.5)];
    let right: Vec<f32> = of_8.chain(between).collect();
    assert!(slopes(12).iter().zip(&right).all(|(found, right)| (found / right - 1.0).abs() < 1e-6));
    assert_eq!((slopes(1), slopes(3)), (vec![0.5f32.powi(8)], vec![0.0625, 0.5f32.powi(8), 0.25]));
    assert_eq!(slopes(6), [0.25, 0.0625, 0.015625, 0.00390625, 0.5, 0.125]);
    assert_eq!(KeyBias::None.slope(3, 8), 0.0);
}

#[test]
fn a_window_as_long_as_a_sequence_changes_no_byte() {
    tunebench_amx_emulator::install();
    fn check<E: Element>() {
        let (whole, ends) = (AttentionSpec::causal(LAYOUTS[1]), [150, 450]);
        let (qkv, d_out) = inputs::<E>(whole.heads, 450);
        for level in SimdLevel::available() {
            let without = run(level, &whole, &ends, &qkv, &d_out);
            for window in [300, 301, 10_000] {
                let found = run(level, &AttentionSpec { window: Some(window), ..whole }, &ends, &qkv, &d_out);
                assert_eq!(without.out, found.out, "{level:?} {window}");
                assert_eq!(without.lse, found.lse, "{level:?} {window}");
                assert_eq!(without.d_qkv, found.d_qkv, "{level:?} {window}");
            }
        }
    }
    check::<f32>();
    check::<bf16>();
}

/// Every level, without a window and with one, and with scores that are more than products.
fn levels_and_windows(heads: Heads) -> impl Iterator<Item = (SimdLevel, AttentionSpec)> {
    let plain = AttentionSpec::causal(heads);
    let specs = [
        plain,
        AttentionSpec { window: Some(130), ..plain },
        AttentionSpec { window: Some(130), softcap: Some(3.0), key_bias: KeyBias::Alibi, ..plain },
    ];
    SimdLevel::available().flat_map(move |level| specs.map(|spec| (level, spec)))
}

#[test]
fn an_example_is_the_same_bytes_whatever_stands_beside_it() {
    tunebench_amx_emulator::install();
    let heads = Heads { heads: 6, kv_heads: 2, head_dim: 32 };
    let ends = [3, 203, 503, 510];
    let (qkv, d_out) = inputs::<bf16>(heads, 510);
    let (row, width) = (qkv.len() / 510, d_out.len() / 510);
    for (level, spec) in levels_and_windows(heads) {
        let all = run(level, &spec, &ends, &qkv, &d_out);
        for (from, to) in std::iter::once(0).chain(ends).zip(ends) {
            let alone = run(level, &spec, &[to - from], &qkv[from * row..to * row], &d_out[from * width..to * width]);
            assert_eq!(alone.out, all.out[from * width..to * width], "{level:?}");
            assert_eq!(alone.d_qkv, all.d_qkv[from * row..to * row], "{level:?}");
            let lse: Vec<bf16> = all.lse.chunks(510).flat_map(|head| head[from..to].to_vec()).collect();
            assert_eq!(alone.lse, lse, "{level:?}");
        }
    }
}

#[test]
fn threads_change_no_byte() {
    tunebench_amx_emulator::install();
    let heads = Heads { heads: 3, kv_heads: 1, head_dim: 64 };
    let ends = [600, 660];
    let (qkv, d_out) = inputs::<bf16>(heads, 660);
    for (level, spec) in levels_and_windows(heads) {
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| run(level, &spec, &ends, &qkv, &d_out))
        };
        let one = on(1);
        for threads in [2, 5] {
            let several = on(threads);
            assert_eq!(one.out, several.out, "{level:?}");
            assert_eq!(one.lse, several.lse, "{level:?}");
            assert_eq!(one.d_qkv, several.d_qkv, "{level:?}");
        }
    }
}

#[test]
fn nothing_is_attended_to_by_nobody() {
    tunebench_amx_emulator::install();
    let spec = AttentionSpec::causal(LAYOUTS[0]);
    for level in SimdLevel::available() {
        for ends in [&[][..], &[0, 0]] {
            forward::<bf16>(level, &spec, ends, &[], &mut [], &mut []);
            backward::<bf16>(level, &spec, ends, Saved { qkv: &[], out: &[], lse: &[] }, &[], &mut []);
        }
        let cache = PagedCache { keys: &[], values: &[], block_tables: &[], lengths: &[] };
        decode::<bf16, Vec<u32>>(level, &spec, &[], cache, &mut []);
    }
}

#[test]
fn numbers_that_are_none_are_not_hidden() {
    tunebench_amx_emulator::install();
    let heads = Heads { heads: 1, kv_heads: 1, head_dim: 8 };
    let (mut qkv, d_out) = inputs::<f32>(heads, 40);
    qkv[30 * 24 + 8] = f32::NAN;
    for level in SimdLevel::available() {
        let found = run(level, &AttentionSpec::causal(heads), &[40], &qkv, &d_out);
        for (t, out) in found.out.chunks(8).enumerate() {
            assert!(out.iter().all(|x| x.is_nan() == (t >= 30)), "{level:?}: {t}");
        }
    }
}

/// The last token of each example, from a cache whose blocks lie in any order and hold nonsense where no token is.
fn decoded<E: Element>(level: SimdLevel, spec: &AttentionSpec, ends: &[usize], qkv: &[E]) -> Vec<E> {
    let Heads { heads: h, kv_heads: k, head_dim: e } = spec.heads;
    let row = (h + 2 * k) * e;
    let lengths: Vec<usize> = std::iter::once(0).chain(ends.iter().copied()).zip(ends).map(|(a, b)| b - a).collect();
    let blocks: usize = lengths.iter().map(|length| length.div_ceil(BLOCK)).sum();
    let mut pools = [0, 1].map(|_| vec![E::from_f32(f32::NAN); blocks * k * BLOCK * e]);
    let (mut tables, mut queries, mut next) = (Vec::new(), Vec::new(), blocks as u32);
    for (length, end) in lengths.iter().zip(ends) {
        let table: Vec<u32> = (0..length.div_ceil(BLOCK)).map(|_| (next -= 1, next).1).collect();
        for t in 0..*length {
            let block = table[t / BLOCK] as usize;
            for (pool, head) in [0, 1].into_iter().flat_map(|pool| (0..k).map(move |head| (pool, head))) {
                let from = (end - length + t) * row + (h + pool * k + head) * e;
                let to = ((block * k + head) * BLOCK + t % BLOCK) * e;
                pools[pool][to..to + e].copy_from_slice(&qkv[from..from + e]);
            }
        }
        queries.extend_from_slice(&qkv[(end - 1) * row..][..h * e]);
        tables.push(table);
    }
    let mut out = vec![E::from_f32(f32::NAN); queries.len()];
    let cache = PagedCache { keys: &pools[0], values: &pools[1], block_tables: &tables, lengths: &lengths };
    decode(level, spec, &queries, cache, &mut out);
    out
}

#[test]
fn decoding_a_token_is_the_last_row_of_the_whole() {
    tunebench_amx_emulator::install();
    fn check<E: Element>(tolerance: f64) {
        let ends = [1, 33, 65, 96, 311];
        let wide = Heads { heads: 2, kv_heads: 1, head_dim: 256 };
        for &heads in LAYOUTS.iter().chain([&wide]) {
            let (qkv, d_out) = inputs::<E>(heads, 311);
            let width = heads.heads * heads.head_dim;
            let plain_specs =
                [None, Some(1), Some(50)].map(|window| AttentionSpec { window, ..AttentionSpec::causal(heads) });
            for spec in plain_specs.into_iter().chain(shaped().into_iter().filter(|spec| spec.heads == heads)) {
                let right = plain(&spec, &ends, &qkv, &d_out).out;
                let last: Vec<f64> =
                    ends.iter().flat_map(|end| right[(end - 1) * width..end * width].to_vec()).collect();
                for level in SimdLevel::available() {
                    let found = decoded(level, &spec, &ends, &qkv);
                    compare(&found, &last, tolerance, &format!("{level:?} {spec:?}"));
                    let alone = decoded(level, &spec, &[215], &qkv[96 * qkv.len() / 311..]);
                    assert_eq!(alone, found[4 * width..], "{level:?}: other rows changed a row");
                }
            }
        }
    }
    // As in the forward pass.
    check::<f32>(6e-6);
    check::<bf16>(8e-3);
}
