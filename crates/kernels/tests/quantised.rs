//! Quantised matrices: NF4 against bitsandbytes' numbers, and what holds of every format.
#![allow(clippy::unwrap_used)]

use half::{bf16, f16};
use tunebench_kernels::SimdLevel;
use tunebench_kernels::quant::{QuantTensor, QuantType};
use tunebench_spec::random::Stream;

/// What `tests/golden/make_nf4.py` wrote.
const GOLDEN: &str = include_str!("../../../tests/golden/nf4.json");
const BLOCK: usize = 64;

/// What follows `"key": ` on its line.
fn value(key: &str) -> &'static str {
    let (_, rest) = GOLDEN.split_once(&format!("\"{key}\": ")).unwrap();
    rest.lines().next().unwrap().trim_end_matches(',')
}

fn count(key: &str) -> usize {
    value(key).parse().unwrap()
}

fn floats(key: &str) -> Vec<f32> {
    let bits = value(key).trim_matches(['[', ']']).split(',');
    bits.map(|bits| f32::from_bits(bits.parse().unwrap())).collect()
}

/// Quantises rows of so many columns, and reads them again.
fn read_again(numbers: &[f32], cols: usize) -> Vec<f32> {
    let fill = |i: usize, row: &mut [f32]| row.copy_from_slice(&numbers[i * cols..][..cols]);
    let tensor = QuantTensor::nf4([numbers.len() / cols, cols], fill).unwrap();
    tensor.to_vec(SimdLevel::best())
}

/// The scales of bitsandbytes' blocks are their mean, which it sums in f32, and differences to it, which are multiples of
/// the 256 values of a table. It computes these in f32, too, and their last bits depend on the CPU. So scales may differ
/// by some roundings of the largest. 4-bit numbers may not, even where one lies in the middle between two values.
fn compare(name: &str, numbers: &[f32], scales: &[f32]) {
    let (cols, code) = (count("cols"), floats("code"));
    let ours = read_again(numbers, cols);
    let digits = value("codes").trim_matches('"').chars().cycle();
    let codes: Vec<usize> = digits.map(|digit| digit.to_digit(16).unwrap() as usize).take(ours.len()).collect();
    let largest = scales.iter().fold(0f32, |largest, x| largest.max(x.abs()));
    let (mut other_bits, mut furthest) = (0, 0f32);
    for (i, (ours, theirs)) in ours.iter().zip(&codes).enumerate() {
        let scale = scales[i / BLOCK];
        let apart = |at: &usize| (code[*at] - ours / scale).abs();
        let nearest = (0..16).min_by(|a, b| apart(a).total_cmp(&apart(b))).unwrap();
        assert_eq!(nearest, *theirs, "{name}: number {i}, {}", numbers[i]);
        other_bits += usize::from(ours.to_bits() != (code[*theirs] * scale).to_bits());
        furthest = furthest.max((ours - code[*theirs] * scale).abs());
    }
    println!("{name}: {} numbers, {other_bits} in other bits, at most by {furthest:e}", ours.len());
    assert!(furthest <= 1e-6 * largest, "{name}: {furthest:e} where the largest is {largest}");
}

#[test]
fn nf4_is_that_of_bitsandbytes() {
    let numbers = floats("numbers");
    assert_eq!(numbers.len(), count("rows") * count("cols"));
    compare("once", &numbers, &floats("scales"));
    let copies = (0..count("copies") as i32).flat_map(|i| numbers.iter().map(move |x| x * 0.5f32.powi(i)));
    compare("copies", &copies.collect::<Vec<_>>(), &floats("scales of copies"));
}

#[test]
fn a_row_that_is_not_whole_blocks_is_refused() {
    let fill = |_: usize, row: &mut [f32]| row.fill(1.0);
    for cols in [1, 32, 63, 65, 96] {
        assert!(QuantTensor::nf4([2, cols], fill).is_none(), "{cols} columns");
    }
    for dims in [[0, 64], [3, 0]] {
        let tensor = QuantTensor::nf4(dims, fill).unwrap();
        assert_eq!(tensor.dims(), dims);
        assert!(tensor.to_vec::<f32>(SimdLevel::best()).is_empty());
    }
    assert!(QuantTensor::new(QuantType::F16, [2, 48], vec![0; 192]).is_none());
    assert!(QuantTensor::new(QuantType::F16, [2, 32], vec![0; 127]).is_none());
    assert!(QuantTensor::new(QuantType::Nf4, [1, 64], vec![0; 37]).is_none(), "its scales have no place in bytes");
}

