//! Rotary positions, and their inverse.

use half::bf16;
use tunebench_kernels::Element;
use tunebench_kernels::ops::HeadColumns;
use tunebench_kernels::ops::rope::{RopeTables, Rotation, rope, tables};

use crate::{assert_close, everywhere, f32s, f64s, normal};

/// Tokens, columns of a row, the first column of a head, heads, width of a head, and how much of it is rotated.
const CASES: [[usize; 6]; 10] = [
    [1, 2, 0, 1, 2, 2],
    [3, 40, 0, 2, 10, 10],
    [2, 64, 0, 1, 64, 64],
    [5, 300, 0, 2, 94, 94],
    [4, 51, 9, 2, 20, 20],
    [40, 960, 0, 12, 64, 64],
    [2, 7, 0, 0, 4, 4],
    [3, 300, 4, 3, 80, 20],
    [2, 26, 1, 2, 11, 8],
    [40, 960, 0, 7, 128, 96],
];

fn check<E: Element>([n, row, first, heads, head_dim, rotary]: [usize; 6], factor: f32) {
    let columns = HeadColumns { row, first, heads, head_dim };
    let x: Vec<E> = normal("x", n * row);
    let frequencies: Vec<f32> = (0..rotary / 2).map(|i| 1e4f32.powf(-2.0 * i as f32 / rotary as f32)).collect();
    let positions: Vec<u32> = (0..n as u32).map(|i| i * 37 % 101).collect();
    let [cos, sin, forward, inverse] = everywhere(|level| {
        let tables = tables(&frequencies, factor, &positions);
        let (mut forward, mut inverse) = (x.clone(), x.clone());
        rope(level, &mut forward, columns, &tables, Rotation::Forward);
        rope(level, &mut inverse, columns, &tables, Rotation::Inverse);
        let RopeTables { cos, sin, .. } = tables;
        [cos, sin, f32s(&forward), f32s(&inverse)]
    });
    let angles: Vec<f32> = positions.iter().flat_map(|p| frequencies.iter().map(move |f| *p as f32 * f)).collect();
    assert_eq!(cos, angles.iter().map(|a| a.cos() * factor).collect::<Vec<_>>());
    assert_eq!(sin, angles.iter().map(|a| a.sin() * factor).collect::<Vec<_>>());
    for (sign, found) in [(1.0, forward), (-1.0, inverse)] {
        let mut right = f64s(&x);
        for (t, row) in right.chunks_mut(row).enumerate() {
            for head in row[first..first + heads * head_dim].chunks_mut(head_dim) {
                for i in 0..rotary / 2 {
                    let (sin, cos) = f64::from(angles[t * (rotary / 2) + i]).sin_cos();
                    let (sin, cos) = (sin * sign * f64::from(factor), cos * f64::from(factor));
                    let (a, b) = (head[i], head[i + rotary / 2]);
                    (head[i], head[i + rotary / 2]) = (a * cos - b * sin, b * cos + a * sin);
                }
            }
        }
        assert_close::<E>("rotated", &found, &right, 1e-6);
    }
}

#[test]
fn pairs_are_rotated_and_back() {
    for case in CASES {
        for factor in [1.0, 1.3] {
            check::<f32>(case, factor);
            check::<bf16>(case, factor);
        }
    }
}
