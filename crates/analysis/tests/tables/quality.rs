//! How good judges are: agreement, calibration by people, probes, pairs, bridges, and what lint says of all that.

use std::io::Write;

use tempfile::TempDir;
use tunebench_analysis::{Cell, Table, agreement, bridge, calibration, decision, judges, lint, pairs, scores};
use tunebench_results::{LABELS_FILE, write_arms, write_generations, write_judgements, write_probes};
use tunebench_spec::random::Stream;
use tunebench_spec::{ArmRecord, Generation, Judgement, JudgementStatus, Label, Probe, hash};

use crate::study::{arm, generation, judgement};

const ARMS: [(&str, f64); 2] = [("a", 0.6), ("b", 0.4)];
const SEEDS: [u64; 2] = [1, 2];
const ITEMS: usize = 40;

fn category(item: usize) -> &'static str {
    if item < ITEMS / 2 { "extract" } else { "open qa" }
}

/// What a person would give, between 0.1 and 0.9.
fn human(arm: &str, mean: f64, seed: u64, item: usize) -> f64 {
    let draw = |words: String| Stream::named(7, &words).normal();
    let own = 0.1 * draw(format!("item {item}")) + 0.03 * draw(format!("{arm} {item}"));
    (mean + own + 0.01 * draw(format!("{arm} {seed}")) + 0.02 * draw(format!("{arm} {seed} {item}"))).clamp(0.1, 0.9)
}

fn answer(arm: &str, seed: u64, item: usize) -> Generation {
    Generation {
        seed,
        category: category(item).into(),
        answer: format!("{arm} {seed} {item}"),
        ..generation(arm, &item.to_string(), 10 + (item % 7) as u64, "stop")
    }
}

fn answer_hash(arm: &str, seed: u64, item: usize) -> String {
    hash::of_bytes(answer(arm, seed, item).answer.as_bytes())
}

fn everywhere<T>(of: impl Fn(&str, f64, u64, usize) -> T) -> Vec<T> {
    let mut all = Vec::new();
    for (arm, mean) in ARMS {
        for seed in SEEDS {
            all.extend((0..ITEMS).map(|item| of(arm, mean, seed, item)));
        }
    }
    all
}

/// The judgements of a judge that makes `mark` of what a person would give.
fn judged(judge: &str, repeat: u32, mark: impl Fn(f64, &str) -> f64) -> Vec<Judgement> {
    everywhere(|arm, mean, seed, item| {
        let noise = 0.02 * Stream::named(9, &format!("{judge} {repeat} {arm} {seed} {item}")).normal();
        let score = (mark(human(arm, mean, seed, item), arm) + noise).clamp(0.0, 1.0);
        Judgement {
            seed,
            repeat,
            judge: judge.into(),
            judge_hash: format!("rubric of {judge}"),
            answer_hash: answer_hash(arm, seed, item),
            asked_model: format!("{judge}-5"),
            model: format!("{judge}-5-2026"),
            seconds: 2.0,
            ..judgement(arm, category(item), &item.to_string(), score)
        }
    })
}

fn run(judgements: &[Judgement]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let arms: Vec<ArmRecord> = ["a", "b"]
        .iter()
        .flat_map(|name| SEEDS.map(|seed| ArmRecord { seed, base: "qwen3-tiny".into(), ..arm(name, 10, 8) }))
        .collect();
    write_arms(dir.path(), &arms).unwrap();
    write_generations(dir.path(), &everywhere(|arm, _, seed, item| answer(arm, seed, item))).unwrap();
    write_judgements(dir.path(), judgements).unwrap();
    dir
}

