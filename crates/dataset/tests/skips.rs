//! How many rows may be unusable, and what is said of more.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use tunebench_dataset::{Skips, skipped_share};

fn skips(reasons: &[(&str, u64)]) -> Skips {
    let mut skips = Skips::default();
    for (reason, count) in reasons {
        for number in 1..=*count {
            skips.add(&format!("r.jsonl:{number}"), reason);
        }
    }
    skips
}

#[test]
fn a_share_of_unusable_rows_is_allowed_and_no_more() {
    for (skipped, used, most, is_allowed) in [
        (0, 0, 0.0, true),
        (0, 10, 0.01, true),
        (1, 99, 0.01, true),
        (1, 98, 0.01, false),
        (1, 0, 0.99, false),
        (1, 0, 1.0, true),
        (1, 1_000_000, 0.0, false),
    ] {
        let checked = skipped_share::check(&skips(&[("no answer", skipped)]), used, most);
        assert_eq!(checked.is_ok(), is_allowed, "{skipped} of {used} at {most}");
    }
}

#[test]
fn the_commonest_reasons_are_said_first_with_their_places() {
    let reasons = [("b", 1), ("no answer", 3), ("a", 1), ("c", 1), ("d", 1), ("e", 1), ("f", 1)];
    let error = skipped_share::check(&skips(&reasons), 11, 0.01).unwrap_err().to_string();
    let want = "9 of 20 rows cannot be used, more than max_skipped_share = 0.01 allows: no answer (3, first at r.jsonl:1); \
                a (1, first at r.jsonl:1); b (1, first at r.jsonl:1); c (1, first at r.jsonl:1); d (1, first at r.jsonl:1); \
                e (1, first at r.jsonl:1); and 1 more reasons; mend the rows or say by columns what they are, or raise \
                max_skipped_share of the [[dataset]]";
    assert_eq!(error, want);
}
