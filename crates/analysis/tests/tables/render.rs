//! How a table looks: alignment with wide characters, escapes, missing and broken numbers.

use expect_test::expect;
use tunebench_analysis::{Cell, Table};

fn sample() -> Table {
    let mut table = Table::new("A | title\n", &[("name", 0), ("数", 0), ("score", 3)]);
    table.rows = vec![
        vec!["中文".into(), 1_234_567u64.into(), 0.5.into()],
        vec!["a|b `x` <i>\n\u{1b}[31m\u{202e}".into(), Cell::Integer(-1200), (-1e-12).into()],
        vec!["好".repeat(40).into(), Cell::Missing, f64::NAN.into()],
    ];
    table.notes = vec!["A note, *plain*.\u{7}".into()];
    table
}

#[test]
fn text_is_aligned_and_harmless() {
    expect![[r#"
        A | title\n

        name                                                                数  score
        ───────────────────────────────────────────────────────────  ─────────  ─────
        中文                                                         1,234,567  0.500
        a|b `x` <i>\n\u{1b}[31m\u{202e}                                 -1,200  0.000
        好好好好好好好好好好好好好好好好好好好好好好好好好好好好好…          -    NaN

        A note, *plain*.\u{7}
    "#]]
    .assert_eq(&sample().to_text());
}

#[test]
fn markdown_keeps_its_cells() {
    expect![[r#"
        ### A \| title\\n

        | name | 数 | score |
        | --- | ---: | ---: |
        | 中文 | 1,234,567 | 0.500 |
        | a\|b \`x\` \<i>\\n\\u{1b}\[31m\\u{202e} | -1,200 | 0.000 |
        | 好好好好好好好好好好好好好好好好好好好好好好好好好好好好好好好好好好好好好好好好 | - | NaN |

        A note, \*plain\*.\\u{7}
    "#]]
    .assert_eq(&sample().to_markdown());
}

#[test]
fn json_keeps_every_value() {
    expect![[r#"
        {
          "title": "A | title\n",
          "columns": [
            "name",
            "数",
            "score"
          ],
          "rows": [
            {
              "name": "中文",
              "数": 1234567,
              "score": 0.5
            },
            {
              "name": "a|b `x` <i>\n\u001b[31m\u202e",
              "数": -1200,
              "score": -1e-12
            },
            {
              "name": "好好好好好好好好好好好好好好好好好好好好好好好好好好好好好好好好好好好好好好好好",
              "数": null,
              "score": "NaN"
            }
          ],
          "notes": [
            "A note, *plain*.\u0007"
          ]
        }
    "#]]
    .assert_eq(&sample().to_json());
}

#[test]
fn an_empty_table_has_its_head() {
    expect![[r#"
        Nothing

        arm  items
        ───  ─────
    "#]]
    .assert_eq(&Table::new("Nothing", &[("arm", 0), ("items", 0)]).to_text());
}
