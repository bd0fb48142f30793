//! Whether an answer names the reference's label: as the label it gives, not somewhere inside a longer one.

use std::collections::BTreeSet;

use numbers::fold;

/// Words behind which a label stands.
const COPULAS: [&str; 6] = ["属于", "归为", "归类为", "是", "为", ":"];
/// A negated statement names what the label is not.
const NEGATIONS: [&str; 5] = ["不是", "不属于", "并非", "不为", "而非"];
/// Words behind a label that do not change it.
const SUFFIXES: [&str; 7] = ["类别", "类型", "类", "情感", "情绪", "评价", "的"];
/// Segments of an answer that are looked at.
const SEGMENTS: usize = 64;

/// Whether the first label that the answer gives is the reference's. When the reference has several, separated by
/// commas, the answer must give the same set.
pub fn agrees(answer: &str, reference: &str) -> bool {
    let wanted: BTreeSet<String> = labels(reference).into_iter().collect();
    let given = labels(answer);
    if wanted.len() > 1 {
        return given.into_iter().collect::<BTreeSet<_>>() == wanted;
    }
    given.first().is_some_and(|label| wanted.contains(label))
}

/// The labels of the first sentence that gives any, without what leads to them.
fn labels(text: &str) -> Vec<String> {
    let folded: String = text.chars().map(fold).collect::<String>().to_lowercase();
    let sentences = folded.split(['.', '\n', '!', '?', ';']).take(SEGMENTS);
    let of_sentence = |s: &str| -> Vec<String> { s.split([',', '/', '|']).take(SEGMENTS).filter_map(label).collect() };
    sentences.map(of_sentence).find(|labels| !labels.is_empty()).unwrap_or_default()
}

/// One segment's label: what follows its last copula, bare of quotes, brackets and suffixes.
fn label(segment: &str) -> Option<String> {
    if NEGATIONS.iter().any(|n| segment.contains(n)) {
        return None;
    }
    let start = COPULAS.iter().filter_map(|c| segment.rfind(c).map(|at| at + c.len())).max().unwrap_or(0);
    let is_edge = |c: char| !c.is_alphanumeric() && !matches!(c, '+' | '#');
    let mut label = segment[start..].trim_matches(is_edge);
    for suffix in SUFFIXES {
        // A label may consist of such a word.
        label = label.strip_suffix(suffix).filter(|rest| !rest.is_empty()).unwrap_or(label);
    }
    let label = label.trim_matches(is_edge);
    (!label.is_empty()).then(|| label.to_string())
}
