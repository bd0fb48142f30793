//! The paper's figures are whole, and its averages follow from its scores.

use expect_test::expect;
use tunebench_analysis::paper::{Paper, paper};

#[test]
fn the_averages_of_table_4_recompute_from_table_5() {
    let paper = Paper::load().unwrap();
    assert_eq!(paper.arms.len(), 8);
    for arm in &paper.arms {
        assert_eq!(arm.scores.len(), paper.categories.len(), "{}", arm.name);
        // Both sides are printed with three digits: half a digit each.
        let gap = (arm.recomputed() - arm.average).abs();
        assert!(gap <= 0.001, "{}: {} against {}", arm.name, arm.recomputed(), arm.average);
    }
    assert_eq!(paper.items.iter().sum::<u64>(), 1000);
    assert_eq!(paper.items.len(), paper.categories.len());
}

#[test]
fn the_tables_say_where_the_paper_disagrees_with_itself() {
    let text: Vec<String> = paper().unwrap().iter().map(|table| table.to_text()).collect();
    expect![[r#"
        Sun et al. 2023, Tables 2 and 3: settings

        setting              full_fine_tuning  lora                origin
        ───────────────────  ────────────────  ──────────────────  ────────
        precision            bf16              fp16                stated
        epochs               3                 4                   stated
        batch_size           32                128                 stated
        learning_rate        5e-6              2e-4                stated
        warmup               3 % of the steps  100 steps           stated
        schedule             cosine            cosine              stated
        max_length           1024              1024                stated
        rank                 -                 8                   stated
        alpha                -                 16                  inferred
        dropout              -                 0.05                inferred
        targets              -                 q k v gate up down  inferred
        prompt_masked        -                 no                  inferred
        math: learning_rate  5e-7              -                   stated
        math: epochs         2                 -                   stated
        judge                gpt-3.5-turbo     gpt-3.5-turbo       stated
        hardware             8 x A100 40 GB    8 x A100 40 GB      stated

        Sun et al. 2023, Table 1: evaluation set

        category        items
        ──────────────  ─────
        others            113
        rewrite           131
        classification     65
        generation         98
        summarization      40
        extract            37
        open qa           285
        brainstorming     179
        closed qa          52
        all             1,000

        Sun et al. 2023, Table 4: average score and what it took

        arm                                   macro_average  recomputed  additional_params  hours_per_epoch
        ────────────────────────────────────  ─────────────  ──────────  ─────────────────  ───────────────
        LLaMA-7B + LoRA(0.6M)                         0.589      0.5893         17,891,328                5
        LLaMA-7B + LoRA(2M)                           0.609      0.6096         17,891,328                7
        LLaMA-7B + LoRA(4M)                           0.624      0.6241         17,891,328               14
        LLaMA-13B + LoRA(2M)                          0.648      0.6486         28,016,640               10
        LLaMA-7B + FT(0.6M)                           0.686      0.6853                  -               17
        LLaMA-7B + FT(2M)                             0.710      0.7100                  -               31
        LLaMA-7B + FT(2M) + LoRA(math_0.25M)          0.729      0.7290         17,891,328                2
        LLaMA-7B + FT(2M) + FT(math_0.25M)            0.738      0.7383                  -                4

        recomputed: the mean of the arm's row in Table 5.
        The additional parameters are computed for rank 8 on the six targets; the paper prints 17.9M and 28M, where all seven linear layers would give 20.0M and 31.3M.

        Sun et al. 2023, Table 5: average score by category

        arm                                   others  rewrite  classification  generation  summarization  extract  open qa  brainstorming  closed qa
        ────────────────────────────────────  ──────  ───────  ──────────────  ──────────  ─────────────  ───────  ───────  ─────────────  ─────────
        LLaMA-7B + LoRA(0.6M)                  0.358    0.719           0.695       0.816          0.650    0.448    0.315          0.793      0.510
        LLaMA-7B + LoRA(2M)                    0.364    0.795           0.676       0.854          0.617    0.472    0.369          0.808      0.531
        LLaMA-7B + LoRA(4M)                    0.341    0.821           0.677       0.847          0.645    0.467    0.374          0.806      0.639
        LLaMA-13B + LoRA(2M)                   0.422    0.810           0.696       0.837          0.700    0.537    0.435          0.823      0.577
        LLaMA-7B + FT(0.6M)                    0.438    0.869           0.698       0.917          0.701    0.592    0.477          0.870      0.606
        LLaMA-7B + FT(2M)                      0.399    0.871           0.775       0.920          0.734    0.603    0.555          0.900      0.633
        LLaMA-7B + FT(2M) + LoRA(math_0.25M)   0.560    0.863           0.758       0.915          0.754    0.651    0.518          0.886      0.656
        LLaMA-7B + FT(2M) + FT(math_0.25M)     0.586    0.887           0.763       0.955          0.749    0.658    0.523          0.872      0.652

        LLaMA-7B + LoRA(2M): Table 5 prints its average as 0.61, Table 4 as 0.609.
        Math training, category others: Table 5 has 0.560 for LoRA and 0.586 for full tuning; the text of section 4.5 gives 0.586 for LoRA and 0.559 for full tuning.
    "#]].assert_eq(&text.join("\n"));
}
