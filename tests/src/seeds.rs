//! Arms that are trained more than once: what a seed decides, what it costs to add one, and whom a chained arm follows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tunebench_spec::{ArmRecord, Generation, Judgement, LossLog, StepLog};
use tunebench_study::{Base, trained_arm};

use crate::remains::{assert_alike, remains};
use crate::workbench::{Draft, ITEMS, Workbench, arm, result};

/// A parent with all seeds and its child; a parent with one, and its child, which has all again.
fn chains() -> String {
    let child = |name: &str, base: &str, more: &str| {
        format!("[[arm]]\nname = \"{name}\"\nbase = \"{base}\"\ntuner = \"ft\"\ndataset = \"rows\"\n{more}\n")
    };
    [
        arm("lora-attention", ""),
        child("child", "lora-attention", ""),
        child("once", "tiny", "seeds = 1\nevaluate = false"),
        child("of one", "once", ""),
    ]
    .concat()
}

fn identities(arms: &[ArmRecord]) -> BTreeMap<(&str, u64), &str> {
    arms.iter().map(|row| ((row.arm.as_str(), row.seed), row.identity.as_str())).collect()
}

/// The identity of what a training started from.
fn start(out: &Path, identity: &str) -> String {
    match trained_arm::finished(out, identity).unwrap().unwrap().base {
        Base::Arm { identity } => identity,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_arm_is_trained_with_each_seed_and_its_child_follows() {
    let tables = chains();
    let bench = Workbench::new(Draft { header: "seeds = 3", tables: &tables, ..Draft::default() });
    let told = bench.run("out");
    let trained = |name: &str| told.trainings().iter().filter(|line| line.starts_with(name)).count();
    assert_eq!(
        ["lora-attention (seed", "child (seed", "once: ", "of one (seed"].map(trained),
        [3, 3, 1, 3],
        "{told:?}"
    );

    let arms: Vec<ArmRecord> = bench.rows("out");
    let rows: Vec<(&str, u64)> = arms.iter().map(|row| (row.arm.as_str(), row.seed)).collect();
    let thrice = |name| [3, 4, 5].map(|seed| (name, seed)).to_vec();
    assert_eq!(rows, [thrice("lora-attention"), thrice("child"), vec![("once", 3)], thrice("of one")].concat());
    let identities = identities(&arms);
    assert_eq!(identities.values().collect::<BTreeSet<_>>().len(), rows.len(), "each is a training of its own");
    let out = bench.path("out");
    for seed in 3..6 {
        assert_eq!(start(&out, identities[&("child", seed)]), identities[&("lora-attention", seed)]);
        assert_eq!(start(&out, identities[&("of one", seed)]), identities[&("once", 3)]);
    }

    // Every frame has rows of every training.
    let steps: Vec<StepLog> = bench.rows("out");
    let generations: Vec<Generation> = bench.rows("out");
    let judgements: Vec<Judgement> = bench.rows("out");
    for row in &arms {
        let is_of = |arm: &str, seed: u64| arm == row.arm && seed == row.seed;
        let answers = if row.evaluated { ITEMS } else { 0 };
        assert_eq!(steps.iter().filter(|step| is_of(&step.arm, step.seed)).count(), 4, "{row:?}");
        assert_eq!(generations.iter().filter(|g| is_of(&g.arm, g.seed)).count(), answers, "{row:?}");
        assert_eq!(judgements.iter().filter(|j| is_of(&j.arm, j.seed)).count(), answers, "{row:?}");
    }
    // What is added is zero before the first step, so its loss tells of the order alone.
    let first = |seed| steps.iter().find(|step| step.arm == "lora-attention" && step.seed == seed).unwrap().loss;
    assert_eq!([3, 4, 5].map(|seed| first(seed).to_bits()).into_iter().collect::<BTreeSet<_>>().len(), 3);

    bench.run("again");
    assert_alike(&remains(&bench.path("again")), &remains(&out), "run into another folder");
}

/// At a learning rate of zero, which the first step of a warm-up has, the result is what training began with.
#[test]
fn a_seed_decides_the_first_adapter_and_answers_have_their_own() {
    let eval = "bases = [\"tiny\"]\ngeneration = { max_new_tokens = 12, batch_size = 2, temperature = 1.0 }";
    let recipe = "max_steps = 1\nwarmup_steps = 1\nbatch_size = 4\nmax_length = 48";
    let tables = [arm("lora-attention", ""), arm("ft", "")].concat();
    let bench = Workbench::new(Draft { header: "seeds = 3", recipe, tables: &tables, eval, ..Draft::default() });
    bench.run("out");
    let arms: Vec<ArmRecord> = bench.rows("out");
    let results = |name: &str| -> BTreeSet<_> {
        let of_arm = arms.iter().filter(|row| row.arm == name);
        of_arm.map(|row| result(&bench.path("out"), &row.identity)).collect()
    };
    assert_eq!(results("lora-attention").len(), 3, "each begins with an adapter of its own");
    assert_eq!(results("ft").len(), 1, "what is there already does not depend on the seed");

    // The same weights answer differently in each training, and those of the base as the first does.
    let answers = |out: &str, name: &str, seed: u64| -> Vec<String> {
        let rows: Vec<Generation> = bench.rows(out);
        rows.into_iter().filter(|row| row.arm == name && row.seed == seed).map(|row| row.answer).collect()
    };
    let drawn = [3, 4, 5].map(|seed| answers("out", "ft", seed));
    assert_eq!(drawn.iter().collect::<BTreeSet<_>>().len(), 3, "{drawn:?}");
    assert_eq!(drawn[0], answers("out", "tiny", 3));
    bench.run("again");
    assert_eq!([3, 4, 5].map(|seed| answers("again", "ft", seed)), drawn);

    // Another seed of the answers draws others, and trains nothing.
    let other = eval.replace("temperature", "seed = 8, temperature");
    bench.draft(Draft { header: "seeds = 3", recipe, tables: &tables, eval: &other, ..Draft::default() });
    assert!(bench.run("out").trainings().is_empty());
    assert_ne!([3, 4, 5].map(|seed| answers("out", "ft", seed)), drawn);
}

#[test]
fn another_seed_costs_only_itself() {
    let tables = [arm("lora-attention", ""), arm("ft", "seeds = 2")].concat();
    let draft = Draft { header: "seeds = 3", tables: &tables, ..Draft::default() };
    let bench = Workbench::new(draft);
    assert_eq!(bench.run("out").trainings().len(), 5);
    let before: Vec<ArmRecord> = bench.rows("out");
    let results =
        |rows: &[ArmRecord]| -> Vec<_> { rows.iter().map(|row| result(&bench.path("out"), &row.identity)).collect() };
    let trained = results(&before);

    bench.draft(Draft { header: "seeds = 4", ..draft });
    assert_eq!(bench.run("out").trainings(), ["lora-attention (seed 4 of 4): 4"]);
    let after: Vec<ArmRecord> = bench.rows("out");
    assert_eq!(after.iter().map(|row| row.seed).collect::<Vec<_>>(), [3, 4, 5, 6, 3, 4]);
    let kept: Vec<ArmRecord> = after.into_iter().filter(|row| row.seed != 6).collect();
    assert_eq!(kept, before);
    assert_eq!(results(&kept), trained);

    // Fewer leave the frames, and are found again.
    bench.draft(Draft { header: "seeds = 2", ..draft });
    let told = bench.run("out");
    assert!(told.trainings().is_empty() && told.of("dropped ").len() == 1, "{told:?}");
    assert_eq!(bench.rows::<ArmRecord>("out").len(), 4);
    bench.draft(Draft { header: "seeds = 4", ..draft });
    assert!(bench.run("out").trainings().is_empty());
    assert_eq!(bench.rows::<ArmRecord>("out").len(), 6);
}

/// A seed of an arm's own is where its trainings begin to count.
#[test]
fn an_arm_may_have_its_own_seed() {
    let tables = [arm("lora-attention", "seed = 40"), arm("ft", "")].concat();
    let bench = Workbench::new(Draft { header: "seeds = 2", tables: &tables, ..Draft::default() });
    bench.run("out");
    let seeds: Vec<u64> = bench.rows::<ArmRecord>("out").iter().map(|row| row.seed).collect();
    assert_eq!(seeds, [40, 41, 3, 4]);
    // Without [selection] nothing is held out.
    assert!(bench.rows::<LossLog>("out").iter().all(|loss| loss.set == "general"));
}
