//! Rows that are evaluation items, or nearly so.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::collections::BTreeSet;

use tunebench_dataset::overlap::{MOST_SHOWN, NEAR, normalised};
use tunebench_dataset::{Likeness, Overlap, OverlapReport};
use tunebench_spec::random::Stream;
use tunebench_spec::{Example, Role, Turn};

fn example(id: &str, turns: &[(Role, &str)]) -> Example {
    let turns = turns.iter().map(|(role, content)| Turn::new(*role, *content)).collect();
    Example { id: id.into(), turns, category: None, reference: None, rubric: None }
}

fn question(id: &str, text: &str) -> Example {
    example(id, &[(Role::User, text)])
}

const MOON: &str = "What causes the phases of the moon, and why do we always see the same side of it?";
const POEM: &str = "请写一首关于秋天的七言绝句，要求押韵，并且提到枫叶和大雁。";
const SUM: &str = "小明有12个苹果，吃了3个，又买了7个，现在一共有多少个苹果？";

fn overlap() -> Overlap {
    Overlap::new(&[question("moon", MOON), question("poem", POEM), question("sum", SUM), question("short", "1+1=?")])
}

#[test]
fn forms() {
    let cases = [
        ("  Hello,\n World! ", "helloworld"),
        ("ＡＢＣ１２３，。！", "abc123"),
        ("ﬁne ①", "fine1"),
        ("“你好”——（世界）…", "你好世界"),
        ("3 − 2 = 1", "32=1"),
        ("3 −2", "3-2"),
        ("well-known", "wellknown"),
        ("1.5 > 0.5. End.", "1.5>0.5end"),
        ("1,500", "1500"),
        ("ÉCOLE", "école"),
        ("e\u{301}", "é"),
        ("？！", ""),
    ];
    for (text, want) in cases {
        assert_eq!(normalised(text), want, "{text}");
        assert_eq!(normalised(want), want);
    }
}

#[test]
fn exact_near_and_neither() {
    use Likeness::{Exact, Near};
    let overlap = overlap();
    let cases = [
        (MOON, Some(("moon", Exact))),
        ("what causes the phases of the Moon — and why do we always see the same side of it", Some(("moon", Exact))),
        ("What causes the phases of the moon, and why can we always see the same side of it?", Some(("moon", Near))),
        ("What causes the tides of the sea, and why are there two of them each day?", None),
        ("请写一首关于秋天的七言绝句，要求押韵，并且提到枫叶和大雁", Some(("poem", Exact))),
        ("请写一首关于秋天的七言绝句，要求押韵，并且提到枫叶和菊花。", Some(("poem", Near))),
        ("请写一首关于春天的五言律诗，不必押韵，并且提到桃花。", None),
        ("小明有１２个苹果,吃了３个,又买了７个,现在一共有多少个苹果?", Some(("sum", Exact))),
        // Other numbers are in 15 of its 23 runs: another sum, though told alike.
        ("小明有25个苹果，吃了9个，又买了8个，现在一共有多少个苹果？", None),
        ("1 + 1 = ？", Some(("short", Exact))),
        ("Is 1+1=?", None),
        ("", None),
        ("？", None),
        ("the", None),
    ];
    for (text, want) in cases {
        let found = overlap.find(text);
        assert_eq!(found.map(|found| (found.item, found.likeness)), want, "{text}");
        let in_range = |s: f64| if want.is_some_and(|w| w.1 == Exact) { s == 1.0 } else { (NEAR..1.0).contains(&s) };
        assert!(found.is_none_or(|found| in_range(found.similarity)), "{text}: {found:?}");
    }
    // Inside a longer text an item is found, and it has all of the item's runs.
    let text = format!("{}{MOON}{}", "Here is an exam. ".repeat(50), " Explain in full sentences.".repeat(50));
    let found = overlap.find(&text).unwrap();
    assert_eq!((found.item, found.likeness, found.similarity), ("moon", Near, 1.0));
    // Part of an item is not the item.
    assert_eq!(overlap.find("What causes the phases of the moon?"), None);
}

#[test]
fn the_similarity_is_the_share_of_runs() {
    // abcdefghijklmnop has 12 runs; a change of the last letter takes one, of the third from behind three.
    let overlap = Overlap::new(&[question("letters", "abcdefghijklmnop")]);
    let similarity = |text| overlap.find(text).map(|found| found.similarity);
    assert_eq!(similarity("abcdefghijklmno!x"), Some(11.0 / 12.0));
    assert_eq!(similarity("abcdefghijklmxop"), None);
    assert_eq!(similarity("abcdefghijklmnxp"), Some(10.0 / 12.0));
    // Runs count once, in any order: all but the one over the seam.
    assert_eq!(similarity("abcdefghijklmno abcdefghijklmno"), Some(11.0 / 12.0));
    assert_eq!(similarity("ijklmnop, abcdefghijk"), Some(11.0 / 12.0));
}

