//! The file itself: what it must hold, what it must not, and what is refused.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

mod fixture;
mod hostile;

use tunebench_report::data::*;
use tunebench_report::{Error, write};

fn page(report: &Report, answers: Vec<ItemAnswers>) -> String {
    let mut bytes = Vec::new();
    write(report, answers.into_iter(), &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn error(change: impl FnOnce(&mut Report, &mut Vec<ItemAnswers>)) -> (Error, usize) {
    let (mut report, mut answers) = fixture::study(2);
    change(&mut report, &mut answers);
    let mut bytes = Vec::new();
    let error = write(&report, answers.into_iter(), &mut bytes).unwrap_err();
    (error, bytes.len())
}

#[test]
fn the_page_says_who_may_run_and_refers_to_nothing() {
    let (report, answers) = fixture::study(5);
    let html = page(&report, answers);
    assert!(html.starts_with("<!DOCTYPE html>\n<html lang=\"en\">"));
    assert!(html.contains("http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';"));
    for banned in ["http:", "https:", "src=", "<link", "@import", "url(", "<iframe", " style="] {
        assert!(!html.contains(banned), "{banned}");
    }
    assert_eq!(html.matches("<script>").count(), 2);
    assert_eq!(html.matches("<script type=\"application/octet-stream\"").count(), 6);
    assert!(html.contains("5 items, 125 answers, 250 judgements."));
    for (table, headings) in [("<table", "<th scope=\"col\""), ("<tr", "<th scope=\"row\"")] {
        assert!(html.contains(table) && html.contains(headings));
    }
}

#[test]
fn the_same_results_make_the_same_bytes_and_either_language() {
    let (mut report, answers) = fixture::study(3);
    let first = page(&report, answers.clone());
    assert_eq!(first, page(&report, answers.clone()));
    report.language = Language::Zh;
    let chinese = page(&report, answers);
    assert!(chinese.contains("<html lang=\"zh-Hans\">"));
    let headline = |html: &str| html.split("<h1>").nth(1).unwrap().split("</h1>").next().unwrap().to_owned();
    assert!(headline(&first).ends_with("a third of the time.</bdi>"));
    assert!(headline(&chinese).ends_with("用时仅三分之一。</bdi>"));
}

#[test]
fn texts_of_the_study_open_no_element() {
    let tags = |html: &str| {
        let mut names: Vec<String> = Vec::new();
        let mut rest = html;
        while let Some((_, after)) = rest.split_once('<') {
            names.push(after.split([' ', '>']).next().unwrap().to_owned());
            rest = after;
        }
        names.sort();
        names
    };
    // The same study with harmless texts of the same kind has the same elements.
    let (report, answers) = hostile::study_of("x");
    let want = tags(&page(&report, answers));
    for text in hostile::TEXTS {
        let (report, answers) = hostile::study_of(text);
        let html = page(&report, answers);
        let mut found = tags(&html);
        // Names on a crowded picture may be numbers instead: texts, of which there may be as many.
        found.dedup();
        let mut names = want.clone();
        names.dedup();
        assert_eq!(found, names, "{text:?}");
        assert!(!html.contains('\0'));
    }
}

#[test]
fn an_empty_report_is_a_page_too() {
    let html = page(&Report::default(), Vec::new());
    assert!(html.contains("id=\"explorer\"") && !html.contains("id=\"pairs\"") && !html.contains("id=\"pareto\""));
}

#[test]
fn what_cannot_be_shown_is_refused_by_name_and_before_anything_is_written() {
    type Change = fn(&mut Report);
    let cases: [(Change, &str); 8] = [
        (|r| r.arms[0].score.as_mut().unwrap().mean = f64::NAN, "arm \"small + FT(2000)\": NaN is not a finite number"),
        (
            |r| r.arms[0].score.as_mut().unwrap().interval.as_mut().unwrap().low = 0.9,
            "does not hold its own mean 0.437",
        ),
        (|r| r.arms[1].name = r.arms[0].name.clone(), "the list of arms has the name \"small + FT(2000)\" 2 times"),
        (|r| r.pairs[0].second = "gone".into(), "the list of arms has the name \"gone\" 0 times"),
        (|r| r.judges.push("chatgpt".into()), "the list of judges has the name \"chatgpt\" 2 times"),
        (|r| r.curves[0].training[0].loss = f64::INFINITY, "curve of arm \"small + FT(2000)\", seed 0: inf"),
        (|r| drop(r.tables[0].rows[2].pop()), "table \"Hyper-parameters\", row 3: 3 cells for 4 columns"),
        (|r| r.scale = Scale { low: 1.0, high: 1.0 }, "the scale of scores goes from 1 to 1"),
    ];
    for (change, want) in cases {
        let (error, written) = error(|report, _| change(report));
        assert!(error.to_string().contains(want), "{error}");
        assert_eq!(written, 0, "{error}");
    }
}

#[test]
fn answers_of_strangers_are_refused() {
    let (found, _) = error(|_, items| items[1].answers[0].arm = "gone".into());
    assert!(
        found.to_string().starts_with("an answer to item \"support/002\": the list of arms has the name"),
        "{found}"
    );
    let (found, _) = error(|_, items| items[0].answers[0].judgements[0].judge = "nobody".into());
    assert!(
        found.to_string().starts_with("a judgement of item \"support/001\": the list of judges has the name"),
        "{found}"
    );
    let (found, _) = error(|_, items| items[0].answers[0].judgements[0].score = Some(f64::NAN));
    assert!(matches!(found, Error::NotFinite { .. }), "{found}");
}
