//! What a study varies: factors, sizes, settings and their origins, and what makes the comparison unfair.

use expect_test::expect;
use tempfile::TempDir;
use tunebench_analysis::{Table, factors, ledger, lint, lint_paper, scaling};
use tunebench_results::{write_arms, write_judgements, write_losses, write_receipts};
use tunebench_spec::records::HELD_OUT;
use tunebench_spec::{ArmRecord, GradientReceipt, LossLog};

use crate::drawn::{Drawn, QUIET, base, full, lora, study};
use crate::study::{arm, judgement, loss, recipe};

fn text(tables: &[Table]) -> String {
    tables.iter().map(Table::to_text).collect::<Vec<_>>().join("\n")
}

fn on(drawn: Drawn, dataset: &str, examples: u64) -> Drawn {
    Drawn { record: ArmRecord { dataset: dataset.into(), examples, ..drawn.record }, ..drawn }
}

fn rank(drawn: Drawn, rank: u64) -> Drawn {
    let record = ArmRecord {
        options: format!(r#"{{"r":{rank}}}"#),
        trainable_params: 1024 * rank,
        additional_params: 1024 * rank,
        ..drawn.record
    };
    Drawn { record, ..drawn }
}

/// Methods by data sizes, one arm of another rank, and an arm on a larger model that only one other one matches.
fn crossed() -> TempDir {
    let large = |drawn: Drawn| {
        let record = ArmRecord { base: "large".into(), model_params: 4_000_000, ..drawn.record };
        Drawn { record, ..drawn }
    };
    let arms = [
        on(full("FT(100)", 0.50), "c100", 100),
        on(lora("LoRA(100)", 0.40), "c100", 100),
        on(full("FT(1000)", 0.60), "c1000", 1000),
        on(lora("LoRA(1000)", 0.50), "c1000", 1000),
        on(lora("LoRA(10000)", 0.60), "c10000", 10_000),
        rank(on(lora("LoRA(1000) r=64", 0.51), "c1000", 1000), 64),
        large(on(lora("large LoRA(1000)", 0.58), "c1000", 1000)),
        base("small", 0.2),
    ];
    study(&arms, 3, 20, &QUIET)
}

#[test]
fn effects_come_from_arms_that_differ_in_one_thing() {
    let dir = crossed();
    expect![[r#"
        Effects on the macro average

        factor     from                        to                          difference  ci_low  ci_high  interval_over             p  p_holm  verdict                 left_out  arms
        ─────────  ──────────────────────────  ──────────────────────────  ──────────  ──────  ───────  ───────────────────  ──────  ──────  ──────────────────────  ────────  ──────────────────────────────────────────────────────────────────────
        method     ft                          lora                            -0.098  -0.105   -0.091  items and trainings  0.0000  0.0000  from is higher                 2  LoRA(100) - FT(100); LoRA(1000) - FT(1000); LoRA(1000) r=64 - FT(1000)
        data size  c100 (100 examples)         c1000 (1000 examples)            0.102   0.095    0.109  items and trainings  0.0000  0.0000  to is higher                   2  FT(1000) - FT(100); LoRA(1000) - LoRA(100)
        data size  c100 (100 examples)         c10000 (10000 examples)          0.208   0.194    0.221  items and trainings  0.0000  0.0000  to is higher                   1  LoRA(10000) - LoRA(100)
        data size  c1000 (1000 examples)       c10000 (10000 examples)          0.108   0.095    0.121  items and trainings  0.0001  0.0002  to is higher                   3  LoRA(10000) - LoRA(1000)
        base size  small (1000000 parameters)  large (4000000 parameters)       0.078   0.065    0.092  items and trainings  0.0001  0.0002  to is higher                   5  large LoRA(1000) - LoRA(1000)
        rank       8                           64                               0.011  -0.001    0.022  items and trainings  0.0661  0.0661  equivalent within 0.02         3  LoRA(1000) r=64 - LoRA(1000)

        difference: macro average at `to` minus at `from`, the mean over the pairs under arms, which differ in the factor alone as far as method, data, base and rank go; `lint` lists what else they differ in. Methods are compared whatever their rank; data sets are told apart by id and number of examples, whatever is in them. left_out: arms at either level without a partner.
    "#]].assert_eq(&text(&factors(dir.path()).unwrap()));
}

#[test]
fn a_factor_that_nothing_isolates_says_so() {
    let arms = [on(full("FT(100)", 0.50), "c100", 100), on(lora("LoRA(1000)", 0.50), "c1000", 1000)];
    let dir = study(&arms, 2, 20, &QUIET);
    expect![[r#"
        Effects on the macro average

        factor  from  to  difference  ci_low  ci_high  interval_over  p  p_holm  verdict  left_out  arms
        ──────  ────  ──  ──────────  ──────  ───────  ─────────────  ─  ──────  ───────  ────────  ────

        difference: macro average at `to` minus at `from`, the mean over the pairs under arms, which differ in the factor alone as far as method, data, base and rank go; `lint` lists what else they differ in. Methods are compared whatever their rank; data sets are told apart by id and number of examples, whatever is in them. left_out: arms at either level without a partner.
        method: no two arms differ in `method` alone, `lora` in one and `ft` in the other; the nearest two, `LoRA(1000)` and `FT(100)`, also differ in `data size`.
        data size: no two arms differ in `data size` alone, `c1000 (1000 examples)` in one and `c100 (100 examples)` in the other; the nearest two, `LoRA(1000)` and `FT(100)`, also differ in `method`, `rank`.
        base size: all arms that have it are alike, so there is no effect to see.
        rank: all arms that have it are alike, so there is no effect to see.
    "#]].assert_eq(&text(&factors(dir.path()).unwrap()));
}

#[test]
fn lines_against_sizes_where_there_are_three() {
    let dir = crossed();
    let finals = [("LoRA(100)", 1.2), ("LoRA(1000)", 1.0), ("LoRA(10000)", 0.8)];
    let of_arm = |(name, bits): (&str, f64)| {
        (1..=3).map(|seed| loss(name, seed, 20, HELD_OUT, bits + 0.01 * seed as f64)).collect::<Vec<_>>()
    };
    let losses: Vec<LossLog> = finals.into_iter().flat_map(of_arm).collect();
    write_losses(dir.path(), &losses).unwrap();
    expect![[r#"
        Score against size

        against   method             sizes  trainings  per_tenfold  ci_low  ci_high  r_squared
        ────────  ─────────────────  ─────  ─────────  ───────────  ──────  ───────  ─────────
        examples  lora r=8 on small      3          9       0.1039  0.0999   0.1079      0.998

        per_tenfold: change when the size is ten times as large, a straight line against its logarithm, a point a training; ci: its 95 % interval.
        A line against examples takes 3 different ones: ft on small has 2; 2 methods have 1.
        A line against model_params takes 3 different ones: lora r=8 on any model, c1000 has 2; 5 methods have 1.
        A line against trainable_params takes 3 different ones: lora on small, c1000 has 2; 5 methods have 1.

        Held-out loss against size

        against   method             sizes  trainings  per_tenfold   ci_low  ci_high  r_squared
        ────────  ─────────────────  ─────  ─────────  ───────────  ───────  ───────  ─────────
        examples  lora r=8 on small      3          9      -0.2000  -0.2089  -0.1911      0.998

        per_tenfold: change when the size is ten times as large, a straight line against its logarithm, a point a training; ci: its 95 % interval.
        A line against model_params takes 3 different ones: 3 methods have 1.
        A line against trainable_params takes 3 different ones: 3 methods have 1.
    "#]].assert_eq(&text(&scaling(dir.path()).unwrap()));

    let other_rows = losses.into_iter().map(|row| match row.arm.as_str() {
        "LoRA(100)" => LossLog { set_hash: "other rows".into(), ..row },
        _ => row,
    });
    write_losses(dir.path(), &other_rows.collect::<Vec<_>>()).unwrap();
    let tables = scaling(dir.path()).unwrap();
    let notes = &tables.last().unwrap().notes;
    assert!(notes.iter().any(|note| note.contains("measured on different text")), "{notes:?}");
}

fn settings(name: &str, additional: u64, settings: &[(&str, &str, &str)]) -> ArmRecord {
    ArmRecord { recipe: recipe(settings), ..arm(name, 40, additional) }
}

/// The paper's own faults in small: other epochs, batch, precision and warm-up; and a grid for one method alone.
fn unfair() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let ft = settings(
        "FT",
        0,
        &[
            ("learning_rate", "5e-6", "tuner"),
            ("epochs", "3.0", "tuner"),
            ("batch_size", "32", "tuner"),
            ("warmup_ratio", "0.03", "tuner"),
            ("warmup_steps", "0", "default"),
            ("weight_decay", "0.0", "default"),
            ("schedule", r#""cosine""#, "default"),
            ("micro_batch_tokens", "1024", "study"),
        ],
    );
    let lora = settings(
        "LoRA",
        8192,
        &[
            ("learning_rate", "0.0005", "grid"),
            ("epochs", "4.0", "tuner"),
            ("batch_size", "128", "tuner"),
            ("warmup_ratio", "0.0", "default"),
            ("warmup_steps", "100", "tuner"),
            ("weight_decay", "0.0", "default"),
            ("schedule", r#""cosine""#, "default"),
            ("micro_batch_tokens", "2048", "study"),
        ],
    );
    let candidate = |rate: &str, seed: u64, selected| ArmRecord {
        candidate: format!("learning_rate={rate} options.r=8"),
        selected,
        evaluated: selected,
        seed,
        precision: "fp16".into(),
        computed_by: "avx2, 2 threads".into(),
        ..lora.clone()
    };
    let arms = [
        ft,
        candidate("0.0001", 1, false),
        candidate("0.0002", 1, false),
        candidate("0.0005", 1, true),
        candidate("0.0005", 2, true),
        arm("small", 0, 0),
    ];
    write_arms(dir.path(), &arms).unwrap();
    write_judgements(dir.path(), &[judgement("FT", "extract", "1", 0.5)]).unwrap();
    dir
}

#[test]
fn every_setting_has_its_origin() {
    expect![[r#"
        Settings that all trained arms share

        setting            value            origin
        ─────────────────  ───────────────  ───────
        base               small            study
        computed_by        avx2, 2 threads  machine
        dataset            chinese          study
        engine             fast             machine
        examples           100              data
        held_out_examples  10               data
        schedule           cosine           default
        template           belle            study
        weight_decay       0.0              default

        origin: default (tunebench's), tuner (recommended by the tuner), fitted (to the size of the data), study, arm, grid (chosen on held-out loss), data, machine.

        Settings in which the arms differ

        setting             arm   value   origin
        ──────────────────  ────  ──────  ───────
        batch_size          FT    32      tuner
        batch_size          LoRA  128     tuner
        candidates          FT    1       study
        candidates          LoRA  3       study
        epochs              FT    3.0     tuner
        epochs              LoRA  4.0     tuner
        learning_rate       FT    5e-6    tuner
        learning_rate       LoRA  0.0005  grid
        micro_batch_tokens  FT    1024    study
        micro_batch_tokens  LoRA  2048    study
        options.r           LoRA  8       grid
        precision           FT    bf16    machine
        precision           LoRA  fp16    machine
        seeds               FT    1       study
        seeds               LoRA  1 2     study
        tuner               FT    ft      study
        tuner               LoRA  lora    study
        warmup_ratio        FT    0.03    tuner
        warmup_ratio        LoRA  0.0     default
        warmup_steps        FT    0       default
        warmup_steps        LoRA  100     tuner
    "#]].assert_eq(&text(&ledger(unfair().path()).unwrap()));
}

#[test]
fn what_makes_a_comparison_unfair_is_listed() {
    expect![[r#"
        What makes this comparison unfair, or less sure than it looks

        finding               arms         values                                      why
        ────────────────────  ───────────  ──────────────────────────────────────────  ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
        batch_size            FT, LoRA     128 (LoRA) | 32 (FT)                        the arms took other numbers of steps over the same data
        epochs                FT, LoRA     3.0 (FT) | 4.0 (LoRA)                       one saw its data more often than the other
        warmup_ratio          FT, LoRA     0.0 (LoRA) | 0.03 (FT)                      the learning rate rose in another way
        warmup_steps          FT, LoRA     0 (FT) | 100 (LoRA)                         the learning rate rose in another way
        precision             FT, LoRA     bf16 (FT) | fp16 (LoRA)                     one computed with fewer digits than the other
        grid                  FT, LoRA     3 candidates (LoRA) | no grid (FT)          more was tried for one than for the other; give both a grid of equal size
        seeds                 FT, LoRA     1 (FT) | 2 (LoRA)                           the means are over other numbers of trainings
        one seed              FT           seed 1                                      one training is one draw: intervals are over items only; give the study more seeds
        grid's edge           LoRA         learning_rate = 0.0005 is the highest of 3  a better value may lie beyond; widen the grid on that side
        warm-up               LoRA         100 of 40 steps                             the training ended before it reached its learning rate; lower warmup_steps
        not judged            LoRA, small  reference                                   they have no score by this judge; run the study to its end
        judge not calibrated  FT           reference                                   it judges alone, and 0 answers have marks of people, fewer than 20: nothing says how far it is from them; mark some with `tunebench judge calibrate`

        12 findings. Settings are compared among arms that share base and data set.
    "#]].assert_eq(&text(&lint(unfair().path()).unwrap()));
}

#[test]
fn a_training_in_which_something_stayed_is_found() {
    let dir = unfair();
    let receipt = |arm: &str, moved, still: &str, passed| GradientReceipt {
        arm: arm.into(),
        candidate: String::new(),
        seed: 1,
        step: 3,
        tensors: 4,
        gradients_first: 2,
        gradients: 4,
        moved,
        still: still.into(),
        frozen: 20,
        frozen_unchanged: true,
        loss_before: Some(4.5),
        loss_after: Some(4.5),
        passed,
    };
    let receipts = [receipt("FT", 4, "", true), receipt("LoRA", 3, "q_proj.lora_B", false)];
    write_receipts(dir.path(), &receipts).unwrap();
    let found = text(&lint(dir.path()).unwrap());
    assert!(found.contains("gradient receipt") && found.contains("4 had a gradient and 3 moved by step 3"), "{found}");
    assert!(found.contains("not q_proj.lora_B"), "{found}");
    assert_eq!(found.matches("gradient receipt").count(), 1, "{found}");
}

#[test]
fn a_fair_comparison_has_no_findings() {
    let dir = tempfile::tempdir().unwrap();
    let trained = |name: &str, additional, rate: &str, seed, selected| ArmRecord {
        candidate: format!("learning_rate={rate}"),
        selected,
        evaluated: selected,
        seed,
        ..arm(name, 40, additional)
    };
    let of_arm = |name: &'static str, additional| {
        let losing = ["0.0001", "0.0005"].map(|rate| trained(name, additional, rate, 1, false));
        losing.into_iter().chain([1, 2, 3].map(|seed| trained(name, additional, "0.0002", seed, true)))
    };
    write_arms(dir.path(), &of_arm("FT", 0).chain(of_arm("LoRA", 8)).collect::<Vec<_>>()).unwrap();
    let tables = lint(dir.path()).unwrap();
    assert_eq!(tables[0].rows, Vec::<Vec<tunebench_analysis::Cell>>::new());
}

#[test]
fn the_papers_own_arms_fail() {
    let tables = lint_paper().unwrap();
    let found: Vec<String> = tables[0].rows.iter().map(|row| format!("{:?}", row[0])).collect();
    assert_eq!(
        found,
        ["precision", "epochs", "batch_size", "learning_rate", "warmup_steps", "one seed"]
            .map(|name| format!("Text({name:?})"))
    );
}