/// Marks by people of every `step`th answer, without error.
fn write_labels(dir: &TempDir, step: usize, change: impl Fn(usize, &mut Label)) {
    let mut file = std::fs::File::create(dir.path().join(LABELS_FILE)).unwrap();
    let labels = everywhere(|arm, mean, seed, item| Label {
        arm: arm.into(),
        seed,
        item: item.to_string(),
        answer_hash: answer_hash(arm, seed, item),
        score: human(arm, mean, seed, item),
        labeler: "kim".into(),
    });
    for (n, mut label) in labels.into_iter().step_by(step).enumerate() {
        change(n, &mut label);
        writeln!(file, "{}", serde_json::to_string(&label).unwrap()).unwrap();
    }
}

fn cell<'a>(table: &'a Table, row: usize, column: &str) -> &'a Cell {
    let place = table.columns.iter().position(|known| known.name == column);
    &table.rows[row][place.unwrap_or_else(|| panic!("no {column} in {:?}", table.columns))]
}

fn number(table: &Table, row: usize, column: &str) -> f64 {
    match cell(table, row, column) {
        Cell::Number(value) => *value,
        Cell::Integer(value) => *value as f64,
        other => panic!("{column} is {other:?} in {table:?}"),
    }
}

fn near(value: f64, want: f64, by: f64) {
    assert!((value - want).abs() < by, "{value} is not near {want}");
}

fn named<'a>(tables: &'a [Table], title: &str) -> &'a Table {
    let titles: Vec<&str> = tables.iter().map(|table| table.title.as_str()).collect();
    tables.iter().find(|table| table.title.starts_with(title)).unwrap_or_else(|| panic!("no {title} in {titles:?}"))
}

fn has_note(table: &Table, words: &str) {
    assert!(table.notes.iter().any(|note| note.contains(words)), "{words}: {:?}", table.notes);
}

#[test]
fn judges_are_set_beside_each_other_themselves_and_people() {
    let rows = [
        judged("mild", 0, |mark, _| mark + 0.1),
        judged("mild", 1, |mark, _| mark + 0.1),
        judged("strict", 0, |m, _| m),
    ];
    let dir = run(&rows.concat());
    write_labels(&dir, 4, |_, _| ());
    let tables = agreement(dir.path()).unwrap();
    let between = &tables[0];
    let pairs: Vec<_> = between.rows.iter().map(|row| (row[0].clone(), row[1].clone(), row[2].clone())).collect();
    let want = [("people", "mild", 40_usize), ("people", "strict", 40), ("mild", "strict", 160)];
    assert_eq!(pairs, want.map(|(first, second, n)| (first.into(), second.into(), n.into())));
    for (row, difference) in [(0, -0.1), (1, 0.0), (2, 0.1)] {
        near(number(between, row, "difference"), difference, 0.02);
        assert!(number(between, row, "correlation") > 0.9 && number(between, row, "ci_low") > 0.3);
    }
    assert!(number(between, 1, "alpha") > number(between, 0, "alpha"), "a stricter judge agrees less");
    has_note(between, "All together (people, mild, strict): alpha 0.");
    assert_eq!(named(&tables, "How far judges agree, by category").rows.len(), 6);
    let repeats = named(&tables, "How far a judge agrees with itself");
    assert_eq!((repeats.rows.len(), cell(repeats, 0, "answers")), (1, &Cell::from(160_usize)));
    near(number(repeats, 0, "standard_deviation"), 0.02, 0.005);
}

#[test]
fn one_judge_alone_says_nothing_of_agreement() {
    let tables = agreement(run(&judged("strict", 0, |mark, _| mark)).path()).unwrap();
    assert!(tables.iter().all(|table| table.rows.is_empty()));
    has_note(&tables[0], "No two judges gave the same answers");
    has_note(&tables[2], "`repeats = 2`");
}

