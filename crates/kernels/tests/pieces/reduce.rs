//! Passes over plain numbers.

use half::bf16;
use tunebench_kernels::Element;
use tunebench_kernels::reduce::{add_to, narrow, sum_of_squares, widen};

use crate::{everywhere, f32s, f64s, normal};

fn check<E: Element>(n: usize) {
    let (x, y): (Vec<E>, Vec<f32>) = (normal("x", n), normal("y", n));
    let [wide, sums, narrowed, squares] = everywhere(|level| {
        let (mut wide, mut sums, mut narrowed) = (vec![0.0; n], y.clone(), vec![E::default(); n]);
        widen(level, &x, &mut wide);
        add_to(level, &x, &mut sums);
        narrow(level, &y, &mut narrowed);
        // An f64 in two parts, so that all its bytes are compared.
        let sum = sum_of_squares(level, &y);
        [wide, sums, f32s(&narrowed), vec![sum as f32, (sum - f64::from(sum as f32)) as f32]]
    });
    assert_eq!(wide, f32s(&x));
    assert_eq!(sums, x.iter().zip(&y).map(|(x, y)| y + x.to_f32()).collect::<Vec<_>>());
    assert_eq!(narrowed, y.iter().map(|y| E::from_f32(*y).to_f32()).collect::<Vec<_>>());
    let right: f64 = f64s(&y).iter().fold(0.0, |sum, y| sum + y * y);
    let found = f64::from(squares[0]) + f64::from(squares[1]);
    assert!((found - right).abs() <= 1e-12 * right, "{found}, not {right}");
}

#[test]
fn numbers_are_widened_narrowed_and_summed() {
    for n in [0, 1, 33, 1000, 70_001] {
        check::<f32>(n);
        check::<bf16>(n);
    }
}
