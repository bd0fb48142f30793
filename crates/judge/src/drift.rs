//! Whether a model that was asked for stayed the one that answered.

use std::collections::BTreeMap;

use tunebench_spec::Judgement;

/// A column of a judgement.
type Field = fn(&Judgement) -> &str;

/// The most names that are listed.
const MOST_NAMES: usize = 5;

/// A note for each model whose replies name several models, or several fingerprints: the judge changed while it judged, or since
/// an earlier run. Replies that name none tell nothing.
pub(crate) fn notes(judgements: &[Judgement]) -> Vec<String> {
    let fields: [(&str, Field); 2] = [("models", |j| j.model.as_str()), ("fingerprints", |j| j.fingerprint.as_str())];
    let mut notes = Vec::new();
    for (what, field) in fields {
        let mut served: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
        for judgement in judgements.iter().filter(|j| !field(j).is_empty()) {
            *served.entry(&judgement.asked_model).or_default().entry(field(judgement)).or_default() += 1;
        }
        notes.extend(served.into_iter().filter(|(_, names)| names.len() > 1).map(|(asked, names)| {
            format!(
                "`{}` was answered under {} {what}, so the judge changed: {}",
                shown(asked),
                names.len(),
                list(&names)
            )
        }));
    }
    notes
}

/// The commonest first.
fn list(names: &BTreeMap<&str, usize>) -> String {
    let mut counted: Vec<(&str, usize)> = names.iter().map(|(name, count)| (*name, *count)).collect();
    counted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let listed = counted.iter().take(MOST_NAMES);
    let mut text: Vec<String> =
        listed.map(|(name, count)| format!("`{}` in {count} judgements", shown(name))).collect();
    match counted.len().saturating_sub(MOST_NAMES) {
        0 => {}
        n => text.push(format!("and {n} more")),
    }
    text.join(", ")
}

/// A name that a server gave, short and on one line.
fn shown(name: &str) -> String {
    name.chars().take(100).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tunebench_spec::Generation;

    fn judgement(asked: &str, model: &str, fingerprint: &str) -> Judgement {
        let generation: Generation = serde_json::from_value(serde_json::json!({
            "arm": "a", "item": "i", "category": "", "prompt": "", "answer": "", "reference": null,
            "prompt_tokens": 0, "new_tokens": 0, "finish": "stop", "seconds": 0.0,
        }))
        .unwrap();
        let (asked_model, model, fingerprint) = (asked.to_owned(), model.to_owned(), fingerprint.to_owned());
        Judgement { asked_model, model, fingerprint, ..Judgement::begin(&generation, "j", 0) }
    }

    #[test]
    fn a_model_that_changed_is_named_with_how_often() {
        let of = |rows: &[[&str; 3]]| notes(&rows.iter().map(|[a, m, f]| judgement(a, m, f)).collect::<Vec<_>>());
        assert_eq!(of(&[["m", "m-1", "x"], ["m", "m-1", "x"], ["m", "", ""], ["n", "n-1", "y"]]), [""; 0]);
        assert_eq!(
            of(&[["m", "m-1", "x"], ["m", "m-2", "x"], ["m", "m-2", "y\n"]]),
            [
                "`m` was answered under 2 models, so the judge changed: `m-2` in 2 judgements, `m-1` in 1 judgements",
                "`m` was answered under 2 fingerprints, so the judge changed: `x` in 2 judgements, `y\\n` in 1 judgements",
            ]
        );
        let many: Vec<String> = (0..7).map(|i| format!("m-{i}")).collect();
        let rows: Vec<[&str; 3]> = many.iter().map(|model| ["m", model, ""]).collect();
        assert!(of(&rows)[0].ends_with(", and 2 more"), "{:?}", of(&rows));
    }
}
