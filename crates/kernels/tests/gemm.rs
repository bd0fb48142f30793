//! Products against sums in f64, on every level, for every order of operands, however many threads.
#![allow(clippy::unwrap_used)]

use half::bf16;
use tunebench_kernels::gemm::{
    Columns, Matrix, MatrixMut, PackedRhs, Rhs, Store, Term, gemm, gemm_columns, gemm_single_thread,
};
use tunebench_kernels::quant::{QuantTensor, QuantType};
use tunebench_kernels::{Element, SimdLevel, with_team};
use tunebench_spec::random::Stream;

fn random<E: Element>(name: &str, n: usize) -> Vec<E> {
    let mut stream = Stream::named(7, name);
    (0..n).map(|_| E::from_f32(stream.normal() as f32)).collect()
}

/// Whether operands lie in memory as they are read, or transposed.
#[derive(Clone, Copy, Debug)]
struct Order {
    a: bool,
    b: bool,
}

fn operand<E: Element>(data: &[E], rows: usize, cols: usize, is_turned: bool) -> Matrix<'_, E> {
    if is_turned { Matrix::new(data, cols, rows).t() } else { Matrix::new(data, rows, cols) }
}

fn check<E: Element, O: Element>(level: SimdLevel, [m, n]: [usize; 2], ks: &[usize], order: Order, store: Store) {
    let data: Vec<(Vec<E>, Vec<E>)> =
        ks.iter().map(|k| (random(&format!("a{k}"), m * k), random(&format!("b{k}"), k * n))).collect();
    let terms: Vec<_> =
        data.iter().zip(ks).map(|((a, b), &k)| (operand(a, m, k, order.a), operand(b, k, n, order.b))).collect();
    let before: Vec<O> = random("c", m * (n + 3));
    let mut found = before.clone();
    gemm(level, &terms, 0.5, MatrixMut::strided(&mut found, m, n, n + 3), store);
    let mut here = before.clone();
    gemm_single_thread(level, &terms, 0.5, MatrixMut::strided(&mut here, m, n, n + 3), store);
    assert_eq!(found, here, "{level:?}: one thread and all of them differ");
    for i in 0..m {
        for j in 0..n + 3 {
            let at = i * (n + 3) + j;
            if j >= n {
                // The last row of a strided matrix ends with its last column.
                assert_eq!(found[at], before[at], "{level:?}: wrote beside the result");
                continue;
            }
            let (mut sum, mut size) = (0.0, 1e-3);
            for ((a, b), &k) in data.iter().zip(ks) {
                for l in 0..k {
                    let a = a[if order.a { l * m + i } else { i * k + l }].to_f32();
                    let b = b[if order.b { j * k + l } else { l * n + j }].to_f32();
                    sum += 0.5 * f64::from(a) * f64::from(b);
                    size += (f64::from(a) * f64::from(b)).abs();
                }
            }
            if store == Store::Add {
                sum += f64::from(before[at].to_f32());
            }
            let rounding = if O::IS_BF16 { sum.abs() / 200.0 } else { 0.0 };
            let error = (f64::from(found[at].to_f32()) - sum).abs();
            assert!(error <= 1e-6 * size + rounding, "{level:?} {m}x{n}x{ks:?} {order:?} ({i}, {j}): off by {error}");
        }
    }
}

const SHAPES: &[([usize; 2], &[usize])] = &[
    ([1, 1], &[1]),
    ([6, 16], &[8]),
    ([32, 32], &[32]),
    ([33, 31], &[65]),
    ([5, 300], &[64, 8]),
    ([130, 40], &[400, 3, 2]),
    ([3, 7], &[9000]),
    ([2, 2], &[0]),
    ([0, 5], &[8]),
];

#[test]
fn products_are_right_on_every_level() {
    tunebench_amx_emulator::install();
    for level in SimdLevel::available() {
        for &(shape, ks) in SHAPES {
            for (a, b) in [(false, false), (false, true), (true, false), (true, true)] {
                for store in [Store::Set, Store::Add] {
                    check::<f32, f32>(level, shape, ks, Order { a, b }, store);
                    check::<bf16, f32>(level, shape, ks, Order { a, b }, store);
                    check::<bf16, bf16>(level, shape, ks, Order { a, b }, store);
                }
            }
        }
    }
}

