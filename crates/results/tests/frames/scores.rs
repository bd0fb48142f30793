//! The derived scores against sums done by hand.

use expect_test::expect;
use tunebench_results::{Frames, MACRO_AVERAGE, ScoreRow, derive_scores, write_judgements};
use tunebench_spec::{Judgement, JudgementStatus};

use crate::samples::judgement;

fn table(rows: &[ScoreRow]) -> String {
    let line = |row: &ScoreRow| {
        let ScoreRow {
            arm,
            seed,
            judge,
            category,
            items,
            scored,
            unscored,
            failed,
            mean_score,
            lower_bound,
            upper_bound,
        } = row;
        format!(
            "{arm}/{seed}/{judge}/{category}: {items}={scored}+{unscored}+{failed} {mean_score:?} {lower_bound}..{upper_bound}"
        )
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn repeats_are_averaged_first_and_missing_scores_bound_the_mean() {
    let rows = [
        // extract: item 1 is (0.25 + 0.75) / 2, item 2 has one score of two, item 3 has none.
        judgement("b", "extract", "1", 0, Ok(0.25)),
        judgement("b", "extract", "1", 1, Ok(0.75)),
        judgement("b", "extract", "2", 0, Err(JudgementStatus::Failed)),
        judgement("b", "extract", "2", 1, Ok(1.0)),
        judgement("b", "extract", "3", 0, Err(JudgementStatus::Unscored)),
        judgement("b", "extract", "4", 0, Err(JudgementStatus::Unscored)),
        judgement("b", "extract", "4", 1, Err(JudgementStatus::Failed)),
        judgement("b", "rewrite", "5", 0, Ok(0.25)),
        // Nothing scored where the other arm has a score: no mean, and so no macro average.
        judgement("a", "extract", "1", 0, Err(JudgementStatus::Failed)),
        judgement("a", "rewrite", "5", 0, Ok(0.5)),
    ];
    expect![[r#"
        b/1/reference/extract: 4=2+1+1 Some(0.75) 0.375..0.875
        b/1/reference/rewrite: 1=1+0+0 Some(0.25) 0.25..0.25
        b/1/reference/macro average: 5=3+1+1 Some(0.5) 0.3125..0.5625
        b/1/reference/micro average: 5=3+1+1 Some(0.5833333333333334) 0.35..0.75
        a/1/reference/extract: 1=0+0+1 None 0..1
        a/1/reference/rewrite: 1=1+0+0 Some(0.5) 0.5..0.5
        a/1/reference/macro average: 2=1+0+1 None 0.25..0.75
        a/1/reference/micro average: 2=1+0+1 Some(0.5) 0.25..0.75"#]]
    .assert_eq(&table(&derive_scores(&rows).unwrap()));
}

#[test]
fn what_a_judge_can_never_tell_is_left_out_for_every_arm() {
    let unscored = |arm, item| judgement(arm, "generation", item, 0, Err(JudgementStatus::Unscored));
    let rows = [
        judgement("a", "extract", "1", 0, Ok(1.0)),
        judgement("a", "rewrite", "2", 0, Ok(0.5)),
        unscored("a", "3"),
        judgement("b", "extract", "1", 0, Ok(0.0)),
        judgement("b", "rewrite", "2", 0, Ok(0.5)),
        unscored("b", "3"),
    ];
    let average = |rows: &[Judgement]| -> Vec<Option<f64>> {
        let scores = derive_scores(rows).unwrap();
        scores.iter().filter(|row| row.category == MACRO_AVERAGE).map(|row| row.mean_score).collect()
    };
    assert_eq!(average(&rows), [Some(0.75), Some(0.25)]);
    let mut told = rows;
    told[5] = judgement("b", "generation", "3", 0, Ok(1.0));
    assert_eq!(average(&told), [None, Some(0.5)], "once one arm has a score there, the other lacks one");
}

#[test]
fn each_training_has_scores_of_its_own() {
    let of = |seed, score| Judgement { seed, ..judgement("a", "extract", "1", 0, Ok(score)) };
    let scores = derive_scores(&[of(2, 1.0), of(1, 0.5), of(2, 0.0)]).unwrap();
    let means: Vec<_> = scores.iter().map(|row| (row.seed, row.items, row.mean_score)).collect();
    assert_eq!(means, [[(2, 1, Some(0.5)); 3], [(1, 1, Some(0.5)); 3]].concat());
}

#[test]
fn the_same_question_under_another_name_is_one_item() {
    let other_line = Judgement { item: "2".into(), ..judgement("a", "extract", "1", 1, Ok(1.0)) };
    let other_question = Judgement { item_hash: "other".into(), ..judgement("a", "extract", "1", 0, Ok(1.0)) };
    let first = judgement("a", "extract", "1", 0, Ok(0.5));
    let items = |rows: &[Judgement]| derive_scores(rows).unwrap()[0].items;
    assert_eq!(items(&[first.clone(), other_line]), 1);
    assert_eq!(items(&[first, other_question]), 2);
}

#[test]
fn judges_are_never_mixed() {
    let rows = [
        judgement("a", "extract", "1", 0, Ok(0.0)),
        Judgement { judge: "chatgpt".into(), ..judgement("a", "extract", "1", 0, Ok(1.0)) },
    ];
    let scores = derive_scores(&rows).unwrap();
    let means: Vec<_> = scores.iter().map(|row| (row.judge.as_str(), row.mean_score)).collect();
    let of = |judge, score| [(judge, Some(score)); 3];
    assert_eq!(means, [of("reference", 0.0), of("chatgpt", 1.0)].concat());
}

#[test]
fn the_scores_are_written_beside_the_judgements() {
    let dir = tempfile::tempdir().unwrap();
    let rows = [judgement("a", "extract", "1", 0, Ok(0.5)), judgement("a", "extract", "2", 0, Ok(1.0))];
    write_judgements(dir.path(), &rows).unwrap();
    let read: Vec<ScoreRow> = Frames::open(dir.path()).unwrap().read().unwrap();
    assert_eq!(read, derive_scores(&rows).unwrap());
}

#[test]
fn a_category_named_like_an_average_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let error = write_judgements(dir.path(), &[judgement("a", "micro average", "1", 0, Ok(0.5))]).unwrap_err();
    assert!(error.to_string().contains("`micro average`"), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// The verdict on `arm` against `rival`, whose answer is shown first where it is `swapped`.
fn compared(arm: &str, rival: &str, item: &str, swapped: bool, score: Result<f64, JudgementStatus>) -> Judgement {
    Judgement { rival: rival.into(), rival_seed: 1, swapped, ..judgement(arm, "extract", item, 0, score) }
}

#[test]
fn a_judge_that_compares_gives_win_rates_over_both_orders() {
    let failed = Err(JudgementStatus::Failed);
    let against_base = [
        compared("a", "base", "1", false, Ok(1.0)),
        compared("a", "base", "1", true, Ok(0.5)),
        compared("a", "base", "2", false, Ok(1.0)),
        compared("a", "base", "2", true, failed),
        // One order alone says as much of the order as of the answers.
        compared("a", "base", "3", false, Ok(1.0)),
        // Said without a rival, so it is no win rate.
        judgement("a", "extract", "1", 1, Ok(0.0)),
    ];
    expect![[r#"
        a/1/reference/extract: 3=1+1+1 Some(0.75) 0.25..0.9166666666666666
        a/1/reference/macro average: 3=1+1+1 Some(0.75) 0.25..0.9166666666666666
        a/1/reference/micro average: 3=1+1+1 Some(0.75) 0.25..0.9166666666666666"#]]
    .assert_eq(&table(&derive_scores(&against_base).unwrap()));

    // Each with each other: a verdict is one of both answers, written down as of either, or of both.
    let one = |swapped, score| compared("a", "b", "1", swapped, Ok(score));
    let of_all = [
        one(false, 1.0),
        one(true, 1.0),
        compared("b", "a", "1", true, Ok(0.0)),
        compared("b", "c", "1", false, Ok(0.5)),
        compared("b", "c", "1", true, Ok(0.5)),
        compared("c", "a", "1", false, Ok(0.0)),
        compared("c", "a", "1", true, Ok(1.0)),
    ];
    let scores = derive_scores(&of_all).unwrap();
    let means: Vec<_> = scores.iter().step_by(3).map(|row| (row.arm.as_str(), row.mean_score)).collect();
    assert_eq!(means, [("a", Some(0.75)), ("b", Some(0.25)), ("c", Some(0.5))]);
}
