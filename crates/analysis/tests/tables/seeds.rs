//! Studies of several seeds: intervals that hold the trainings' noise, groups, and the sentence that it comes to.

use expect_test::{Expect, expect};
use tempfile::TempDir;
use tunebench_analysis::decision::of_scores;
use tunebench_analysis::estimates::{MARGIN, judge_scores};
use tunebench_analysis::evidence::Evidence;
use tunebench_analysis::{Cell, Run, Table, compare, decision, scores};
use tunebench_results::{Frames, write_judgements};
use tunebench_spec::{ArmRecord, Judgement};

use crate::drawn::{Drawn, LOUD, Noise, QUIET, base, full, lora, study};

fn text(tables: &[Table]) -> String {
    tables.iter().map(Table::to_text).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_average_says_how_sure_it_is_and_which_arms_it_is_not_told_apart_from() {
    let arms = [full("FT", 0.62), lora("LoRA", 0.61), lora("LoRA on attention", 0.50), base("small", 0.30)];
    let dir = study(&arms, 3, 40, &QUIET);
    expect![[r#"
        Average score and what it took

        arm                macro_average  ci_low  ci_high  interval_over        group  seeds  items  micro_average  additional_params  train_time  train_seconds  final_loss
        ─────────────────  ─────────────  ──────  ───────  ───────────────────  ─────  ─────  ─────  ─────────────  ─────────────────  ──────────  ─────────────  ──────────
        FT                         0.611   0.577    0.646  items and trainings  a          3     80          0.611                  0  90.0 min           5400.0      1.2500
        LoRA                       0.606   0.573    0.640  items and trainings  a          3     80          0.606              8,192  30.0 min           1800.0      1.2500
        LoRA on attention          0.490   0.456    0.524  items and trainings  b          3     80          0.490              8,192  30.0 min           1800.0      1.2500
        small                      0.292   0.258    0.327  items (not trained)  c          1     80          0.292                  0  -                       -           -

        group: arms that share a letter cannot be told apart (Tukey's method over all pairs, 5 %); the best group is a.
        The intervals leave the judge's own error out: nobody marked these answers. `tunebench judge calibrate` takes marks, and `tunebench analyze calibration` says what they come to.

        Average score by category

        arm                extract  open qa
        ─────────────────  ───────  ───────
        FT                   0.599    0.624
        LoRA                 0.593    0.619
        LoRA on attention    0.479    0.502
        small                0.280    0.305

        Half the width of the 95 % interval by category

        arm                extract  open qa
        ─────────────────  ───────  ───────
        FT                   0.054    0.044
        LoRA                 0.053    0.043
        LoRA on attention    0.054    0.043
        small                0.055    0.042
    "#]].assert_eq(&text(&scores(dir.path()).unwrap()));
    expect![[r#"
        FT minus LoRA on attention

        category       items  mean_a  mean_b  difference  ci_low  ci_high    df       p  p_holm  detectable  verdict
        ─────────────  ─────  ──────  ──────  ──────────  ──────  ───────  ────  ──────  ──────  ──────────  ───────────
        extract           40   0.599   0.479       0.120   0.110    0.131  12.8  0.0000  0.0000       0.014  a is higher
        open qa           40   0.624   0.502       0.122   0.111    0.133   4.6  0.0002  0.0002       0.015  a is higher
        macro average     80   0.611   0.490       0.121   0.113    0.129   6.5  0.0000       -       0.011  a is higher
        micro average     80   0.611   0.490       0.121   0.114    0.129   6.6  0.0000       -       0.011  a is higher

        a is FT, b is LoRA on attention; ci: 95 % interval of the difference, over items and trainings.
        p_holm: adjusted for the number of categories, whose verdicts are by it.
        detectable: the true difference that a study like this would show 4 times in 5 at p < 0.05.

        What these scores vary by

        part              variance  standard_deviation   df  percent
        ────────────────  ────────  ──────────────────  ───  ───────
        item               0.02297               0.152   78     98.2
        arm by item        0.00034               0.018   78      1.5
        training           0.00000               0.001    4      0.0
        training by item   0.00009               0.009  312      0.4

        df: how well each is known; a variance of few degrees of freedom is rough.

        What would show a difference of 0.02

        seeds  items  over
        ─────  ─────  ───────────────────
            2    124  items and trainings
            3     20  items and trainings
            5     17  items and trainings
           10     16  items and trainings

        items: the fewest that show such a difference 4 times in 5, equally many in each category; seeds: trainings of each arm.
    "#]].assert_eq(&text(&compare(dir.path(), "FT", "LoRA on attention", 0.02).unwrap()));
}

#[test]
fn an_arm_beside_its_base_keeps_the_noise_of_its_trainings() {
    let dir = study(&[lora("LoRA", 0.5), base("small", 0.45)], 3, 40, &LOUD);
    let tables = compare(dir.path(), "LoRA", "small", 0.02).unwrap();
    assert!(tables[0].notes[0].ends_with("over items and trainings."), "{}", tables[0].notes[0]);
    let once = study(&[lora("LoRA", 0.5), base("small", 0.45)], 1, 40, &LOUD);
    let tables = compare(once.path(), "LoRA", "small", 0.02).unwrap();
    assert!(tables[0].notes[0].ends_with("over items only."), "{}", tables[0].notes[0]);
}

#[test]
fn an_interval_wider_than_scores_can_be_is_said_to_be() {
    let dir = study(&[full("FT", 0.62), lora("LoRA", 0.55)], 2, 2, &Noise { training: 0.2, ..LOUD });
    let tables = scores(dir.path()).unwrap();
    assert!(tables[0].notes.iter().any(|note| note.starts_with("Wider than scores can be")), "{:?}", tables[0]);
}

#[test]
fn arms_of_one_parent_share_its_luck_seed_by_seed() {
    let child = |drawn: Drawn| Drawn {
        record: ArmRecord { base: "parent".into(), dataset: "math".into(), ..drawn.record },
        ..drawn
    };
    let df = |arms: &[Drawn]| {
        let dir = study(arms, 3, 40, &LOUD);
        let tables = compare(dir.path(), "FT", "LoRA", 0.02).unwrap();
        let row = tables[0].rows.iter().find(|row| row[0] == "macro average".into()).unwrap();
        let Cell::Number(df) = row[7] else { panic!("no degrees of freedom in {row:?}") };
        df
    };
    let chained = df(&[full("parent", 0.5), child(full("FT", 0.6)), child(lora("LoRA", 0.6))]);
    let apart = df(&[full("FT", 0.6), lora("LoRA", 0.6)]);
    assert!(
        chained < apart,
        "three pairs of trainings know less of their spread than six trainings: {chained}, {apart}"
    );
}

#[test]
fn judges_have_tables_of_their_own() {
    let dir = study(&[full("FT", 0.62), lora("LoRA", 0.55)], 2, 10, &QUIET);
    let mut judgements: Vec<Judgement> = Frames::open(dir.path()).unwrap().read().unwrap();
    let strict = judgements.iter().map(|j| Judgement { judge: "strict".into(), score: Some(0.1), ..j.clone() });
    judgements.extend(strict.collect::<Vec<_>>());
    write_judgements(dir.path(), &judgements).unwrap();
    let titles: Vec<String> = decision(dir.path(), 0.02).unwrap().into_iter().map(|table| table.title).collect();
    assert_eq!(
        titles,
        ["reference", "strict", "panel (median)"].map(|judge| format!("What this study says, judged by {judge}"))
    );
    expect![[r#"
        Nothing can be said yet: how far FT and LoRA would differ on other items is not known. More seeds and more items would settle it; how many cannot be said from these scores.
        The intervals are over items and trainings: they hold for new questions of these kinds and for new seeds.
        FT minus LoRA: +0.000 (no interval): cannot tell; FT takes 3.0 times as long.
        The intervals leave the judge's own error out: nobody marked these answers. `tunebench judge calibrate` takes marks, and `tunebench analyze calibration` says what they come to."#]].assert_eq(&decision(dir.path(), 0.02).unwrap()[1].notes.join("\n"));
}

/// The sentences under the pairs, and the first ones in Chinese.
fn sentences(dir: &TempDir) -> String {
    let run = Run::open(dir.path()).unwrap();
    let evidence = Evidence::read(&run).unwrap();
    let scores = judge_scores(&run, &evidence, "reference", MARGIN).unwrap();
    let chinese = of_scores(&run, &evidence, &scores, MARGIN).unwrap().chinese;
    let english = decision(dir.path(), 0.02).unwrap().into_iter().flat_map(|table| table.notes);
    let all = english.chain([chinese.headline, chinese.certainty]).chain(chinese.reasons.into_iter().rev().take(1));
    all.collect::<Vec<_>>().join("\n")
}

fn check(arms: &[Drawn], seeds: u64, noise: &Noise, expected: &Expect) {
    expected.assert_eq(&sentences(&study(arms, seeds, 40, noise)));
}

#[test]
fn a_clear_winner_is_named_with_its_price() {
    let arms = [full("FT", 0.62), lora("LoRA", 0.55), lora("LoRA on attention", 0.50), base("small", 0.30)];
    check(
        &arms,
        3,
        &QUIET,
        &expect![[r#"
            On your data FT scores 0.065 higher than LoRA, the next best of 3 arms (95 % interval 0.057 to 0.073, items and trainings) and takes 3.0 times as long.
            The intervals are over items and trainings: they hold for new questions of these kinds and for new seeds.
            FT minus LoRA: +0.065 (95 % interval 0.057 to 0.073, items and trainings): FT is higher; FT takes 3.0 times as long.
            FT minus LoRA on attention: +0.121 (95 % interval 0.113 to 0.129, items and trainings): FT is higher; FT takes 3.0 times as long.
            The intervals leave the judge's own error out: nobody marked these answers. `tunebench judge calibrate` takes marks, and `tunebench analyze calibration` says what they come to.
            在您的数据上，FT 的得分比 LoRA（3 个方案中的第二名）高 0.065（95 % 区间 0.057 至 0.073，涵盖题目和训练），训练时间是后者的 3.0 倍。
            区间涵盖题目和训练：对同类的新题目和新的随机种子都成立。
            FT 减 LoRA on attention：+0.121（95 % 区间 0.113 至 0.129，涵盖题目和训练）：FT 更高；FT 训练时间是后者的 3.0 倍。"#]],
    );
}

#[test]
fn of_arms_that_are_as_good_the_cheaper_one_is_named() {
    check(
        &[full("FT", 0.600), lora("LoRA", 0.601)],
        5,
        &QUIET,
        &expect![[r#"
            On your data LoRA and FT cannot be told apart within 0.02; LoRA costs a third of the time.
            The intervals are over items and trainings: they hold for new questions of these kinds and for new seeds.
            LoRA minus FT: +0.004 (95 % interval -0.003 to 0.011, items and trainings): equivalent within 0.02; LoRA takes a third of the time.
            The intervals leave the judge's own error out: nobody marked these answers. `tunebench judge calibrate` takes marks, and `tunebench analyze calibration` says what they come to.
            在您的数据上，LoRA 和 FT 在 0.02 之内无法区分；LoRA 的训练时间是 FT 的三分之一。
            区间涵盖题目和训练：对同类的新题目和新的随机种子都成立。
            LoRA 减 FT：+0.004（95 % 区间 -0.003 至 0.011，涵盖题目和训练）：在 0.02 之内等同；LoRA 训练时间是后者的三分之一。"#]],
    );
}

#[test]
fn what_cannot_be_told_is_said_with_what_would_settle_it() {
    check(
        &[full("FT", 0.60), lora("LoRA", 0.58)],
        3,
        &LOUD,
        &expect![[r#"
            Nothing can be said yet: LoRA scores 0.030 higher than FT (95 % interval -0.018 to 0.078, items and trainings), which is neither surely a difference nor surely within 0.02. 10 seeds and 1366 items would show a difference of 0.02.
            The intervals are over items and trainings: they hold for new questions of these kinds and for new seeds.
            LoRA minus FT: +0.030 (95 % interval -0.018 to 0.078, items and trainings): cannot tell; LoRA takes a third of the time.
            The intervals leave the judge's own error out: nobody marked these answers. `tunebench judge calibrate` takes marks, and `tunebench analyze calibration` says what they come to.
            目前还不能下结论：LoRA 的得分比 FT 高 0.030（95 % 区间 -0.018 至 0.078，涵盖题目和训练），既不能确定有差别，也不能确定差别在 0.02 之内。10 个种子和 1366 道题可以显示 0.02 的差别。
            区间涵盖题目和训练：对同类的新题目和新的随机种子都成立。
            LoRA 减 FT：+0.030（95 % 区间 -0.018 至 0.078，涵盖题目和训练）：无法判断；LoRA 训练时间是后者的三分之一。"#]],
    );
}

#[test]
fn one_seed_says_nothing_of_another_training() {
    check(
        &[full("FT", 0.70), lora("LoRA", 0.55)],
        1,
        &QUIET,
        &expect![[r#"
            On your data, as far as single trainings tell, FT scores 0.142 higher than LoRA (95 % interval 0.136 to 0.149, items only) and takes 3.0 times as long.
            The intervals are over items only: FT and LoRA were trained once, and how much another training would move that is not known; give the study `seeds = 3` or more.
            FT minus LoRA: +0.142 (95 % interval 0.136 to 0.149, items only): FT is higher; FT takes 3.0 times as long.
            The intervals leave the judge's own error out: nobody marked these answers. `tunebench judge calibrate` takes marks, and `tunebench analyze calibration` says what they come to.
            在您的数据上，就单次训练而言，FT 的得分比 LoRA 高 0.142（95 % 区间 0.136 至 0.149，只涵盖题目），训练时间是后者的 3.0 倍。
            区间只涵盖题目：FT 和 LoRA 只训练了一次，再训练一次结果会变动多少尚不可知；请在研究中设置 `seeds = 3` 或更多。
            FT 减 LoRA：+0.142（95 % 区间 0.136 至 0.149，只涵盖题目）：FT 更高；FT 训练时间是后者的 3.0 倍。"#]],
    );
}

#[test]
fn one_arm_is_held_against_its_base() {
    check(
        &[lora("LoRA", 0.55), base("small", 0.30)],
        3,
        &QUIET,
        &expect![[r#"
            Nothing can be said yet: LoRA is the only trained arm with a score, so no methods can be compared; add an arm with the same base and dataset.
            Against the model it comes from: LoRA minus small: +0.254 (95 % interval 0.247 to 0.261, items and trainings): LoRA is higher.
            The intervals leave the judge's own error out: nobody marked these answers. `tunebench judge calibrate` takes marks, and `tunebench analyze calibration` says what they come to.
            目前还不能下结论：LoRA 是唯一有得分的已训练方案，无法比较方法；请增加一个使用相同 base 和 dataset 的方案。
            与它的基础模型相比：LoRA 减 small：+0.254（95 % 区间 0.247 至 0.261，涵盖题目和训练）：LoRA 更高。"#]],
    );
}

#[test]
fn the_best_of_all_is_named_where_it_is_on_other_data() {
    let mut more = lora("LoRA on more", 0.75);
    more.record.dataset = "more".into();
    check(
        &[full("FT", 0.62), lora("LoRA", 0.55), more],
        3,
        &QUIET,
        &expect![[r#"
            On your data FT scores 0.065 higher than LoRA (95 % interval 0.057 to 0.073, items and trainings) and takes 3.0 times as long.
            The intervals are over items and trainings: they hold for new questions of these kinds and for new seeds.
            FT minus LoRA: +0.065 (95 % interval 0.057 to 0.073, items and trainings): FT is higher; FT takes 3.0 times as long.
            Of all arms LoRA on more has the highest score (0.748), higher than FT.
            The intervals leave the judge's own error out: nobody marked these answers. `tunebench judge calibrate` takes marks, and `tunebench analyze calibration` says what they come to.
            在您的数据上，FT 的得分比 LoRA 高 0.065（95 % 区间 0.057 至 0.073，涵盖题目和训练），训练时间是后者的 3.0 倍。
            区间涵盖题目和训练：对同类的新题目和新的随机种子都成立。
            在所有方案中 LoRA on more 得分最高（0.748），高于 FT。"#]],
    );
}
