//! Held-out rows: nobody learns from them, no evaluation item is among them, and what is measured on them is kept.

use std::collections::{BTreeMap, BTreeSet};

use tunebench_spec::records::{GENERAL, HELD_OUT};
use tunebench_spec::{ArmRecord, LossLog, StepLog};
use tunebench_study::{ArmTime, Event};

use crate::tiny::lines;
use crate::workbench::{Draft, ROWS, Told, Workbench, arm, question, row};

/// As many positions as the general text needs.
const POSITIONS: usize = 1024;

/// What was told of the rows of this dataset that are held out: removed, measured, left out.
fn held_out(told: &Told, dataset: &str) -> [usize; 3] {
    let lines = told.of(&format!("held out {dataset}: "));
    let numbers = lines[0].split(|c: char| !c.is_ascii_digit()).filter_map(|text| text.parse().ok());
    numbers.collect::<Vec<_>>().try_into().unwrap()
}

/// Three arms with subsets of one source, the middle one named first.
#[test]
fn no_subset_of_a_source_holds_a_row_that_is_held_out() {
    let subset = |id: &str, examples: usize| {
        let arm =
            arm("ft", "").replace("\"ft\"\nbase", &format!("\"{id}\"\nbase")).replace("\"rows\"", &format!("\"{id}\""));
        format!("[[dataset]]\nid = \"{id}\"\nplugin = \"belle\"\nsource = \"rows.jsonl\"\nexamples = {examples}\n{arm}")
    };
    let tables = ["[selection]\nshare = 0.3\n", &subset("more", 20), &subset("few", 8), &arm("ft", "")].concat();
    let bench = Workbench::new(Draft { tables: &tables, ..Draft::default() });
    let told = bench.run("out");

    let [few, more, all] = ["few", "more", "ft"].map(|arm| bench.learnt(arm));
    let everything: BTreeSet<String> = (1..=ROWS).map(|line| format!("rows.jsonl:{line}")).collect();
    assert!(all.is_subset(&everything), "{all:?}");
    let removed = ROWS - all.len();
    assert!((4..20).contains(&removed), "{removed} of {ROWS} rows are held out");
    assert_eq!((few.len(), more.len()), (8, 20));
    assert!(few.is_subset(&more) && more.is_subset(&all));
    for dataset in ["rows", "more", "few"] {
        assert_eq!(held_out(&told, dataset), [removed, removed, 0], "{told:?}");
    }
    assert_eq!(told.of("tokenized "), ["more: 20", "few: 8", &format!("rows: {}", all.len())]);
    let arms: Vec<ArmRecord> = bench.rows("out");
    let counts: Vec<(u64, u64)> = arms.iter().map(|row| (row.examples, row.held_out_examples)).collect();
    let removed = removed as u64;
    assert_eq!(counts, [(20, removed), (8, removed), (all.len() as u64, removed)]);
    // All three are measured on the same rows.
    let hashes: BTreeSet<String> = bench
        .rows::<LossLog>("out")
        .into_iter()
        .filter(|loss| loss.set == HELD_OUT)
        .map(|loss| loss.set_hash)
        .collect();
    assert_eq!(hashes.len(), 1);

    // A row keeps its side whatever rows are before it.
    let kept = numbers(&all);
    bench.write("rows.jsonl", &lines((0..ROWS).rev().map(row)));
    let turned: BTreeSet<usize> = numbers(&bench.learnt("ft")).into_iter().map(|number| ROWS - 1 - number).collect();
    assert_eq!(turned, kept);

    // What is held out changes no training.
    let held: Vec<usize> = (0..ROWS).filter(|number| !kept.contains(number)).collect();
    let identities = |held: &[usize], out: &str| -> Vec<String> {
        bench.write("rows.jsonl", &lines(kept.iter().chain(held).map(|number| row(*number))));
        bench.run(out);
        bench.rows::<ArmRecord>(out).into_iter().map(|row| row.identity).collect()
    };
    assert_eq!(identities(&held, "with all"), identities(&held[..1], "with one"));
}

