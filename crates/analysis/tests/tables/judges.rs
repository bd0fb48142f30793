//! What the judges of a run are: their scores, what is left out of them, and what is said of that in every table.

use expect_test::expect;
use tempfile::TempDir;
use tunebench_analysis::evidence::{Evidence, PANEL};
use tunebench_analysis::{Cell, Run, Table, compare, cost, decision, scores};
use tunebench_results::{write_arms, write_generations, write_judgements};
use tunebench_spec::{Generation, Judgement, JudgementStatus, hash};

use crate::study::{arm, generation, judgement};

const ITEMS: [&str; 4] = ["1", "2", "3", "4"];

/// Arms a, b and the untrained base, with answers to four items and these judgements.
fn run(judgements: &[Judgement]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    write_arms(dir.path(), &[arm("a", 10, 8), arm("b", 10, 0), arm("base", 0, 0)]).unwrap();
    let answers: Vec<Generation> =
        ["a", "b", "base"].iter().flat_map(|arm| ITEMS.map(|item| generation(arm, item, 10, "stop"))).collect();
    write_generations(dir.path(), &answers).unwrap();
    write_judgements(dir.path(), judgements).unwrap();
    dir
}

/// The marks of one judge for an arm.
fn marks(judge: &str, arm: &str, scores: [f64; 4]) -> Vec<Judgement> {
    let row = |(item, score): (&str, f64)| Judgement { judge: judge.into(), ..judgement(arm, "extract", item, score) };
    ITEMS.into_iter().zip(scores).map(row).collect()
}

/// The verdicts on `arm` against `rival` in both orders, for each item.
fn duels(arm: &str, rival: &str, scores: [[f64; 2]; 4]) -> Vec<Judgement> {
    let row = |(item, scores): (&str, [f64; 2])| {
        [(false, scores[0]), (true, scores[1])].map(|(swapped, score)| Judgement {
            judge: "pairwise".into(),
            rival: rival.into(),
            rival_seed: 1,
            swapped,
            ..judgement(arm, "extract", item, score)
        })
    };
    ITEMS.into_iter().zip(scores).flat_map(row).collect()
}

/// Arm and macro average of each row.
fn averages(table: &Table) -> Vec<(String, Option<f64>)> {
    let of = |row: &Vec<Cell>| {
        let Cell::Text(arm) = &row[0] else { panic!("{row:?}") };
        let average = if let Cell::Number(value) = row[1] { Some((value * 1e6).round() / 1e6) } else { None };
        (arm.clone(), average)
    };
    table.rows.iter().map(of).collect()
}

