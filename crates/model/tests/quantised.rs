//! Quantised weights in the fast engine: the bytes of the same model with plain numbers, in training and in answers.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use half::bf16;
use tunebench_kernels::SimdLevel;
use tunebench_kernels::quant::QuantType;
use tunebench_model::fast::{Batch, Cache, Model, Options, Workspace};
use tunebench_model::{DropoutKey, Tuning, Weights};
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::{Decoder, VirtualKind};
use tunebench_testkit::blocks::{both, shape};
use tunebench_testkit::engines::levels;
use tunebench_testkit::methods::{ALL, adapted, behind, dora, frozen, lora};
use tunebench_testkit::values;

/// Loss, all gradients and the scores of answers, as bits.
fn computed(shape: &Decoder, weights: Weights, tuning: &Tuning, options: Options) -> Vec<u32> {
    let texts: [Vec<u32>; 2] = [(0..20).map(|i| i * 7 % 97).collect(), (0..130).map(|i| i * 31 % 97).collect()];
    let labels: Vec<Vec<bool>> = texts.iter().map(|text| (0..text.len()).map(|i| i % 3 > 0).collect()).collect();
    let mut model = Model::<bf16>::new(shape, weights, tuning.clone(), options).unwrap();
    let before = model.frozen_fingerprint();
    let rows = texts.iter().zip(&labels).map(|(text, labels)| (text.as_slice(), labels.as_slice()));
    let batch = Batch::new(rows, model.virtual_tokens()).unwrap();
    let key = DropoutKey::for_batch(3, 0, vec![0, 1], batch.seq_ends());
    let (mut gradients, mut work) = (model.gradients(), Workspace::default());
    let loss = model.loss_and_gradients(&batch, &key, &mut gradients, &mut work).unwrap();
    let mut found = vec![(loss as f32).to_bits()];
    found.extend(
        gradients.iter_mut().flat_map(|(_, gradient)| gradient.iter().map(|g| g.to_bits()).collect::<Vec<_>>()),
    );
    assert_eq!(model.frozen_fingerprint(), before);
    model.pack();
    let (mut cache, mut scores) = (Cache::new(&model), Vec::new());
    model.prefill(&mut cache, &[&texts[0][..9], &texts[1][..70]], &mut scores).unwrap();
    for token in 1..3 {
        model.step(&mut cache, &[token, token + 5], &mut scores).unwrap();
        found.extend(scores.iter().map(|score| score.to_bits()));
    }
    cache.swap_remove(0).unwrap();
    model.step(&mut cache, &[4], &mut scores).unwrap();
    found.extend(scores.iter().map(|score| score.to_bits()));
    found
}

#[test]
fn a_quantised_base_gives_the_bytes_of_its_numbers() {
    tunebench_amx_emulator::install();
    for kind in QuantType::ALL {
        let shape = shape(kind == QuantType::Q4_0);
        let [blocks, plain] = both(&shape, kind);
        let tuning = values::moved(&shape, &plain, adapted(&shape, &ALL, lora, 0.2));
        // Emulated tiles take a minute for each format; `crates/kernels/tests/gemm.rs` tries all of them.
        for level in levels().into_iter().filter(|level| *level != SimdLevel::Amx || kind == QuantType::Q8_0) {
            let options = Options { level, recompute: false, packed: false };
            let expected = computed(&shape, plain.clone(), &tuning, options);
            let (loss, is_finite) = (f32::from_bits(expected[0]), |bits: &u32| f32::from_bits(*bits).is_finite());
            assert!(loss > 0.0 && expected.iter().all(is_finite), "{kind:?}: nothing to compare");
            for packed in [false, true] {
                let found = computed(&shape, blocks.clone(), &tuning, Options { packed, ..options });
                assert!(found == expected, "{}, {}, packed {packed}", kind.name(), level.name());
            }
            let packed = computed(&shape, plain.clone(), &tuning, Options { packed: true, ..options });
            assert!(packed == expected, "{}, {}: plain and packed", kind.name(), level.name());
        }
    }
}

/// DoRA's graph and virtual tokens read whole weights.
#[test]
fn graphs_over_a_quantised_base_give_the_bytes_of_its_numbers() {
    tunebench_amx_emulator::install();
    let shape = shape(false);
    let cases: [fn(&Decoder) -> RecordedPlan; 2] =
        [|shape| adapted(shape, &ALL, dora, 0.1), |shape| behind(frozen(shape), shape, VirtualKind::KeysValues, false)];
    for (kind, recorded) in [QuantType::Q4K, QuantType::Nf4].into_iter().flat_map(|kind| cases.map(|case| (kind, case)))
    {
        let [blocks, plain] = both(&shape, kind);
        let tuning = values::moved(&shape, &plain, recorded(&shape));
        let options = Options { level: levels()[0], recompute: true, packed: false };
        let expected = computed(&shape, plain, &tuning, options);
        assert!(computed(&shape, blocks, &tuning, options) == expected, "{}", kind.name());
    }
}

#[test]
fn an_adapter_is_folded_into_what_the_blocks_stand_for() {
    tunebench_amx_emulator::install();
    let shape = shape(false);
    let [blocks, plain] = both(&shape, QuantType::Q6K);
    let tuning = values::moved(&shape, &plain, adapted(&shape, &["q_proj"], lora, 0.0));
    let kept = blocks.quantised().len();
    let [blocks, plain] = [blocks, plain].map(|weights| tuning.merge(&shape, weights).unwrap());
    // f32 numbers of blocks are not bf16's, so they are near.
    for (name, tensor) in plain.iter() {
        let scale = tensor.abs().unwrap().flatten_all().unwrap().max(0).unwrap();
        let scale = scale.to_dtype(candle_core::DType::F32).unwrap().to_scalar::<f32>().unwrap();
        assert!(blocks.distance(name, &tensor).unwrap() <= scale / 200.0, "{name}");
    }
    // Two layers of one adapted weight are plain now; the others are what they were.
    assert_eq!(blocks.quantised().len(), kept - 2);
}

/// What is held in blocks is known before it is read, and of which of them pages may be taken back.
#[test]
fn what_a_file_says_is_held_is_held() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/gguf");
    let mut mapped = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let Ok(source) = tunebench_model::open(&path) else { continue };
        let said = source.quantised();
        let weights = source.weights().unwrap();
        assert_eq!(weights.quantised(), said, "{}", path.display());
        let bytes = said.values().filter(|weight| weight.is_mapped).map(|weight| weight.bytes).sum::<u64>();
        assert_eq!(weights.mapped_bytes(), bytes, "{}", path.display());
        mapped += bytes;
    }
    assert!(mapped > 0);
}