/// The numbers of rows by their ids.
fn numbers(ids: &BTreeSet<String>) -> BTreeSet<usize> {
    ids.iter().map(|id| id.rsplit_once(':').unwrap().1.parse::<usize>().unwrap() - 1).collect()
}

const HELD_SET: &str =
    "[selection]\ndataset = \"held\"\n[[dataset]]\nid = \"held\"\nplugin = \"belle\"\nsource = \"held.jsonl\"\n";
const GRID: &str = "grid = { learning_rate = [1e-5, 1e-3, 1e-2] }";

/// The rows of a set that is held out leave the source that they are in too.
#[test]
fn a_set_that_is_held_out_is_taken_out_of_what_is_learnt() {
    let tables = [HELD_SET, &arm("ft", "")].concat();
    let bench = Workbench::new(Draft { tables: &tables, ..Draft::default() });
    let held = [3, 7, 11, 30];
    bench.write("held.jsonl", &lines(held.into_iter().chain([ROWS + 1]).map(row)));
    let told = bench.run("out");
    assert_eq!(held_out(&told, "held")[1..], [5, 0]);
    assert_eq!(told.of("tokenized "), [format!("rows: {}", ROWS - held.len())]);
    let learnt = numbers(&bench.learnt("ft"));
    assert!(held.iter().all(|number| !learnt.contains(number)), "{learnt:?}");
    let arms: Vec<ArmRecord> = bench.rows("out");
    assert_eq!((arms[0].examples, arms[0].held_out_examples), ((ROWS - 4) as u64, 4));
}

/// Losses and choice of a study, without when they were made.
fn decided(bench: &Workbench, out: &str, told: &Told) -> (Vec<LossLog>, Vec<(String, bool, String)>, String) {
    let arms: Vec<ArmRecord> = bench.rows(out);
    let arms = arms.into_iter().map(|row| (row.candidate, row.selected, row.identity)).collect();
    (bench.rows(out), arms, format!("{:?}", told.choices))
}

/// Evaluation items that are anything, a training row among them, change neither a loss nor the choice.
#[test]
fn selection_reads_no_evaluation_item() {
    for selection in ["[selection]\nshare = 0.3\n", HELD_SET] {
        let tables = [selection, &arm("lora-attention", GRID)].concat();
        let bench = Workbench::new(Draft { tables: &tables, positions: POSITIONS, ..Draft::default() });
        bench.write("held.jsonl", &lines((ROWS..ROWS + 6).map(row)));
        let told = bench.run("out");
        let expected = decided(&bench, "out", &told);
        let learnt = *numbers(&bench.learnt("lora-attention")).first().unwrap();

        let poison = serde_json::json!({ "instruction": "\u{0}☠ zzz".repeat(30), "output": "☠".repeat(40) });
        bench.write("questions.jsonl", &lines([poison, row(learnt), question(1)]));
        let told = bench.run("poisoned");
        assert_eq!(decided(&bench, "poisoned", &told), expected, "{selection}");
        assert_eq!(
            told.of("overlap rows: "),
            [format!("1 and 0 of {}", numbers(&bench.learnt("lora-attention")).len())]
        );
        let bytes = |out: &str| std::fs::read(bench.path(out).join("losses.parquet")).unwrap();
        assert_eq!(bytes("poisoned"), bytes("out"));
    }
}

/// A held-out row that is asked is not measured: the losses are those of a study without it.
#[test]
fn an_item_among_the_held_out_rows_is_left_out_there_and_told() {
    let tables = [HELD_SET, &arm("lora-attention", GRID)].concat();
    let bench = Workbench::new(Draft { tables: &tables, ..Draft::default() });
    let held = |numbers: &[usize]| bench.write("held.jsonl", &lines(numbers.iter().map(|number| row(ROWS + number))));
    held(&[0, 1, 3, 4]);
    let told = bench.run("out");
    let expected = decided(&bench, "out", &told);
    held(&[0, 1, 3, 4, 2]);
    bench.write("questions.jsonl", &lines([question(0), row(ROWS + 2)]));
    let told = bench.run("poisoned");
    assert_eq!(held_out(&told, "held")[1..], [4, 1], "{told:?}");
    assert_eq!(decided(&bench, "poisoned", &told), expected);
}

