//! What does not measure the same is refused by name, and items are told by their content.

use expect_test::{Expect, expect};
use tempfile::TempDir;
use tunebench_analysis::{Cell, compare, cost, lengths, lint, scores};
use tunebench_results::{write_arms, write_generations, write_judgements};
use tunebench_spec::{ArmRecord, Generation, Judgement, JudgementStatus};

use crate::study::{arm, generation, judgement};

const ITEMS: [&str; 4] = ["1", "2", "3", "4"];

fn judgements(arm: &str) -> Vec<Judgement> {
    ITEMS.iter().enumerate().map(|(i, item)| judgement(arm, "extract", item, 0.1 * i as f64)).collect()
}

fn answers(arm: &str) -> Vec<Generation> {
    ITEMS.iter().enumerate().map(|(i, item)| generation(arm, item, 10 + i as u64, "stop")).collect()
}

/// Arms a, b and c, with the rows that `change` leaves.
fn run(change: impl Fn(&mut Vec<Judgement>, &mut Vec<Generation>)) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    write_arms(dir.path(), &["a", "b", "c"].map(|name| arm(name, 10, 8))).unwrap();
    let mut judgements: Vec<Judgement> = ["a", "b", "c"].into_iter().flat_map(judgements).collect();
    let mut answers: Vec<Generation> = ["a", "b", "c"].into_iter().flat_map(answers).collect();
    change(&mut judgements, &mut answers);
    write_judgements(dir.path(), &judgements).unwrap();
    write_generations(dir.path(), &answers).unwrap();
    dir
}

/// Every analysis of scores refuses alike; a comparison of arms that are not concerned goes on.
fn refused(dir: &TempDir, expected: &Expect) {
    let message = scores(dir.path()).unwrap_err().to_string();
    expected.assert_eq(&message);
    assert_eq!(cost(dir.path()).unwrap_err().to_string(), message);
    assert_eq!(lengths(dir.path()).unwrap_err().to_string(), message);
    assert!(compare(dir.path(), "b", "c", 0.02).is_err());
    assert!(compare(dir.path(), "a", "c", 0.02).is_ok(), "arms that are not concerned are compared");
    let found = lint(dir.path()).unwrap();
    assert!(format!("{:?}", found[0].rows).contains("not comparable"), "lint shows it and goes on");
}

#[test]
fn another_judge_or_rubric_is_refused() {
    let dir = run(|judgements, _| {
        for judgement in judgements.iter_mut().filter(|j| j.arm == "b").take(3) {
            judgement.judge_hash = "rubric 2".into();
        }
    });
    refused(
        &dir,
        &expect![
            "`reference` judged the same items by another model, options or rubric for some answers than for the rest (`b`: 3 of 4 rows): these scores do not measure the same; judge again with `tunebench study`, or compare only arms that were judged alike"
        ],
    );
}

#[test]
fn another_rubric_for_another_item_is_none_of_that() {
    let dir = run(|judgements, _| judgements.iter_mut().for_each(|j| j.judge_hash = format!("rubric of {}", j.item)));
    scores(dir.path()).unwrap();
}

#[test]
fn another_prompt_is_refused() {
    let dir = run(|_, answers| {
        for answer in answers.iter_mut().filter(|g| g.arm == "b") {
            answer.prompt_hash = "256 tokens at most".into();
        }
    });
    refused(
        &dir,
        &expect![
            "the same items were asked with another prompt or other generation settings for some answers than for the rest (`b`: 4 of 4 rows): these answers are not comparable; answer and judge again with `tunebench study`, or compare only arms that were asked alike"
        ],
    );
}

#[test]
fn an_item_that_one_model_could_not_be_asked_is_no_other_prompt() {
    let dir = run(|judgements, answers| {
        let cut_off = answers.iter_mut().find(|g| g.arm == "b" && g.item == "4").unwrap();
        cut_off.finish = "not_asked".into();
        cut_off.prompt_hash = "too long for its positions".into();
        let unscored = judgements.iter_mut().find(|j| j.arm == "b" && j.item == "4").unwrap();
        unscored.score = None;
        unscored.status = JudgementStatus::Unscored;
    });
    let tables = scores(dir.path()).unwrap();
    assert!(tables[0].notes.contains(&"b: 1 of 4 answers without a score (1 unscored, 0 failed).".to_owned()));
    let tables = lengths(dir.path()).unwrap();
    assert!(tables[0].notes.contains(&"b: 1 items could not be asked.".to_owned()), "{:?}", tables[0].notes);
}

