//! Arms that are LoRA over one base answer in one batch, as each does alone.

use std::fs;
use std::path::PathBuf;

use tunebench_spec::{ArmRecord, Generation, Judgement};

use crate::workbench::{Draft, ITEMS, Told, Workbench, arm, arm_over, result};

/// Draws of their own for each training, and fewer items than the batches that an answering waits for.
const EVAL: &str = "bases = [\"tiny\"]\ngeneration = { max_new_tokens = 12, batch_size = 3, temperature = 1.0 }";

/// Two LoRAs over the base, of other ranks, and two over an arm that has learnt to write text.
fn tables() -> String {
    let wide = "options = { r = 20, lora_alpha = 10 }";
    let learnt = "recipe = { max_steps = 60, learning_rate = 2e-2 }";
    let far = "recipe = { max_steps = 8, learning_rate = 1e-1 }\n";
    [
        arm("lora-attention", ""),
        arm("ft", learnt),
        arm("lora-all-linear", wide),
        arm_over("attention", "ft", "lora-attention") + far,
        arm_over("all", "ft", "lora-all-linear") + far,
    ]
    .concat()
}

/// What is answered and what is said of it, by model and item, without what takes time.
fn answers(bench: &Workbench, out: &str) -> (Vec<Generation>, Vec<Judgement>) {
    let mut generations: Vec<Generation> = bench.rows(out);
    generations.iter_mut().for_each(|row| row.seconds = 0.0);
    generations.sort_by_key(|row| (row.arm.clone(), row.seed, row.item.clone()));
    let mut judgements: Vec<Judgement> = bench.rows(out);
    judgements.iter_mut().for_each(|row| row.seconds = 0.0);
    judgements.sort_by_key(|row| (row.arm.clone(), row.seed, row.item.clone()));
    (generations, judgements)
}

fn together(told: &Told) -> Vec<&str> {
    told.of("answer together ")
}

/// The files of answers in a run folder.
fn files(bench: &Workbench, out: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(bench.path(out).join("work")).unwrap().map(|entry| entry.unwrap().path());
    let is_one = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("answers-");
    let mut files: Vec<PathBuf> = entries.filter(is_one).collect();
    files.sort();
    files
}

#[test]
fn arms_over_one_base_answer_in_one_batch_as_each_alone() {
    let tables = tables();
    let recipe = "epochs = 40\nmax_steps = 4\nbatch_size = 4\nmax_length = 48\nwarmup_steps = 0\nlearning_rate = 1e-2";
    let bench = Workbench::new(Draft { tables: &tables, recipe, eval: EVAL, ..Draft::default() });
    // The base need not wait for trainings, and full fine-tuning is no adapter.
    let told = bench.run("out");
    assert_eq!(together(&told), ["lora-attention, lora-all-linear: 8, 0 done", "attention, all: 8, 0 done"]);
    for name in ["lora-attention", "ft", "lora-all-linear", "attention", "all"] {
        let (result, told) = bench.try_run("apart", &[name]);
        result.unwrap();
        assert!(together(&told).is_empty(), "{told:?}");
    }
    let found = answers(&bench, "out");
    let of_arms = |rows: &[Generation]| rows.iter().filter(|row| row.arm != "tiny").cloned().collect::<Vec<_>>();
    let apart = answers(&bench, "apart");
    assert_eq!(of_arms(&found.0), of_arms(&apart.0));
    let of =
        |name: &str| found.0.iter().filter(|row| row.arm == name).map(|row| row.answer.clone()).collect::<Vec<_>>();
    assert_ne!(of("all"), of("ft"), "nothing to compare");

    // Half of one file and all of another are gone: all that can answers the rest in one batch, the base among them.
    let all = files(&bench, "out");
    assert_eq!(all.len(), 6);
    for (number, file) in all.iter().enumerate() {
        let text = fs::read_to_string(file).unwrap();
        let kept: String = text.split_inclusive('\n').take(number % 3).collect();
        fs::write(file, kept).unwrap();
    }
    let told = bench.run("out");
    assert!(told.trainings().is_empty());
    let lines = together(&told);
    let begin = ["tiny, lora-attention, lora-all-linear: 12, ", "attention, all: 8, "];
    assert!(lines.len() == 2 && lines.iter().zip(begin).all(|(line, begin)| line.starts_with(begin)), "{lines:?}");
    assert_eq!(answers(&bench, "out"), found);
}

#[test]
fn trainings_of_an_arm_answer_in_one_batch_with_draws_of_their_own() {
    let tables = arm("lora-attention", "");
    let bench = Workbench::new(Draft { header: "seeds = 3", tables: &tables, eval: EVAL, ..Draft::default() });
    let told = bench.run("out");
    let seeds = [1, 2, 3].map(|number| format!("lora-attention (seed {number} of 3)"));
    assert_eq!(together(&told), [format!("{}: {}, 0 done", seeds.join(", "), 3 * ITEMS)]);
    let (found, _) = answers(&bench, "out");
    // One training after the other, each answered and judged before the next is there.
    for seeds in 1..=3 {
        let header = format!("seeds = {seeds}");
        bench.draft(Draft { header: &header, tables: &tables, eval: EVAL, ..Draft::default() });
        assert!(together(&bench.run("apart")).is_empty());
    }
    assert_eq!(answers(&bench, "apart").0, found);
}

#[test]
fn a_model_that_is_damaged_keeps_no_other_from_answering() {
    let other = arm_over("damaged", "tiny", "lora-attention") + "recipe = { learning_rate = 3e-3 }\n";
    let tables = [arm("lora-attention", ""), other, arm("lora-all-linear", "")].concat();
    let bench = Workbench::new(Draft { tables: &tables, eval: EVAL, ..Draft::default() });
    assert_eq!(together(&bench.run("out")).len(), 1);
    let (found, _) = answers(&bench, "out");
    let records: Vec<ArmRecord> = bench.rows("out");
    let identity = &records.iter().find(|record| record.arm == "damaged").unwrap().identity;
    for (file, _) in result(&bench.path("out"), identity) {
        let folder = bench.path("out").join("work").join(format!("train-{}", &identity[..16])).join("result");
        fs::write(folder.join(file), "damaged").unwrap();
    }
    files(&bench, "out").iter().for_each(|file| fs::remove_file(file).unwrap());
    let (outcome, told) = bench.try_run("out", &[]);
    let failures = outcome.unwrap_err().to_string();
    assert!(failures.contains("damaged") && !failures.contains("lora-"), "{failures}");
    assert_eq!(told.of("answer apart: ").len(), 1, "{told:?}");
    let of_others = |rows: Vec<Generation>| rows.into_iter().filter(|row| row.arm != "damaged").collect::<Vec<_>>();
    assert_eq!(of_others(answers(&bench, "out").0), of_others(found));
}

#[test]
fn many_items_wait_for_nobody() {
    let tables = [arm("lora-attention", ""), arm("lora-all-linear", "")].concat();
    let eval = "generation = { max_new_tokens = 2, batch_size = 1 }";
    let bench = Workbench::new(Draft { tables: &tables, eval, ..Draft::default() });
    assert!(together(&bench.run("out")).is_empty());
}
