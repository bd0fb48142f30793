//! Passes over plain numbers.

use half::bf16;
use tunebench_kernels::Element;
use tunebench_kernels::ops::RowColumns;
use tunebench_kernels::ops::reduce::{add, copy, copy_columns, narrow, scale, sum_of_squares};

use crate::{everywhere, f32s, f64s, normal};

fn check<E: Element>(n: usize) {
    let (x, y): (Vec<E>, Vec<f32>) = (normal("x", n), normal("y", n));
    let [copied, narrowed, squares] = everywhere(|level| {
        let (mut copied, mut narrowed) = (vec![E::default(); n], vec![E::default(); n]);
        copy(&x, &mut copied);
        narrow(level, &y, &mut narrowed);
        // An f64 in two parts, so that all its bytes are compared.
        let sum = sum_of_squares(level, &y);
        [f32s(&copied), f32s(&narrowed), vec![sum as f32, (sum - f64::from(sum as f32)) as f32]]
    });
    assert_eq!(copied, f32s(&x));
    assert_eq!(narrowed, y.iter().map(|y| E::from_f32(*y).to_f32()).collect::<Vec<_>>());
    let right: f64 = f64s(&y).iter().fold(0.0, |sum, y| sum + y * y);
    let found = f64::from(squares[0]) + f64::from(squares[1]);
    assert!((found - right).abs() <= 1e-12 * right, "{found}, not {right}");
}

#[test]
fn columns_are_copied() {
    for [n, row, first, count] in [[0, 3, 1, 2], [1, 1, 0, 1], [40, 960, 100, 700], [3, 7, 2, 0]] {
        let x: Vec<bf16> = normal("x", n * row);
        let [copied] = everywhere(|_| {
            let mut copied = vec![bf16::ZERO; n * count];
            copy_columns(&x, RowColumns { row, first, count }, &mut copied);
            [f32s(&copied)]
        });
        assert_eq!(copied, x.chunks(row).flat_map(|row| f32s(&row[first..first + count])).collect::<Vec<_>>());
    }
}

fn check_sums<E: Element>(n: usize) {
    let (x, y): (Vec<E>, Vec<E>) = (normal("x", n), normal("y", n));
    let [scaled, added] = everywhere(|level| {
        let (mut scaled, mut added) = (x.clone(), vec![E::default(); n]);
        scale(level, &mut scaled, 5.6);
        add(level, &x, &y, &mut added);
        [f32s(&scaled), f32s(&added)]
    });
    let (x, y) = (f32s(&x), f32s(&y));
    assert_eq!(scaled, x.iter().map(|x| E::from_f32(x * 5.6).to_f32()).collect::<Vec<_>>());
    assert_eq!(added, x.iter().zip(&y).map(|(x, y)| E::from_f32(x + y).to_f32()).collect::<Vec<_>>());
}

#[test]
fn numbers_are_copied_narrowed_and_summed() {
    for n in [0, 1, 33, 1000, 70_001] {
        check::<f32>(n);
        check::<bf16>(n);
        check_sums::<f32>(n);
        check_sums::<bf16>(n);
    }
}
