//! The tables of a small study.

use expect_test::expect;
use tunebench_analysis::{Cell, Table, compare, cost, curves, lengths, query, scores};
use tunebench_results::{write_arms, write_generations, write_judgements, write_steps};

use crate::study::{arm, generation, judgement, step, study};

fn text(tables: &[Table]) -> String {
    tables.iter().map(Table::to_text).collect::<Vec<_>>().join("\n")
}

#[test]
fn scores_are_the_papers_tables_in_the_studys_order() {
    let dir = study();
    expect![[r#"
        Average score and what it took

        arm        macro_average  ci_low  ci_high  interval_over  group  seeds  items  micro_average  lower_bound  upper_bound  additional_params  train_time  train_seconds  final_loss
        ─────────  ─────────────  ──────  ───────  ─────────────  ─────  ─────  ─────  ─────────────  ───────────  ───────────  ─────────────────  ──────────  ─────────────  ──────────
        lora               0.625  -       -        -              a          1      5          0.625        0.458        0.625              8,192  30.0 min           1800.0      1.2500
        full | 全          0.625  -       -        -              a          1      5          0.700        0.625        0.625                  0  60.0 min           3600.0      1.2500
        base               0.125  -       -        -              a          1      5          0.100        0.125        0.125                  0  -                       -           -

        lora: 1 of 5 answers without a score (1 unscored, 0 failed).
        lora: no interval: category `open qa` has one item, which tells nothing about the spread of items.
        full | 全: no interval: category `zoology` has one item, which tells nothing about the spread of items.
        base: no interval: category `zoology` has one item, which tells nothing about the spread of items.
        Trained once: lora, full | 全. Such an interval is over items only and does not contain the training's own noise, which may be larger; give the study `seeds = 3` or more.
        group: arms that share a letter cannot be told apart (Tukey's method over all pairs, 5 %); the best group is a.
        The intervals leave the judge's own error out: nobody marked these answers. `tunebench judge calibrate` takes marks, and `tunebench analyze calibration` says what they come to.
        The bounds are the macro average with every answer without a score counted as 0 and as 1.

        Average score by category

        arm        extract  open qa  zoology
        ─────────  ───────  ───────  ───────
        lora         0.625    1.000    0.250
        full | 全    0.875    0.750    0.250
        base         0.125    0.000    0.250

        Half the width of the 95 % interval by category

        arm        extract  open qa  zoology
        ─────────  ───────  ───────  ───────
        lora         1.588        -  -
        full | 全    1.588    3.177  -
        base         1.588        -  -

        open qa: no interval: category `open qa` has one item, which tells nothing about the spread of items (lora).
        zoology: no interval: category `zoology` has one item, which tells nothing about the spread of items (lora, full | 全, base).
        open qa: no interval: all 2 items and trainings give the same number, so nothing is known of their spread (base).
    "#]].assert_eq(&text(&scores(dir.path()).unwrap()));
}

#[test]
fn items_that_one_arm_lacks_are_left_out_for_all_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    write_arms(dir.path(), &[arm("a", 1, 0), arm("b", 1, 0)]).unwrap();
    let rows = [("a", "1"), ("a", "2"), ("b", "1")].map(|(arm, item)| judgement(arm, "extract", item, 0.5));
    write_judgements(dir.path(), &rows).unwrap();
    let tables = scores(dir.path()).unwrap();
    assert!(tables[0].columns.iter().all(|column| !column.name.ends_with("bound")));
    expect![[r#"
        a: no interval: category `extract` has one item, which tells nothing about the spread of items.
        b: no interval: category `extract` has one item, which tells nothing about the spread of items.
        Trained once: a, b. Such an interval is over items only and does not contain the training's own noise, which may be larger; give the study `seeds = 3` or more.
        group: arms that share a letter cannot be told apart (Tukey's method over all pairs, 5 %); the best group is a.
        1 of 2 items were not judged for every training and are left out for all: b (seed 1) lacks 1.
        The intervals leave the judge's own error out: nobody marked these answers. `tunebench judge calibrate` takes marks, and `tunebench analyze calibration` says what they come to."#]]
        .assert_eq(&tables[0].notes.join("\n"));
}

#[test]
fn two_arms_are_compared_item_by_item() {
    let dir = study();
    let tables = compare(dir.path(), "full | 全", "base", 0.02).unwrap();
    expect![[r#"
        full | 全 minus base

        category       items  mean_a  mean_b  difference  ci_low  ci_high   df       p  p_holm  detectable  verdict
        ─────────────  ─────  ──────  ──────  ──────────  ──────  ───────  ───  ──────  ──────  ──────────  ───────────
        extract            2   0.875   0.125       0.750       -        -    -       -       -           -  cannot tell
        open qa            2   0.750   0.000       0.750  -2.427    3.927  1.0  0.2048  0.2048       4.084  cannot tell
        zoology            1   0.250   0.250       0.000       -        -    -       -       -           -  cannot tell
        macro average      5   0.625   0.125       0.500       -        -    -       -       -           -  cannot tell
        micro average      5   0.700   0.100       0.600   0.129    1.071  4.0  0.0240       -       0.638  a is higher

        a is full | 全, b is base; ci: 95 % interval of the difference, over items only.
        An arm was trained once, so the intervals do not contain the training's own noise, which may be larger; give the study `seeds = 3` or more.
        p_holm: adjusted for the number of categories, whose verdicts are by it.
        detectable: the true difference that a study like this would show 4 times in 5 at p < 0.05.
        extract: no interval: all 2 items and trainings give the same number, so nothing is known of their spread.
        zoology: no interval: category `zoology` has one item, which tells nothing about the spread of items.
        macro average: no interval: category `zoology` has one item, which tells nothing about the spread of items.

        What these scores vary by

        part         variance  standard_deviation  df  percent
        ───────────  ────────  ──────────────────  ──  ───────
        item          0.01562               0.125   2     33.3
        arm by item   0.03125               0.177   2     66.7

        Neither arm was trained twice, so nothing is known of how much trainings vary.
        df: how well each is known; a variance of few degrees of freedom is rough.

        What would show a difference of 0.02

        seeds  items  over
        ─────  ─────  ──────────
            1  1,229  items only

        items: the fewest that show such a difference 4 times in 5, equally many in each category; seeds: trainings of each arm.
    "#]]
    .assert_eq(&text(&tables));
    assert_eq!(tables, compare(dir.path(), "full | 全", "base", 0.02).unwrap());
}

#[test]
fn an_item_without_a_score_for_one_arm_is_left_out_and_counted() {
    let dir = study();
    let tables = compare(dir.path(), "lora", "base", 0.02).unwrap();
    let note = tables[0].notes.last().unwrap();
    assert_eq!(note, "1 items without a score for a training of one of the two are left out.");
}

#[test]
fn arms_that_cannot_be_compared_say_why() {
    let dir = study();
    let unknown = compare(dir.path(), "lora", "loar", 0.02).unwrap_err().to_string();
    assert_eq!(unknown, "no arm `loar` has judgements; the arms that do: lora, full | 全, base");

    write_judgements(dir.path(), &[judgement("a", "x", "1", 1.0), judgement("b", "x", "2", 1.0)]).unwrap();
    let disjoint = compare(dir.path(), "a", "b", 0.02).unwrap_err().to_string();
    assert!(disjoint.starts_with("no item was scored by the same judge for all of: a, b"), "{disjoint}");
    assert!(compare(dir.path(), "a", "a", 0.02).unwrap_err().to_string().contains("with itself"));
    assert!(compare(dir.path(), "a", "b", 0.0).unwrap_err().to_string().starts_with("the margin is 0"));
}

#[test]
fn what_each_arm_cost() {
    let dir = study();
    expect![[r#"
        What each arm cost

        arm        seeds  train_time  train_seconds  tokens_per_second  peak_memory_gib  trainable_params  additional_params  judge_usd  macro_average  score_per_train_hour  all_trainings
        ─────────  ─────  ──────────  ─────────────  ─────────────────  ───────────────  ────────────────  ─────────────────  ─────────  ─────────────  ────────────────────  ─────────────
        lora           1  30.0 min           1800.0               20.0             1.50             8,192              8,192     0.0040          0.625                 1.250  30.0 min
        full | 全      1  60.0 min           3600.0               20.0             1.50         1,000,000                  0     0.0050          0.625                 0.625  60.0 min
        base           1  -                       -                  -                -         1,000,000                  0     0.0050          0.125                     -  -

        lora: 1 of 5 judgements have no price.
        train_time and train_seconds are of one training, the mean over seeds; all_trainings adds up every seed and candidate.

        Which arms are worth their cost

        arm        macro_average  hours              memory  additional_params  judge_usd
        ─────────  ─────────────  ─────────────────  ──────  ─────────────────  ─────────────────
        lora               0.625  front              front   front              front
        full | 全          0.625  dominated by lora  front   dominated by lora  dominated by lora
        base               0.125  front              front   front              dominated by lora

        front: no other arm scores at least as much for at most as much. By means alone: see `scores` for arms that cannot be told apart.
        additional_params: what is kept for an arm beside its base, the whole model where all of it was trained.

        Hours per epoch, full fine-tuning against others

        full_fine_tuning  other  full_epoch  other_epoch  full_hours_per_epoch  other_hours_per_epoch  ratio  lowest  highest
        ────────────────  ─────  ──────────  ───────────  ────────────────────  ─────────────────────  ─────  ──────  ───────
        full | 全         lora   30.0 min    15.0 min                   0.5000                 0.2500   2.00  -       -

        lowest, highest: over the trainings of both. The paper says 3 to 5 times.
    "#]].assert_eq(&text(&cost(dir.path()).unwrap()));
}

#[test]
fn cost_is_known_before_anything_is_judged() {
    let dir = tempfile::tempdir().unwrap();
    write_arms(dir.path(), &[arm("a", 1, 0)]).unwrap();
    let tables = cost(dir.path()).unwrap();
    let cell = |name: &str| {
        let place = tables[0].columns.iter().position(|column| column.name == name).unwrap();
        tables[0].rows[0][place].clone()
    };
    assert_eq!(cell("train_seconds"), Cell::Number(90.0));
    assert_eq!(cell("train_time"), Cell::Text("90.0 s".into()));
    assert_eq!(cell("macro_average"), Cell::Missing);
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

        arm        seed  steps     10%     20%     30%     40%     50%     60%     70%     80%     90%    100%  curve
        ─────────  ────  ─────  ──────  ──────  ──────  ──────  ──────  ──────  ──────  ──────  ──────  ──────  ────────────────────
        lora          1     20  3.8500  3.6500  3.4500  3.2500  3.0500  2.8500  2.6500  2.4500  2.2500  2.0500  ███▇▇▇▇▆▆▆▆▅▅▅▅▄▄▄▃▃
        full | 全     1      2       -       -       -       -  4.0000       -       -       -       -     NaN  █×
        base          1      3       -       -       -  1.0000       -       -  2.0000       -       -  3.0000  ▁▃▆

        curve: from 1.0000 (lowest) to 4.0000 (highest), one scale for all arms.
    "#]].assert_eq(&text(&curves(dir.path()).unwrap()));
}

#[test]
fn length_against_score() {
    let dir = study();
    expect![[r#"
        Length of the answers and their score

        arm        answers  truncated  truncated_percent  mean_new_tokens  items  slope_per_100_tokens   ci_low  ci_high  r_squared
        ─────────  ───────  ─────────  ─────────────────  ───────────────  ─────  ────────────────────  ───────  ───────  ─────────
        lora             5          1               20.0            300.0      4               -0.0714  -0.6037   0.4609      0.143
        full | 全        5          0                0.0             60.0      5               -0.7500  -2.0492   0.5492      0.529
        base             5          0                0.0             30.0      5                0.2500  -1.2735   1.7735      0.083

        truncated: cut at the limit of new tokens. slope: change of score per 100 new tokens over the items that have a score, trainings averaged first; ci: its 95 % interval over items.

        Score by length of the answer, as in the paper's Figure 1

        arm        new_tokens       items  mean_score
        ─────────  ───────────────  ─────  ──────────
        lora       to 20                0           -
        lora       over 20 to 40        0           -
        lora       over 40 to 80        0           -
        lora       over 80 to 200       2       0.625
        lora       over 200 to 500      2       0.625
        full | 全  to 20                1       0.750
        full | 全  over 20 to 40        1       1.000
        full | 全  over 40 to 80        2       0.750
        full | 全  over 80 to 200       1       0.250
        full | 全  over 200 to 500      0           -
        base       to 20                2       0.125
        base       over 20 to 40        2       0.000
        base       over 40 to 80        1       0.250
        base       over 80 to 200       0           -
        base       over 200 to 500      0           -

        The lengths are cut so that each range holds a fifth of all arms' items, as far as equal lengths allow.

        What length explains of the scores

        arm        micro_average  at_common_length  change
        ─────────  ─────────────  ────────────────  ──────
        lora               0.625             0.785   0.160
        full | 全          0.700             0.651  -0.049
        base               0.100             0.021  -0.079

        Within arms, length explains 10.8 % of the variance of the scores (-0.0973 per 100 new tokens, one slope for all arms).
        at_common_length: the mean as it would be with answers of 110.7 new tokens, the mean of all arms, were that slope the effect of length alone.
    "#]]
    .assert_eq(&text(&lengths(dir.path()).unwrap()));
}

#[test]
fn a_slope_against_a_constant_length_is_refused_by_name() {
    let dir = study();
    let answers: Vec<_> = ["1", "2", "3", "4", "5"].map(|item| generation("base", item, 12, "stop")).into();
    write_generations(dir.path(), &answers).unwrap();
    let tables = lengths(dir.path()).unwrap();
    expect!["base: no slope of score against length, every answer has 12 new tokens, and nothing can be said about a constant."].assert_eq(&tables[0].notes[1]);
    expect!["In no arm do both lengths and scores differ, so length can explain nothing."]
        .assert_eq(&tables[2].notes.join("\n"));
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
    assert!(error.contains("judgements.parquet"), "{error}");
}