#[test]
fn another_prompt_by_another_template_is_the_studys_own() {
    let dir = run(|_, answers| {
        answers.iter_mut().filter(|g| g.arm == "b").for_each(|g| g.prompt_hash = "in another template".into());
    });
    let records = [arm("a", 10, 8), ArmRecord { template: "alpaca".into(), ..arm("b", 10, 8) }, arm("c", 10, 8)];
    write_arms(dir.path(), &records).unwrap();
    scores(dir.path()).unwrap();
    let found = lint(dir.path()).unwrap();
    assert!(format!("{:?}", found[0].rows).contains("alpaca (b)"));
}

#[test]
fn rows_that_do_not_say_what_they_are_of_are_refused() {
    let no_item = run(|judgements, _| judgements.iter_mut().filter(|j| j.arm == "b").for_each(|j| j.item_hash.clear()));
    refused(
        &no_item,
        &expect![
            "judgements by `reference` do not say which item they are of (`b`: 4 rows), so they cannot be paired; judge again with `tunebench study`"
        ],
    );
    let no_judge =
        run(|judgements, _| judgements.iter_mut().filter(|j| j.arm == "b").for_each(|j| j.judge_hash.clear()));
    refused(
        &no_judge,
        &expect![
            "judgements by `reference` do not say which judge they are of (`b`: 4 rows), so they cannot be paired; judge again with `tunebench study`"
        ],
    );
}

#[test]
fn items_are_told_by_their_content() {
    // The same questions in other lines, and one line that holds another question.
    let dir = run(|judgements, answers| {
        for judgement in judgements.iter_mut().filter(|j| j.arm == "b") {
            judgement.item = format!("line {}", judgement.item);
        }
        judgements.iter_mut().filter(|j| j.arm == "b" && j.item == "line 4").for_each(|j| j.item_hash = "other".into());
        answers.iter_mut().filter(|g| g.arm == "b" && g.item == "4").for_each(|g| g.item_hash = "other".into());
    });
    let tables = compare(dir.path(), "a", "b", 0.02).unwrap();
    let note = tables[0].notes.last().unwrap();
    expect!["2 of 5 items were not judged for every training and are left out for all: a (seed 1) lacks 1, b (seed 1) lacks 1."].assert_eq(note);
    let micro = tables[0].rows.last().unwrap();
    assert_eq!(micro[1], Cell::Integer(3));
    assert_eq!((&micro[2], &micro[4]), (&micro[3], &Cell::Number(0.0)));
}

#[test]
fn a_question_that_is_there_twice_is_one_item() {
    let dir = run(|judgements, answers| {
        judgements.iter_mut().filter(|j| j.item == "4").for_each(|j| j.item_hash = "content of 3".into());
        answers.iter_mut().filter(|g| g.item == "4").for_each(|g| g.item_hash = "content of 3".into());
        answers.iter_mut().filter(|g| g.item == "4").for_each(|g| g.prompt_hash = "prompt of 3".into());
    });
    let tables = scores(dir.path()).unwrap();
    assert!(tables[0].notes.iter().any(|note| note.starts_with("3 judgements are of a question that")));
}

#[test]
fn no_macro_average_over_fewer_categories_than_the_run_has() {
    let dir = run(|judgements, _| judgements.push(judgement("c", "poetry", "5", 1.0)));
    let tables = compare(dir.path(), "a", "b", 0.02).unwrap();
    assert!(tables[0].rows.iter().all(|row| row[0] != "macro average".into()));
    expect!["No macro average: no score in poetry, where other arms of the run have some."]
        .assert_eq(tables[0].notes.iter().find(|note| note.contains("macro")).unwrap());
}