#[test]
fn scores_are_corrected_by_marks_of_people_and_every_table_says_so() {
    // It stretches the scale and is too kind.
    let dir = run(&judged("kind", 0, |mark, _| 0.3 + 0.6 * mark));
    let before = scores(dir.path()).unwrap();
    has_note(&before[0], "The intervals leave the judge's own error out: nobody marked these answers.");
    assert!(before[0].columns.iter().all(|column| column.name != "corrected"));

    write_labels(&dir, 8, |_, _| ());
    let few = calibration(dir.path()).unwrap();
    has_note(&few[1], "Corrected by 20 marks of people");
    write_labels(&dir, 2, |n, label| match n {
        0 => label.answer_hash = "another".into(),
        1 => label.arm = "gone".into(),
        2 => label.answer_hash = String::new(),
        _ => {}
    });
    let tables = calibration(dir.path()).unwrap();
    let distance = &tables[0];
    assert_eq!(cell(distance, 0, "answers"), &Cell::from(78_usize));
    near(number(distance, 0, "bias"), 0.1, 0.02);
    assert!(number(distance, 0, "false_positive_percent") > 20.0, "{distance:?}");
    near(number(distance, 0, "false_negative_percent"), 0.0, 1e-9);
    for words in [
        "1 of 80 marks of people are of answers that have changed",
        "(gone 1)",
        "1 marks of people do not say by a hash",
    ] {
        has_note(distance, words);
    }
    let corrected = &tables[1];
    for (row, (arm, mean)) in ARMS.iter().enumerate() {
        let all: Vec<f64> = SEEDS.iter().flat_map(|s| (0..ITEMS).map(|i| human(arm, *mean, *s, i))).collect();
        let truth = all.iter().sum::<f64>() / all.len() as f64;
        assert_eq!(cell(corrected, row, "arm"), &Cell::from(*arm));
        near(number(corrected, row, "corrected"), truth, 0.02);
        assert!(number(corrected, row, "corrected_low") < truth && truth < number(corrected, row, "corrected_high"));
        assert!((number(corrected, row, "uncorrected") - truth).abs() > 0.03);
        assert!(number(corrected, row, "judge_part") > 0.0 && number(corrected, row, "marks_to_halve") > 100.0);
    }
    has_note(corrected, "Corrected by 78 marks of people (each arm by its own)");

    let after = scores(dir.path()).unwrap();
    near(number(&after[0], 0, "corrected"), number(corrected, 0, "corrected"), 1e-12);
    has_note(&after[0], "Corrected by 78 marks of people");
    let said = decision(dir.path(), 0.02).unwrap();
    near(number(&said[0], 0, "corrected"), 0.2, 0.03);
    has_note(&said[0], "Corrected by 78 marks of people, a minus b is +0.");
}

#[test]
fn a_file_of_marks_that_is_damaged_is_named() {
    let dir = run(&judged("kind", 0, |mark, _| mark));
    std::fs::write(dir.path().join(LABELS_FILE), "{\"arm\": 3}\n").unwrap();
    for error in [scores(dir.path()).unwrap_err(), calibration(dir.path()).unwrap_err()] {
        let error = error.to_string();
        assert!(error.contains("labels.jsonl:1") && error.ends_with("mend or remove that line"), "{error}");
    }
}

fn probes(judge: &str, probe: &str, shift: impl Fn(f64) -> f64) -> Vec<Probe> {
    let of = |item: usize| {
        let original = 0.3 + 0.02 * (item % 9) as f64;
        let score = shift(original) + 0.005 * (item % 3) as f64;
        Probe {
            judge: judge.into(),
            judge_hash: format!("rubric of {judge}"),
            arm: "a".into(),
            seed: 1,
            item: item.to_string(),
            item_hash: format!("content of {item}"),
            category: category(item).into(),
            probe: probe.into(),
            original: Some(original),
            score: Some(score),
            status: JudgementStatus::Scored,
            reason: String::new(),
            cost_usd: None,
        }
    };
    (0..12).map(of).collect()
}

