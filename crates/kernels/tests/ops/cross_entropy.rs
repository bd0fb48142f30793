//! Cross-entropies and the likeliest token.

use half::bf16;
use tunebench_kernels::ops::cross_entropy::{argmax, cross_entropy, losses};
use tunebench_kernels::{Element, SimdLevel};

use crate::{SHAPES, assert_close, everywhere, f32s, f64s, normal};

fn check<E: Element>([m, v]: [usize; 2]) {
    let logits: Vec<f32> = normal::<f32>("logits", m * v).iter().map(|x| 5.0 * x + 40.0).collect();
    let labels: Vec<u32> = (0..m).map(|i| (i * 7919 % v) as u32).collect();
    let scale = 3.0;
    let [found, alone, gradient] = everywhere(|level| {
        let (mut found, mut alone, mut gradient) = (vec![0.0; m], vec![0.0; m], vec![E::default(); m * v]);
        cross_entropy(level, &logits, &labels, &mut found, &mut gradient, scale);
        losses(level, &logits, &labels, &mut alone);
        [found, alone, f32s(&gradient)]
    });
    assert_eq!(found, alone);
    let (mut right, mut slopes) = (Vec::new(), Vec::new());
    for (x, &label) in f64s(&logits).chunks(v).zip(&labels) {
        let sum: f64 = x.iter().map(|x| x.exp()).sum();
        right.push(sum.ln() - x[label as usize]);
        let hit = |j: usize| if j == label as usize { 1.0 } else { 0.0 };
        slopes.extend((0..v).map(|j| f64::from(scale) * (x[j].exp() / sum - hit(j))));
    }
    assert_close::<f32>("loss", &found, &right, 2e-6);
    assert_close::<E>("gradient", &gradient, &slopes, 2e-6);
}

#[test]
fn losses_and_their_gradients() {
    for shape in SHAPES {
        check::<f32>(shape);
        check::<bf16>(shape);
    }
}

#[test]
fn logits_far_apart_give_a_finite_loss_and_bad_ones_none() {
    let row = |logits: &[f32]| {
        let [loss, gradient] = everywhere(|level| {
            let (mut loss, mut gradient) = ([0.0], vec![0f32; logits.len()]);
            cross_entropy(level, logits, &[1], &mut loss, &mut gradient, 1.0);
            [loss.to_vec(), gradient]
        });
        (loss[0], gradient)
    };
    assert_eq!(row(&[1e4, -1e4, 0.0]), (2e4, vec![1.0, -1.0, 0.0]));
    assert_eq!(row(&[-1e4, 1e4, 1e4]), (2f32.ln(), vec![0.0, -0.5, 0.5]));
    assert_eq!(row(&[f32::NEG_INFINITY, 1.0]), (0.0, vec![0.0, 0.0]));
    for bad in [f32::NAN, f32::INFINITY] {
        for level in SimdLevel::available() {
            let mut loss = [0.0];
            losses(level, &[0.0, 1.0, bad], &[1], &mut loss);
            assert!(loss[0].is_nan());
        }
    }
}

#[test]
fn the_first_of_the_largest_is_taken() {
    let none = u32::MAX;
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let mut long = normal::<f32>("long", 5000);
    (long[4100], long[4999]) = (9.0, 9.0);
    let cases: [(&[f32], u32); 10] = [
        (&[1.0], 0),
        (&[1.0, 3.0, 3.0, 2.0], 1),
        (&[-0.0, 0.0], 0),
        (&[-5.0, -4.0, -inf], 1),
        (&[-inf, -inf], 0),
        (&[0.0, nan, 1.0], none),
        (&[nan, nan], none),
        (&[0.0, inf, 1.0], none),
        (&long, 4100),
        (&[-1e30; 3000], 0),
    ];
    for (logits, right) in cases {
        for level in SimdLevel::available() {
            let mut out = [7; 3];
            argmax(level, &logits.repeat(3), logits.len(), &mut out);
            assert_eq!(out, [right; 3], "{level:?}");
        }
    }
}
