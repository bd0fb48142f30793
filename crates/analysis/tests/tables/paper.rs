//! The paper's figures are whole, and its averages follow from its scores.

use expect_test::expect;
use tunebench_analysis::paper::{Paper, best_case, paper};

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

        Sun et al. 2023: hours per epoch, full fine-tuning against LoRA

        full_fine_tuning                    other                                 full_epoch  other_epoch  full_hours_per_epoch  other_hours_per_epoch  ratio  lowest  highest
        ──────────────────────────────────  ────────────────────────────────────  ──────────  ───────────  ────────────────────  ─────────────────────  ─────  ──────  ───────
        LLaMA-7B + FT(0.6M)                 LLaMA-7B + LoRA(0.6M)                 17.0 h      5.0 h                     17.0000                 5.0000   3.40  -       -
        LLaMA-7B + FT(2M)                   LLaMA-7B + LoRA(2M)                   31.0 h      7.0 h                     31.0000                 7.0000   4.43  -       -
        LLaMA-7B + FT(2M) + FT(math_0.25M)  LLaMA-7B + FT(2M) + LoRA(math_0.25M)  4.0 h       2.0 h                      4.0000                 2.0000   2.00  -       -

        lowest, highest: over the trainings of both. The paper says 3 to 5 times.

        Sun et al. 2023: what makes the comparison of full fine-tuning and LoRA unfair

        finding        arms                    values                                                  why
        ─────────────  ──────────────────────  ──────────────────────────────────────────────────────  ─────────────────────────────────────────────────────────────────────────────────────────────────────────
        precision      full fine-tuning, LoRA  bf16 (full fine-tuning) | fp16 (LoRA)                   one computed with fewer digits than the other
        epochs         full fine-tuning, LoRA  3 (full fine-tuning) | 4 (LoRA)                         one saw its data more often than the other
        batch_size     full fine-tuning, LoRA  32 (full fine-tuning) | 128 (LoRA)                      the arms took other numbers of steps over the same data
        learning_rate  full fine-tuning, LoRA  5e-6 (full fine-tuning) | 2e-4 (LoRA)                   each method ran at one rate, and no search for it is stated
        warmup_steps   full fine-tuning, LoRA  3 % of the steps (full fine-tuning) | 100 steps (LoRA)  the learning rate rose in another way
        one seed       full fine-tuning, LoRA  one score an arm                                        Tables 4 and 5 give no spread over trainings, so how much of a difference is the luck of one is not known

        6 findings. Settings are compared among arms that share base and data set.

        Sun et al. 2023: differences that its 1,000 items could tell from chance (standard errors by assumption)

        a                                     b                                     difference  largest, 0  largest, 0.5  largest, 0.8  half, 0  half, 0.5  half, 0.8  told_apart
        ────────────────────────────────────  ────────────────────────────────────  ──────────  ──────────  ────────────  ────────────  ───────  ─────────  ─────────  ──────────
        LLaMA-7B + LoRA(2M)                   LLaMA-7B + LoRA(0.6M)                      0.020      0.0259        0.0183        0.0116   0.0129     0.0092     0.0058  2 of 6
        LLaMA-7B + LoRA(4M)                   LLaMA-7B + LoRA(0.6M)                      0.035      0.0257        0.0182        0.0115   0.0129     0.0091     0.0058  4 of 6
        LLaMA-13B + LoRA(2M)                  LLaMA-7B + LoRA(0.6M)                      0.059      0.0257        0.0182        0.0115   0.0129     0.0091     0.0058  always
        LLaMA-7B + FT(0.6M)                   LLaMA-7B + LoRA(0.6M)                      0.096      0.0254        0.0180        0.0115   0.0127     0.0090     0.0057  always
        LLaMA-7B + FT(2M)                     LLaMA-7B + LoRA(0.6M)                      0.121      0.0250        0.0178        0.0114   0.0125     0.0089     0.0057  always
        LLaMA-7B + FT(2M) + LoRA(math_0.25M)  LLaMA-7B + LoRA(0.6M)                      0.140      0.0250        0.0177        0.0113   0.0125     0.0089     0.0057  always
        LLaMA-7B + FT(2M) + FT(math_0.25M)    LLaMA-7B + LoRA(0.6M)                      0.149      0.0248        0.0177        0.0114   0.0124     0.0088     0.0057  always
        LLaMA-7B + LoRA(4M)                   LLaMA-7B + LoRA(2M)                        0.015      0.0257        0.0182        0.0115   0.0128     0.0091     0.0057  1 of 6
        LLaMA-13B + LoRA(2M)                  LLaMA-7B + LoRA(2M)                        0.039      0.0257        0.0182        0.0115   0.0128     0.0091     0.0057  5 of 6
        LLaMA-7B + FT(0.6M)                   LLaMA-7B + LoRA(2M)                        0.076      0.0253        0.0179        0.0114   0.0127     0.0090     0.0057  always
        LLaMA-7B + FT(2M)                     LLaMA-7B + LoRA(2M)                        0.100      0.0250        0.0177        0.0113   0.0125     0.0089     0.0056  always
        LLaMA-7B + FT(2M) + LoRA(math_0.25M)  LLaMA-7B + LoRA(2M)                        0.119      0.0249        0.0177        0.0113   0.0125     0.0088     0.0056  always
        LLaMA-7B + FT(2M) + FT(math_0.25M)    LLaMA-7B + LoRA(2M)                        0.129      0.0248        0.0176        0.0113   0.0124     0.0088     0.0056  always
        LLaMA-13B + LoRA(2M)                  LLaMA-7B + LoRA(4M)                        0.024      0.0255        0.0180        0.0114   0.0128     0.0090     0.0057  3 of 6
        LLaMA-7B + FT(0.6M)                   LLaMA-7B + LoRA(4M)                        0.061      0.0252        0.0178        0.0113   0.0126     0.0089     0.0057  always
        LLaMA-7B + FT(2M)                     LLaMA-7B + LoRA(4M)                        0.086      0.0248        0.0176        0.0112   0.0124     0.0088     0.0056  always
        LLaMA-7B + FT(2M) + LoRA(math_0.25M)  LLaMA-7B + LoRA(4M)                        0.105      0.0248        0.0175        0.0112   0.0124     0.0088     0.0056  always
        LLaMA-7B + FT(2M) + FT(math_0.25M)    LLaMA-7B + LoRA(4M)                        0.114      0.0246        0.0175        0.0112   0.0123     0.0087     0.0056  always
        LLaMA-7B + FT(0.6M)                   LLaMA-13B + LoRA(2M)                       0.037      0.0252        0.0178        0.0113   0.0126     0.0089     0.0057  5 of 6
        LLaMA-7B + FT(2M)                     LLaMA-13B + LoRA(2M)                       0.061      0.0248        0.0176        0.0112   0.0124     0.0088     0.0056  always
        LLaMA-7B + FT(2M) + LoRA(math_0.25M)  LLaMA-13B + LoRA(2M)                       0.080      0.0247        0.0175        0.0111   0.0124     0.0088     0.0056  always
        LLaMA-7B + FT(2M) + FT(math_0.25M)    LLaMA-13B + LoRA(2M)                       0.090      0.0246        0.0175        0.0112   0.0123     0.0087     0.0056  always
        LLaMA-7B + FT(2M)                     LLaMA-7B + FT(0.6M)                        0.025      0.0245        0.0173        0.0110   0.0122     0.0087     0.0055  4 of 6
        LLaMA-7B + FT(2M) + LoRA(math_0.25M)  LLaMA-7B + FT(0.6M)                        0.044      0.0244        0.0173        0.0109   0.0122     0.0086     0.0055  5 of 6
        LLaMA-7B + FT(2M) + FT(math_0.25M)    LLaMA-7B + FT(0.6M)                        0.053      0.0243        0.0172        0.0109   0.0121     0.0086     0.0054  always
        LLaMA-7B + FT(2M) + LoRA(math_0.25M)  LLaMA-7B + FT(2M)                          0.019      0.0241        0.0170        0.0108   0.0120     0.0085     0.0054  2 of 6
        LLaMA-7B + FT(2M) + FT(math_0.25M)    LLaMA-7B + FT(2M)                          0.028      0.0239        0.0169        0.0107   0.0120     0.0085     0.0054  4 of 6
        LLaMA-7B + FT(2M) + FT(math_0.25M)    LLaMA-7B + FT(2M) + LoRA(math_0.25M)       0.009      0.0238        0.0169        0.0107   0.0119     0.0084     0.0053  never

        Best case: the trainings are taken to have no noise, so these are the errors of the items alone.
        Assumed, as the paper prints no spread: the standard deviation of an item's score is the largest that its category's mean m allows, √(m(1 - m)), or half of it; and the scores of two arms for one item correlate by 0, 0.5 or 0.8.
        Told apart: the difference is more than 1.96 standard errors (5 %, two-sided, each pair by itself).

        Sun et al. 2023: how many of its differences each assumption tells apart

        spread               correlation  pairs  told_apart  after_holm  smallest_told_apart
        ───────────────────  ───────────  ─────  ──────────  ──────────  ───────────────────
        largest                      0.0     28          17          13                0.053
        largest                      0.5     28          20          17                0.037
        largest                      0.8     28          24          21                0.024
        half of the largest          0.0     28          23          20                0.025
        half of the largest          0.5     28          26          24                0.019
        half of the largest          0.8     28          27          27                0.015

        after_holm: the chance of any false claim among all pairs stays below 5 %.
    "#]].assert_eq(&text.join("\n"));
}

#[test]
fn the_errors_of_items_alone_are_those_of_their_formula() {
    let paper = Paper::load().unwrap();
    let pairs = best_case::pairs(&paper);
    assert_eq!(pairs.len(), 28);
    // LoRA(2M) against LoRA(0.6M), computed apart: by assumption, spread and correlation.
    let expected = [(0, 0.025_884_704_467), (1, 0.018_308_819_494), (5, 0.005_795_037_507)];
    for (assumption, error) in expected {
        assert!((pairs[0].errors[assumption] - error).abs() < 1e-9, "{assumption}: {}", pairs[0].errors[assumption]);
    }
    let near =
        pairs.iter().find(|pair| pair.a.ends_with("FT(math_0.25M)") && pair.b.ends_with("LoRA(math_0.25M)")).unwrap();
    assert_eq!(near.told_apart(), [false; 6], "0.009 is within the noise of 1,000 items under every assumption");
}
