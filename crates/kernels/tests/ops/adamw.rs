//! The optimizer's step, and weights in two halves.

use half::bf16;
use tunebench_kernels::optim::adamw::{AdamW, AdamWParams, Update, Weights, join, split, update};

use crate::{assert_close, everywhere, f64s, normal};

const PARAMS: AdamWParams = AdamWParams { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.1 };

/// The reference trainer's loop, in its own order of operations.
fn reference(t: u64, lr: f64, scale: f64, [w, g, m, v]: [&[f32]; 4]) -> [Vec<f32>; 3] {
    let r = PARAMS;
    let correction = |beta: f64| 1.0 - beta.powf(t as f64);
    let decay = (1.0 - lr * r.weight_decay) as f32;
    let (beta1, beta2) = (r.beta1 as f32, r.beta2 as f32);
    let (rest1, rest2) = ((1.0 - r.beta1) as f32, (1.0 - r.beta2) as f32);
    let rate = (lr / correction(r.beta1)) as f32;
    let root = (1.0 / correction(r.beta2).sqrt()) as f32;
    let (epsilon, scale) = (r.epsilon as f32, scale as f32);
    let (mut w, mut m, mut v) = (w.to_vec(), m.to_vec(), v.to_vec());
    for (((w, g), m), v) in w.iter_mut().zip(g).zip(&mut m).zip(&mut v) {
        let g = g * scale;
        *m = beta1 * *m + rest1 * g;
        *v = beta2 * *v + rest2 * g * g;
        *w = *w * decay - rate * *m / (v.sqrt() * root + epsilon);
    }
    [w, m, v]
}

#[test]
fn a_step_is_the_reference_trainers_byte_for_byte() {
    // Tensors of several tasks, of one, and of a few elements.
    for sizes in [[150_001, 700], [1000, 3]] {
        let [w, g, m, v] = ["w", "g", "m", "v"].map(|name| sizes.map(|n| normal::<f32>(name, n)));
        let v = v.map(|v| v.iter().map(|x| x * x).collect::<Vec<f32>>());
        for (t, lr) in [(1, 1e-3), (300, 5e-6)] {
            let step = AdamW::new(&PARAMS, t, lr, 0.25);
            let [full, whole, first, second] = everywhere(|level| {
                let (mut full, mut m1, mut v1) = (w[0].clone(), m[0].clone(), v[0].clone());
                let (mut high, mut low) = (vec![bf16::ZERO; sizes[1]], vec![0; sizes[1]]);
                split(&w[1], &mut high, &mut low);
                let (mut m2, mut v2) = (m[1].clone(), v[1].clone());
                let halves = Weights::Split { high: &mut high, low: &mut low };
                let updates = vec![
                    Update {
                        weights: Weights::Full(&mut full),
                        gradient: &g[0],
                        first: &mut m1,
                        second: &mut v1,
                        step,
                    },
                    Update { weights: halves, gradient: &g[1], first: &mut m2, second: &mut v2, step },
                ];
                update(level, updates);
                let mut whole = vec![0.0; sizes[1]];
                join(&high, &low, &mut whole);
                [full, whole, [m1, m2].concat(), [v1, v2].concat()]
            });
            let right = [0, 1].map(|i| reference(t, lr, 0.25, [&w[i], &g[i], &m[i], &v[i]]));
            let [[w1, m1, v1], [w2, m2, v2]] = right;
            assert_eq!([full, whole], [w1, w2]);
            assert_eq!([first, second], [[m1, m2].concat(), [v1, v2].concat()]);
        }
    }
}

#[test]
fn a_first_step_moves_each_weight_by_the_learning_rate() {
    let (w, g) = (normal::<f32>("w", 100), normal::<f32>("g", 100));
    let lr = 1e-2;
    let [found] = everywhere(|level| {
        let (mut weights, mut first, mut second) = (w.clone(), vec![0.0; 100], vec![0.0; 100]);
        let step = AdamW::new(&AdamWParams { weight_decay: 0.0, ..PARAMS }, 1, lr, 1.0);
        let weights_here = Weights::Full(&mut weights);
        let update_here = Update { weights: weights_here, gradient: &g, first: &mut first, second: &mut second, step };
        update(level, vec![update_here]);
        [weights]
    });
    let right: Vec<f64> = f64s(&w).iter().zip(&g).map(|(w, g)| w - lr * f64::from(g.signum())).collect();
    assert_close::<f32>("weight", &found, &right, 1e-6);
}

#[test]
fn halves_are_the_whole_and_the_upper_one_is_the_nearest() {
    let mut values: Vec<f32> = (0..=u32::MAX).step_by(4093).map(f32::from_bits).filter(|x| x.is_finite()).collect();
    values.extend([0.0, -0.0, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0]);
    let (mut high, mut low) = (vec![bf16::ZERO; values.len()], vec![0; values.len()]);
    split(&values, &mut high, &mut low);
    let mut joined = vec![0f32; values.len()];
    join(&high, &low, &mut joined);
    let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert!(bits(&values) == bits(&joined));
    for ((value, high), low) in values.iter().zip(&high).zip(&low) {
        let is_tie = *low == i16::MIN;
        let nearest = bf16::from_f32(*value);
        let right = if is_tie { bf16::from_f32(f32::from_bits(value.to_bits() + 1)) } else { nearest };
        assert_eq!(high.to_bits(), right.to_bits(), "{value}");
    }
}
