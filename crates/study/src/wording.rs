//! What is said of events, in words: for a terminal, a log, or whoever watches. Names from outside are as they came; who shows
//! them escapes them.

use std::collections::BTreeMap;

use tunebench_dataset::{OverlapReport, TextCheck};
use tunebench_spec::{ArmRecord, GradientReceipt, Judgement, JudgementStatus};

use crate::judge_cost::JudgingForecast;
use crate::memory;
use crate::observer::{ArmForecast, Event};

/// An event as a line, where it is one that the user should know before anything is trained.
pub fn beforehand(event: &Event<'_>) -> Option<String> {
    match event {
        Event::Overlap { .. }
        | Event::HeldOut { .. }
        | Event::ModelRemark { .. }
        | Event::RecipeFitted { .. }
        | Event::RecipeWarning { .. }
        | Event::EndNotLearnt { .. }
        | Event::EndCutOff { .. }
        | Event::TextChecked { .. }
        | Event::NotAsked { .. }
        | Event::TemplateRemark { .. }
        | Event::JudgeCannotScore { .. }
        | Event::JudgeRemark { .. }
        | Event::ItemsSkipped(_)
        | Event::SourceRemark { .. }
        | Event::PreparationFailed(_) => line(event),
        _ => None,
    }
}

/// Whether an event is about rows that are read and tokenized, or need not be.
pub fn is_about_reading(event: &Event<'_>) -> bool {
    matches!(
        event,
        Event::Reading { .. }
            | Event::Tokenizing { .. }
            | Event::SourceRead { .. }
            | Event::Tokenized { .. }
            | Event::TokensFound { .. }
            | Event::TokensLost { .. }
            | Event::TokensKept { .. }
            | Event::TokensDeleted { .. }
    )
}

