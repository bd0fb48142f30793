//! Arms with a grid: every candidate is kept and told apart, the one with the least held-out loss is the arm, and no more is
//! trained than that takes.

use std::collections::BTreeMap;

use tunebench_spec::records::HELD_OUT;
use tunebench_spec::{ArmRecord, Generation, Judgement, LossLog, StepLog};
use tunebench_study::{Base, Event, StudyError, trained_arm};

use crate::remains::{assert_alike, remains};
use crate::workbench::{Choice, Draft, ITEMS, Told, Workbench, arm, result};

const ALL: &str = "[selection]\nshare = 0.2\n";
/// Two of four go on from a quarter of the steps, one from half of them.
const HALVING: &str = "[selection]\nshare = 0.2\nschedule = \"halving\"\nreduction_factor = 2\nleast_steps = 0.25\n";
const EIGHT_STEPS: &str = "max_steps = 8\nbatch_size = 4\nmax_length = 48\nwarmup_steps = 0\nlearning_rate = 1e-3";
const FOUR_RATES: &str = "grid = { learning_rate = [1e-5, 1e-3, 1e-2, 3e-2] }";

/// The held-out loss of each candidate's result.
fn losses(bench: &Workbench, out: &str) -> BTreeMap<String, f64> {
    let rows: Vec<LossLog> = bench.rows(out);
    let first = rows.into_iter().filter(|row| row.set == HELD_OUT && row.is_final && row.seed == 3);
    first.map(|row| (row.candidate, row.loss)).collect()
}

fn best(losses: &BTreeMap<String, f64>) -> (&str, f64) {
    let best = losses.iter().min_by(|a, b| a.1.total_cmp(b.1)).unwrap();
    (best.0, *best.1)
}

fn only_choice(told: &Told) -> &Choice {
    let [choice] = &told.choices[..] else { panic!("{told:?}") };
    choice
}

#[test]
fn the_candidate_with_the_least_held_out_loss_is_the_arm() {
    let grid = "grid = { learning_rate = [1e-5, 1e-3, 1e-2], \"options.r\" = [2, 4] }";
    let tables = [ALL, &arm("lora-attention", grid), &arm("ft", "")].concat();
    let bench = Workbench::new(Draft { header: "seeds = 2", tables: &tables, ..Draft::default() });
    let told = bench.run("out");

    let losses = losses(&bench, "out");
    assert_eq!(losses.len(), 7, "six candidates and an arm without: {losses:?}");
    let losses: BTreeMap<String, f64> = losses.into_iter().filter(|(name, _)| !name.is_empty()).collect();
    let (winner, loss) = best(&losses);
    let choice = only_choice(&told);
    assert_eq!((choice.candidate.as_str(), choice.loss), (winner, Some(loss)), "{losses:?}");
    let rank = if winner.ends_with("=4") { "4 is the largest" } else { "2 is the smallest" };
    assert!(choice.edges.contains(&format!("options.r = {rank} of its grid")), "{choice:?}");
    let rate_is_at_an_edge = !winner.starts_with("learning_rate=0.001 ");
    assert_eq!(choice.edges.len(), 1 + usize::from(rate_is_at_an_edge), "{choice:?}");

    // All are kept, marked; the winner alone has both seeds, and answers.
    let arms: Vec<ArmRecord> = bench.rows("out");
    let of_grid: Vec<&ArmRecord> = arms.iter().filter(|row| row.arm == "lora-attention").collect();
    assert_eq!(of_grid.len(), 7);
    for row in &of_grid {
        let is_winner = row.candidate == winner;
        assert_eq!((row.selected, row.evaluated), (is_winner, is_winner), "{row:?}");
        assert!(row.recipe.contains("\"origin\":\"grid\""), "{row:?}");
        let r = row.candidate.rsplit_once("options.r=").unwrap().1;
        assert!(row.options.contains(&format!("\"r\":{r}")), "{row:?}");
    }
    let seeds = |candidate: &str| of_grid.iter().filter(|row| row.candidate == candidate).count();
    assert!(losses.keys().all(|name| seeds(name) == if name == winner { 2 } else { 1 }));
    let generations: Vec<Generation> = bench.rows("out");
    assert_eq!(generations.iter().filter(|row| row.arm == "lora-attention").count(), 2 * ITEMS);
    assert_eq!(bench.rows::<Judgement>("out").len(), 4 * ITEMS);
    let steps: Vec<StepLog> = bench.rows("out");
    assert!(losses.keys().all(|name| steps.iter().any(|step| step.candidate == *name)));
    assert_eq!(told.trainings().len(), 6 + 1 + 2);

    let again = bench.run("out");
    assert!(again.trainings().is_empty() && again.choices == told.choices, "{again:?}");
}

