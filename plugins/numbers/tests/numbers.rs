//! The final number of texts: which it is, as what it is written down, and that its text says the same again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use numbers::{Number, final_number};

#[track_caller]
fn check(text: &str, want: Option<(&str, f64)>) {
    let want = want.map(|(text, value)| Number { text: text.into(), value });
    assert_eq!(final_number(text), want, "{text:?}");
}

#[track_caller]
fn check_texts(cases: &[(&str, &str)]) {
    for (text, want) in cases {
        assert_eq!(final_number(text).unwrap().text, *want, "{text:?}");
    }
}

#[test]
fn the_final_number_and_how_it_is_written() {
    let cases = [
        (" 72", "72", 72.0),
        ("7 and 1,080.", "1080", 1080.0),
        ("2,520,000.50元", "2520000.50", 2_520_000.5),
        ("3,4", "4", 4.0),
        ("1,2345", "2345", 2345.0),
        ("x = -5", "-5", -5.0),
        ("48-24", "24", 24.0),
        ("(1)-2", "2", 2.0),
        ("-3", "-3", -3.0),
        ("$-3.", "-3", -3.0),
        ("版本1.2.3", "3", 3.0),
        ("答案是8个，因为昨天有2个客人", "8", 8.0),
        // Denominators, units and per cent.
        ("所以答案是3/4。", "3/4", 0.75),
        ("#### 3/4", "3/4", 0.75),
        ("4分之3", "4分之3", 0.75),
        ("是25%。", "25%", 0.25),
        ("２５％", "25%", 0.25),
        ("占百分之25", "百分之25", 0.25),
        ("5百分之3", "百分之3", 0.03),
        ("5万元", "5万", 50_000.0),
        ("1,200万元", "1200万", 12e6),
        ("3千克", "3", 3.0),
        ("2千", "2千", 2000.0),
        // Signs and widths.
        ("−5", "-5", -5.0),
        ("温度是–5度", "-5", -5.0),
        ("－百分之５", "-百分之5", -0.05),
        ("１２", "12", 12.0),
        ("一共１，２３４元", "1234", 1234.0),
        // Words.
        ("四分之三", "四分之三", 0.75),
        ("是百分之五", "百分之五", 0.05),
        ("负三度", "负三", -3.0),
        ("还剩三百二十个", "三百二十", 320.0),
        ("三点五四", "三点五四", 3.54),
        ("十二平方米(m2)", "十二", 12.0),
    ];
    for (text, number, value) in cases {
        check(text, Some((number, value)));
    }
    for text in ["", "无", "没有", "一共", "1/0", "5/0千克", "m^2", "km2", "第一"] {
        check(text, None);
    }
}

#[test]
fn exponents_are_no_numbers() {
    let cases = [
        ("12平方米(m^2)", "12"),
        ("12 m^{2}", "12"),
        ("12m2", "12"),
        ("12 m2", "12"),
        ("12M3", "12"),
        ("３ｋｍ２", "3"),
        ("5 kg/m3", "5"),
        ("9.8 m/s2", "9.8"),
        ("4 in2", "4"),
        ("8 x^10", "8"),
        ("8 x^{-10}", "8"),
        ("2^3 = 8", "8"),
        // No power of a unit.
        ("1m20cm", "20"),
        ("3m2cm", "2"),
        ("m25", "25"),
        ("item2", "2"),
        ("x2", "2"),
        ("m2.5", "2.5"),
        ("m 2", "2"),
    ];
    check_texts(&cases);
}

#[test]
fn a_point_can_begin_a_number_and_end_a_sentence() {
    let cases = [
        (".5", ".5"),
        ("= .5", ".5"),
        ("= -.5", "-.5"),
        ("= .5%", ".5%"),
        ("答案是.5", ".5"),
        ("重.5千克", ".5"),
        ("$.50", ".50"),
        ("3/.5", "3/.5"),
        ("The answer is .5.", ".5"),
        ("他走了。5", "5"),
        ("他走了．5", "5"),
        ("还剩8个.5", "5"),
        ("见图(1).5", "5"),
        ("No.5", "5"),
        ("还剩...5", "5"),
        ("3．5", "3.5"),
    ];
    check_texts(&cases);
}

#[test]
fn groups_of_three_join() {
    let cases = [
        ("1,000", "1000"),
        ("1 000", "1000"),
        ("12 050.5", "12050.5"),
        ("1\u{a0}234\u{a0}567", "1234567"),
        ("1\u{202f}234", "1234"),
        ("1\u{2009}234 元", "1234"),
        ("-1\u{2007}234/2", "-1234/2"),
        // Two numbers.
        ("1 234", "234"),
        ("1 00", "00"),
        ("1 0000", "0000"),
        ("1234\u{a0}567", "567"),
        ("1\u{a0}23", "23"),
        ("1\n000", "000"),
        ("1.5 000", "000"),
    ];
    check_texts(&cases);
}

/// All combinations of what may stand before, in and behind a number.
#[test]
fn the_text_of_a_number_has_its_value() {
    let before = [
        "",
        "8-",
        "x = -",
        "−",
        "负",
        "(",
        "答案是",
        "答案是 -",
        "#### ",
        "#### $",
        "占百分之",
        "5百分之",
        "第",
        "^",
        "5,",
        "m",
    ];
    let first = [
        "5",
        "05",
        "２５",
        "1,234",
        "1 000",
        "1\u{a0}234.5",
        ".5",
        "3.14",
        "1.2.3",
        "三",
        "三百二十",
        "一",
        "点",
        "十二点五",
    ];
    let between = ["", "/", "分之", "万", "千", "^", " ", "-", "、", "。", "%"];
    let second = ["", "4", "0", "２", ".5", "四", "1,500"];
    let behind = ["", "。", "%", "％。", "千克", "万元", "m2", "平方米(m^2)", "个，因为有2个", "共", "/7", ",000"];
    let mut found = 0;
    for before in before {
        for first in first {
            for between in between {
                for second in second {
                    for behind in behind {
                        let text = [before, first, between, second, behind].concat();
                        let Some(number) = final_number(&text) else { continue };
                        assert_eq!(final_number(&number.text), Some(number), "{text:?}");
                        found += 1;
                    }
                }
            }
        }
    }
    assert!(found > 100_000, "{found}");
}
