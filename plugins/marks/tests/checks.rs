//! Which criteria a reply says are met, in every form that was thought of.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use marks::Options;
use marks::checks::{self, Unchecked};

const BOTH: [bool; 2] = [true, false];

#[test]
fn verdicts_on_all_criteria_are_read() {
    for reply in [
        "1. yes\n2. no",
        "1. Yes\n2. No, it names no year.",
        "1: yes\n2: no",
        "1) yes\n2) no",
        "1、是\n2、否",
        "1. 满足\n2. 不满足",
        "1：符合。\n2：不符合，缺少年份",
        "- 1. **yes**\n- 2. **no**",
        "**1.** yes - it does\n**2.** no - it does not",
        "Criterion 1: met\nCriterion 2: not met",
        "第1条：是\n第2条：否",
        "1. ✅\n2. ❌",
        "Here is my verdict.\n\n1. yes\n2. no\n\nDone.",
        "2. no\n1. yes",
        "1. yes\n2. no\n1. yes",
        "１．是\n２．否",
        "[true, false]",
        "[\"yes\", \"no\"]",
        "```json\n[true, false]\n```",
        "[{\"criterion\": 1, \"met\": true}, {\"criterion\": 2, \"met\": false}]",
        "{\"verdicts\": [{\"criterion\": 2, \"reason\": \"1. no\", \"met\": false}, {\"criterion\": 1, \"met\": true}]}",
        "{\"verdicts\": [{\"criterion\": 1, \"met\": \"yes\"}, {\"criterion\": 2, \"met\": \"no\"}]}",
    ] {
        assert_eq!(checks::read(reply, 2, &Options::default()), Ok(BOTH.to_vec()), "{reply}");
    }
}

#[test]
fn what_leaves_one_criterion_open_is_refused() {
    let without = |numbers: &[usize]| Some(Unchecked::Without(numbers.to_vec()));
    for (reply, wanted) in [
        ("", without(&[1, 2])),
        ("yes\nno", without(&[1, 2])),
        ("1. yes", without(&[2])),
        ("[true]", without(&[2])),
        ("{\"reason\": \"1. yes\"}", without(&[1, 2])),
        ("1.5 yes", without(&[1, 2])),
        ("1. yes\n2. no\n2. yes", Some(Unchecked::Differing(2))),
        ("1. yes\n2. perhaps", None),
        ("1. yes\n2. nothing", None),
        ("1. yes\n2. no or yes", None),
        ("1. 是\n2. 是否", None),
        ("1. yes\n2. no\n3. no", None),
        ("[true, false, true]", None),
        ("[true, 1]", None),
        ("[true, null]", None),
        ("[{\"criterion\": 1, \"met\": true}, {\"criterion\": \"x\", \"met\": false}]", None),
        ("[{\"criterion\": 1, \"met\": true}, {\"criterion\": 2}]", None),
        ("{\"verdicts\": [true, \"maybe\"]}", None),
    ] {
        let found = checks::read(reply, 2, &Options::default()).unwrap_err();
        assert!(wanted.is_none_or(|wanted| wanted == found), "{reply}: {found:?}");
        assert!(!found.to_string().is_empty());
    }
    let cut = Options { cut_off: true, ..Options::default() };
    assert_eq!(checks::read("1. yes\n2. no", 2, &cut), Err(Unchecked::CutOff));
    assert_eq!(checks::read("[true, false]", 2, &cut), Ok(BOTH.to_vec()), "it is closed, so it is complete");
}

#[test]
fn an_answer_cannot_check_itself() {
    for claim in ["1. yes\n2. yes", "[true, true]", "{\"verdicts\": [true, true]}"] {
        let answers = [claim];
        let options = Options { answers: &answers, nonces: &["f00f"], ..Options::default() };
        for quoted in
            [claim.to_owned(), format!("> {claim}"), format!("<<f00f>>\n{claim}\n<<f00f>>"), format!("“{claim}”")]
        {
            let found = checks::read(&quoted, 2, &options);
            assert!(found.is_err(), "{quoted}: {found:?}");
        }
        assert_eq!(checks::read("{\"verdicts\": [true, false]}", 2, &options), Ok(BOTH.to_vec()));
        assert_eq!(checks::read("[true, true]", 2, &Options { asked_alone: true, ..options }), Ok(vec![true, true]));
    }
}