/// What is said of an event, if anything.
pub fn line(event: &Event<'_>) -> Option<String> {
    Some(match event {
        Event::TokensFound { dataset, path, bytes } => {
            format!("{dataset}: tokens from an earlier run, {} ({})", path.display(), memory::shown(*bytes))
        }
        Event::TokensLost { dataset, error } => format!("warning: {dataset}: its tokens are made anew: {error}"),
        Event::TokensKept { dataset, path, bytes } => {
            format!("{dataset}: tokens are kept for later runs, {} ({})", path.display(), memory::shown(*bytes))
        }
        Event::TokensDeleted { deleted, limit } => format!(
            "tokens of earlier runs: {} files ({}) that were not used for longest are deleted, as all may take {} \
             (TUNEBENCH_CACHE_GIB)",
            deleted.files,
            memory::shown(deleted.bytes),
            memory::shown(*limit)
        ),
        Event::ItemsSkipped(skips) => format!("warning: evaluation items: {skips}"),
        Event::SourceRemark { dataset, remark } => format!("dataset `{dataset}`: {remark}"),
        Event::PreparationFailed(error) => format!("failed: {error}"),
        Event::ArmLeftOut(error) => format!("{error}; it is left out"),
        Event::ArmForecast(forecast) => described(forecast),
        Event::FramesLost(error) => {
            format!("the frames of an earlier run cannot be read and are made anew: {error}")
        }
        Event::RowsDropped { arms } => format!(
            "the frames hold rows of models that are not, or no longer, as the study describes; they are dropped: {}",
            arms.join(", ")
        ),
        Event::Overlap { dataset, overlap } => overlapping(dataset, overlap),
        Event::HeldOut { dataset, removed, measured, left_out } => held_out(dataset, *removed, *measured, *left_out),
        Event::ModelRemark { model, remark } => format!("warning: model `{model}`: {remark}"),
        Event::RecipeFitted { arm, fitted } => format!("{arm}: {fitted}"),
        Event::EndNotLearnt { arm, examples, of } => format!(
            "warning: {arm}: {examples} of {of} examples do not teach where an answer ends, so its answers will not; use a \
             template that ends them"
        ),
        Event::EndCutOff { arm, examples, learnt: 0, max_length } => format!(
            "WARNING: {arm}: of all {examples} examples the end is cut off at max_length {max_length}, so none teaches where an \
             answer ends, and its answers will not end; raise it"
        ),
        Event::EndCutOff { arm, examples, learnt, max_length } => format!(
            "warning: {arm}: {examples} examples are cut off at max_length {max_length} before their end; the end of an answer is \
             learnt from the other {learnt}"
        ),
        Event::TextChecked { of, check } => checked(of, check),
        Event::NotAsked { model, items, of, first, why } => format!(
            "warning: {items} of {of} items cannot be asked of `{model}` and will not count in its scores; first {first}: {why}"
        ),
        Event::TemplateRemark { remark } => format!("warning: {remark}"),
        Event::RecipeWarning { arm, warning } => format!("warning: {arm}: {warning}"),
        Event::FileReadAgain { arm, said } => format!("warning: {arm}: {said}"),
        Event::RanksIdle { arm, lanes, ranks } => format!(
            "warning: {arm}: of {ranks} ranks {lanes} compute its trainings, for its recipe says lanes = {lanes}; with lanes = {ranks} \
             all do, in a training of another name whose numbers differ by rounding"
        ),
        Event::JudgeCannotScore { judge, items, unscorable } => format!(
            "warning: the judge `{judge}` can score only {} of the {items} items, whatever the answers: {unscorable}",
            *items as u64 - unscorable.total()
        ),
        Event::JudgeRemark { judge, remark } => format!("warning: judge `{judge}`: {remark}"),
        Event::JudgeProbed { judge, said } => format!("judge `{judge}`: {said}"),
        Event::JudgingForecast { forecast } => will_take(forecast),
        Event::JudgingTogether { judge } => format!("{judge} judges all answers"),
        Event::BoardFailed { error, .. } => format!("  its TensorBoard events are incomplete: {error}"),
        Event::CandidateChosen { arm, candidate, loss, edges } => chosen(arm, candidate, *loss, edges),
        Event::CandidateDiverged { why, .. } => format!("  it counts as the worst of its grid: {why}"),
        Event::BaseStarted { model } => format!("{model} as it is"),
        Event::VariantStarted { model, of, form } => format!("{model}: {of}, {}", form.name()),
        Event::ArmStarted { model, number, count } => format!("[{number}/{count}] {model}"),
        Event::AlreadyTrained { .. } => "  already trained".to_owned(),
        Event::ExamplesSkipped { skips, .. } => format!("  rows: {skips}"),
        Event::ExamplesTruncated { examples, lost_tokens, max_length, .. } => {
            format!("  {examples} examples cut at max_length {max_length}, {lost_tokens} tokens lost")
        }
        Event::OtherLevel { before, now, .. } => format!(
            "  warning: it had been trained by {before} and goes on by {now}, which rounds otherwise: its bytes are neither's"
        ),
        Event::Receipt { receipt, .. } => return not_moving(receipt),
        Event::Loss { loss, .. } => {
            format!(
                "  step {}, {}: {:.4} nats per token, {:.4} bits per byte",
                loss.step, loss.set, loss.loss, loss.bits_per_byte
            )
        }
        Event::Trained { record, .. } => trained(record),
        Event::AnsweringTogether { models, .. } => {
            let models: Vec<String> = models.iter().map(ToString::to_string).collect();
            format!("  {} models answer in one batch: {}", models.len(), models.join(", "))
        }
        Event::AnsweringApart { error } => format!("  models that answered in one batch go on one by one: {error}"),
        Event::JudgingNote(note) => (*note).to_owned(),
        Event::JudgingFinished { judge, judgements, .. } => format!("  {judge}: {}", summary(judgements)),
        Event::Elsewhere { model, by } => format!("{model} is worked on by another process: {by}"),
        Event::JoinedElsewhere => "all pieces are done; another process joins the frames".to_owned(),
        Event::ModelFailed { error, .. } => format!("  failed: {error}"),
        _ => return None,
    })
}

/// A warning of what does not move that is to, or moves that is not to.
fn not_moving(receipt: &GradientReceipt) -> Option<String> {
    let GradientReceipt { step, tensors, gradients, moved, still, .. } = receipt;
    let fewer = [(gradients, "got no gradient"), (moved, "did not move")];
    let fewer = fewer.into_iter().filter(|(count, _)| *count < tensors);
    let fewer: Vec<String> = fewer.map(|(count, what)| format!("{} {what}", tensors - count)).collect();
    let mut words = Vec::new();
    if !fewer.is_empty() {
        // The first matrix of LoRA has a gradient once the second one has moved.
        let why = match step {
            0..=2 => "a training of so few steps does not tell whether they are learnt",
            _ => "what they are part of is not learnt, or the learning rate is next to nothing there",
        };
        words.push(format!("of {tensors} trained tensors {} by step {step}: {still}; {why}", fewer.join(" and ")));
    }
    if !receipt.frozen_unchanged {
        words.push("frozen weights have changed, which is a fault of tunebench".to_owned());
    }
    (!words.is_empty()).then(|| format!("warning: {}", words.join("; ")))
}

