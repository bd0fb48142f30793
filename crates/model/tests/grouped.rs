//! Several adapters over one base in one batch: each row has the bytes of the model with its adapter alone.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use candle_core::Tensor;
use half::bf16;
use tunebench_kernels::SimdLevel;
use tunebench_kernels::quant::QuantType;
use tunebench_model::backend::{FAST, PromptRow, REFERENCE};
use tunebench_model::fast::{Batch, Cache, Model, Options, Workspace};
use tunebench_model::{Tuning, Weights};
use tunebench_spec::{Decoder, VirtualKind};
use tunebench_testkit::blocks;
use tunebench_testkit::engines::levels;
use tunebench_testkit::methods::{ALL, ATTENTION, adapted, behind, both, dora, frozen, full, lora, rslora, wide_lora};
use tunebench_testkit::values;

/// Adapters of other ranks, scales and places: none at all, attention, all of a layer with dropout, two scales at maps of one
/// input and the head; and one whose training went wrong.
fn tunings(shape: &Decoder, weights: &Weights) -> Vec<Tuning> {
    let recorded = [
        frozen(shape),
        adapted(shape, &ATTENTION, lora, 0.0),
        adapted(shape, &ALL, wide_lora, 0.1),
        both(adapted(shape, &["q_proj", "up_proj", "lm_head"], lora, 0.0), adapted(shape, &["v_proj"], rslora, 0.0)),
    ];
    let mut tunings: Vec<Tuning> = recorded.into_iter().map(|of| values::moved(shape, weights, of)).collect();
    let spoilt = |name: &str, value: &Tensor| {
        let number = if name.ends_with("lora_B") { f64::NAN } else { f64::INFINITY };
        value.affine(1.0, number).unwrap()
    };
    tunings.push(values::with(shape, &tunings[2], spoilt));
    tunings
}

/// A text and the adapter that goes on with it.
struct Text {
    adapter: usize,
    tokens: Vec<u32>,
    /// Of the prompt.
    prompt: usize,
}

impl Text {
    fn new(number: usize, adapter: usize, prompt: usize) -> Self {
        let tokens = (0..prompt + 8).map(|i| ((i * 31 + number * 7) % 97) as u32).collect();
        Self { adapter, tokens, prompt }
    }

    /// The scores behind the prompt, and behind each token after it, by a model of its adapter alone.
    fn scores(&self, model: &Model<bf16>) -> Vec<Vec<u32>> {
        let (mut cache, mut scores, mut found) = (Cache::new(model), Vec::new(), Vec::new());
        model.prefill(&mut cache, &[&self.tokens[..self.prompt]], &mut scores).unwrap();
        for token in &self.tokens[self.prompt..] {
            found.push(bits(&scores));
            model.step(&mut cache, &[*token], &mut scores).unwrap();
        }
        found
    }
}

fn bits(scores: &[f32]) -> Vec<u32> {
    // A number that is none may be any of them.
    scores.iter().map(|score| if score.is_nan() { f32::NAN.to_bits() } else { score.to_bits() }).collect()
}

/// Answers side by side, rows coming and going.
fn check(shape: &Decoder, weights: &Weights, level: SimdLevel, what: &str) {
    let what = format!("{what}, {}", level.name());
    let options = Options { level, recompute: false, packed: false };
    let tunings = tunings(shape, weights);
    let mut grouped = Model::<bf16>::grouped(shape, weights.clone(), tunings.clone(), options).unwrap();
    grouped.pack();
    // More tokens at once than a block of any kernel has rows, and more rows than a tile.
    let texts = (0..22).map(|i| Text::new(i, [2, 0, 1, 4, 3, 1, 2][i % 7], [9, 3, 40, 1, 17][i % 5]));
    let texts: Vec<Text> = texts.collect();
    let mut expected = vec![Vec::new(); texts.len()];
    for (adapter, tuning) in tunings.into_iter().enumerate() {
        let mut alone = Model::<bf16>::new(shape, weights.clone(), tuning, options).unwrap();
        alone.pack();
        for (text, expected) in texts.iter().zip(&mut expected).filter(|(text, _)| text.adapter == adapter) {
            *expected = text.scores(&alone);
        }
    }
    let v = shape.vocab_size;
    let (mut cache, mut scores) = (Cache::new(&grouped), Vec::new());
    // Of each row: its text, and how many tokens after the prompt it has read.
    let mut rows: Vec<(usize, usize)> = Vec::new();
    for (round, joining) in [0..18, 18..18, 18..19, 19..22, 22..22, 22..22].into_iter().enumerate() {
        if round % 2 == 1 {
            for row in [0, 5, rows.len() - 3] {
                cache.swap_remove(row).unwrap();
                rows.swap_remove(row);
            }
        }
        if !joining.is_empty() {
            let prompts: Vec<&[u32]> = joining.clone().map(|i| &texts[i].tokens[..texts[i].prompt]).collect();
            let adapters: Vec<usize> = joining.clone().map(|i| texts[i].adapter).collect();
            grouped.prefill_adapted(&mut cache, &prompts, &adapters, &mut scores).unwrap();
            for (text, scores) in joining.clone().zip(scores.chunks(v)) {
                assert!(bits(scores) == expected[text][0], "{what}: the prompt of text {text}");
            }
            rows.extend(joining.map(|text| (text, 0)));
        }
        let next: Vec<u32> = rows.iter().map(|(text, read)| texts[*text].tokens[texts[*text].prompt + read]).collect();
        grouped.step(&mut cache, &next, &mut scores).unwrap();
        for ((text, read), scores) in rows.iter_mut().zip(scores.chunks(v)) {
            *read += 1;
            assert!(bits(scores) == expected[*text][*read], "{what}: text {text} after {read} tokens");
        }
    }
    let is_number = |scores: &Vec<u32>| scores.iter().all(|score| f32::from_bits(*score).is_finite());
    for (text, expected) in texts.iter().zip(&expected) {
        assert_eq!(expected.iter().all(is_number), text.adapter != 4, "{what}: nothing to compare");
    }
    assert_ne!(expected[0], texts[0].scores(&Model::new(shape, weights.clone(), Tuning::none(), options).unwrap()));
}