#[test]
fn each_judge_has_a_line_and_its_faults_are_said() {
    let mut rows = judged("gpt", 0, |mark, _| mark);
    rows.extend(judged("gpt", 1, |mark, _| mark));
    for (n, row) in rows.iter_mut().enumerate() {
        row.batch = n % 2 == 0;
        row.adapted = if n < 10 { "temperature left out".into() } else { String::new() };
        row.cost_usd = (n >= 8).then_some(0.002);
    }
    rows[3].status = JudgementStatus::Failed;
    rows[4].status = JudgementStatus::Unscored;
    for (place, reason) in [(3, "HTTP 503"), (4, "no mark in the reply")] {
        rows[place].score = None;
        rows[place].reason = reason.into();
    }
    let dir = run(&rows);
    let changes = [
        probes("gpt", "claimed", |_| 0.9),
        probes("gpt", "padded", |mark| mark),
        probes("gpt", "empty", |mark| mark),
        probes("gpt", "other", |mark| mark - 0.25),
    ];
    write_probes(dir.path(), &changes.concat()).unwrap();
    let tables = judges(dir.path()).unwrap();
    let line = &tables[0];
    let texts = ["judge", "scores_are", "asked", "left_out_of_requests"].map(|column| cell(line, 0, column).clone());
    assert_eq!(texts, ["gpt", "marks", "gpt-5 answered as gpt-5-2026", "temperature left out"].map(Cell::from));
    let counts = ["judgements", "scored", "unscored", "failed"].map(|column| number(line, 0, column));
    assert_eq!(counts, [320.0, 318.0, 1.0, 1.0]);
    near(number(line, 0, "usd_per_1000"), 2.0, 1e-9);
    near(number(line, 0, "batch_percent"), 50.0, 1e-9);
    has_note(line, "8 judgements have no price");
    assert_eq!(named(&tables, "Why judgements").rows.len(), 2);
    let parts: Vec<&Cell> = named(&tables, "What marks vary by").rows.iter().map(|row| &row[1]).collect();
    assert_eq!(parts, [&Cell::from("answer"), &Cell::from("repeat")]);
    let probed = named(&tables, "Answers changed on purpose");
    let verdict = |row: usize| format!("{:?}", cell(probed, row, "verdict"));
    for (row, words) in
        ["rewards an answer that claims", "does not tell an empty", "tells an answer to another", "not seen"]
            .iter()
            .enumerate()
    {
        assert!(verdict(row).contains(words), "{words}: {}", verdict(row));
    }
    let found = format!("{:?}", lint(dir.path()).unwrap()[0].rows);
    assert_eq!(found.matches("judge fails a probe").count(), 2, "{found}");
}

/// Verdicts on a against b in both orders: a wins `wins` of ten, and the order decides one of ten.
fn compared(rival: &str, wins: usize) -> Vec<Judgement> {
    let of = |item: usize| {
        let place = item % 10;
        [false, true].map(|swapped| Judgement {
            judge: "pairwise".into(),
            rival: rival.into(),
            rival_seed: 1,
            swapped,
            answer_hash: answer_hash("a", 1, item),
            ..judgement(
                "a",
                category(item),
                &item.to_string(),
                match place {
                    0 => f64::from(u8::from(!swapped)),
                    1 => 0.5,
                    place => f64::from(u8::from(place - 2 < wins)),
                },
            )
        })
    };
    (0..ITEMS).flat_map(of).collect()
}

#[test]
fn arms_are_compared_two_by_two() {
    let error = pairs(run(&judged("strict", 0, |mark, _| mark)).path()).unwrap_err().to_string();
    assert!(error.starts_with("no judge of this run compares two answers"), "{error}");

    let dir = run(&[compared("b", 7), compared("c", 3)].concat());
    let tables = pairs(dir.path()).unwrap();
    let rates = &tables[0];
    for (row, (rival, rate)) in [("b", 0.8), ("c", 0.4)].into_iter().enumerate() {
        assert_eq!((cell(rates, row, "first"), cell(rates, row, "second")), (&"a".into(), &rival.into()));
        near(number(rates, row, "win_rate"), rate, 1e-9);
        near(number(rates, row, "flipped_percent"), 10.0, 1e-9);
        near(number(rates, row, "tied_percent"), 10.0, 1e-9);
        assert!(number(rates, row, "ci_low") < rate && rate < number(rates, row, "ci_high"));
    }
    near(number(rates, 0, "at_equal_length"), 0.8, 0.1);
    let matrix = &tables[1];
    near(number(matrix, 0, "b"), 0.8, 1e-9);
    near(number(matrix, 1, "a"), 0.2, 1e-9);
    assert_eq!(cell(matrix, 1, "c"), &Cell::Missing);
    let order: Vec<&Cell> = tables[2].rows.iter().map(|row| &row[0]).collect();
    assert_eq!(order, [&Cell::from("c"), &Cell::from("a"), &Cell::from("b")]);
    assert_ne!(cell(&tables[2], 0, "group"), cell(&tables[2], 2, "group"));
    let found = judges(dir.path()).unwrap();
    near(number(named(&found, "What the order of two answers does"), 0, "flipped_percent"), 10.0, 1e-9);
}

