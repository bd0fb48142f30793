//! SQL over the frames: joins across files, and errors that say what there is to ask.

use std::path::Path;

use expect_test::expect;
use tunebench_results::{Frames, write_arms, write_judgements, write_steps};

use crate::samples::{arm, judgement, step};

fn run(dir: &Path) -> Frames {
    write_arms(dir, &[arm("a"), arm("b")]).unwrap();
    write_steps(dir, &[step("a", 1, 2.0), step("a", 2, 1.0), step("b", 1, 4.0)]).unwrap();
    write_judgements(
        dir,
        &[
            judgement("a", "extract", "1", 0, Ok(0.5)),
            judgement("b", "extract", "1", 0, Ok(0.25)),
            judgement("b", "extract", "2", 0, Ok(0.5)),
        ],
    )
    .unwrap();
    Frames::open(dir).unwrap()
}

#[test]
fn frames_join_by_arm() {
    let dir = tempfile::tempdir().unwrap();
    let sql = "SELECT a.arm, a.seed, s.mean_score, AVG(t.loss) AS loss FROM arms a \
               JOIN scores s ON s.arm = a.arm JOIN steps t ON t.arm = a.arm \
               WHERE s.category = 'macro average' GROUP BY a.arm, a.seed, s.mean_score ORDER BY a.arm DESC";
    expect![[r#"
        shape: (2, 4)
        ┌─────┬──────────────────────┬────────────┬──────┐
        │ arm ┆ seed                 ┆ mean_score ┆ loss │
        │ --- ┆ ---                  ┆ ---        ┆ ---  │
        │ str ┆ u64                  ┆ f64        ┆ f64  │
        ╞═════╪══════════════════════╪════════════╪══════╡
        │ b   ┆ 18446744073709551615 ┆ 0.375      ┆ 4.0  │
        │ a   ┆ 18446744073709551615 ┆ 0.5        ┆ 1.5  │
        └─────┴──────────────────────┴────────────┴──────┘"#]]
    .assert_eq(&run(dir.path()).query(sql).unwrap().to_string());
}

#[test]
fn a_query_that_fails_lists_the_tables() {
    let dir = tempfile::tempdir().unwrap();
    let frames = run(dir.path());
    let message = |sql: &str| format!("{sql}\n{}\n", frames.query(sql).unwrap_err());
    let queries = ["SELECT * FROM answers", "SELECT lost FROM steps", "SELEC", "", "SELECT * FROM generations"];
    expect![[r#"
        SELECT * FROM answers
        query: relation 'answers' was not found
        the tables are:
          arms(arm, candidate, selected, base, tuner, options, dataset, template, recipe, examples, skipped_examples, held_out_examples, seed, engine, precision, computed_by, model_params, trainable_params, additional_params, epochs, steps, kept_step, tokens, train_seconds, hours_per_epoch, tokens_per_second, peak_rss_bytes, predicted_seconds, predicted_peak_bytes, final_loss, identity, evaluated)
          steps(arm, candidate, seed, step, epoch, loss, learning_rate, grad_norm, tokens, seconds)
          judgements(arm, seed, item, item_hash, category, judge, judge_hash, rubric_hash, answer_hash, rival, rival_seed, rival_answer_hash, swapped, repeat, score, status, reason, reply, request_hash, asked_model, model, fingerprint, adapted, batch, cost_usd, seconds)
          scores(arm, seed, judge, category, items, scored, unscored, failed, mean_score, lower_bound, upper_bound)

        SELECT lost FROM steps
        query: not found: unable to find column "lost"; valid columns: ["arm", "candidate", "seed", "step", "epoch", "loss", "learning_rate", "grad_norm", "tokens", "seconds"]
        the tables are:
          arms(arm, candidate, selected, base, tuner, options, dataset, template, recipe, examples, skipped_examples, held_out_examples, seed, engine, precision, computed_by, model_params, trainable_params, additional_params, epochs, steps, kept_step, tokens, train_seconds, hours_per_epoch, tokens_per_second, peak_rss_bytes, predicted_seconds, predicted_peak_bytes, final_loss, identity, evaluated)
          steps(arm, candidate, seed, step, epoch, loss, learning_rate, grad_norm, tokens, seconds)
          judgements(arm, seed, item, item_hash, category, judge, judge_hash, rubric_hash, answer_hash, rival, rival_seed, rival_answer_hash, swapped, repeat, score, status, reason, reply, request_hash, asked_model, model, fingerprint, adapted, batch, cost_usd, seconds)
          scores(arm, seed, judge, category, items, scored, unscored, failed, mean_score, lower_bound, upper_bound)

        SELEC
        query: sql parser error: Expected: an SQL statement, found: SELEC at Line: 1, Column: 1
        the tables are:
          arms(arm, candidate, selected, base, tuner, options, dataset, template, recipe, examples, skipped_examples, held_out_examples, seed, engine, precision, computed_by, model_params, trainable_params, additional_params, epochs, steps, kept_step, tokens, train_seconds, hours_per_epoch, tokens_per_second, peak_rss_bytes, predicted_seconds, predicted_peak_bytes, final_loss, identity, evaluated)
          steps(arm, candidate, seed, step, epoch, loss, learning_rate, grad_norm, tokens, seconds)
          judgements(arm, seed, item, item_hash, category, judge, judge_hash, rubric_hash, answer_hash, rival, rival_seed, rival_answer_hash, swapped, repeat, score, status, reason, reply, request_hash, asked_model, model, fingerprint, adapted, batch, cost_usd, seconds)
          scores(arm, seed, judge, category, items, scored, unscored, failed, mean_score, lower_bound, upper_bound)


        query: one (and only one) statement can be parsed at a time
        the tables are:
          arms(arm, candidate, selected, base, tuner, options, dataset, template, recipe, examples, skipped_examples, held_out_examples, seed, engine, precision, computed_by, model_params, trainable_params, additional_params, epochs, steps, kept_step, tokens, train_seconds, hours_per_epoch, tokens_per_second, peak_rss_bytes, predicted_seconds, predicted_peak_bytes, final_loss, identity, evaluated)
          steps(arm, candidate, seed, step, epoch, loss, learning_rate, grad_norm, tokens, seconds)
          judgements(arm, seed, item, item_hash, category, judge, judge_hash, rubric_hash, answer_hash, rival, rival_seed, rival_answer_hash, swapped, repeat, score, status, reason, reply, request_hash, asked_model, model, fingerprint, adapted, batch, cost_usd, seconds)
          scores(arm, seed, judge, category, items, scored, unscored, failed, mean_score, lower_bound, upper_bound)

        SELECT * FROM generations
        query: relation 'generations' was not found
        the tables are:
          arms(arm, candidate, selected, base, tuner, options, dataset, template, recipe, examples, skipped_examples, held_out_examples, seed, engine, precision, computed_by, model_params, trainable_params, additional_params, epochs, steps, kept_step, tokens, train_seconds, hours_per_epoch, tokens_per_second, peak_rss_bytes, predicted_seconds, predicted_peak_bytes, final_loss, identity, evaluated)
          steps(arm, candidate, seed, step, epoch, loss, learning_rate, grad_norm, tokens, seconds)
          judgements(arm, seed, item, item_hash, category, judge, judge_hash, rubric_hash, answer_hash, rival, rival_seed, rival_answer_hash, swapped, repeat, score, status, reason, reply, request_hash, asked_model, model, fingerprint, adapted, batch, cost_usd, seconds)
          scores(arm, seed, judge, category, items, scored, unscored, failed, mean_score, lower_bound, upper_bound)
    "#]].assert_eq(&queries.map(message).join("\n"));

    let empty = tempfile::tempdir().unwrap();
    let error = Frames::open(empty.path()).unwrap().query("SELECT * FROM arms").unwrap_err();
    assert!(error.to_string().contains("no Parquet file"), "{error}");
}
