//! The page in a real browser: it renders, sorts, filters and opens answers; what is injected stays text.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

mod chromium;
mod fixture;
mod hostile;
mod large;

use std::io::BufWriter;

use chromium::{Browser, is_left_out};
use serde_json::{Value, json};
use tempfile::TempDir;
use tunebench_report::data::{ItemAnswers, Report};

/// The page of a report in a browser, ready to be filtered; the folder holds its file.
fn open(report: &Report, answers: Vec<ItemAnswers>) -> (Browser, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut browser = Browser::start();
    show(&mut browser, &folder, "report.html", report, answers);
    (browser, folder)
}

fn show(
    browser: &mut Browser,
    folder: &TempDir,
    name: &str,
    report: &Report,
    answers: impl IntoIterator<Item = ItemAnswers>,
) {
    let path = folder.path().join(name);
    let mut file = BufWriter::new(std::fs::File::create(&path).unwrap());
    tunebench_report::write(report, answers.into_iter(), &mut file).unwrap();
    drop(file);
    browser.show(&path);
    browser.until("document.getElementById('explorer')?.dataset.searched !== undefined");
}

/// Sets a filter as a user would, waits until all was searched, and returns what is said to be found.
fn filter(browser: &mut Browser, field: &str, value: &str) -> String {
    let before = browser.value("document.getElementById('explorer').dataset.searched");
    let set = format!(
        "(() => {{ const field = document.getElementById('{field}');
         if (field.type === 'checkbox') field.checked = {value:?} === 'on'; else field.value = {value:?};
         field.dispatchEvent(new Event('input', {{ bubbles: true }})); }})()"
    );
    browser.value(&set);
    browser.until(&format!("document.getElementById('explorer').dataset.searched !== {before}"));
    text(browser, "#found")
}

fn text(browser: &mut Browser, selector: &str) -> String {
    let value = browser.value(&format!("document.querySelector({selector:?}).textContent"));
    value.as_str().unwrap_or_else(|| panic!("{selector}: {value}")).to_owned()
}

fn count(browser: &mut Browser, selector: &str) -> Value {
    browser.value(&format!("document.querySelectorAll({selector:?}).length"))
}

/// Nothing was complained of and nothing asked for but the file itself.
fn check_quiet(browser: &mut Browser) {
    browser.value("1");
    assert!(browser.complaints.is_empty(), "{:#?}", browser.complaints);
    assert!(!browser.requests.is_empty());
    let strangers: Vec<&String> = browser.requests.iter().filter(|r| !r.starts_with("file:")).collect();
    assert!(strangers.is_empty(), "{strangers:?}");
}