#[test]
fn losses_are_kept_of_the_base_on_the_way_and_of_the_result() {
    let child = "[[arm]]\nname = \"child\"\nbase = \"ft\"\ntuner = \"lora-attention\"\ndataset = \"rows\"\n";
    let tables = ["[selection]\nshare = 0.2\n", &arm("ft", "recipe = { eval_steps = 2 }"), child].concat();
    let bench =
        Workbench::new(Draft { header: "seeds = 2", tables: &tables, positions: POSITIONS, ..Draft::default() });
    let told = bench.run("out");
    let rows: Vec<LossLog> = bench.rows("out");
    for set in [HELD_OUT, GENERAL] {
        let of = |arm: &str, seed: u64| -> Vec<&LossLog> {
            rows.iter().filter(|row| row.set == set && row.arm == arm && row.seed == seed).collect()
        };
        for (arm, steps) in [("ft", &[(0, false), (2, false), (4, true)][..]), ("child", &[(0, false), (4, true)][..])]
        {
            for seed in [3, 4] {
                let found: Vec<(u64, bool)> = of(arm, seed).iter().map(|row| (row.step, row.is_final)).collect();
                assert_eq!(found, steps, "{set} {arm} {seed}");
                // What was before is the plain base, of a chained arm too.
                assert_eq!(of(arm, seed)[0].loss.to_bits(), of("ft", 3)[0].loss.to_bits(), "{set} {arm} {seed}");
            }
        }
        for row in rows.iter().filter(|row| row.set == set) {
            let bits = row.loss / std::f64::consts::LN_2 * row.tokens as f64 / row.bytes as f64;
            assert!((bits - row.bits_per_byte).abs() < 1e-9, "{row:?}");
            assert!(row.tokens > 0 && row.bytes > 0 && row.loss.is_finite(), "{row:?}");
        }
    }
    let set_of = |set: &str| rows.iter().find(|row| row.set == set).unwrap();
    // A token of the end behind each answer, and else one a byte.
    let measured = held_out(&told, "rows")[1] as u64;
    assert_eq!(set_of(HELD_OUT).tokens, set_of(HELD_OUT).bytes + measured);
    assert!(set_of(GENERAL).bytes > 5000, "{:?}", set_of(GENERAL));
}

