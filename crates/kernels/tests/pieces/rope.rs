//! Rotary positions: there, and back.

use half::bf16;
use tunebench_kernels::Element;
use tunebench_kernels::rope::{Turn, rope, tables};

use crate::{assert_close, everywhere, f32s, f64s, normal};

/// Tokens, columns of a row, heads, width of a head.
const CASES: [[usize; 4]; 6] =
    [[1, 2, 1, 2], [3, 40, 2, 10], [2, 64, 1, 64], [5, 300, 2, 94], [40, 960, 12, 64], [2, 7, 0, 4]];

fn check<E: Element>([n, row, heads, width]: [usize; 4]) {
    let x: Vec<E> = normal("x", n * row);
    let frequencies: Vec<f32> = (0..width / 2).map(|i| 1e4f32.powf(-2.0 * i as f32 / width as f32)).collect();
    let positions: Vec<u32> = (0..n as u32).map(|i| i * 37 % 101).collect();
    let [cos, sin, there, back] = everywhere(|level| {
        let (cos, sin) = tables(&frequencies, &positions);
        let (mut there, mut back) = (x.clone(), x.clone());
        rope(level, &mut there, row, heads, width, &cos, &sin, Turn::Forward);
        rope(level, &mut back, row, heads, width, &cos, &sin, Turn::Back);
        [cos, sin, f32s(&there), f32s(&back)]
    });
    let angles: Vec<f32> = positions.iter().flat_map(|p| frequencies.iter().map(move |f| *p as f32 * f)).collect();
    assert_eq!(cos, angles.iter().map(|a| a.cos()).collect::<Vec<_>>());
    assert_eq!(sin, angles.iter().map(|a| a.sin()).collect::<Vec<_>>());
    for (sign, found) in [(1.0, there), (-1.0, back)] {
        let mut right = f64s(&x);
        for (t, row) in right.chunks_mut(row).enumerate() {
            for head in row[..heads * width].chunks_mut(width) {
                for i in 0..width / 2 {
                    let (sin, cos) = f64::from(angles[t * (width / 2) + i]).sin_cos();
                    let (a, b, sin) = (head[i], head[i + width / 2], sin * sign);
                    (head[i], head[i + width / 2]) = (a * cos - b * sin, b * cos + a * sin);
                }
            }
        }
        assert_close::<E>("turned", &found, &right, 1e-6);
    }
}

#[test]
fn pairs_are_turned_there_and_back() {
    for case in CASES {
        check::<f32>(case);
        check::<bf16>(case);
    }
}
