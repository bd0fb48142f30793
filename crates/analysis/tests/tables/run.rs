//! The tables of a small study.

use expect_test::expect;
use tunebench_analysis::{Cell, Table, compare, cost, curves, lengths, query, scores};
use tunebench_results::{write_arms, write_judgements, write_steps};

use crate::study::{arm, judgement, step, study};

fn text(tables: &[Table]) -> String {
    tables.iter().map(Table::to_text).collect::<Vec<_>>().join("\n")
}

#[test]
fn scores_are_the_papers_tables_in_the_studys_order() {
    let dir = study();
    expect![[r#"
        Average score and what it took

        arm        macro_average  lower_bound  upper_bound  micro_average  additional_params  hours_per_epoch  train_minutes  final_loss  tokens_per_second
        ─────────  ─────────────  ───────────  ───────────  ─────────────  ─────────────────  ───────────────  ─────────────  ──────────  ─────────────────
        lora               0.625        0.458        0.625          0.625              8,192            0.250           30.0      1.2500               20.0
        full | 全          0.625        0.625        0.625          0.700                  0            0.250           60.0      1.2500               20.0
        base               0.125        0.125        0.125          0.100                  0                -              -           -                  -

        lora: 1 of 5 items without a score (1 unscored, 0 failed).
        The bounds are the macro average with every item without a score counted as 0 and as 1.

        Average score by category

        arm        extract  open qa  zoology
        ─────────  ───────  ───────  ───────
        lora         0.625    1.000    0.250
        full | 全    0.875    0.750    0.250
        base         0.125    0.000    0.250
    "#]].assert_eq(&text(&scores(dir.path()).unwrap()));
}

#[test]
fn bounds_are_left_out_when_everything_is_scored() {
    let dir = tempfile::tempdir().unwrap();
    write_arms(dir.path(), &[arm("a", 1, 0), arm("b", 1, 0)]).unwrap();
    let rows = [("a", "1"), ("a", "2"), ("b", "1")].map(|(arm, item)| judgement(arm, "extract", item, 0.5));
    write_judgements(dir.path(), &rows).unwrap();
    let tables = scores(dir.path()).unwrap();
    assert!(tables[0].columns.iter().all(|column| !column.name.ends_with("bound")));
    expect!["The arms were judged on different numbers of items (1 to 2): averages are not comparable."]
        .assert_eq(&tables[0].notes.join("\n"));
}

#[test]
fn two_arms_are_compared_item_by_item() {
    let dir = study();
    let tables = compare(dir.path(), "full | 全", "base").unwrap();
    expect![[r#"
        full | 全 minus base

        category       items  mean_a  mean_b  difference  ci_low  ci_high       p  p_holm  detectable
        ─────────────  ─────  ──────  ──────  ──────────  ──────  ───────  ──────  ──────  ──────────
        extract            2   0.875   0.125       0.750   0.750    0.750  0.5000  1.0000       0.000
        open qa            2   0.750   0.000       0.750   0.500    1.000  0.5000  1.0000       0.700
        zoology            1   0.250   0.250       0.000   0.000    0.000  1.0000  1.0000           -
        macro average      5   0.625   0.125       0.500   0.417    0.583  0.1250       -           -
        micro average      5   0.700   0.100       0.600   0.300    0.850  0.1250       -       0.475

        a is full | 全, b is base; ci: 95 % interval of the difference, paired bootstrap.
        p: two-sided sign-flip permutation test; p_holm: adjusted for the number of categories.
        detectable: the true difference that this many items would show 4 times in 5 at p < 0.05.
    "#]]
    .assert_eq(&text(&tables));
    assert_eq!(tables, compare(dir.path(), "full | 全", "base").unwrap());
}

#[test]
fn an_item_without_a_score_for_one_arm_is_left_out_and_counted() {
    let dir = study();
    let tables = compare(dir.path(), "lora", "base").unwrap();
    let note = tables[0].notes.last().unwrap();
    assert_eq!(note, "1 items without a score for one of the two are left out.");
}

#[test]
fn arms_that_cannot_be_compared_say_why() {
    let dir = study();
    let unknown = compare(dir.path(), "lora", "loar").unwrap_err().to_string();
    assert_eq!(unknown, "no arm `loar` has judgements; the arms that do: lora, full | 全, base");

    write_judgements(dir.path(), &[judgement("a", "x", "1", 1.0), judgement("b", "x", "2", 1.0)]).unwrap();
    let disjoint = compare(dir.path(), "a", "b").unwrap_err().to_string();
    assert!(disjoint.starts_with("`a` and `b` have no item"), "{disjoint}");
}

#[test]
fn what_each_arm_cost() {
    let dir = study();
    expect![[r#"
        What each arm cost

        arm        train_seconds  tokens_per_second  peak_memory_gib  trainable_params  additional_params  judge_usd  macro_average  score_per_train_hour
        ─────────  ─────────────  ─────────────────  ───────────────  ────────────────  ─────────────────  ─────────  ─────────────  ────────────────────
        lora              1800.0               20.0             1.50             8,192              8,192     0.0040          0.625                 1.250
        full | 全         3600.0               20.0             1.50         1,000,000                  0     0.0050          0.625                 0.625
        base                   -                  -                -         1,000,000                  0     0.0050          0.125                     -

        lora: 1 of 5 judgements have no price.
    "#]].assert_eq(&text(&cost(dir.path()).unwrap()));
}

#[test]
fn cost_is_known_before_anything_is_judged() {
    let dir = tempfile::tempdir().unwrap();
    write_arms(dir.path(), &[arm("a", 1, 0)]).unwrap();
    let tables = cost(dir.path()).unwrap();
    assert_eq!(tables[0].rows[0][1], Cell::Number(90.0));
    assert_eq!(tables[0].rows[0][7], Cell::Missing);
}

#[test]
fn loss_by_tenth_with_short_and_broken_runs() {
    let dir = study();
    let falling = (1..=20).map(|n| step("lora", n, 4.0 - n as f64 / 10.0));
    let short = (1..=3).map(|n| step("base", n, n as f64));
    let broken = [step("full | 全", 2, f64::NAN), step("full | 全", 1, 4.0)];
    write_steps(dir.path(), &falling.chain(short).chain(broken).collect::<Vec<_>>()).unwrap();
    expect![[r#"
        Mean loss by tenth of the run

        arm        steps     10%     20%     30%     40%     50%     60%     70%     80%     90%    100%  curve
        ─────────  ─────  ──────  ──────  ──────  ──────  ──────  ──────  ──────  ──────  ──────  ──────  ────────────────────
        lora          20  3.8500  3.6500  3.4500  3.2500  3.0500  2.8500  2.6500  2.4500  2.2500  2.0500  ███▇▇▇▇▆▆▆▆▅▅▅▅▄▄▄▃▃
        full | 全      2       -       -       -       -  4.0000       -       -       -       -     NaN  █×
        base           3       -       -       -  1.0000       -       -  2.0000       -       -  3.0000  ▁▃▆

        curve: from 1.0000 (lowest) to 4.0000 (highest), one scale for all arms.
    "#]].assert_eq(&text(&curves(dir.path()).unwrap()));
}

#[test]
fn length_against_score() {
    let dir = study();
    expect![[r#"
        Length of the answers and their score

        arm        answers  truncated  truncated_percent  mean_new_tokens  scored  slope_per_100_tokens  correlation
        ─────────  ───────  ─────────  ─────────────────  ───────────────  ──────  ────────────────────  ───────────
        lora             5          1               20.0            300.0       4               -0.0714       -0.378
        full | 全        5          0                0.0             60.0       5               -0.7500       -0.728
        base             5          0                0.0             30.0       5                0.2500        0.289
        all arms        15          1                6.7            130.0      14                0.0418        0.152

        truncated: cut at the limit of new tokens. slope: change of score per 100 new tokens.
    "#]]
    .assert_eq(&text(&lengths(dir.path()).unwrap()));
}

#[test]
fn sql_answers_as_a_table() {
    let dir = study();
    let sql = "SELECT g.arm, g.answer, COUNT(*) AS n, AVG(s.learning_rate) AS lr, MIN(g.reference) AS reference \
               FROM generations g JOIN steps s ON s.arm = g.arm GROUP BY g.arm, g.answer";
    let table = query(dir.path(), sql).unwrap();
    expect![[r#"
        SELECT g.arm, g.answer, COUNT(*) AS n, AVG(s.learning_rate) AS lr, MIN(g.reference) AS reference FROM generations g JOIN steps s ON s.arm = g.arm GROUP BY g.arm, g.answer

        arm   answer              n           lr  reference
        ────  ────────────────  ───  ───────────  ─────────
        lora  a|b\u{1b}[2J\n好  100  0.000005000  -

        {
          "title": "SELECT g.arm, g.answer, COUNT(*) AS n, AVG(s.learning_rate) AS lr, MIN(g.reference) AS reference FROM generations g JOIN steps s ON s.arm = g.arm GROUP BY g.arm, g.answer",
          "columns": [
            "arm",
            "answer",
            "n",
            "lr",
            "reference"
          ],
          "rows": [
            {
              "arm": "lora",
              "answer": "a|b\u001b[2J\n好",
              "n": 100,
              "lr": 5e-6,
              "reference": null
            }
          ],
          "notes": []
        }

        ### SELECT g.arm, g.answer, COUNT(\*) AS n, AVG(s.learning\_rate) AS lr, MIN(g.reference) AS reference FROM generations g JOIN steps s ON s.arm = g.arm GROUP BY g.arm, g.answer

        | arm | answer | n | lr | reference |
        | --- | --- | ---: | ---: | --- |
        | lora | a\|b\\u{1b}\[2J\\n好 | 100 | 0.000005000 | - |
    "#]].assert_eq(&[table.to_text(), table.to_json(), table.to_markdown()].join("\n"));
}

#[test]
fn a_missing_frame_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = scores(dir.path()).unwrap_err().to_string();
    assert!(error.contains("arms.parquet"), "{error}");
    write_arms(dir.path(), &[arm("a", 1, 0)]).unwrap();
    let error = scores(dir.path()).unwrap_err().to_string();
    assert!(error.contains("scores.parquet"), "{error}");
}
