//! Products against sums in f64, on every level, for every order of operands, however many threads.
#![allow(clippy::unwrap_used)]

use half::bf16;
use tunebench_kernels::gemm::{Matrix, MatrixMut, Store, gemm, gemm_single_thread};
use tunebench_kernels::{Element, SimdLevel};
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
    let (n, k) = (75, 130);
    let (a, b): (Vec<bf16>, Vec<bf16>) = (random("a", 50 * k), random("b", k * n));
    for level in SimdLevel::available() {
        let rows = |from: usize, to: usize| {
            let mut out = vec![0f32; (to - from) * n];
            let a = Matrix::new(&a[from * k..to * k], to - from, k);
            gemm(level, &[(a, Matrix::new(&b, n, k).t())], 1.0, MatrixMut::new(&mut out, to - from, n), Store::Set);
            out
        };
        let all = rows(0, 50);
        for (from, to) in [(0, 1), (7, 9), (49, 50), (3, 40)] {
            assert_eq!(rows(from, to), all[from * n..to * n], "{level:?}");
        }
    }
}