#[test]
fn rows_of_several_adapters_have_the_bytes_of_each_alone() {
    tunebench_amx_emulator::install();
    let shape = blocks::shape(false);
    for kind in [None, Some(QuantType::Q4_0), Some(QuantType::Nf4)] {
        let [held, plain] = blocks::both(&shape, kind.unwrap_or(QuantType::Q8_0));
        let weights = if kind.is_some() { held } else { plain };
        // Emulated tiles take long; right operands come to them as to all others.
        for level in levels().into_iter().filter(|level| *level != SimdLevel::Amx || kind.is_none()) {
            check(&shape, &weights, level, kind.map_or("bf16", QuantType::name));
        }
    }
}

#[test]
fn prompts_are_scored_by_their_own_adapters() {
    tunebench_amx_emulator::install();
    let shape = blocks::shape(false);
    let [_, weights] = blocks::both(&shape, QuantType::Q8_0);
    let tunings = tunings(&shape, &weights);
    let texts: Vec<Text> = (0..6).map(|i| Text::new(i, [3, 1, 2][i % 3], 50 + i)).collect();
    let prompts: Vec<PromptRow<'_>> =
        texts.iter().map(|text| PromptRow { tokens: &text.tokens, adapter: text.adapter }).collect();
    let scored = |model: &dyn tunebench_model::backend::Generator, prompts: &[PromptRow<'_>]| {
        let (mut all, mut last) = (Vec::new(), Vec::new());
        let mut each = |first: usize, scores: &[f32]| {
            assert_eq!(first * shape.vocab_size, all.len());
            all.extend(bits(scores));
        };
        model.rows().prefill_scored(prompts, &mut each, &mut last).unwrap();
        (all, bits(&last))
    };
    let grouped = FAST.grouped_generator(&shape, weights.clone(), tunings.clone()).unwrap();
    assert_eq!(grouped.adapters(), tunings.len());
    let (all, last) = scored(grouped.as_ref(), &prompts);
    let mut expected = (Vec::new(), Vec::new());
    for prompt in &prompts {
        let (weights, tuning) = (weights.clone(), tunings[prompt.adapter].clone());
        let parts = tunebench_model::backend::Parts { shape: &shape, weights, tuning };
        let alone = FAST.generator(parts).unwrap();
        let (all, last) = scored(alone.as_ref(), &[prompt.tokens.into()]);
        expected.0.extend(all);
        expected.1.extend(last);
    }
    assert!((all, last) == expected);
    let none = [PromptRow { tokens: &[1], adapter: 5 }];
    let error = grouped.rows().prefill(&none, &mut Vec::new()).unwrap_err().to_string();
    assert_eq!(error, "no adapter 5 in a model of 5");
}

#[test]
fn what_is_not_lora_over_frozen_weights_is_refused_by_name() {
    let shape = blocks::shape(false);
    let [_, weights] = blocks::both(&shape, QuantType::Q8_0);
    let cases = [
        (full(&shape), "it trains `lm_head.weight` itself"),
        (
            adapted(&shape, &["v_proj"], dora, 0.0),
            "what it does at `model.layers.0.self_attn.v_proj.weight` is not LoRA",
        ),
        (behind(frozen(&shape), &shape, VirtualKind::KeysValues, false), "it has virtual tokens"),
    ];
    for (recorded, why) in cases {
        assert_eq!(FAST.grouping_refusal(&recorded).as_deref(), Some(why));
        let tuning = Tuning::init(&shape, &weights, recorded, 1).unwrap();
        let refused = FAST.grouped_generator(&shape, weights.clone(), vec![Tuning::none(), tuning]);
        let error = refused.err().unwrap().to_string();
        assert!(error.contains("adapter 1") && error.contains(why), "{error}");
    }
    assert_eq!(FAST.grouping_refusal(&adapted(&shape, &ALL, lora, 0.1)), None);
    let by_reference = REFERENCE.grouped_generator(&shape, weights.clone(), vec![Tuning::none()]).err().unwrap();
    assert!(by_reference.to_string().contains("the engine `reference` answers by one adapter at a time"));

    // Whose rows they would be is said for a cache's rows alone.
    let options = Options { level: levels()[0], recompute: false, packed: false };
    let model = Model::<bf16>::grouped(&shape, weights, vec![Tuning::none(); 2], options).unwrap();
    let batch = Batch::unlabelled([&[1u32, 2][..]], 0).unwrap();
    assert!(model.logits(&batch, &[1], &mut Workspace::default()).is_err());
}
