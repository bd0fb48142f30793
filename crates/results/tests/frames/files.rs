//! Round trip, determinism, the metadata, and every way in which a file can be wrong.

use std::fs::{self, File};
use std::path::Path;

use expect_test::expect;
use polars::prelude::{Column, DataFrame};
use polars_io::prelude::{KeyValueMetadata, ParquetReader, ParquetWriter, SerReader};
use tunebench_results::column::Record;
use tunebench_results::seal::{BLANK, KEY, seal};
use tunebench_results::{
    BriefJudgement, FRAMES, Frame, Frames, write_arms, write_generations, write_judgements, write_losses, write_probes,
    write_receipts, write_steps,
};
use tunebench_spec::{ArmRecord, Generation, GradientReceipt, Judgement, JudgementStatus, LossLog, Probe, StepLog};

use crate::samples::{arm, generation, judgement, loss, probe, receipt, step};

fn read<R: Record>(dir: &Path) -> Result<Vec<R>, String> {
    Frames::open(dir).unwrap().read::<R>().map_err(|error| error.to_string())
}

/// The message, with the folder as DIR.
fn message<T: std::fmt::Debug>(dir: &Path, result: Result<T, String>) -> String {
    result.unwrap_err().replace(dir.to_str().unwrap(), "DIR")
}

#[test]
fn every_record_comes_back_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let arms = [arm("small + LoRA"), ArmRecord { final_loss: None, ..arm("另一个") }];
    let steps = [step("a", 1, 2.5), step("a", 2, f64::INFINITY)];
    let losses = [loss("a", 0, false), loss("a", 63, true)];
    let generations = [generation("a", "1", Some("参考")), generation("a", "2", None)];
    let judgements = [
        judgement("a", "extract", "1", 0, Ok(0.5)),
        judgement("a", "extract", "2", 0, Err(JudgementStatus::Unscored)),
        judgement("a", "extract", "2", 1, Err(JudgementStatus::Failed)),
    ];
    write_arms(dir, &arms).unwrap();
    write_steps(dir, &steps).unwrap();
    write_losses(dir, &losses).unwrap();
    let receipts = [receipt("a", true), receipt("b", false)];
    write_receipts(dir, &receipts).unwrap();
    write_generations(dir, &generations).unwrap();
    let probes = [probe("a", "1", "claimed", Ok(1.0)), probe("a", "2", "empty", Err(JudgementStatus::Unscored))];
    write_judgements(dir, &judgements).unwrap();
    write_probes(dir, &probes).unwrap();

    // A NaN differs from itself, so the arms are compared by how they print.
    assert_eq!(format!("{:?}", read::<ArmRecord>(dir).unwrap()), format!("{arms:?}"));
    assert_eq!(read::<StepLog>(dir).unwrap(), steps);
    assert_eq!(read::<LossLog>(dir).unwrap(), losses);
    assert_eq!(read::<GradientReceipt>(dir).unwrap(), receipts);
    assert_eq!(read::<Generation>(dir).unwrap(), generations);
    assert_eq!(read::<Judgement>(dir).unwrap(), judgements);
    assert_eq!(read::<Probe>(dir).unwrap(), probes);
}

#[test]
fn rows_without_their_words_are_those_rows() {
    let dir = tempfile::tempdir().unwrap();
    let judged = [
        judgement("a", "extract", "1", 0, Ok(0.25)),
        judgement("b", "open qa", "2", 1, Err(JudgementStatus::Unscored)),
    ];
    write_judgements(dir.path(), &judged).unwrap();
    let frames = Frames::open(dir.path()).unwrap();
    let brief: Vec<BriefJudgement> = frames.read().unwrap();
    let found: Vec<_> = brief.iter().map(|row| (row.arm.as_str(), row.repeat, row.score, row.status)).collect();
    assert_eq!(found, [("a", 0, Some(0.25), judged[0].status), ("b", 1, None, judged[1].status)]);
    assert_eq!(brief[1].item_hash, judged[1].item_hash);
    let some = frames.columns(Frame::of::<Judgement>(), &["repeat", "arm"]).unwrap();
    assert_eq!(some.get_column_names(), ["repeat", "arm"]);
    assert!(frames.columns(Frame::of::<Judgement>(), &["nothing"]).is_err());
}

#[test]
fn an_empty_frame_keeps_its_columns() {
    let dir = tempfile::tempdir().unwrap();
    write_judgements(dir.path(), &[]).unwrap();
    assert_eq!(read::<Judgement>(dir.path()).unwrap(), []);
    let answer = Frames::open(dir.path()).unwrap().query("SELECT COUNT(*) AS n FROM scores").unwrap();
    assert_eq!(answer.height(), 1);
}