#[test]
fn the_page_renders_and_its_tables_sort() {
    if is_left_out() {
        return;
    }
    let (report, answers) = fixture::study(12);
    let (mut browser, _folder) = open(&report, answers);
    assert_eq!(browser.value("document.title"), json!("support-replies – tunebench"));
    assert_eq!(text(&mut browser, "h1"), report.decision.headline.en);
    let sections = browser.value("Array.from(document.querySelectorAll('main > section'), (s) => s.id)");
    let all = [
        "scores",
        "pairs",
        "pareto",
        "categories",
        "forgetting",
        "curves",
        "candidates",
        "answers",
        "numbers",
        "again",
    ];
    assert_eq!(sections, json!(all));
    let empty = "Array.from(document.querySelectorAll('svg')).filter((s) => s.childElementCount < 2).length";
    assert_eq!(browser.value(empty), json!(0));

    // Sorted by a number, by a word, and by an interval; twice is the other way round.
    let shown = |browser: &mut Browser, column: usize, table: &str| {
        let cells = format!(
            "Array.from(document.querySelector('#{table} table').tBodies[0].rows, (r) => r.cells[{column}].textContent)"
        );
        let values = browser.value(&cells);
        values.as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for (table, column, want) in [
        ("pareto", 2, ["5.8 h", "1.9 h", "1.6 h"]),
        ("pareto", 2, ["18 min", "30 min", "36 min"]),
        ("scores", 1, ["large + FT(2000)", "large + FT(2000) + LoRA(math)", "large + LoRA-all-linear(600)"]),
        ("scores", 3, ["[0.345, 0.413]", "[0.355, 0.429]", "[0.391, 0.471]"]),
        ("pairs", 3, ["+0.244", "+0.239", "+0.231"]),
    ] {
        browser.value(&format!(
            "document.querySelector('#{table} table thead').rows[0].cells[{column}].querySelector('button').click()"
        ));
        assert_eq!(shown(&mut browser, column, table)[..3], want);
        let marked = format!("#{table} th[aria-sort]");
        assert_eq!(count(&mut browser, &marked), json!(1));
    }

    // The other language, and back.
    browser.value("document.getElementById('language').click()");
    assert_eq!(text(&mut browser, "h1"), report.decision.headline.zh);
    assert_eq!(text(&mut browser, "#scores-h"), "得分");
    assert_eq!(text(&mut browser, "#found"), "12 道题中的 12 道");
    browser.value("document.getElementById('language').click()");
    assert_eq!(text(&mut browser, "#scores-h"), "Scores");

    // One picture of cost at a time.
    assert_eq!(count(&mut browser, ".tab:not([hidden])"), json!(1));
    browser.value("document.querySelector('[data-tab=params]').click()");
    assert_eq!(browser.value("document.querySelector('.tab:not([hidden])').dataset.tab"), json!("params"));
    check_quiet(&mut browser);

    // The policy holds, and what it stops is noticed here: a script that is added does not run.
    browser.value(
        "(() => { const script = document.createElement('script'); script.textContent = 'window.ran = 1';
         document.body.append(script); })()",
    );
    assert_eq!(browser.value("typeof window.ran"), json!("undefined"));
    browser.value("new Promise((resolve) => setTimeout(resolve, 100))");
    assert!(browser.complaints.iter().any(|complaint| complaint.contains("Content Security Policy")));
}

#[test]
fn answers_are_filtered_and_read_side_by_side() {
    if is_left_out() {
        return;
    }
    let (report, mut answers) = fixture::study(60);
    answers[41].answers[3].judgements[0].words = "A remark that stands nowhere else: Quokka.".into();
    let (mut browser, _folder) = open(&report, answers);
    assert_eq!(text(&mut browser, "#found"), "60 of 60 items");
    assert_eq!(count(&mut browser, "#items tbody tr"), json!(50));
    browser.value("document.getElementById('page-next').click()");
    assert_eq!(count(&mut browser, "#items tbody tr"), json!(10));

    for (field, value, want) in [
        ("f-text", "quokka", "1 of 60 items"),
        ("f-text", "no such word", "0 of 60 items"),
        ("f-text", "SUPPORT/00", "9 of 60 items"),
        ("f-text", "苹果", "10 of 60 items"),
        ("f-text", "", "60 of 60 items"),
        ("f-category", "4", "10 of 60 items"),
        ("f-text", "24 ÷ 6", "10 of 60 items"),
        ("f-text", "kettle", "0 of 60 items"),
        ("f-text", "", "10 of 60 items"),
        ("f-category", "", "60 of 60 items"),
        ("f-low", "0", "60 of 60 items"),
        ("f-low", "2", "0 of 60 items"),
        ("f-low", "", "60 of 60 items"),
    ] {
        assert_eq!(filter(&mut browser, field, value), want, "{field} = {value}");
    }
    // Scores of one arm only: what the list shows is what was asked for.
    filter(&mut browser, "f-arm", "0");
    filter(&mut browser, "f-high", "0.5");
    let scores = "Array.from(document.querySelectorAll('#items tbody tr'), (r) => Number(r.cells[3].textContent))";
    let scores = browser.value(scores);
    let scores: Vec<f64> = scores.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
    assert!(!scores.is_empty() && scores.len() < 50 && scores.iter().all(|score| *score <= 0.5), "{scores:?}");
    let spreads = "Array.from(document.querySelectorAll('#items tbody tr'), (r) => Number(r.cells[4].textContent))";
    filter(&mut browser, "f-high", "");
    filter(&mut browser, "f-disagree", "on");
    let spreads = browser.value(spreads);
    let spreads = spreads.as_array().unwrap();
    assert!(!spreads.is_empty() && spreads.iter().all(|spread| spread.as_f64().unwrap() >= 0.5), "{spreads:?}");
    filter(&mut browser, "f-disagree", "");

    // The item with the remark, arms side by side, and that judge's words.
    filter(&mut browser, "f-text", "quokka");
    browser.value("document.querySelector('#items tbody button').click()");
    browser.until("document.getElementById('item').open");
    assert_eq!(text(&mut browser, "#item-title"), "support/042 · rewrite");
    assert_eq!(count(&mut browser, ".card"), json!(3));
    browser.value("Array.from(document.querySelectorAll('#item fieldset button'))[0].click()");
    browser.until("document.querySelectorAll('.card').length === 9");
    browser.value(
        "(() => { const seed = document.querySelector('#item select'); seed.value = '';
         seed.dispatchEvent(new Event('change')); })()",
    );
    browser.until("document.querySelectorAll('.card').length === 25");
    let remarks =
        "Array.from(document.querySelectorAll('.said .text')).filter((p) => p.textContent.includes('Quokka')).length";
    assert_eq!(browser.value(remarks), json!(1));
    check_quiet(&mut browser);
}

