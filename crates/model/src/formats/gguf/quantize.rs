//! Numbers to blocks of few bits each, by the rules of llama.cpp's reference quantisers without an importance matrix
//! (`ggml-quants.c`), so that what is written here is what its own tools would write.

use half::f16;

/// Numbers of a block of the K types.
const K_BLOCK: usize = 256;
/// Numbers of a block of the others.
const SMALL_BLOCK: usize = 32;
/// A group whose largest number is smaller counts as zero.
const LEAST: f32 = 1e-15;

/// One block of 32 numbers: `x = d q`, 8 bits each.
pub(super) fn q8_0(x: &[f32], out: &mut Vec<u8>) {
    let largest = x.iter().fold(0f32, |most, v| most.max(v.abs()));
    let d = largest / 127.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    out.extend(f16::from_f32(d).to_le_bytes());
    out.extend(x.iter().map(|v| (v * inverse).round() as i8 as u8));
}

/// One block of 32 numbers: `x = d (q - 16)`, 5 bits each.
pub(super) fn q5_0(x: &[f32], out: &mut Vec<u8>) {
    // The number of the largest size takes the end of the range that reaches further.
    let largest = x.iter().copied().fold(0f32, |most, v| if most.abs() < v.abs() { v } else { most });
    let d = largest / -16.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    let quant = |v: f32| ((v * inverse + 16.5) as i8).min(31) as u8;
    out.extend(f16::from_f32(d).to_le_bytes());
    five_bits(x, quant, out);
}

/// One block of 32 numbers: `x = d q + m`, 5 bits each.
pub(super) fn q5_1(x: &[f32], out: &mut Vec<u8>) {
    let (min, max) = x.iter().fold((x[0], x[0]), |(min, max), v| (min.min(*v), max.max(*v)));
    let d = (max - min) / 31.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    out.extend(f16::from_f32(d).to_le_bytes());
    out.extend(f16::from_f32(min).to_le_bytes());
    five_bits(x, |v| ((v - min) * inverse + 0.5) as u8, out);
}

/// 32 quants: their fifth bits, then the low four of the first and second half.
fn five_bits(x: &[f32], quant: impl Fn(f32) -> u8, out: &mut Vec<u8>) {
    let (mut high, mut low) = (0u32, [0u8; SMALL_BLOCK / 2]);
    let (first, second) = x.split_at(SMALL_BLOCK / 2);
    for (j, (a, b)) in first.iter().zip(second).enumerate() {
        let (a, b) = (quant(*a), quant(*b));
        low[j] = (a & 15) | ((b & 15) << 4);
        high |= u32::from(a >> 4) << j;
        high |= u32::from(b >> 4) << (j + SMALL_BLOCK / 2);
    }
    out.extend(high.to_le_bytes());
    out.extend(low);
}

/// One block of 256 numbers: eight groups of `x = d s q - m t`, 4 bits each, with 6 bits each for `s` and `t`.
pub(super) fn q4_k(x: &[f32], out: &mut Vec<u8>) {
    let Scaled { head, quants } = scaled(x, &FOUR_BITS);
    out.extend(head);
    low_bits(&quants, out);
}

/// As `q4_k`, with 5 bits for each number.
pub(super) fn q5_k(x: &[f32], out: &mut Vec<u8>) {
    let Scaled { head, quants } = scaled(x, &FIVE_BITS);
    out.extend(head);
    out.extend((0..32).map(|l| (0..8).map(|group| (quants[32 * group + l] >> 4) << group).sum::<u8>()));
    low_bits(&quants, out);
}

/// The low four bits of quants, two groups of 32 in each 32 bytes.
fn low_bits(quants: &[u8; K_BLOCK], out: &mut Vec<u8>) {
    for pair in quants.chunks(64) {
        out.extend((0..32).map(|l| (pair[l] & 15) | ((pair[l + 32] & 15) << 4)));
    }
}

/// Ranges that are tried for a group of 32: its quants end at `most`, and its inverse scale is that of the numbers' own
/// range with `most` larger by `from` to `from + 0.1 steps`.
struct Ranges {
    most: i32,
    from: f32,
    steps: u8,
}

const FOUR_BITS: Ranges = Ranges { most: 15, from: -1.0, steps: 20 };
const FIVE_BITS: Ranges = Ranges { most: 31, from: -0.5, steps: 15 };