/// A line for each thing that was found.
fn checked(of: &str, check: &TextCheck) -> String {
    let word = if check.is_loud() { "WARNING" } else { "warning" };
    let lines: Vec<String> = check.sentences().iter().map(|found| format!("{word}: {of}: {found}")).collect();
    lines.join("\n")
}

fn held_out(dataset: &str, removed: u64, measured: u64, left_out: u64) -> String {
    let removed = if removed > 0 { format!("{removed} rows kept from training, ") } else { String::new() };
    let left_out = match left_out {
        0 => String::new(),
        n => format!("; {n} left out there, as evaluation items or as too long"),
    };
    format!("{dataset}: {removed}held-out loss on {measured} of them{left_out}")
}

fn overlapping(dataset: &str, overlap: &OverlapReport) -> String {
    let pairs: Vec<String> = overlap.pairs.iter().map(|pair| format!("{} is {}", pair.row, pair.item)).collect();
    format!(
        "warning: {dataset}: {} of {} training examples are evaluation items, {} more nearly so; scores of {} items tell what \
         was learnt by heart: {}",
        overlap.exact,
        overlap.rows,
        overlap.near,
        overlap.items.len(),
        pairs.join(", ")
    )
}

fn chosen(arm: &str, candidate: &str, loss: Option<f64>, edges: &[String]) -> String {
    let loss = loss.map_or_else(String::new, |loss| format!(", held-out loss {loss:.4}"));
    let edges: Vec<String> =
        edges.iter().map(|edge| format!("\nwarning: {arm}: {edge}; the best may lie beyond, widen it")).collect();
    format!("{arm}: {candidate} is chosen of its grid{loss}{}", edges.concat())
}

fn described(forecast: &ArmForecast<'_>) -> String {
    let state = match (forecast.is_trained, forecast.until) {
        (true, _) => "already trained".to_owned(),
        (false, None) => "to be trained".to_owned(),
        (false, Some(step)) => format!("to be trained to step {step}, and compared there"),
    };
    format!(
        "{}: {state}; {} examples, {} tokens, {} labels, {} steps, {} trainable parameters",
        forecast.model,
        forecast.stats.examples,
        forecast.stats.tokens,
        forecast.stats.label_tokens,
        forecast.steps,
        forecast.trainable_params
    )
}

fn trained(record: &ArmRecord) -> String {
    format!(
        "  trained {} of {} parameters in {:.0} s, {:.0} tokens/s, loss {:.3}",
        record.trainable_params,
        record.model_params,
        record.train_seconds,
        record.tokens_per_second,
        record.final_loss.unwrap_or(f64::NAN)
    )
}

fn will_take(forecast: &JudgingForecast) -> String {
    let JudgingForecast { judge, model, judgements, requests, usd_about, usd_at_most, .. } = forecast;
    if *requests == 0 {
        return format!("judge `{judge}`: {judgements} judgements, which ask nobody");
    }
    let cost = match (usd_about, usd_at_most) {
        (Some(about), Some(most)) => format!("about {about:.2} USD, {most:.2} USD at most"),
        _ => "at a price that is not known".to_owned(),
    };
    format!(
        "judge `{judge}`: {judgements} judgements take {requests} requests to {model} if each takes one: {cost}; replies that \
         are kept cost nothing again"
    )
}

/// One line on what came of the judging.
fn summary(judgements: &[Judgement]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for judgement in judgements {
        let status = match judgement.status {
            JudgementStatus::Scored => "scored",
            JudgementStatus::Unscored => "unscored",
            JudgementStatus::Failed => "failed",
        };
        *counts.entry(status).or_default() += 1;
    }
    let scores: Vec<f64> = judgements.iter().filter_map(|j| j.score).collect();
    let counts: Vec<String> = counts.iter().map(|(status, n)| format!("{n} {status}")).collect();
    let mean = match scores.len() {
        0 => String::new(),
        n => format!(", mean score {:.3}", scores.iter().sum::<f64>() / n as f64),
    };
    format!("{} answers judged: {}{mean}", judgements.len(), counts.join(", "))
}
