//! Arms over one base: it is opened once for the pieces of work over it, let go where memory is needed, and what comes of it is
//! what comes of a process for each arm. What they are asked is tokenized once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;
use tunebench_host::Options;
use tunebench_kernels::quant::QuantTensor;
use tunebench_model::backend::{FAST, REFERENCE};
use tunebench_model::weights::Stored;
use tunebench_model::{Tokenizer, Weights};
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::study::Quantise;
use tunebench_spec::{ArmRecord, Decoder, Example, Generation, LossLog};
use tunebench_study::base::SharedBase;
use tunebench_study::model_encoder::{Form, ModelEncoder};
use tunebench_study::model_files::ModelFiles;
use tunebench_study::prompts::KnownPrompts;
use tunebench_study::trained_arm::base_weights;
use tunebench_study::{Base, Event, Observer, RunOptions, StudyError};

use crate::plugins::registry;
use crate::quantised::{STUDY, bench, save_model, shape};
use crate::support::plugin;
use crate::workbench::{Workbench, arm_over as arm, result};

/// What came of an arm, but how long it took and what memory.
#[derive(Debug, PartialEq)]
struct Came {
    trained: Vec<(PathBuf, Vec<u8>)>,
    losses: Vec<LossLog>,
    answers: Vec<Generation>,
}

fn came(bench: &Workbench, out: &str, arm: &str) -> Came {
    let record = bench.rows::<ArmRecord>(out).into_iter().find(|row| row.arm == arm).unwrap();
    let answers = bench.rows::<Generation>(out).into_iter().filter(|row| row.arm == arm);
    Came {
        trained: result(&bench.path(out), &record.identity),
        losses: bench.rows::<LossLog>(out).into_iter().filter(|row| row.arm == arm).collect(),
        answers: answers.map(|row| Generation { seconds: 0.0, ..row }).collect(),
    }
}

#[test]
fn what_comes_of_arms_over_one_base_is_what_comes_of_each_alone() {
    // One after the other over a model that is shared, over another, over none that stays, and over an arm.
    let arms = [
        arm("first", "plain", "lora-all-linear"),
        arm("second", "plain", "lora-attention"),
        arm("whole", "plain", "ft"),
        arm("third", "plain", "lora-all-linear"),
        arm("four bits", "nf4", "lora-attention"),
        arm("four bits more", "nf4", "lora-all-linear"),
        arm("then", "second", "lora-all-linear"),
        arm("then whole", "second", "ft"),
        arm("then again", "second", "lora-attention"),
    ];
    let bench = bench(&arms);
    bench.run("together");
    let names =
        ["first", "second", "whole", "third", "four bits", "four bits more", "then", "then whole", "then again"];
    for (number, name) in names.into_iter().enumerate() {
        let out = format!("alone {number}");
        bench.try_run(&out, &[name]).0.unwrap();
        let alone = came(&bench, &out, name);
        assert!(!alone.trained.is_empty() && !alone.losses.is_empty() && !alone.answers.is_empty(), "{alone:?}");
        assert_eq!(came(&bench, "together", name), alone, "{name}");
    }
}

/// The quantised weights, by name: each quantising makes others.
fn quantised(weights: &Weights) -> BTreeMap<String, Arc<QuantTensor>> {
    let of = |(name, stored): (&str, &Stored)| match stored {
        Stored::Quantised(tensor) => Some((name.to_owned(), tensor.clone())),
        Stored::Plain(_) => None,
    };
    weights.stored().filter_map(of).collect()
}

/// Whether these are the same in memory.
fn are_shared(one: &Weights, other: &Weights) -> bool {
    let (one, other) = (quantised(one), quantised(other));
    assert!(one.len() == 14 && one.keys().eq(other.keys()));
    one.iter().all(|(name, tensor)| Arc::ptr_eq(tensor, &other[name]))
}

#[test]
fn a_base_is_opened_once_until_it_is_let_go() {
    let bench = bench(&[]);
    let base = |quantise| {
        let files = ModelFiles { source: bench.path("model"), adapter: None, quantise };
        Base::Files { identity: files.identity().unwrap(), files }
    };
    let (nf4, plain) = (base(Some(Quantise::Nf4)), base(None));
    let open = |base: &Base, shared: &mut SharedBase| base_weights(&bench.path("out"), base, &shape(), shared).unwrap();
    let mut shared = SharedBase::none();

    // Whoever keeps nothing opens it each time.
    assert!(!are_shared(&open(&nf4, &mut shared), &open(&nf4, &mut shared)));

    shared.set_keeps(true);
    let first = open(&nf4, &mut shared);
    assert!(are_shared(&first, &open(&nf4, &mut shared)));

    // Another base, and one of another shape, take its place.
    open(&plain, &mut shared);
    let again = open(&nf4, &mut shared);
    assert!(!are_shared(&first, &again));
    let (seed, other) = (Base::Init { seed: 1 }, Decoder { vocab_size: 200, ..shape() });
    let wide = open(&seed, &mut shared).get("model.embed_tokens.weight").unwrap();
    let narrow = base_weights(&bench.path("out"), &seed, &other, &mut shared).unwrap();
    assert_eq!((wide.dims()[0], narrow.get("model.embed_tokens.weight").unwrap().dims()[0]), (300, 200));

    // What needs the memory takes it and leaves nothing.
    let kept = open(&nf4, &mut shared);
    shared.set_keeps(false);
    assert!(are_shared(&kept, &open(&nf4, &mut shared)));
    assert!(!are_shared(&kept, &open(&nf4, &mut shared)));

    // Held or not, files that changed are noticed.
    shared.set_keeps(true);
    open(&nf4, &mut shared);
    save_model(&bench, 2);
    let refused = base_weights(&bench.path("out"), &nf4, &shape(), &mut shared).unwrap_err();
    assert!(matches!(refused, StudyError::BaseChanged { .. }), "{refused}");
    save_model(&bench, 1);
    assert!(are_shared(&open(&nf4, &mut shared), &open(&nf4, &mut shared)));
}