/// The scales of a block of 256 as its first 16 bytes have them, and its quants.
struct Scaled {
    head: Vec<u8>,
    quants: [u8; K_BLOCK],
}

fn scaled(x: &[f32], ranges: &Ranges) -> Scaled {
    let groups: Vec<Affine> = x.chunks(32).map(|group| affine(group, ranges)).collect();
    let largest = |of: fn(&Affine) -> f32| groups.iter().map(of).fold(0f32, f32::max);
    let (max_scale, max_min) = (largest(|g| g.scale), largest(|g| g.min));
    let inverse = |max: f32| if max > 0.0 { 63.0 / max } else { 0.0 };
    let six_bits = |v: f32| nearest(v).clamp(0, 63) as u8;
    let mut packed = [0u8; 12];
    let mut six = [(0u8, 0u8); 8];
    for (j, group) in groups.iter().enumerate() {
        let (s, m) = (six_bits(inverse(max_scale) * group.scale), six_bits(inverse(max_min) * group.min));
        six[j] = (s, m);
        if j < 4 {
            packed[j] = s;
            packed[j + 4] = m;
        } else {
            packed[j + 4] = (s & 15) | ((m & 15) << 4);
            packed[j - 4] |= (s >> 4) << 6;
            packed[j] |= (m >> 4) << 6;
        }
    }
    let (d, m) = (f16::from_f32(max_scale / 63.0), f16::from_f32(max_min / 63.0));
    let mut quants = [0u8; K_BLOCK];
    for (j, group) in groups.iter().enumerate() {
        let (scale, min) = (d.to_f32() * f32::from(six[j].0), m.to_f32() * f32::from(six[j].1));
        for (i, quant) in quants[32 * j..32 * (j + 1)].iter_mut().enumerate() {
            let found = || nearest((x[32 * j + i] + min) / scale).clamp(0, ranges.most) as u8;
            *quant = if scale == 0.0 { group.quants[i] } else { found() };
        }
    }
    Scaled { head: [&d.to_le_bytes()[..], &m.to_le_bytes(), &packed].concat(), quants }
}

/// One block of 256 numbers: sixteen groups of `x = d s q`, 6 bits each, with 8 bits for `s`.
pub(super) fn q6_k(x: &[f32], out: &mut Vec<u8>) {
    let groups: Vec<(f32, [u8; 16])> = x.chunks(16).map(symmetric).collect();
    let largest =
        groups.iter().map(|(scale, _)| *scale).fold(0f32, |most, s| if most.abs() < s.abs() { s } else { most });
    if largest.abs() < LEAST {
        out.extend([0u8; 210]);
        return;
    }
    let inverse = -128.0 / largest;
    let d = f16::from_f32(1.0 / inverse);
    let mut scales = [0i8; 16];
    let mut quants = [0u8; K_BLOCK];
    for (j, (scale, first)) in groups.iter().enumerate() {
        scales[j] = nearest(inverse * scale).min(127) as i8;
        let step = d.to_f32() * f32::from(scales[j]);
        for (i, quant) in quants[16 * j..16 * (j + 1)].iter_mut().enumerate() {
            *quant = if step == 0.0 { first[i] } else { (nearest(x[16 * j + i] / step).clamp(-32, 31) + 32) as u8 };
        }
    }
    let (mut low, mut high) = (Vec::with_capacity(128), Vec::with_capacity(64));
    for half in quants.chunks(128) {
        let quarter = |k: usize, l: usize| half[l + 32 * k];
        low.extend((0..32).map(|l| (quarter(0, l) & 15) | ((quarter(2, l) & 15) << 4)));
        low.extend((0..32).map(|l| (quarter(1, l) & 15) | ((quarter(3, l) & 15) << 4)));
        high.extend((0..32).map(|l| (0..4).map(|k| (quarter(k, l) >> 4) << (2 * k)).sum::<u8>()));
    }
    out.extend(low);
    out.extend(high);
    out.extend(scales.map(|s| s as u8));
    out.extend(d.to_le_bytes());
}

/// A group as `scale · quant - min`, the least not above 0.
struct Affine {
    scale: f32,
    min: f32,
    quants: [u8; 32],
}