/// Of two trainings each: as often as the recipe says and at the end, by one pace; beside them the base model, once.
#[test]
fn a_plan_counts_the_time_of_losses() {
    let often = |name: &str, eval_steps: usize| {
        let recipe = format!("recipe = {{ eval_steps = {eval_steps} }}");
        arm("ft", &recipe).replace("name = \"ft\"", &format!("name = \"{name}\""))
    };
    let arms = [often("at the end", 0), often("each third", 3), often("each second", 2), often("each", 1)].concat();
    let tables = ["[selection]\nshare = 0.2\n", &arms].concat();
    let eval = "bases = [\"tiny\"]\ngeneration = { max_new_tokens = 4, batch_size = 2 }";
    let bench =
        Workbench::new(Draft { header: "seeds = 2", tables: &tables, positions: POSITIONS, eval, ..Draft::default() });
    let forecast = bench.open().forecast(&mut |_: &Event<'_>| {}).unwrap();
    let base = forecast.arms.iter().find(|time| time.arm == "tiny").unwrap();
    let once = base.loss_seconds.unwrap();
    assert!(once > 0.0 && base.answering_seconds_at_most > Some(0.0) && base.trainings == 0.0, "{base:?}");
    for (name, measurements) in [("at the end", 1.0), ("each third", 2.0), ("each second", 2.0), ("each", 4.0)] {
        let time = forecast.arms.iter().find(|time| time.arm == name).unwrap();
        let ratio = time.loss_seconds.unwrap() / once;
        assert!((ratio - 2.0 * measurements).abs() < 1e-9, "{name}: {ratio} times {once}");
    }
    let parts = |time: &ArmTime| {
        time.training_seconds.unwrap() * time.trainings
            + time.loss_seconds.unwrap()
            + time.answering_seconds_at_most.unwrap()
    };
    assert_eq!(forecast.seconds(), Some(forecast.arms.iter().map(parts).sum()));
}

/// How many of these losses, one each `eval_steps`, transformers' rule sees before it stops; all where it does not.
fn seen_by_patience(losses: &[f64], patience: usize) -> usize {
    let (mut least, mut waited) = (f64::INFINITY, 0);
    for (index, loss) in losses.iter().enumerate() {
        waited = if *loss < least { 0 } else { waited + 1 };
        least = least.min(*loss);
        if waited == patience {
            return index + 1;
        }
    }
    losses.len()
}

#[test]
fn a_recipe_may_end_a_training_early_and_keep_its_best_state() {
    let recipe = |more: &str| {
        format!(
            "max_steps = 16\nepochs = 8\nbatch_size = 4\nmax_length = 48\nwarmup_steps = 0\nlearning_rate = 0.2\neval_steps = 1\n{more}"
        )
    };
    let tables = ["[selection]\nshare = 0.2\n", &arm("ft", "")].concat();
    let bench = Workbench::new(Draft { tables: &tables, ..Draft::default() });
    let run = |out: &str, more: &str| -> (ArmRecord, BTreeMap<u64, f64>) {
        bench.draft(Draft { recipe: &recipe(more), tables: &tables, ..Draft::default() });
        bench.run(out);
        let losses: Vec<LossLog> = bench.rows(out);
        let losses = losses.iter().filter(|row| row.set == HELD_OUT && row.step > 0);
        let [record]: [ArmRecord; 1] = bench.rows(out).try_into().unwrap();
        assert_eq!(bench.rows::<StepLog>(out).len() as u64, record.steps);
        (record, losses.map(|row| (row.step, row.loss)).collect())
    };
    let (whole, losses) = run("whole", "");
    assert_eq!((whole.steps, whole.kept_step, losses.len()), (16, 16, 16));
    let all: Vec<f64> = losses.values().copied().collect();

    let stops = seen_by_patience(&all, 1);
    assert!((2..16).contains(&stops), "this rate makes it worse at times: {all:?}");
    let (early, losses) = run("early", "early_stopping_patience = 1");
    assert_eq!((early.steps, early.kept_step), (stops as u64, stops as u64));
    assert_eq!(losses.into_values().collect::<Vec<_>>(), all[..stops]);

    // The best state of all, and of those before the end came early, which is not the last one.
    let best_of = |losses: &[f64]| {
        let best = losses.iter().zip(1_u64..).min_by(|a, b| a.0.total_cmp(b.0)).unwrap();
        (best.1, *best.0)
    };
    for (out, more, losses) in [
        ("best", "load_best_model_at_end = true", &all[..]),
        ("both", "load_best_model_at_end = true\nearly_stopping_patience = 1", &all[..stops]),
    ] {
        let (kept, _) = run(out, more);
        let best = best_of(losses);
        assert_eq!((kept.steps, kept.kept_step), (losses.len() as u64, best.0), "{out}");
        let rows: Vec<LossLog> = bench.rows(out);
        let result = rows.iter().find(|row| row.set == HELD_OUT && row.is_final).unwrap();
        assert_eq!((result.step, result.loss), best, "{out}");
        assert!(out == "best" || best.0 < kept.steps, "{losses:?}");
    }

    // Without anything held out there is nothing to go by.
    let bare = arm("ft", "");
    bench.draft(Draft { recipe: &recipe("early_stopping_patience = 2"), tables: &bare, ..Draft::default() });
    let error = bench.try_run("bare", &[]).0.unwrap_err().to_string();
    assert!(error.contains("arm `ft`") && error.contains("[selection]"), "{error}");
}