#[test]
fn a_bridge_says_how_scores_move_and_which_conclusions_do() {
    // The new judge likes b more, so that the arms are no longer told apart as they were.
    let mut rows = judged("old", 0, |mark, _| mark);
    rows.extend(judged("new", 0, |mark, arm| 0.2 + 0.5 * mark + if arm == "b" { 0.2 } else { 0.0 }));
    rows.extend(compared("b", 7));
    let dir = run(&rows);
    let tables = bridge(dir.path(), "old", "new").unwrap();
    let arms = &tables[0];
    near(number(arms, 0, "shift"), -0.1, 0.03);
    near(number(arms, 1, "shift"), 0.2, 0.03);
    assert_eq!((cell(arms, 0, "place_from"), cell(arms, 0, "place_to")), (&1_usize.into(), &2_usize.into()));
    assert_eq!(cell(&tables[1], 0, "conclusion"), &"reversed".into());
    assert_eq!(tables[2].rows.len(), 2);
    let words = format!("{:?}", tables[3].rows);
    assert!(
        words.contains("over 160 answers that both judged, the order of the arms is another, and 0 of 1"),
        "{words}"
    );

    let refusals = [("old", "newest"), ("old", "old"), ("old", "pairwise")]
        .map(|(from, to)| bridge(dir.path(), from, to).unwrap_err().to_string());
    assert!(
        refusals[0].starts_with("no judge is named `newest`; the judges are: new, old, pairwise, panel"),
        "{refusals:?}"
    );
    assert!(refusals[1].contains("the same judge twice"), "{refusals:?}");
    assert!(refusals[2].contains("`old` gives marks, and `pairwise` gives win rates against b"), "{refusals:?}");
}

#[test]
fn lint_says_what_makes_a_judge_less_sure() {
    let findings = |rows: &[Judgement]| {
        let table = lint(run(rows).path()).unwrap().remove(0);
        table
            .rows
            .iter()
            .filter_map(|row| if let Cell::Text(what) = &row[0] { Some(what.clone()) } else { None })
            .collect::<Vec<_>>()
    };
    let alone = findings(&judged("qwen", 0, |mark, _| mark));
    assert_eq!(alone, ["judge not calibrated", "judge of the same family", "judged once"]);
    let mut uneven = judged("gpt", 0, |mark, _| mark);
    for row in uneven.iter_mut().filter(|row| row.arm == "a").take(8) {
        row.score = None;
        row.status = JudgementStatus::Unscored;
        row.fingerprint = "fp_2".into();
    }
    assert_eq!(findings(&uneven), ["judge not calibrated", "judged once", "uneven lack of scores", "judge changed"]);
    let two: Vec<Judgement> =
        ["gpt", "claude"].iter().flat_map(|j| [0, 1].map(|r| judged(j, r, |m, _| m)).concat()).collect();
    assert_eq!(findings(&two), Vec::<String>::new(), "two judges that repeat themselves");
    let mut one_order = compared("b", 5);
    one_order.retain(|row| row.item != "3" || !row.swapped);
    assert_eq!(findings(&one_order), ["one order alone"]);
}