/// The best of some ranges for 32 numbers, by squared error with more weight on large ones (`make_qkx2_quants`).
fn affine(x: &[f32], ranges: &Ranges) -> Affine {
    let most = ranges.most;
    let mean_size = (x.iter().map(|v| v * v).sum::<f32>() / x.len() as f32).sqrt();
    let weights: Vec<f32> = x.iter().map(|v| mean_size + v.abs()).collect();
    let (mut min, mut max) = (x[0], x[0]);
    let (mut sum_w, mut sum_x) = (0f32, 0f32);
    for (v, w) in x.iter().zip(&weights) {
        (min, max) = (min.min(*v), max.max(*v));
        sum_w += w;
        sum_x += w * v;
    }
    min = min.min(0.0);
    let mut best = Affine { scale: 0.0, min: -min, quants: [0; 32] };
    if max == min {
        return best;
    }
    let quantised = |inverse: f32, least: f32| {
        let mut quants = [0u8; 32];
        x.iter().zip(&mut quants).for_each(|(v, q)| *q = nearest(inverse * (v - least)).clamp(0, most) as u8);
        quants
    };
    let error = |scale: f32, min: f32, quants: &[u8; 32]| {
        let of = |((v, q), w): ((&f32, &u8), &f32)| w * (scale * f32::from(*q) + min - v).powi(2);
        x.iter().zip(quants).zip(&weights).map(of).sum::<f32>()
    };
    let plain = most as f32 / (max - min);
    best.scale = 1.0 / plain;
    best.quants = quantised(plain, min);
    let mut best_error = error(best.scale, min, &best.quants);
    for step in 0..=ranges.steps {
        // From the best range so far.
        let least = -best.min;
        let quants = quantised((ranges.from + 0.1 * f32::from(step) + most as f32) / (max - least), least);
        let (mut sum_l, mut sum_l2, mut sum_xl) = (0f32, 0f32, 0f32);
        for ((v, q), w) in x.iter().zip(&quants).zip(&weights) {
            let l = f32::from(*q);
            sum_l += w * l;
            sum_l2 += w * l * l;
            sum_xl += w * l * v;
        }
        let determinant = sum_w * sum_l2 - sum_l * sum_l;
        if determinant <= 0.0 {
            continue;
        }
        let mut scale = (sum_w * sum_xl - sum_x * sum_l) / determinant;
        let mut min = (sum_l2 * sum_x - sum_l * sum_xl) / determinant;
        if min > 0.0 {
            min = 0.0;
            scale = sum_xl / sum_l2;
        }
        let found = error(scale, min, &quants);
        if found < best_error {
            best_error = found;
            best = Affine { scale, min: -min, quants };
        }
    }
    best
}

/// The best of nineteen scales for 16 numbers of 6 bits, by squared error with their squares as weights
/// (`make_qx_quants`). The quants are shifted by 32.
fn symmetric(x: &[f32]) -> (f32, [u8; 16]) {
    let largest = x.iter().copied().fold(0f32, |most, v| if most.abs() < v.abs() { v } else { most });
    if largest.abs() < LEAST {
        return (0.0, [0; 16]);
    }
    let quant = |inverse: f32, v: f32| nearest(inverse * v).clamp(-32, 31);
    let sums = |inverse: f32| {
        x.iter().fold((0f32, 0f32), |(xl, l2), v| {
            let (w, l) = (v * v, quant(inverse, *v) as f32);
            (xl + w * v * l, l2 + w * l * l)
        })
    };
    let mut inverse = -32.0 / largest;
    let (xl, l2) = sums(inverse);
    let mut scale = if l2 == 0.0 { 0.0 } else { xl / l2 };
    let mut best = scale * xl;
    for step in (-9..=9).filter(|step| *step != 0) {
        let other = -(32.0 + 0.1 * step as f32) / largest;
        let (xl, l2) = sums(other);
        if l2 > 0.0 && xl * xl > best * l2 {
            (inverse, scale) = (other, xl / l2);
            best = scale * xl;
        }
    }
    let mut quants = [0u8; 16];
    x.iter().zip(&mut quants).for_each(|(v, q)| *q = (quant(inverse, *v) + 32) as u8);
    (scale, quants)
}

/// The nearest whole number, the even one of two as near.
fn nearest(v: f32) -> i32 {
    v.round_ties_even() as i32
}