#[test]
fn equal_rows_give_equal_bytes_and_leave_nothing_else_behind() {
    let bytes = || {
        let dir = tempfile::tempdir().unwrap();
        let rows: Vec<StepLog> = (1..2000).map(|n| step("a", n, 1.0 / n as f64)).collect();
        write_steps(dir.path(), &[step("old", 1, 9.0)]).unwrap();
        write_steps(dir.path(), &rows).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        fs::read(dir.path().join("steps.parquet")).unwrap()
    };
    assert_eq!(bytes(), bytes());
}

#[test]
fn the_metadata_says_what_each_column_means() {
    let dir = tempfile::tempdir().unwrap();
    write_judgements(dir.path(), &[judgement("a", "extract", "1", 0, Ok(1.0))]).unwrap();
    let mut reader = ParquetReader::new(File::open(dir.path().join("judgements.parquet")).unwrap());
    let pairs = reader.get_metadata().unwrap().key_value_metadata.clone().unwrap();
    let ours = pairs.into_iter().filter(|pair| pair.key.starts_with("tunebench.") && pair.key != KEY);
    let lines: Vec<String> = ours.map(|pair| format!("{}: {}", pair.key, pair.value.unwrap())).collect();
    expect![[r#"
        tunebench.format_version: 4
        tunebench.column.arm: name of the arm
        tunebench.column.seed: seed of the training whose model answered
        tunebench.column.item: id of the evaluation item
        tunebench.column.item_hash: as in generations
        tunebench.column.category: category of the item
        tunebench.column.judge: name of the judge; its plugin's unless the study gives another
        tunebench.column.judge_hash: SHA-256 of the judge: plugin, options, server, and the item's rubric
        tunebench.column.rubric_hash: SHA-256 of the item's own rubric; empty without one
        tunebench.column.answer_hash: SHA-256 of the answer
        tunebench.column.rival: of a judge that compares: the arm or base model whose answer stood against this one
        tunebench.column.rival_seed: seed of the training whose model gave the rival's answer
        tunebench.column.rival_answer_hash: SHA-256 of the rival's answer
        tunebench.column.swapped: of a judge that compares: whether this arm's answer was shown second
        tunebench.column.repeat: number of this judgement among those of one answer, from 0
        tunebench.column.score: score 0..1; the verdict; against a rival 1 for better, 0.5 for a tie, 0 for worse; null unless status is scored
        tunebench.column.status: scored, unscored (the judge could not tell) or failed (it could not be asked)
        tunebench.column.reason: why, in the judge's words
        tunebench.column.reply: the judge model's last reply; empty when none was asked
        tunebench.column.request_hash: SHA-256 of the last request; empty when none was sent
        tunebench.column.asked_model: the judge model that was asked for; empty when none was asked
        tunebench.column.model: the judge model as its server named it; empty when none was asked
        tunebench.column.fingerprint: the server's system_fingerprint; empty where it gives none
        tunebench.column.adapted: what the server refused and was left out of the request or renamed
        tunebench.column.batch: whether the last reply came from a batch
        tunebench.column.cost_usd: US dollars; price of the requests; null where the study gives no prices
        tunebench.column.seconds: seconds; wall time of the judgement"#]]
    .assert_eq(&lines.join("\n"));
}

#[test]
fn every_null_is_explained() {
    let columns = FRAMES.iter().flat_map(|frame| (frame.columns)());
    for column in columns {
        assert_eq!(column.nullable, column.description.contains("null "), "{}", column.name);
    }
}

#[test]
fn a_folder_or_file_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    expect!["DIR/steps.parquet: there is no such file; run the study to write it"]
        .assert_eq(&message(dir.path(), read::<StepLog>(dir.path())));
    let nowhere = dir.path().join("nowhere");
    let opened = Frames::open(&nowhere).map_err(|error| error.to_string());
    expect!["DIR/nowhere is not a run folder; give the folder that a study wrote"]
        .assert_eq(&message(dir.path(), opened));
}

/// Writes `steps.parquet` with this metadata, and sealed where the metadata has a seal.
fn write_steps_with(dir: &Path, columns: Vec<Column>, metadata: &[(&str, &str)]) {
    let mut frame = DataFrame::new(1, columns).unwrap();
    let pairs = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let mut bytes = Vec::new();
    let metadata = Some(KeyValueMetadata::from_static(pairs));
    ParquetWriter::new(&mut bytes).with_key_value_metadata(metadata).finish(&mut frame).unwrap();
    seal(&mut bytes);
    fs::write(dir.join("steps.parquet"), bytes).unwrap();
}

fn write_sealed(dir: &Path, columns: Vec<Column>, version: &str) {
    write_steps_with(dir, columns, &[("tunebench.format_version", version), (KEY, BLANK)]);
}

#[test]
fn a_file_of_another_version_or_shape_is_refused() {
    let columns = || StepLog::to_columns(&[step("a", 1, 1.0)]);
    let refusal = |columns: Vec<Column>, version| {
        let dir = tempfile::tempdir().unwrap();
        write_sealed(dir.path(), columns, version);
        message(dir.path(), read::<StepLog>(dir.path()))
    };
    let without = |name: &str| columns().into_iter().filter(|c| c.name() != name).collect::<Vec<_>>();
    let with = |column: Column| {
        let name = column.name().to_string();
        without(&name).into_iter().chain([column]).collect::<Vec<_>>()
    };
    let messages = [
        refusal(columns(), "5"),
        refusal(columns(), "3"),
        refusal(columns(), "0"),
        refusal(columns(), "one\u{1b}"),
        refusal(without("loss"), "4"),
        refusal(with(Column::new("loss".into(), ["low"])), "4"),
        refusal(with(Column::new("loss".into(), [None::<f64>])), "4"),
    ];
    expect![[r#"
        DIR/steps.parquet: format version 5 is newer than 4, the newest this tunebench reads; update tunebench
        DIR/steps.parquet: format version 3, this tunebench reads 4: written by an earlier tunebench; run the study again to write them anew, nothing that is finished is trained again
        DIR/steps.parquet: format version is `0`, which is not a version; run the study again to rewrite it
        DIR/steps.parquet: format version is `one\u{1b}`, which is not a version; run the study again to rewrite it
        DIR/steps.parquet: column `loss` is missing; run the study again to rewrite it
        DIR/steps.parquet: column `loss` has type str, expected f64; run the study again to rewrite it
        DIR/steps.parquet: column `loss` has 1 nulls, where none are allowed; run the study again to rewrite it"#]]
    .assert_eq(&messages.join("\n"));
}

#[test]
fn a_file_of_another_program_is_refused() {
    let refusal = |metadata: &[(&str, &str)]| {
        let dir = tempfile::tempdir().unwrap();
        write_steps_with(dir.path(), StepLog::to_columns(&[step("a", 1, 1.0)]), metadata);
        message(dir.path(), read::<StepLog>(dir.path()))
    };
    let messages = [refusal(&[]), refusal(&[(KEY, BLANK)])];
    expect![[r#"
        DIR/steps.parquet: written by another program, or damaged: its metadata has no `tunebench.sha256`; run the study again to rewrite it
        DIR/steps.parquet: written by another program, or damaged: its metadata has no `tunebench.format_version`; run the study again to rewrite it"#]].assert_eq(&messages.join("\n"));
}

#[test]
fn an_unknown_status_is_refused_and_an_unknown_column_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let extra = Column::new("mood".into(), ["calm"]);
    write_sealed(dir, StepLog::to_columns(&[step("a", 1, 1.0)]).into_iter().chain([extra]).collect(), "4");
    assert_eq!(read::<StepLog>(dir).unwrap(), [step("a", 1, 1.0)]);

    let columns = Judgement::to_columns(&[judgement("a", "extract", "1", 0, Ok(1.0))]);
    let status = |c: Column| if c.name() == "status" { Column::new("status".into(), ["pending"]) } else { c };
    write_sealed(dir, columns.into_iter().map(status).collect(), "4");
    fs::rename(dir.join("steps.parquet"), dir.join("judgements.parquet")).unwrap();
    expect!["DIR/judgements.parquet: column `status` has the value `pending`, expected scored, unscored or failed; run the study again to rewrite it"].assert_eq(&message(dir, read::<Judgement>(dir)));
}

#[test]
fn damage_anywhere_in_a_file_is_found_and_the_file_named() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let path = dir.join("steps.parquet");
    let rows: Vec<StepLog> = (1..50).map(|n| step("a", n, 1.0 / n as f64)).collect();
    write_steps(dir, &rows).unwrap();
    let whole = fs::read(&path).unwrap();

    for length in [0, 3, 4, 11, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        let message = message(dir, read::<StepLog>(dir));
        assert!(message.starts_with("DIR/steps.parquet: "), "cut to {length} bytes: {message}");
    }
    for place in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= 1 << (place % 8);
        fs::write(&path, &bytes).unwrap();
        let message = message(dir, read::<StepLog>(dir));
        assert!(message.starts_with("DIR/steps.parquet: "), "byte {place}: {message}");
    }
}