#[test]
fn the_keyboard_is_enough() {
    if is_left_out() {
        return;
    }
    let (report, answers) = fixture::study(6);
    let (mut browser, _folder) = open(&report, answers);
    browser.press("Tab", 9, "");
    assert_eq!(browser.value("document.activeElement.className"), json!("skip"));
    let outline = "getComputedStyle(document.activeElement).outlineStyle";
    assert_eq!(browser.value(outline), json!("solid"));
    // A heading by Enter.
    browser.value("document.querySelector('#scores thead button').focus()");
    browser.press("Enter", 13, "\r");
    assert_eq!(count(&mut browser, "#scores th[aria-sort]"), json!(1));
    // An item by Enter, the next by its button, back to the list by Escape.
    browser.value("document.querySelector('#items tbody button').focus()");
    browser.press("Enter", 13, "\r");
    browser.until("document.getElementById('item').open");
    let first = text(&mut browser, "#item-title");
    browser.value("document.querySelectorAll('#item .bar button')[1].focus()");
    browser.press("Enter", 13, "\r");
    browser.until(&format!("document.getElementById('item-title').textContent !== {first:?}"));
    assert_eq!(browser.value("document.activeElement.textContent"), json!("Next item"));
    browser.press("Escape", 27, "");
    browser.until("!document.getElementById('item').open");
    assert_eq!(browser.value("document.activeElement.closest('#items') !== null"), json!(true));
    check_quiet(&mut browser);
}

#[test]
fn injected_markup_stays_text() {
    if is_left_out() {
        return;
    }
    let (plain, plain_answers) = fixture::study(3);
    let scripts = |browser: &mut Browser| count(browser, "script");
    let (mut browser, folder) = open(&plain, plain_answers);
    let want = scripts(&mut browser);
    for (i, hostile) in hostile::TEXTS.into_iter().enumerate() {
        let (report, answers) = hostile::study_of(hostile);
        show(&mut browser, &folder, &format!("{i}.html"), &report, answers);
        assert_eq!(scripts(&mut browser), want, "{hostile:?}");
        let shown = hostile.replace('\0', "\u{fffd}").replace("\r\n", "\n");
        assert_eq!(text(&mut browser, "h1"), shown);
        assert_eq!(text(&mut browser, "#scores tbody tr:first-child bdi"), format!("{shown}0"));
        browser.value("document.getElementById('language').click()");
        browser.value("document.querySelector('#items tbody button').click()");
        browser.until("document.getElementById('item').open");
        // Blocks are JSON: what is in an answer arrives to the last character.
        assert_eq!(text(&mut browser, "#item .asked .text"), hostile);
        assert_eq!(text(&mut browser, ".card > .text"), hostile);
        assert_eq!(text(&mut browser, ".said .text"), hostile);
        assert_eq!(count(&mut browser, "#items tbody tr"), json!(3));
        assert_eq!(browser.value("typeof window.ran"), json!("undefined"), "{hostile:?}");
        check_quiet(&mut browser);
    }
}

