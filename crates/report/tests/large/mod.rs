//! Results of the size that a report must bear: 20 arms, 5 seeds, 1,000 items, 3 judges, made from a seed.

pub mod prose;

use prose::{ANSWER, ARMS, ITEMS, JUDGES, SEEDS, WORDS, arm_name, prose, vocabulary};
use tunebench_report::data::*;
use tunebench_spec::random::Stream;

/// All but the answers.
pub fn report() -> Report {
    let mut random = Stream::named(1, "arms");
    let arms: Vec<Arm> = (0..ARMS).map(|i| arm(i, &mut random)).collect();
    let curve = |arm: usize, seed: u64| {
        let mut random = Stream::new(seed, &[arm as u64, 1]);
        let loss = |step: u64| 1.5 + 2.0 * (-(step as f64) / 200.0).exp();
        let training = (1..=2_000).map(|step| LossPoint { step, loss: loss(step) + 0.1 * random.normal() }).collect();
        let held_out = (0..=2_000).step_by(100).map(|step| LossPoint { step, loss: loss(step) }).collect();
        Curve { arm: arm_name(arm), seed, training, held_out }
    };
    let mut pairs = Vec::new();
    for (i, first) in arms.iter().enumerate() {
        for second in arms.iter().skip(i + 1) {
            let means = [first, second].map(|arm| arm.score.map_or(0.0, |score| score.mean));
            let difference = means[0] - means[1];
            let interval = Some(Interval { low: difference - 0.03, high: difference + 0.03 });
            let (first, second) = (first.name.clone(), second.name.clone());
            pairs.push(Pair {
                first,
                second,
                difference,
                interval,
                adjusted_p: Some(0.04),
                verdict: Verdict::NotToldApart,
                within_margin: false,
            });
        }
    }
    Report {
        study: "large".into(),
        decision: Decision { headline: "Twenty arms on one page".into(), ..Decision::default() },
        curves: (0..ARMS).flat_map(|arm| (0..SEEDS).map(move |seed| curve(arm, seed))).collect(),
        judges: (0..JUDGES).map(|judge| format!("judge-{judge}")).collect(),
        arms,
        pairs,
        ..Report::default()
    }
}

fn arm(i: usize, random: &mut Stream) -> Arm {
    let mean = 0.3 + 0.4 * random.uniform();
    Arm {
        name: arm_name(i),
        base: format!("model-{}", i % 5),
        tuner: format!("tuner-{}", i % 4),
        dataset: "data".into(),
        seeds: SEEDS as u32,
        items: ITEMS as u32,
        score: Some(Score {
            mean,
            interval: Some(Interval { low: mean - 0.02, high: mean + 0.02 }),
            scope: Scope::ItemsAndTrainings,
        }),
        letters: "ab".into(),
        train_hours: Some(0.5 + 8.0 * random.uniform()),
        trainable_params: Some(1_000_000 * (i as u64 + 1)),
        ..Arm::default()
    }
}

/// The answers, made one by one as they are asked for.
pub fn answers() -> impl Iterator<Item = ItemAnswers> {
    let vocabulary = vocabulary();
    (0..ITEMS).map(move |i| item(i, &vocabulary))
}

fn item(i: usize, vocabulary: &[String]) -> ItemAnswers {
    let mut random = Stream::new(3, &[i as u64]);
    let mut answers = Vec::with_capacity(ARMS * SEEDS as usize);
    for arm in 0..ARMS {
        for seed in 0..SEEDS {
            let judgement = |judge: usize, random: &mut Stream| Judgement {
                judge: format!("judge-{judge}"),
                score: Some((random.uniform() * 20.0).round() / 20.0),
                status: "scored".into(),
                words: prose(random, vocabulary, WORDS),
                ..Judgement::default()
            };
            let text = prose(&mut random, vocabulary, ANSWER);
            let judgements = (0..JUDGES).map(|judge| judgement(judge, &mut random)).collect();
            answers.push(Answer { arm: arm_name(arm), seed, text, judgements });
        }
    }
    ItemAnswers {
        id: format!("item-{i:04}"),
        category: format!("category {}", i % 9),
        question: prose(&mut random, vocabulary, 150),
        reference: Some(prose(&mut random, vocabulary, ANSWER)),
        answers,
    }
}
