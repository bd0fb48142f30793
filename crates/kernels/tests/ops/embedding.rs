//! Rows of an embedding table.

use half::bf16;
use tunebench_kernels::Element;
use tunebench_kernels::ops::embedding::{gather, scatter_add};

use crate::{everywhere, f32s, normal};

const VOCABULARY: usize = 50;

fn check<E: Element>([n, d]: [usize; 2]) {
    let (table, gradient): (Vec<E>, Vec<f32>) = (normal("table", VOCABULARY * d), normal("gradient", n * d));
    let tokens: Vec<u32> = (0..n).map(|i| (i * i % VOCABULARY) as u32).collect();
    let [rows, sums] = everywhere(|level| {
        let (mut rows, mut sums) = (vec![E::default(); n * d], f32s(&table));
        gather(&table, d, &tokens, &mut rows);
        scatter_add(level, &gradient, d, &tokens, &mut sums);
        [f32s(&rows), sums]
    });
    let mut right = f32s(&table);
    for (i, &token) in tokens.iter().enumerate() {
        let row = token as usize * d;
        assert_eq!(rows[i * d..][..d], f32s(&table[row..row + d]));
        for j in 0..d {
            right[row + j] += gradient[i * d + j];
        }
    }
    // The order of the sums is promised, so they are the same.
    assert_eq!(sums, right);
}

#[test]
fn rows_are_read_and_given_their_gradients() {
    for shape in [[1, 1], [7, 33], [200, 100], [3, 20_000]] {
        check::<f32>(shape);
        check::<bf16>(shape);
    }
}