#[test]
fn a_row_is_the_same_bytes_whatever_stands_beside_it() {
    tunebench_amx_emulator::install();
    // Several panels that few rows are multiplied with together, the last of them not whole.
    let (n, k) = (235, 130);
    let (a, b): (Vec<bf16>, Vec<bf16>) = (random("a", 50 * k), random("b", k * n));
    for level in SimdLevel::available() {
        let packed = PackedRhs::new(level, Matrix::new(&b, n, k).t());
        let rows = |from: usize, to: usize| {
            let mut out = vec![0f32; (to - from) * n];
            let a = Matrix::new(&a[from * k..to * k], to - from, k);
            gemm(level, &[(a, Matrix::new(&b, n, k).t())], 1.0, MatrixMut::new(&mut out, to - from, n), Store::Set);
            let mut of_packed = vec![0f32; (to - from) * n];
            gemm(level, &[(a, &packed)], 1.0, MatrixMut::new(&mut of_packed, to - from, n), Store::Set);
            assert_eq!(out, of_packed, "{level:?}, rows {from} to {to} by a packed operand");
            out
        };
        let all = rows(0, 50);
        for (from, to) in (0..17).map(|from| (from, 2 * from + 1)).chain([(49, 50), (3, 40)]) {
            assert_eq!(rows(from, to), all[from * n..to * n], "{level:?}, rows {from} to {to}");
            assert_eq!(with_team(|| rows(from, to)), all[from * n..to * n], "{level:?}, rows {from} to {to} by a team");
        }
    }
}

#[test]
fn an_operand_of_many_steps_is_the_same_packed_and_as_it_lies() {
    tunebench_amx_emulator::install();
    // More rows than a block has, and so many steps that no slab of the operand is packed for all of them.
    let (m, k, n) = (150, 8_300, 40);
    let (a, b): (Vec<bf16>, Vec<bf16>) = (random("a", m * k), random("b", k * n));
    for level in SimdLevel::available() {
        let packed = PackedRhs::new(level, Matrix::new(&b, k, n));
        let (mut plain, mut of_packed) = (vec![0f32; m * n], vec![0f32; m * n]);
        gemm(
            level,
            &[(Matrix::new(&a, m, k), Matrix::new(&b, k, n))],
            1.0,
            MatrixMut::new(&mut plain, m, n),
            Store::Set,
        );
        gemm(level, &[(Matrix::new(&a, m, k), &packed)], 1.0, MatrixMut::new(&mut of_packed, m, n), Store::Set);
        assert_eq!(plain, of_packed, "{level:?}");
        let mut alone = vec![0f32; n];
        let row = Matrix::new(&a[140 * k..141 * k], 1, k);
        gemm(level, &[(row, &packed)], 1.0, MatrixMut::new(&mut alone, 1, n), Store::Set);
        assert_eq!(alone, of_packed[140 * n..141 * n], "{level:?}, a row alone");
    }
}

/// A few rows and columns of each format: those of NF4 by its quantiser, the others of bytes drawn at random, whose scales are
/// kept finite.
fn quantised(kind: QuantType, rows: usize, cols: usize) -> QuantTensor {
    if kind == QuantType::Nf4 {
        let numbers: Vec<f32> = random("nf4", rows * cols);
        let row = |i: usize, row: &mut [f32]| row.copy_from_slice(&numbers[i * cols..][..cols]);
        return QuantTensor::nf4([rows, cols], row).unwrap();
    }
    let mut stream = Stream::named(7, kind.name());
    let mut bytes: Vec<u8> = (0..kind.bytes(rows, cols).unwrap()).map(|_| stream.below(256) as u8).collect();
    // Each even place may be one of a scale: its exponent is kept small.
    bytes.iter_mut().skip(1).step_by(2).for_each(|byte| *byte &= 0xbf);
    QuantTensor::new(kind, [rows, cols], bytes).unwrap()
}

#[test]
fn a_quantised_operand_gives_the_bytes_of_its_numbers() {
    tunebench_amx_emulator::install();
    for level in SimdLevel::available() {
        // An emulated tile takes its time.
        let sizes: &[[usize; 2]] =
            if level == SimdLevel::Amx { &[[33, 256]] } else { &[[5, 256], [97, 768], [300, 512]] };
        for kind in QuantType::ALL {
            for [out, inner] in sizes {
                check_quantised::<bf16>(level, &quantised(kind, *out, *inner));
            }
            check_quantised::<f32>(level, &quantised(kind, 33, 256));
        }
    }
}