#[test]
fn a_row_of_zeros_stays_zero_and_the_largest_keeps_its_scale() {
    let mut numbers = vec![0f32; 3 * BLOCK];
    assert!(read_again(&numbers, BLOCK).iter().all(|x| *x == 0.0));
    // Of equal scales nothing but the mean is left.
    numbers.fill(-0.75);
    assert_eq!(read_again(&numbers, BLOCK), numbers);
    numbers[BLOCK..2 * BLOCK].fill(0.0);
    assert!(read_again(&numbers, BLOCK)[BLOCK..2 * BLOCK].iter().all(|x| *x == 0.0));
}

/// A matrix of two blocks a row of every format; bytes are random, but scales, which are f16, are finite.
fn random(kind: QuantType, rows: usize) -> QuantTensor {
    let cols = 2 * kind.elements();
    let mut stream = Stream::named(11, kind.name());
    if kind == QuantType::Nf4 {
        let numbers: Vec<f32> = (0..rows * cols).map(|_| stream.normal() as f32).collect();
        let fill = |i: usize, row: &mut [f32]| row.copy_from_slice(&numbers[i * cols..][..cols]);
        return QuantTensor::nf4([rows, cols], fill).unwrap();
    }
    let bytes = kind.bytes(rows, cols).unwrap();
    // Bytes below 0x7c are no f16 that is infinite or no number, wherever the halves of one lie.
    let data = (0..bytes).map(|_| (stream.uniform() * 124.0) as u8).collect();
    QuantTensor::new(kind, [rows, cols], data).unwrap()
}

fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn all_levels_unpack_to_the_same_bits() {
    for kind in QuantType::ALL {
        let tensor = random(kind, 19);
        let [_, cols] = tensor.dims();
        let portable = tensor.to_vec::<f32>(SimdLevel::Portable);
        assert_eq!(portable.len(), 19 * cols);
        assert!(portable.iter().any(|x| *x != 0.0), "{}", kind.name());
        for level in SimdLevel::available() {
            let name = format!("{} at {}", kind.name(), level.name());
            assert_eq!(bits(&tensor.to_vec::<f32>(level)), bits(&portable), "{name}");
            let rounded: Vec<bf16> = portable.iter().map(|x| bf16::from_f32(*x)).collect();
            assert_eq!(tensor.to_vec::<bf16>(level), rounded, "{name} in bf16");
            let mut row = vec![0f32; cols];
            tensor.unpack_row(level, 7, &mut row);
            assert_eq!(bits(&row), bits(&portable[7 * cols..][..cols]), "{name}, a row");
        }
    }
}

#[test]
fn rows_can_be_put_in_another_order() {
    const ROWS: usize = 7;
    for kind in QuantType::ALL.into_iter().filter(|kind| *kind != QuantType::Nf4) {
        let tensor = random(kind, ROWS);
        let [_, cols] = tensor.dims();
        let before = tensor.to_vec::<f32>(SimdLevel::best());
        let order = |i: usize| (3 * i + 2) % ROWS;
        let fingerprint = tensor.fingerprint();
        let turned = tensor.with_rows(order);
        assert_eq!((turned.kind(), turned.dims()), (kind, [ROWS, cols]));
        assert_ne!(turned.fingerprint(), fingerprint);
        let after = turned.to_vec::<f32>(SimdLevel::best());
        for (i, row) in after.chunks(cols).enumerate() {
            assert_eq!(bits(row), bits(&before[order(i) * cols..][..cols]), "{}, row {i}", kind.name());
        }
    }
}

#[test]
fn what_is_not_finite_is_found() {
    const ROWS: usize = 40;
    let with = |changed: &[(usize, f16)]| {
        let mut numbers = [f16::from_f32(-2.5); 64 * ROWS];
        changed.iter().for_each(|(at, number)| numbers[*at] = *number);
        let data = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        QuantTensor::new(QuantType::F16, [ROWS, 64], data).unwrap()
    };
    for level in SimdLevel::available() {
        assert_eq!(with(&[(5, f16::MAX)]).not_finite(level), None);
        for at in [0, 63, 64 * 17 + 40, 64 * ROWS - 1] {
            assert_eq!(with(&[(at, f16::INFINITY)]).not_finite(level), Some(f32::INFINITY), "{at}");
            assert!(with(&[(at, f16::NAN)]).not_finite(level).unwrap().is_nan(), "{at}");
        }
        let two = with(&[(64 * 30, f16::NEG_INFINITY), (64 * 20 + 3, f16::INFINITY)]);
        assert_eq!(two.not_finite(level), Some(f32::INFINITY), "the first of two");
    }
    for kind in QuantType::ALL {
        assert_eq!(random(kind, ROWS).not_finite(SimdLevel::best()), None, "{}", kind.name());
    }
}