#[test]
fn another_value_costs_only_itself() {
    let tables = |rates: &str| {
        [ALL, &format!("[grid.rates]\nlearning_rate = {rates}\n"), &arm("ft", "grid = \"rates\"")].concat()
    };
    let bench = Workbench::new(Draft { tables: &tables("[1e-5, 1e-2]"), ..Draft::default() });
    assert_eq!(bench.run("out").trainings().len(), 2);
    bench.draft(Draft { tables: &tables("[1e-5, 1e-3, 1e-2]"), ..Draft::default() });
    let told = bench.run("out");
    assert_eq!(told.trainings(), ["ft [learning_rate=0.001]: 4"]);
    assert_eq!(only_choice(&told).candidate, best(&losses(&bench, "out")).0);
    // Without it again its rows go, and nothing is trained.
    bench.draft(Draft { tables: &tables("[1e-5, 1e-2]"), ..Draft::default() });
    assert!(bench.run("out").trainings().is_empty());
    assert_eq!(bench.rows::<ArmRecord>("out").len(), 2);
}

#[test]
fn halving_trains_each_candidate_as_far_as_its_rung_and_the_winner_as_if_alone() {
    let tables = [HALVING, &arm("lora-attention", FOUR_RATES)].concat();
    let draft = Draft { header: "seeds = 2", recipe: EIGHT_STEPS, tables: &tables, ..Draft::default() };
    let bench = Workbench::new(draft);
    let told = bench.run("out");
    let winner = only_choice(&told).candidate.clone();

    let mut steps: BTreeMap<String, usize> = BTreeMap::new();
    for step in bench.rows::<StepLog>("out").into_iter().filter(|step| step.seed == 3) {
        *steps.entry(step.candidate).or_default() += 1;
    }
    assert_eq!(steps.remove(&winner), Some(8), "{steps:?}");
    let mut dropped: Vec<usize> = steps.into_values().collect();
    dropped.sort_unstable();
    assert_eq!(dropped, [2, 2, 4]);
    let arms: Vec<ArmRecord> = bench.rows("out");
    for row in &arms {
        let is_winner = row.candidate == winner;
        assert_eq!(
            (row.selected, row.steps == 8, row.kept_step),
            (is_winner, is_winner, if is_winner { 8 } else { 0 })
        );
    }

    // Those that were dropped had the greater loss where they were compared.
    let rows: Vec<LossLog> = bench.rows("out");
    let at = |step: u64| -> BTreeMap<String, f64> {
        let rows = rows.iter().filter(|row| row.set == HELD_OUT && row.step == step && row.seed == 3);
        rows.map(|row| (row.candidate.clone(), row.loss)).collect()
    };
    assert_eq!((at(2).len(), at(4).len()), (4, 2));
    assert_eq!(best(&at(4)).0, winner);
    let worse = at(2).into_iter().filter(|(name, _)| !at(4).contains_key(name)).map(|(_, loss)| loss);
    let worst_kept = at(2).into_iter().filter(|(name, _)| at(4).contains_key(name)).map(|(_, loss)| loss);
    assert!(worse.fold(f64::INFINITY, f64::min) >= worst_kept.fold(0.0, f64::max), "{:?}", at(2));

    // A plain training with the winner's rate, that never stopped on the way.
    let rate = winner.strip_prefix("learning_rate=").unwrap();
    let plain = [HALVING, &arm("lora-attention", &format!("recipe = {{ learning_rate = {rate} }}"))].concat();
    bench.draft(Draft { tables: &plain, ..draft });
    assert_eq!(bench.run("plain").trainings().len(), 2);
    let plain: Vec<ArmRecord> = bench.rows("plain");
    for (row, plain) in arms.iter().filter(|row| row.selected).zip(&plain) {
        assert_eq!((row.seed, &row.identity), (plain.seed, &plain.identity));
        let [found, expected] = ["out", "plain"].map(|out| result(&bench.path(out), &row.identity));
        assert!(!found.is_empty() && found == expected, "seed {}", row.seed);
    }
}