#[test]
fn long_words_wrap_on_a_narrow_screen_and_dark_and_paper_have_their_own_colors() {
    if is_left_out() {
        return;
    }
    let (report, answers) = hostile::study_of(&"unbroken".repeat(60));
    let (mut browser, _folder) = open(&report, answers);
    let size = |width: u32| json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false });
    for width in [400, 1200] {
        browser.command("Emulation.setDeviceMetricsOverride", size(width));
        let widest = browser.value("document.documentElement.scrollWidth").as_u64().unwrap();
        let who = "Array.from(document.querySelectorAll('body *')).filter((e) => !e.closest('.scroll, pre')
                   && e.getBoundingClientRect().right > innerWidth).map((e) => `${e.tagName} ${e.className}`).slice(0, 5)";
        assert!(widest <= u64::from(width), "{widest} wide on a screen of {width}: {}", browser.value(who));
        browser.value("document.querySelector('#items tbody button').click()");
        browser.until("document.getElementById('item').open");
        let inner = browser.value("document.querySelector('#item .inner').scrollWidth").as_u64().unwrap();
        assert!(inner <= u64::from(width), "{inner} wide in a screen of {width}");
        browser.value("document.getElementById('item').close()");
    }
    let colors = "[getComputedStyle(document.documentElement).backgroundColor, getComputedStyle(document.body).color,
                   getComputedStyle(document.querySelector('svg .c0')).fill]";
    let mut seen = vec![browser.value(colors)];
    for (media, scheme) in [("", "dark"), ("print", "dark")] {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        browser.command("Emulation.setEmulatedMedia", json!({ "media": media, "features": features }));
        seen.push(browser.value(colors));
    }
    assert_ne!(seen[0], seen[1]);
    // Paper is white, whatever the screen was.
    assert_eq!(seen[2][0], json!("rgb(255, 255, 255)"));
    assert_eq!(seen[0][2], seen[2][2]);
}

/// Milliseconds; what is longer is felt.
const LONGEST_STALL: f64 = 200.0;

#[test]
fn a_large_report_is_filtered_and_searched_without_a_stall() {
    if is_left_out() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut browser = Browser::start();
    show(&mut browser, &folder, "large.html", &large::report(), large::answers());
    assert_eq!(text(&mut browser, "#found"), "1,000 of 1,000 items");
    // Times from one turn of the page's clock to the next, by which whatever holds the page up is seen.
    browser.value(
        "window.gaps = []; (() => { let last = performance.now(); const turn = () => { const now = performance.now();
         window.gaps.push(now - last); last = now; setTimeout(turn, 0); }; turn(); })()",
    );
    let searched = [
        ("f-category", "3", "111 of 1,000 items"),
        ("f-category", "", "1,000 of 1,000 items"),
        ("f-low", "2", "0 of 1,000 items"),
        ("f-low", "", "1,000 of 1,000 items"),
        ("f-text", "stands in no answer", "0 of 1,000 items"),
        ("f-text", "", "1,000 of 1,000 items"),
    ];
    // What other programs take of the machine is not the page's fault: the best of three tries counts.
    let mut stalls = Vec::new();
    while stalls.len() < 3 && !stalls.iter().any(|stall| *stall < LONGEST_STALL) {
        browser.value("window.gaps.length = 0");
        for (field, value, want) in searched {
            assert_eq!(filter(&mut browser, field, value), want, "{field} = {value}");
        }
        stalls.push(browser.value("Math.max(...window.gaps)").as_f64().unwrap());
    }
    assert!(stalls.iter().any(|stall| *stall < LONGEST_STALL), "{stalls:?} ms");
    check_quiet(&mut browser);
}