fn notes(tables: &[Table], about: &str) -> String {
    let all = tables.iter().flat_map(|table| &table.notes).filter(|note| note.contains(about));
    all.map(String::as_str).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_judge_that_compares_gives_win_rates_and_every_table_says_so() {
    let mut rows = duels("a", "base", [[1.0, 1.0], [1.0, 0.0], [1.0, 0.5], [0.0, 0.0]]);
    rows.extend(duels("b", "base", [[1.0, 1.0], [0.5, 0.5], [0.0, 0.0], [0.0, f64::NAN]]));
    let dir = run(&rows);
    let tables = scores(dir.path()).unwrap();
    assert_eq!(averages(&tables[0]), [("a".into(), Some(0.5625)), ("b".into(), Some(0.5))]);
    for tables in [&tables, &compare(dir.path(), "a", "b", 0.02).unwrap(), &cost(dir.path()).unwrap()] {
        assert!(tables[0].title.ends_with(", judged by pairwise (win rates against base)"), "{}", tables[0].title);
    }
    let tables = decision(dir.path(), 0.02).unwrap();
    expect![[r#"
        pairwise compares two answers: a score is the win rate against base, 1 for a win, 0.5 for a tie and 0 for a loss; both orders of a pair are averaged first.
        1 of 8 pairs of answers have no verdict in one of the two orders; their answers have no win rate."#]]
    .assert_eq(&notes(&tables, "pair"));
}

#[test]
fn win_rates_and_marks_are_never_mixed() {
    let mut rows = duels("a", "b", [[1.0, 1.0]; 4]);
    // The same judge once without a rival, and another one that marks.
    rows.extend(marks("pairwise", "a", [0.0; 4]));
    rows.extend(marks("strict", "a", [0.25; 4]));
    rows.extend(marks("strict", "b", [0.5; 4]));
    let dir = run(&rows);
    let evidence = Evidence::read(&Run::open(dir.path()).unwrap()).unwrap();
    assert_eq!(evidence.judges, ["strict", "pairwise"], "one that marks is no panel, and goes first");
    let tables = scores(dir.path()).unwrap();
    assert_eq!(averages(&tables[0]), [("a".into(), Some(0.25)), ("b".into(), Some(0.5))]);
    assert_eq!(averages(&tables[3]), [("a".into(), Some(1.0))]);
    expect!["4 judgements by pairwise, which compares two answers, name no rival; they are left out."]
        .assert_eq(&notes(&tables, "rival"));
}

#[test]
fn judgements_of_answers_that_changed_since_are_left_out_and_counted() {
    let now = hash::of_bytes(generation("a", "1", 10, "stop").answer.as_bytes());
    let mut rows = [marks("strict", "a", [0.5; 4]), marks("strict", "b", [0.5; 4])].concat();
    rows.iter_mut().for_each(|row| row.answer_hash.clone_from(&now));
    for row in rows.iter_mut().filter(|row| row.arm == "b" && row.item != "1") {
        row.answer_hash = hash::of_bytes(b"what it said before");
        row.score = Some(0.0);
    }
    let tables = scores(run(&rows).path()).unwrap();
    assert_eq!(averages(&tables[0]), [("a".into(), Some(0.5)), ("b".into(), Some(0.5))]);
    expect!["3 judgements by strict are of answers that have changed since, and are left out (b 3); run the study again to judge the new ones."]
        .assert_eq(&notes(&tables[..1], "changed since"));
}

#[test]
fn comparisons_with_a_rivals_answer_that_changed_since_are_left_out_and_counted() {
    let now = hash::of_bytes(generation("a", "1", 10, "stop").answer.as_bytes());
    let mut rows = [duels("a", "b", [[1.0; 2]; 4]), duels("b", "a", [[0.0; 2]; 4])].concat();
    for row in &mut rows {
        row.answer_hash.clone_from(&now);
        let is_old = row.rival == "b" && row.item == "2";
        row.rival_answer_hash = if is_old { hash::of_bytes(b"what it said before") } else { now.clone() };
    }
    let tables = scores(run(&rows).path()).unwrap();
    assert!(
        notes(&tables[..1], "changed since").starts_with("2 judgements by pairwise"),
        "{}",
        notes(&tables, "changed")
    );
}

#[test]
fn a_judge_that_was_not_one_model_throughout_is_said_to_have_drifted() {
    let mut rows = [marks("strict", "a", [0.5; 4]), marks("strict", "b", [0.5; 4])].concat();
    for (i, row) in rows.iter_mut().enumerate() {
        row.asked_model = "judge-5".into();
        row.model = "judge-5-2026-01".into();
        row.fingerprint = if i < 6 { "fp_1" } else { "fp_2" }.into();
    }
    let same: Vec<Judgement> = rows.iter().map(|row| Judgement { fingerprint: String::new(), ..row.clone() }).collect();
    assert_eq!(notes(&scores(run(&same).path()).unwrap(), "throughout"), "");
    expect!["The judge strict was not one model throughout: judge-5 answered as judge-5-2026-01 [fp_1] (6 judgements), judge-5 answered as judge-5-2026-01 [fp_2] (2 judgements). Its scores may have drifted; `tunebench analyze judges` says more."]
        .assert_eq(&notes(&scores(run(&rows).path()).unwrap()[..1], "throughout"));
}

#[test]
fn several_judges_make_a_panel_of_what_all_of_them_scored() {
    let rows = [
        marks("strict", "a", [0.0, 0.2, 0.4, 0.6]),
        marks("mild", "a", [1.0, 0.8, f64::NAN, 0.8]),
        marks("odd", "a", [0.3, 0.9, 0.5, 0.0]),
        marks("strict", "b", [0.1; 4]),
        marks("mild", "b", [0.2; 4]),
        marks("odd", "b", [0.9; 4]),
    ];
    let dir = run(&rows.concat());
    let tables = scores(dir.path()).unwrap();
    let panel = tables.iter().find(|table| table.title.ends_with(&format!("judged by {PANEL}"))).unwrap();
    // Medians 0.3, 0.8, none, 0.6 and 0.2 four times.
    assert_eq!(averages(panel), [("a".into(), Some(0.566667)), ("b".into(), Some(0.2))]);
    expect!["panel (median) is the median of what mild, odd, strict gave each answer; of 8 answers all of them scored 7, and the others have no score here. Of marks that are 0 or 1 the median is the majority."]
        .assert_eq(panel.notes.iter().find(|note| note.contains("median")).unwrap());
    assert!(cost(dir.path()).unwrap().iter().all(|table| !table.title.contains(PANEL)), "nobody was paid for it");
    let apart = [marks("strict", "a", [0.5; 4]), marks("mild", "b", [0.5; 4])].concat();
    let evidence = Evidence::read(&Run::open(run(&apart).path()).unwrap()).unwrap();
    assert_eq!(evidence.judges, ["mild", "strict"], "judges of different answers are no panel");
    let failed: Vec<Judgement> = [marks("strict", "a", [0.5; 4]), marks("mild", "a", [f64::NAN; 4])].concat();
    assert!(failed.iter().any(|row| row.status == JudgementStatus::Unscored));
    assert_eq!(Evidence::read(&Run::open(run(&failed).path()).unwrap()).unwrap().judges, ["mild", "strict"]);
}