/// Measurements are counted as they are made, and trainings as far as they go: with rungs on steps that are measured anyway and beside
/// them, and with rungs that leave several.
#[test]
fn a_plan_counts_what_a_grid_trains_and_measures() {
    let leaving_two = HALVING.replace("least_steps = 0.25", "least_steps = 0.6");
    for (selection, eval_steps) in [(HALVING, 0), (HALVING, 2), (HALVING, 3), (&leaving_two, 3), (ALL, 3)] {
        let recipe = format!("{EIGHT_STEPS}\neval_steps = {eval_steps}");
        let tables = [selection, &arm("lora-attention", FOUR_RATES)].concat();
        let bench = Workbench::new(Draft { header: "seeds = 2", recipe: &recipe, tables: &tables, ..Draft::default() });
        let forecast = bench.open().forecast(&mut |_: &Event<'_>| {}).unwrap();
        let stages = bench.open().stages(&[], &mut |_: &Event<'_>| {}).unwrap();
        let once = forecast.arms.iter().find(|time| time.arm == "tiny").unwrap().loss_seconds.unwrap();
        let planned: f64 = forecast.arms.iter().map(|time| time.loss_seconds.unwrap() / once).sum::<f64>() - 1.0;

        bench.run("out");
        let measured: Vec<LossLog> = bench.rows("out");
        let measured = measured.iter().filter(|row| row.set == HELD_OUT && row.step > 0).count();
        assert!((planned - measured as f64).abs() < 1e-6, "{selection} {eval_steps}: {planned}, not {measured}");
        let steps = bench.rows::<StepLog>("out").len() as u64;
        let ahead: u64 = stages.iter().flat_map(|stage| &stage.tasks).map(|task| task.steps).sum();
        assert_eq!(ahead, steps, "{selection} {eval_steps}");
    }
}

/// However it is interrupted, halving decides and trains the same.
#[test]
fn halving_goes_on_where_it_was_stopped() {
    let tables = [HALVING, &arm("lora-attention", FOUR_RATES)].concat();
    let bench = Workbench::new(Draft { header: "seeds = 2", recipe: EIGHT_STEPS, tables: &tables, ..Draft::default() });
    let choices = bench.run("whole").choices;
    let mut told = Told::default();
    for run in 0.. {
        assert!(run < 30, "it comes no further: {told:?}");
        let result;
        (result, told) = bench.run_steps("out", 3);
        match result {
            Ok(()) => break,
            Err(StudyError::Stopped) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(told.choices, choices);
    assert_alike(&remains(&bench.path("out")), &remains(&bench.path("whole")), "stopped every few steps");
}

#[test]
fn a_chain_starts_from_the_winner_and_takes_the_grid_along() {
    let child = "[[arm]]\nname = \"child\"\nbase = \"lora-attention\"\ntuner = \"ft\"\ndataset = \"rows\"\n";
    let tables = [HALVING, &arm("lora-attention", FOUR_RATES), child, &arm("ft", "")].concat();
    let bench = Workbench::new(Draft { header: "seeds = 2", recipe: EIGHT_STEPS, tables: &tables, ..Draft::default() });
    let (result, told) = bench.try_run("out", &["child"]);
    result.unwrap();
    let winner = &only_choice(&told).candidate;
    let arms: Vec<ArmRecord> = bench.rows("out");
    assert!(arms.iter().all(|row| row.arm != "ft"), "{arms:?}");
    let children: Vec<&ArmRecord> = arms.iter().filter(|row| row.arm == "child").collect();
    assert_eq!(children.iter().map(|row| row.seed).collect::<Vec<_>>(), [3, 4]);
    for child in children {
        let parent = arms.iter().find(|row| row.candidate == *winner && row.seed == child.seed).unwrap();
        let file = trained_arm::finished(&bench.path("out"), &child.identity).unwrap().unwrap();
        assert!(matches!(&file.base, Base::Arm { identity } if *identity == parent.identity), "{:?}", file.base);
    }
    // The others are added by a run of all, which trains nothing of these again.
    assert_eq!(bench.run("out").trainings(), ["ft (seed 1 of 2): 8", "ft (seed 2 of 2): 8"]);
}

#[test]
fn a_candidate_that_diverges_is_the_worst_and_no_more() {
    for selection in [ALL, HALVING] {
        let grid = arm("lora-attention", "grid = { learning_rate = [1e30, 1e-3] }");
        let tables = [selection, &grid].concat();
        let bench = Workbench::new(Draft { recipe: EIGHT_STEPS, tables: &tables, ..Draft::default() });
        let told = bench.run("out");
        assert_eq!(told.of("diverged "), ["lora-attention [learning_rate=1e+30]"], "{told:?}");
        assert_eq!(only_choice(&told).candidate, "learning_rate=0.001");
        let arms: Vec<ArmRecord> = bench.rows("out");
        let rows: Vec<(&str, bool)> = arms.iter().map(|row| (row.candidate.as_str(), row.selected)).collect();
        assert_eq!(rows, [("learning_rate=1e+30", false), ("learning_rate=0.001", true)]);
        // That it diverges is known, so it is not tried again.
        assert!(bench.run("out").trainings().is_empty());
    }
}

#[test]
fn an_arm_whose_candidates_all_diverge_fails_and_takes_only_its_children_along() {
    let child = "[[arm]]\nname = \"child\"\nbase = \"lora-attention\"\ntuner = \"ft\"\ndataset = \"rows\"\n";
    let grids = [
        arm("lora-attention", "grid = { learning_rate = [1e30, 1e31] }"),
        arm("ft", "grid = { learning_rate = [1e-3, 1e-2] }"),
    ];
    let tables = [ALL, &grids[0], child, &grids[1]].concat();
    let bench = Workbench::new(Draft { header: "seeds = 2", recipe: EIGHT_STEPS, tables: &tables, ..Draft::default() });
    let (result, told) = bench.try_run("out", &[]);
    let Err(StudyError::Failed(errors)) = result else { panic!("{result:?}") };
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].starts_with("arm `lora-attention`: ") && errors[0].contains("every candidate"), "{errors:?}");
    assert!(errors[0].contains("lower learning rates"), "it says what to do: {errors:?}");
    assert_eq!(errors[1], "arm `child`: it starts from `lora-attention`, which failed");
    assert_eq!(told.choices.len(), 1, "{told:?}");
    let arms: Vec<ArmRecord> = bench.rows("out");
    assert_eq!(arms.iter().filter(|row| row.arm == "ft" && row.selected).count(), 2, "{arms:?}");
}
