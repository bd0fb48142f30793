//! What training took and took away: losses before and after, grids, predictions, durations.

use expect_test::expect;
use tunebench_analysis::{Table, cost, curves, duration, forgetting};
use tunebench_results::{write_arms, write_losses, write_steps};
use tunebench_spec::records::{GENERAL, HELD_OUT};
use tunebench_spec::{ArmRecord, LossLog, StepLog};

use crate::study::{arm, loss, step};

fn text(tables: &[Table]) -> String {
    tables.iter().map(Table::to_text).collect::<Vec<_>>().join("\n")
}

/// FT with two seeds; LoRA with two seeds after a grid of two rates; a base model.
fn arms() -> Vec<ArmRecord> {
    let full = |seed| ArmRecord {
        seed,
        predicted_seconds: Some(3000.0),
        predicted_peak_bytes: Some(1 << 30),
        ..arm("FT", 40, 0)
    };
    let candidate = |rate: &str, seed, selected| ArmRecord {
        candidate: format!("learning_rate={rate}"),
        selected,
        seed,
        evaluated: selected,
        train_seconds: 0.4,
        hours_per_epoch: 0.00005 * seed as f64,
        ..arm("LoRA", 20, 8192)
    };
    vec![
        full(1),
        full(2),
        candidate("0.0001", 1, false),
        candidate("0.0002", 1, true),
        candidate("0.0002", 2, true),
        arm("small", 0, 0),
    ]
}

fn losses() -> Vec<LossLog> {
    let chosen = |row: LossLog| LossLog { candidate: "learning_rate=0.0002".into(), ..row };
    let losing = LossLog { candidate: "learning_rate=0.0001".into(), ..loss("LoRA", 1, 20, GENERAL, 9.0) };
    vec![
        loss("FT", 1, 0, GENERAL, 1.0),
        loss("FT", 1, 40, GENERAL, 1.25),
        loss("FT", 2, 0, GENERAL, 1.0),
        loss("FT", 2, 40, GENERAL, 1.15),
        loss("FT", 1, 0, HELD_OUT, 1.0),
        LossLog { is_final: false, ..loss("FT", 1, 20, HELD_OUT, 0.1) },
        loss("FT", 1, 40, HELD_OUT, 0.7),
        losing,
        chosen(loss("LoRA", 1, 0, GENERAL, 1.0)),
        chosen(loss("LoRA", 1, 20, GENERAL, 1.02)),
        chosen(loss("LoRA", 2, 0, GENERAL, 1.0)),
        chosen(loss("LoRA", 2, 20, GENERAL, 1.02)),
    ]
}

