//! What a reader must know of a judge's rows, in English and Chinese.

use super::rows::{JudgeRows, Service};

/// A sentence in both languages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub english: String,
    pub chinese: String,
}

impl Note {
    pub fn new(english: impl Into<String>, chinese: impl Into<String>) -> Self {
        Self { english: english.into(), chinese: chinese.into() }
    }
}

/// What was left out of a judge's rows.
pub fn left_out(judge: &str, rows: &JudgeRows) -> Vec<Note> {
    let mut notes = Vec::new();
    let n_outdated: usize = rows.outdated.values().sum();
    if n_outdated > 0 {
        let arms: Vec<String> = rows.outdated.iter().map(|(arm, n)| format!("{arm} {n}")).collect();
        let arms = arms.join(", ");
        notes.push(Note::new(
            format!(
                "{n_outdated} judgements by {judge} are of answers that have changed since, and are left out ({arms}); run the \
                 study again to judge the new ones."
            ),
            format!("{judge} 的 {n_outdated} 条评判所评的回答后来已改变，未计入（{arms}）；请再次运行研究以评判新的回答。"),
        ));
    }
    if rows.without_rival > 0 {
        let n = rows.without_rival;
        notes.push(Note::new(
            format!("{n} judgements by {judge}, which compares two answers, name no rival; they are left out."),
            format!("{judge} 比较两条回答，但有 {n} 条评判没有写明对手，未计入。"),
        ));
    }
    notes
}

/// That a judge was not one model throughout.
pub fn drift(judge: &str, rows: &JudgeRows) -> Option<Note> {
    if rows.services.len() < 2 {
        return None;
    }
    let mut services: Vec<(&Service, usize)> = rows.services.iter().map(|(service, n)| (service, *n)).collect();
    services.sort_by_key(|(service, n)| (std::cmp::Reverse(*n), *service));
    let words: Vec<String> =
        services.iter().map(|(service, n)| format!("{} ({n} judgements)", name(service))).collect();
    let chinese: Vec<String> = services.iter().map(|(service, n)| format!("{}（{n} 条）", name(service))).collect();
    Some(Note::new(
        format!(
            "The judge {judge} was not one model throughout: {}. Its scores may have drifted; `tunebench analyze judges` says \
             more.",
            words.join(", ")
        ),
        format!(
            "评判 {judge} 前后并非同一模型：{}。其评分可能有漂移，详见 `tunebench analyze judges`。",
            chinese.join("，")
        ),
    ))
}

fn name((asked, model, fingerprint): &Service) -> String {
    service_name(asked, model, fingerprint)
}

/// `gpt-x answered as gpt-x-2026-01 [fp_1]`: what is the same twice stands once.
pub fn service_name(asked: &str, model: &str, fingerprint: &str) -> String {
    let mut words = if asked.is_empty() { model.to_owned() } else { asked.to_owned() };
    if !model.is_empty() && model != asked && !asked.is_empty() {
        words.push_str(&format!(" answered as {model}"));
    }
    if !fingerprint.is_empty() {
        words.push_str(&format!(" [{fingerprint}]"));
    }
    words
}