#[test]
fn a_base_stays_where_that_costs_little() {
    let (shape, none) = (shape(), BTreeMap::new());
    let nf4 = tunebench_model::quantise::nf4_weights(&shape).unwrap();
    let tuners = registry(["tuner-lora-all-linear", "tuner-ft"].map(plugin));
    let recorded = |name| tuners.tuner(name, &Options::default()).unwrap().record(&shape).unwrap();
    let (lora, whole) = (recorded("lora-all-linear"), recorded("ft"));
    let numbers = shape.params();
    let linear: u64 = shape.weights().iter().filter(|weight| nf4.contains_key(&weight.name)).map(|w| w.len()).sum();
    let kept = |recorded, quantised, recompute| FAST.kept_base(&shape, recorded, quantised, recompute);
    // Beside its source nothing; with checkpoints what others have packed of it, where it stays.
    assert_eq!(kept(&lora, &none, false), Some(0));
    assert_eq!(kept(&lora, &none, true), None);
    assert_eq!(kept(&lora, &nf4, false), Some(0));
    assert_eq!(kept(&lora, &nf4, true), Some(4 * (numbers - linear)));
    assert_eq!(kept(&whole, &none, false), None);
    assert_eq!(REFERENCE.kept_base(&shape, &lora, &none, false), None);

    // More than any machine has room for.
    let huge = Decoder { vocab_size: 1 << 40, ..shape.clone() };
    assert_eq!(FAST.kept_base(&huge, &RecordedPlan::default(), &none, false), None);
}

/// Loses the result of one arm when another is trained, so that nothing can be opened that begins with it.
struct Loses {
    result: PathBuf,
    when_trained: &'static str,
    failed: Vec<String>,
}

impl Observer for Loses {
    fn on_event(&mut self, event: &Event<'_>) {
        match event {
            Event::Trained { record, .. } if record.arm == self.when_trained => {
                std::fs::remove_dir_all(&self.result).unwrap();
            }
            Event::ModelFailed { model, .. } => self.failed.push(model.arm.clone()),
            _ => {}
        }
    }
}

#[test]
fn a_run_opens_a_base_once_and_again_after_what_needs_the_memory() {
    let parent = arm("parent", "plain", "lora-all-linear") + "evaluate = false\n";
    let children = |tuners: [&str; 3]| {
        let child = |(name, tuner)| arm(name, "parent", tuner);
        [parent.clone()]
            .into_iter()
            .chain(["one", "two", "three"].into_iter().zip(tuners).map(child))
            .collect::<Vec<_>>()
    };
    let (lora, attention) = ("lora-all-linear", "lora-attention");
    let failed = |tuners: [&str; 3]| {
        let bench = bench(&children(tuners));
        // By batches of one no answering waits for others.
        let study = STUDY.replace("ARMS", &children(tuners).concat()).replace(r#"["plain", "nf4"]"#, "[]");
        let study = study.replace("batch_size = 2 }", "batch_size = 1 }");
        bench.write("study.toml", &study);
        bench.try_run("out", &["parent"]).0.unwrap();
        let identity = bench.rows::<ArmRecord>("out").into_iter().find(|row| row.arm == "parent").unwrap().identity;
        let result = bench.path("out").join("work").join(format!("train-{}", &identity[..16])).join("result");
        let mut loses = Loses { result, when_trained: "one", failed: Vec::new() };
        let outcome = bench.open().run(&bench.path("out"), &RunOptions::default(), &mut loses);
        assert_eq!(outcome.is_err(), !loses.failed.is_empty());
        loses.failed
    };
    assert!(failed([lora, attention, lora]).is_empty());
    // Training all of it takes what is held; what comes after that, and its own answers, have to be opened.
    assert_eq!(failed([lora, "ft", attention]), ["two", "three"]);
}

#[test]
fn items_are_tokenized_once_for_models_that_read_them_alike() {
    let bench = bench(&[]);
    let encoder = |template, add_bos_token| {
        let tokenizer = Tokenizer::from_file(&bench.path("tokenizer.json")).unwrap();
        ModelEncoder::new(Form { template, add_bos_token }, tokenizer, 300).unwrap()
    };
    let item = |text: &str| json!({ "id": text, "turns": [{ "role": "user", "content": text }] });
    let items = ["a?", "a longer question?"].map(|text| serde_json::from_value::<Example>(item(text)).unwrap());
    let known = KnownPrompts::default();
    let first = known.of(&items, &encoder("plain", false), 96);
    assert!(Arc::ptr_eq(&first, &known.of(&items, &encoder("plain", false), 96)));
    assert!(first.iter().all(Result::is_ok));

    // Of fewer positions some are not asked; another template writes others.
    let fewer = known.of(&items, &encoder("plain", false), first[1].as_ref().unwrap().tokens.len());
    assert_eq!((&fewer[0], fewer[1].is_err()), (&first[0], true));
    assert_ne!(known.of(&items, &encoder("alpaca", false), 96)[0], first[0]);
}