#[test]
fn what_was_forgotten_and_what_learned() {
    let dir = tempfile::tempdir().unwrap();
    write_arms(dir.path(), &arms()).unwrap();
    write_losses(dir.path(), &losses()).unwrap();
    expect![[r#"
        What was forgotten: loss on a fixed text of general language

        arm   text  seeds  bits_per_byte_before  bits_per_byte_after  difference   ci_low  ci_high  nats_per_token_before  nats_per_token_after
        ────  ────  ─────  ────────────────────  ───────────────────  ──────────  ───────  ───────  ─────────────────────  ────────────────────
        FT    #1        2                1.0000               1.2000      0.2000  -0.4353   0.8353                 2.0000                2.4000
        LoRA  #1        2                1.0000               1.0200      0.0200        -        -                 2.0000                2.0400

        before: the plain base, whatever the arm started from. difference: after minus before, bits per byte, mean over trainings with its 95 % interval; none with one training, or where all gave the same.
        1 candidates that a grid did not choose are left out.

        What was learned: loss on held-out rows

        arm  text  seeds  bits_per_byte_before  bits_per_byte_after  difference  ci_low  ci_high  nats_per_token_before  nats_per_token_after
        ───  ────  ─────  ────────────────────  ───────────────────  ──────────  ──────  ───────  ─────────────────────  ────────────────────
        FT   #1        1                1.0000               0.7000     -0.3000  -       -                       2.0000                1.4000

        FT: 1 trainings lack one of the two losses.
        before: the plain base, whatever the arm started from. difference: after minus before, bits per byte, mean over trainings with its 95 % interval; none with one training, or where all gave the same.
        1 candidates that a grid did not choose are left out.
        Without a loss before and after: LoRA.
    "#]].assert_eq(&text(&forgetting(dir.path()).unwrap()));
}

#[test]
fn losses_of_different_text_are_never_compared() {
    let dir = tempfile::tempdir().unwrap();
    write_arms(dir.path(), &arms()).unwrap();
    let other = |row: LossLog| LossLog { set_hash: "0123456789".into(), ..row };
    let before_differs =
        losses().into_iter().map(|row| if row.arm == "FT" && row.step == 0 { other(row) } else { row });
    write_losses(dir.path(), &before_differs.collect::<Vec<_>>()).unwrap();
    expect!["the general losses were measured on different text (`FT`, seeds 1 2: 01234567, `FT`, seeds 1 2: general ), so they cannot be compared; measure again with `tunebench study`"].assert_eq(&forgetting(dir.path()).unwrap_err().to_string());

    let arm_differs = losses().into_iter().map(|row| if row.arm == "FT" { other(row) } else { row });
    write_losses(dir.path(), &arm_differs.collect::<Vec<_>>()).unwrap();
    let tables = forgetting(dir.path()).unwrap();
    let texts: Vec<String> = tables[0].rows.iter().map(|row| format!("{:?}", row[1])).collect();
    assert_eq!(texts, [r##"Text("#1")"##, r##"Text("#2")"##]);
}

#[test]
fn what_grids_and_predictions_came_to() {
    let dir = tempfile::tempdir().unwrap();
    write_arms(dir.path(), &arms()).unwrap();
    expect![[r#"
        What each arm cost

        arm    seeds  train_time  train_seconds  tokens_per_second  peak_memory_gib  trainable_params  additional_params  judge_usd  macro_average  score_per_train_hour  all_trainings
        ─────  ─────  ──────────  ─────────────  ─────────────────  ───────────────  ────────────────  ─────────────────  ─────────  ─────────────  ────────────────────  ─────────────
        FT         2  60.0 min           3600.0               20.0             1.50         1,000,000                  0  -          -              -                     2.0 h
        LoRA       2  400 ms                0.4               20.0             1.50             8,192              8,192  -          -              -                     1.2 s
        small      1  -                       -                  -                -         1,000,000                  0  -          -              -                     -

        train_time and train_seconds are of one training, the mean over seeds; all_trainings adds up every seed and candidate.

        Hours per epoch, full fine-tuning against others

        full_fine_tuning  other  full_epoch  other_epoch  full_hours_per_epoch  other_hours_per_epoch    ratio   lowest   highest
        ────────────────  ─────  ──────────  ───────────  ────────────────────  ─────────────────────  ───────  ───────  ────────
        FT                LoRA   30.0 min    270 ms                     0.5000                 0.0001  6666.67  5000.00  10000.00

        lowest, highest: over the trainings of both. The paper says 3 to 5 times.

        What the grids cost

        arm   candidates  chosen                losing  losing_time  losing_seconds  percent_of_all
        ────  ──────────  ────────────────────  ──────  ───────────  ──────────────  ──────────────
        LoRA           2  learning_rate=0.0002       1  400 ms                  0.4            33.3

        losing: candidates that were trained and not chosen; their hours are in no other column of an arm but all_trainings.

        Predicted beside measured

        arm  seed  predicted_time  measured_time  time_error_percent  predicted_gib  measured_gib  memory_error_percent
        ───  ────  ──────────────  ─────────────  ──────────────────  ─────────────  ────────────  ────────────────────
        FT      1  50.0 min        60.0 min                    -16.7           1.00          1.50                 -33.3
        FT      2  50.0 min        60.0 min                    -16.7           1.00          1.50                 -33.3

        2 trainings had no prediction.
    "#]].assert_eq(&text(&cost(dir.path()).unwrap()));
}

#[test]
fn a_curve_for_each_seed_that_stands_for_its_arm() {
    let dir = tempfile::tempdir().unwrap();
    write_arms(dir.path(), &arms()).unwrap();
    let of = |candidate: &str, seed, level: f64| {
        let row = move |n| StepLog { seed, ..step("LoRA", n, level - 0.1 * n as f64) };
        let candidate = candidate.to_owned();
        (1..=10).map(move |n| StepLog { candidate: candidate.clone(), ..row(n) })
    };
    let steps = of("learning_rate=0.0001", 1, 9.0).chain(of("learning_rate=0.0002", 1, 3.0)).chain(of(
        "learning_rate=0.0002",
        2,
        3.5,
    ));
    write_steps(dir.path(), &steps.collect::<Vec<_>>()).unwrap();
    let of_rate = |rate: &str, bits| LossLog {
        candidate: format!("learning_rate={rate}"),
        ..loss("LoRA", 1, 20, HELD_OUT, bits)
    };
    write_losses(dir.path(), &[of_rate("0.0001", 0.9), of_rate("0.0002", 0.8)]).unwrap();
    let tables = curves(dir.path()).unwrap();
    let seeds: Vec<String> = tables[0].rows.iter().map(|row| format!("{:?} {:?}", row[1], row[3])).collect();
    assert_eq!(seeds, ["Integer(1) Number(2.9)", "Integer(2) Number(3.4)"]);
    expect![[r#"
        What the grids tried: held-out loss

        arm   candidate             steps  nats_per_token  bits_per_byte  chosen  edge
        ────  ────────────────────  ─────  ──────────────  ─────────────  ──────  ──────────────────────────────────────────
        LoRA  learning_rate=0.0001     20          1.8000         0.9000  -       learning_rate = 0.0001 is the lowest of 2
        LoRA  learning_rate=0.0002     20          1.6000         0.8000  chosen  learning_rate = 0.0002 is the highest of 2

        Of the first seed; a candidate that was given up early has fewer steps and no comparable loss.
    "#]].assert_eq(&tables[1].to_text());
    assert_eq!(tables[0].notes.last().unwrap(), "1 candidates that a grid did not choose are left out.");
}

#[test]
fn durations_are_said_in_the_unit_that_fits() {
    let said = [0.0004, 0.25, 0.9996, 1.4, 59.96, 99.96, 192.0, 3600.0, 5996.9, 5997.1, 18_360.0, 360_000.0]
        .map(duration::words);
    expect!["0 ms, 250 ms, 1.0 s, 1.4 s, 60.0 s, 1.7 min, 3.2 min, 60.0 min, 99.9 min, 1.7 h, 5.1 h, 100.0 h"]
        .assert_eq(&said.join(", "));
}