/// Both ways round, for few rows and for many: `x Wᵀ` and `y W`.
fn check_quantised<E: Element>(level: SimdLevel, tensor: &QuantTensor) {
    let [out, inner] = tensor.dims();
    let numbers: Vec<E> = tensor.to_vec(level);
    for m in [1, 17, 150] {
        let (x, y): (Vec<E>, Vec<E>) = (random("x", m * inner), random("y", m * out));
        let product = |a: Matrix<'_, E>, b: Rhs<'_, E>, n: usize| {
            let mut found = vec![0f32; m * n];
            gemm(level, &[(a, b)], 1.0, MatrixMut::new(&mut found, m, n), Store::Set);
            found.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        let (x, y, w) = (Matrix::new(&x, m, inner), Matrix::new(&y, m, out), Matrix::new(&numbers, out, inner));
        let (fwd, bwd) = (PackedRhs::new(level, w.t()), PackedRhs::new(level, w));
        let forward = product(x, w.t().into(), out);
        assert_eq!(product(x, tensor.matrix().t().into(), out), forward, "{level:?} {tensor:?} {m} forward");
        assert_eq!(product(x, (&fwd).into(), out), forward, "{level:?} {tensor:?} {m} forward, packed");
        let backward = product(y, w.into(), inner);
        assert_eq!(product(y, tensor.matrix().into(), inner), backward, "{level:?} {tensor:?} {m} backward");
        assert_eq!(product(y, (&bwd).into(), inner), backward, "{level:?} {tensor:?} {m} backward, packed");
    }
}

#[test]
fn parts_of_the_columns_are_the_bytes_of_products_of_their_own() {
    tunebench_amx_emulator::install();
    let (k, widths) = (96, [40, 7, 70]);
    for level in SimdLevel::available() {
        for m in [1, 5, 200] {
            let a: Vec<bf16> = random("a", m * k);
            let weights = widths.map(|n| random::<bf16>("b", n * k));
            let row: usize = widths.iter().sum();
            let (mut together, mut alone) = (vec![bf16::ONE; m * row], vec![bf16::ONE; m * row]);
            let (mut columns, mut first): (Vec<Columns<'_, bf16>>, usize) = (vec![], 0);
            for ((n, weight), store) in widths.iter().zip(&weights).zip([Store::Set, Store::Add, Store::Set]) {
                let (a, b) = (Matrix::new(&a, m, k), Matrix::new(weight, *n, k).t());
                gemm(level, &[(a, b)], 0.5, MatrixMut::strided(&mut alone[first..], m, *n, row), store);
                let terms = vec![Term::new(a, b)];
                columns.push(Columns { first, count: *n, rows: [0, m], terms, scale: 0.5, store });
                first += n;
            }
            gemm_columns(level, &columns, MatrixMut::new(&mut together, m, row));
            assert_eq!(together, alone, "{level:?} {m}");
        }
    }
}

/// Some rows of a batch for each of three adapters, in one piece or in several; the last has what is not finite.
const RANGES: [[&[[usize; 2]]; 3]; 3] = [
    [&[[0, 1]], &[], &[]],
    [&[[0, 2], [4, 5]], &[[2, 4], [5, 40]], &[[40, 70]]],
    [&[[0, 31], [33, 34], [150, 230]], &[[31, 33], [40, 100]], &[[34, 40], [100, 150], [230, 231]]],
];

#[test]
fn a_term_of_some_rows_leaves_the_others_as_they_are() {
    tunebench_amx_emulator::install();
    let (k, n, ranks) = (96, 83, [4, 40, 16]);
    for level in SimdLevel::available() {
        for (ranges, m) in RANGES.iter().zip([1, 70, 231]) {
            let (x, w): (Vec<bf16>, Vec<bf16>) = (random("x", m * k), random("w", n * k));
            let widest = 40;
            let hidden: Vec<bf16> = random("h", m * widest);
            let mut ups = ranks.map(|rank| random::<bf16>("b", n * rank));
            ups[2].iter_mut().step_by(3).for_each(|number| *number = bf16::NAN);
            ups[2].iter_mut().skip(1).step_by(3).for_each(|number| *number = bf16::INFINITY);
            let x = Matrix::new(&x, m, k);
            let packed = PackedRhs::new(level, Matrix::new(&w, n, k).t());
            let term =
                |i: usize| (Matrix::strided(&hidden, m, ranks[i], widest), Matrix::new(&ups[i], n, ranks[i]).t());
            let mut alone: Vec<Vec<bf16>> = Vec::new();
            for i in 0..3 {
                let terms: [(Matrix<'_, bf16>, Rhs<'_, bf16>); 2] =
                    [(x, (&packed).into()), (term(i).0, term(i).1.into())];
                let mut out = vec![bf16::ONE; m * n];
                gemm(level, &terms, 1.0, MatrixMut::new(&mut out, m, n), Store::Add);
                alone.push(out);
            }
            let mut plain = vec![bf16::ONE; m * n];
            gemm(level, &[(x, &packed)], 1.0, MatrixMut::new(&mut plain, m, n), Store::Add);

            let mut terms = vec![Term::new(x, &packed)];
            terms.extend((0..3).map(|i| Term { rows: Some(ranges[i]), ..Term::new(term(i).0, term(i).1) }));
            let part = Columns { first: 0, count: n, rows: [0, m], terms, scale: 1.0, store: Store::Add };
            let mut together = vec![bf16::ONE; m * n];
            gemm_columns(level, &[part], MatrixMut::new(&mut together, m, n));

            let bits = |numbers: &[bf16]| numbers.iter().map(|number| number.to_bits()).collect::<Vec<_>>();
            for row in 0..m {
                let is_in = |range: &[usize; 2]| (range[0]..range[1]).contains(&row);
                let own = (0..3).find(|i| ranges[*i].iter().any(is_in));
                let expected = own.map_or(&plain, |i| &alone[i]);
                let [found, expected] = [&together, expected].map(|out| bits(&out[row * n..][..n]));
                assert_eq!(found, expected, "{level:?}, {m} rows, row {row} of {own:?}");
            }
        }
    }
}

#[test]
fn parts_of_the_rows_are_the_bytes_of_products_of_their_own() {
    tunebench_amx_emulator::install();
    let k = 100;
    for level in SimdLevel::available() {
        for (cuts, m) in [([0, 1, 3, 9], 9), ([0, 20, 20, 300], 300)] {
            let (x, row) = (random::<bf16>("x", m * k), 24);
            let (mut together, mut alone) = (vec![bf16::ONE; m * row], vec![bf16::ONE; m * row]);
            let weights = [24, 8, 17].map(|n| random::<bf16>("w", n * k));
            let mut parts = Vec::new();
            for (i, weight) in weights.iter().enumerate() {
                let ([from, to], n, scale) = ([cuts[i], cuts[i + 1]], weight.len() / k, 0.5 + i as f32);
                let weight = Matrix::new(weight, n, k).t();
                let own = [(Matrix::new(&x[from * k..], to - from, k), weight)];
                gemm(level, &own, scale, MatrixMut::strided(&mut alone[from * row..], to - from, n, row), Store::Set);
                let terms = vec![Term::new(Matrix::new(&x, m, k), weight)];
                parts.push(Columns { first: 0, count: n, rows: [from, to], terms, scale, store: Store::Set });
            }
            gemm_columns(level, &parts, MatrixMut::new(&mut together, m, row));
            assert_eq!(together, alone, "{level:?} {m}");
        }
    }
}

#[test]
fn a_packed_operand_of_bf16_takes_two_bytes_a_number_on_every_level() {
    tunebench_amx_emulator::install();
    let weight: Vec<bf16> = random("w", 64 * 96);
    for level in SimdLevel::available() {
        assert_eq!(PackedRhs::new(level, Matrix::new(&weight, 64, 96).t()).bytes(), 2 * 64 * 96, "{level:?}");
    }
}

#[test]
fn a_sum_of_no_terms_is_zero() {
    for level in SimdLevel::available() {
        for m in [1, 200] {
            let mut out = vec![1f32; m * 20];
            gemm::<bf16, Matrix<'_, bf16>, f32>(level, &[], 1.0, MatrixMut::new(&mut out, m, 20), Store::Set);
            assert!(out.iter().all(|x| *x == 0.0), "{level:?} {m}");
        }
    }
}
