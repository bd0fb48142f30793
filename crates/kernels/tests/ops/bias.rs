//! Biases and their gradients.

use half::bf16;
use tunebench_kernels::Element;
use tunebench_kernels::ops::RowColumns;
use tunebench_kernels::ops::bias::{add_bias, bias_gradient, broadcast_bias};

use crate::{assert_close, everywhere, f32s, f64s, normal};

/// Rows, their numbers, the first output and how many there are.
const CASES: [[usize; 4]; 7] = [
    [0, 5, 1, 3],
    [1, 1, 0, 1],
    [3, 40, 7, 20],
    [5, 300, 0, 300],
    [130, 960, 576, 192],
    [2, 20_001, 1, 20_000],
    [4, 8, 8, 0],
];

fn check<E: Element>([n, row, first, count]: [usize; 4]) {
    let columns = RowColumns { row, first, count };
    let (x, bias, before): (Vec<E>, Vec<f32>, Vec<f32>) =
        (normal("x", n * row), normal("bias", count), normal("before", count));
    let [set, added, sums] = everywhere(|level| {
        let (mut set, mut added, mut sums) = (x.clone(), x.clone(), before.clone());
        broadcast_bias(level, &mut set, columns, &bias);
        add_bias(level, &mut added, columns, &bias);
        bias_gradient(level, &x, columns, &mut sums);
        [f32s(&set), f32s(&added), sums]
    });
    let (mut right_set, mut right_added, mut right) = (f32s(&x), f32s(&x), f64s(&before));
    for (set, added) in right_set.chunks_mut(row).zip(right_added.chunks_mut(row)) {
        for (j, (bias, right)) in bias.iter().zip(&mut right).enumerate() {
            *right += f64::from(added[first + j]);
            set[first + j] = E::from_f32(*bias).to_f32();
            added[first + j] = E::from_f32(added[first + j] + bias).to_f32();
        }
    }
    // One rounding each.
    assert_eq!(set, right_set);
    assert_eq!(added, right_added);
    assert_close::<f32>("gradient", &sums, &right, 1e-5);
}

#[test]
fn biases_and_their_gradients() {
    for case in CASES {
        check::<f32>(case);
        check::<bf16>(case);
    }
}