#[test]
fn of_several_items_the_most_alike_counts_and_then_the_first() {
    let items = ["abcdefghijklmnop", "abcdefghijklmnoq", "abcdefghijklmnop."].map(|text| question(text, text));
    let overlap = Overlap::new(&items);
    assert_eq!(overlap.find("abcdefghijklmnop").unwrap().item, "abcdefghijklmnop");
    assert_eq!(overlap.find("abcdefghijklmnoq").unwrap().likeness, Likeness::Exact);
    assert_eq!(overlap.find("abcdefghijklmnox").unwrap().item, "abcdefghijklmnop");
    assert_eq!(overlap.find("xabcdefghijklmnoq").unwrap().item, "abcdefghijklmnoq");
    assert_eq!(Overlap::new(&[]).find("abcdefghijklmnop"), None);
}

#[test]
fn any_question_of_a_conversation_counts_and_answers_do_not() {
    let overlap = overlap();
    let cases = [
        (&[(Role::System, "s"), (Role::User, MOON), (Role::Assistant, "a"), (Role::User, "?")][..], Some("moon")),
        (&[(Role::User, "Repeat."), (Role::Assistant, MOON)][..], None),
        // Text to pre-train on asks nothing.
        (&[(Role::Assistant, MOON)][..], Some("moon")),
        (&[(Role::System, MOON)][..], None),
        (&[][..], None),
    ];
    for (turns, want) in cases {
        assert_eq!(overlap.find_in(&example("row", turns)).map(|found| found.item), want, "{turns:?}");
    }
    let near = "请写一首关于秋天的七言绝句，要求押韵，并且提到枫叶和菊花。";
    let both = example("row", &[(Role::User, near), (Role::Assistant, "a"), (Role::User, SUM)]);
    assert_eq!(overlap.find_in(&both).unwrap().item, "sum", "an exact duplicate before a near one");
}

#[test]
fn a_report_counts_rows_and_names_items() {
    let overlap = overlap();
    let mut report = OverlapReport::default();
    for index in 0..10 {
        let text = if index % 2 == 0 { MOON } else { "something else altogether, of its own" };
        let found = report.add(&overlap, &question(&format!("row{index}"), text));
        assert_eq!(found.is_some(), index % 2 == 0);
    }
    report.add(&overlap, &question("near", &POEM.replace("大雁", "菊花")));
    assert_eq!((report.rows, report.exact, report.near, report.found()), (11, 5, 1, 6));
    assert_eq!(report.items, BTreeSet::from(["moon".to_owned(), "poem".to_owned()]));
    let rows: Vec<&str> = report.pairs.iter().map(|pair| pair.row.as_str()).collect();
    assert_eq!(rows, ["row0", "row2", "row4", "row6", "row8"]);
    assert_eq!(rows.len(), MOST_SHOWN);
}

/// What is found is what a comparison of all pairs finds.
#[test]
fn the_index_finds_what_comparing_all_pairs_finds() {
    let mut stream = Stream::named(1, "overlap");
    let mut text = |length: u64| -> String {
        (0..length).map(|_| ["天", "地", "人", "a", "b"][stream.below(5) as usize]).collect()
    };
    let items: Vec<Example> = (0..40).map(|index| question(&format!("i{index}"), &text(12 + index % 9))).collect();
    let overlap = Overlap::new(&items);
    let grams = |text: &str| -> BTreeSet<Vec<char>> {
        text.chars().collect::<Vec<_>>().windows(5).map(<[char]>::to_vec).collect()
    };
    let mut counts = [0, 0];
    for index in 0..400 {
        let changed = items[index % 40].question().chars().enumerate();
        let row: String = changed.map(|(at, c)| if at == index % 23 { '某' } else { c }).collect();
        let row = if index % 3 == 0 { text(200) } else { row };
        let similarity = |item: &Example| {
            let of_item = grams(item.question());
            of_item.intersection(&grams(&row)).count() as f64 / of_item.len() as f64
        };
        let best = items.iter().map(similarity).fold(0.0, f64::max);
        let found = overlap.find(&row).map(|found| found.similarity);
        assert_eq!(found, (best >= NEAR).then_some(best), "{row}");
        counts[usize::from(found.is_some())] += 1;
    }
    assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
}
