//! From the folder of a run to the page: what is on it, and what makes an error instead.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

mod run_folder;

use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use run_folder::*;
use serde_json::{Value, json};
use tempfile::TempDir;
use tunebench_report::data::*;
use tunebench_report::{of_run, write, write_file};

const MARGIN: f64 = 0.02;

fn folder(change: impl FnOnce(&mut Rows)) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut rows = rows();
    change(&mut rows);
    rows.write(dir.path());
    dir
}

fn report(dir: &Path) -> Report {
    of_run(dir, MARGIN, Language::En).unwrap().0
}

fn page(dir: &Path, language: Language) -> String {
    let (report, answers) = of_run(dir, MARGIN, language).unwrap();
    let mut bytes = Vec::new();
    write(&report, answers, &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// What a block of the page holds.
fn block(html: &str, id: &str) -> Value {
    let begin = format!("id=\"{id}\">");
    let text = html.split(&begin).nth(1).unwrap().split('<').next().unwrap();
    let mut json = String::new();
    let bytes = STANDARD.decode(text).unwrap();
    flate2::read::DeflateDecoder::new(bytes.as_slice()).read_to_string(&mut json).unwrap();
    serde_json::from_str(&json).unwrap()
}

fn english(texts: &[Text]) -> String {
    texts.iter().map(|text| text.en.as_str()).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_report_says_what_the_frames_hold() {
    let dir = folder(|_| ());
    let report = report(dir.path());
    assert_eq!(report.study, "十二题 <i>");
    assert_eq!(report.machine, format!("tunebench {} · fast engine, bf16", env!("CARGO_PKG_VERSION")));
    assert_eq!(report.arms.iter().map(|arm| arm.name.as_str()).collect::<Vec<_>>(), [BASE, FULL, LORA, GRID]);
    let scores = report.arms.iter().map(|arm| arm.score.unwrap());
    for (score, want) in scores.zip([0.2, 0.7, 0.45, 0.4]) {
        let interval = score.interval.unwrap();
        assert!(
            (score.mean - want).abs() < 0.1 && interval.low < score.mean && score.mean < interval.high,
            "{score:?}"
        );
    }
    let full = &report.arms[1];
    assert_eq!((full.seeds, full.items, full.base.as_str(), full.tuner.as_str()), (2, 12, BASE, "ft"));
    assert_eq!(full.held_out_nats_per_token, Some(1.0));
    assert!((full.forgetting.unwrap().after_bits_per_byte - 1.055).abs() < 1e-9);
    assert_eq!(report.arms[0].train_hours, None);
    assert_eq!(report.pairs.len(), 6);
    assert_eq!(report.categories.len(), 8);
    let best = report.pairs.iter().find(|pair| pair.first == FULL && pair.second == LORA).unwrap();
    assert_eq!(best.verdict, Verdict::FirstBetter);
    for text in [&report.decision.headline.en, &report.decision.headline.zh] {
        assert!(text.contains(FULL), "{text}");
    }
    assert_eq!(report.decision.reasons.len(), 2);
    assert!(report.decision.reasons.iter().all(|reason| !reason.zh.is_empty()));
}

#[test]
fn candidates_and_thinned_curves_are_there() {
    let report = report(folder(|_| ()).path());
    let tried =
        |c: &Candidate| (c.candidate.clone(), c.steps, c.held_out_nats_per_token, c.selected, c.at_edge.clone());
    let candidates: Vec<_> = report.candidates.iter().map(tried).collect();
    let edge = "learning_rate = 0.0004 is the highest of 3";
    let want = [
        ("learning_rate=0.0001", 10, Some(1.5), false, ""),
        ("learning_rate=0.0002", 10, Some(1.5), false, ""),
        ("learning_rate=0.0004", 30, Some(1.2), true, edge),
    ];
    assert_eq!(
        candidates,
        want.map(|(name, steps, loss, chosen, edge)| (name.into(), steps, loss, chosen, edge.into()))
    );
    assert!(report.candidates.iter().all(|candidate| candidate.arm == GRID));
    assert_eq!(report.curves.len(), 6);
    let points = |arm: &str| report.curves.iter().find(|curve| curve.arm == arm).unwrap().training.len();
    assert_eq!((points(LORA), points(FULL)), (400, 30));
    assert_eq!(report.curves[0].held_out.len(), 2);
    assert!(english(&report.curve_notes).contains("more than 400 points"));
}

#[test]
fn costs_of_an_arm_that_starts_from_another_are_said_not_to_be_all() {
    assert!(report(folder(|_| ()).path()).cost_notes.is_empty());
    let chained =
        folder(|rows| rows.arms.iter_mut().filter(|arm| arm.arm == GRID).for_each(|arm| arm.base = LORA.into()));
    let notes = english(&report(chained.path()).cost_notes);
    assert!(notes.starts_with("Start from another arm") && notes.ends_with("money: lora & grid."), "{notes}");
}

#[test]
fn warnings_name_what_weakens_the_numbers() {
    let warnings = english(&report(folder(|_| ()).path()).warnings);
    for want in [
        "lora 1 of 24 (1 the judge could not tell, 0 it could not be asked)",
        "lora & grid (learning_rate = 0.0004 is the highest of 3)",
        "differ in more than the method: epochs",
    ] {
        assert!(warnings.contains(want), "{want}: {warnings}");
    }
    assert!(!warnings.contains("Trained once"), "{warnings}");

    let single = folder(|rows| {
        rows.arms.retain(|arm| arm.seed != SEEDS[1]);
        rows.generations.retain(|answer| answer.seed != SEEDS[1]);
        rows.judgements.retain(|judgement| judgement.seed != SEEDS[1]);
        rows.generations.remove(0);
    });
    let report = report(single.path());
    let warnings = english(&report.warnings);
    assert!(warnings.contains(&format!("Trained once: {FULL}, {LORA}, {GRID}.")), "{warnings}");
    assert!(warnings.contains("2 judgements are of answers that the frames do not hold"), "{warnings}");
    assert_eq!(report.arms[1].score.unwrap().scope, Scope::ItemsOnly);
}

#[test]
fn tables_keep_their_values_and_the_other_judge_has_one() {
    let report = report(folder(|_| ()).path());
    let table = |title: &str| report.tables.iter().find(|table| table.title.en.starts_with(title)).unwrap();
    let cost = table("What each arm cost");
    let column = cost.columns.iter().position(|column| column.en == "train seconds").unwrap();
    let row = cost.rows.iter().find(|row| row[0].shown.en == FULL).unwrap();
    assert_eq!((row[column].value, row[column].shown.en.as_str()), (Some(300.0), "300.0"));
    let titles: Vec<&str> = report.tables.iter().map(|table| table.title.en.as_str()).collect();
    for title in [
        "What makes",
        "Settings in which",
        "Effects on",
        "Length of",
        "Score against",
        "What was forgotten",
        "Mean scores by",
    ] {
        assert!(titles.iter().any(|found| found.starts_with(title)), "{title}: {titles:?}");
    }
    let untranslated: Vec<&Table> = report.tables.iter().filter(|table| table.title.zh.is_empty()).collect();
    assert!(untranslated.is_empty(), "{untranslated:?}");
    assert_eq!(table("Mean scores by").rows.len(), 8, "of the other judge and of the panel");
    assert!(
        english(&report.score_notes).contains("by the judge asked; what reference, panel (median) gave"),
        "{:?}",
        report.score_notes
    );
    assert_eq!(report.judges, JUDGES);
}

/// As [`folder`], with a judge that compares two answers, and people's marks of most answers.
fn folder_with_people(judge: &str) -> TempDir {
    let dir = folder(|rows| {
        let duels: Vec<_> =
            rows.judgements.iter().filter(|row| row.judge == judge && row.arm == FULL).cloned().collect();
        for (n, row) in duels.into_iter().enumerate() {
            rows.judgements.extend([false, true].map(|swapped| tunebench_spec::Judgement {
                judge: "pairwise".into(),
                rival: LORA.into(),
                rival_seed: SEEDS[0],
                swapped,
                score: Some(if n % 5 == 0 {
                    0.5
                } else if n % 7 == 0 {
                    0.0
                } else {
                    1.0
                }),
                status: tunebench_spec::JudgementStatus::Scored,
                ..row.clone()
            }));
        }
    });
    let given = rows();
    let marks = given.judgements.iter().filter(|row| row.judge == judge && row.score.is_some()).step_by(2);
    let line = |row: &tunebench_spec::Judgement| {
        let score = (row.score.unwrap() - 0.1).clamp(0.0, 1.0);
        format!(
            "{}\n",
            json!({"arm": row.arm, "seed": row.seed, "item": row.item, "answer_hash": row.answer_hash, "score": score})
        )
    };
    std::fs::write(dir.path().join("labels.jsonl"), marks.map(line).collect::<String>()).unwrap();
    dir
}

#[test]
fn the_page_says_how_good_the_judge_is_and_what_people_make_of_the_scores() {
    let dir = folder_with_people(JUDGES[0]);
    let report = report(dir.path());
    let titles = |tables: &[Table]| tables.iter().map(|table| table.title.en.clone()).collect::<Vec<_>>();
    let found = titles(&report.judge_tables);
    for title in
        ["How far judges agree", "How far judges are from people", "Scores corrected by marks of people", "The judges"]
    {
        assert!(found.iter().any(|found| found.starts_with(title)), "{title}: {found:?}");
    }
    assert_eq!(titles(&report.pair_tables).len(), 3);
    let all = || report.judge_tables.iter().chain(&report.pair_tables);
    let untranslated = all().filter(|table| table.title.zh.is_empty()).count();
    assert_eq!(untranslated, 0, "{:?}", titles(&report.judge_tables));
    let certainty = &report.decision.certainty;
    assert!(certainty.en.contains("Corrected by 42 marks of people, full"), "{certainty:?}");
    assert!(certainty.zh.contains("用 42 个人工评分校正后"), "{certainty:?}");
    assert!(english(&report.score_notes).contains("Corrected by 42 marks of people"), "{:?}", report.score_notes);
    for language in [Language::En, Language::Zh] {
        let html = page(dir.path(), language);
        assert!(html.contains("id=\"judges\"") && html.contains("id=\"compared\""));
    }
    let rates = report.pair_tables.iter().find(|table| table.title.en.starts_with("Who wins")).unwrap();
    assert_eq!(rates.title.zh, format!("胜负（评判：pairwise，对 {LORA} 的胜率）"));
    let without = page(folder(|_| ()).path(), Language::En);
    assert!(without.contains("id=\"judges\"") && !without.contains("id=\"compared\""));
}

#[test]
fn the_page_holds_every_answer_and_its_judgements() {
    let dir = folder(|_| ());
    let html = page(dir.path(), Language::En);
    assert!(html.contains("12 items, 84 answers, 168 judgements."));
    assert_eq!(html.matches("<script type=\"application/octet-stream\"").count(), ITEMS + 1);
    assert!(!html.contains("<img") && !html.contains("<b>全"));
    let index = block(&html, "index");
    assert_eq!(index["categories"], json!(["open qa", "数学"]));
    assert_eq!(index["items"][7][5], json!(1), "one answer without a score");
    let item = block(&html, "item-2");
    assert_eq!(item[0], json!(format!("第 2 题？{HOSTILE}")), "the question without its template");
    assert_eq!(item[1], json!("reference 2"));
    let place = |arm: &str| index["arms"].as_array().unwrap().iter().position(|name| name == arm).unwrap();
    let answers: Vec<&Value> = item[2].as_array().unwrap().iter().filter(|answer| answer[0] == place(FULL)).collect();
    assert_eq!(answers.iter().map(|answer| answer[1].as_str().unwrap()).collect::<Vec<_>>(), ["4", "5"]);
    assert_eq!(answers[0][2], json!(format!("{FULL} answers 2: {HOSTILE}")));
    assert!(answers[0][3][0][4].as_str().unwrap().starts_with("I give 0."), "{}", answers[0]);
    let unscored =
        block(&html, "item-7")[2].as_array().unwrap().iter().find(|answer| answer[3][0][2].is_null()).cloned();
    assert!(unscored.unwrap()[3][0][4].as_str().unwrap().starts_with("the reply holds no number\n\nI give"));
}

#[test]
fn one_question_under_two_names_is_one_item() {
    let dir = folder(|rows| {
        let renamed = |item: &mut String, arm: &str| {
            *item = if arm == LORA { item.replace("items", "other") } else { item.clone() }
        };
        rows.generations.iter_mut().for_each(|answer| renamed(&mut answer.item, &answer.arm.clone()));
        rows.judgements.iter_mut().for_each(|judgement| renamed(&mut judgement.item, &judgement.arm.clone()));
    });
    assert!(page(dir.path(), Language::En).contains("12 items, 84 answers, 168 judgements."));
}

#[test]
fn equal_frames_make_equal_bytes_wherever_they_lie() {
    let (here, there) = (folder(|_| ()), folder(|_| ()));
    assert_eq!(page(here.path(), Language::En), page(there.path(), Language::En));
    let chinese = page(here.path(), Language::Zh);
    assert!(
        chinese.contains("<html lang=\"zh-Hans\">")
            && chinese.contains("tunebench report OUT --margin 0.02 --language zh")
    );
}

#[test]
fn a_file_is_whole_or_as_it_was() {
    let dir = folder(|_| ());
    let path = dir.path().join("report.html");
    let (mut report, answers) = of_run(dir.path(), MARGIN, Language::En).unwrap();
    write_file(&report, answers, &path).unwrap();
    let first = std::fs::read_to_string(&path).unwrap();
    assert_eq!(first, page(dir.path(), Language::En));
    // Refused at the last item, when most of the page is written.
    report.judges.pop();
    let error = write_file(&report, of_run(dir.path(), MARGIN, Language::En).unwrap().1, &path).unwrap_err();
    assert!(error.to_string().contains("the list of judges has the name \"reference\" 0 times"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), first);
}

#[test]
fn what_cannot_be_compared_makes_no_page() {
    type Change = fn(&mut Rows);
    let cases: [(Change, &str); 5] = [
        (
            |rows| rows.judgements[1].judge_hash = "another rubric".into(),
            "`reference` judged the same items by another model",
        ),
        (
            |rows| rows.judgements[0].judge_hash = "another rubric".into(),
            "`asked` judged the same items by another model",
        ),
        (|rows| rows.generations[30].prompt_hash = "another prompt".into(), "asked with another prompt"),
        (
            |rows| rows.losses.last_mut().unwrap().set_hash = "another text".into(),
            "losses were measured on different text",
        ),
        (|rows| rows.judgements.clear(), "nothing is judged yet"),
    ];
    for (change, want) in cases {
        let dir = folder(change);
        let error = of_run(dir.path(), MARGIN, Language::En).err().unwrap();
        assert!(error.to_string().contains(want), "{error}");
    }
    let dir = folder(|_| ());
    let error = of_run(dir.path(), 0.0, Language::En).err().unwrap();
    assert!(error.to_string().contains("the margin is 0"), "{error}");
    std::fs::remove_file(dir.path().join("generations.parquet")).unwrap();
    let error = of_run(dir.path(), MARGIN, Language::En).err().unwrap();
    assert!(error.to_string().contains("generations.parquet"), "{error}");
}

#[test]
fn a_run_without_its_study_file_says_so() {
    let dir = folder(|_| ());
    std::fs::remove_file(dir.path().join("study.toml")).unwrap();
    let report = report(dir.path());
    assert!(english(&report.warnings).contains("The study's file cannot be read"));
    assert_eq!(report.study, dir.path().file_name().unwrap().to_string_lossy());
}
