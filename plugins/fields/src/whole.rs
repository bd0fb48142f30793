//! What a row says of itself as a whole: whether it is learnt, and the tools that it could call.

use serde_json::Value;

use crate::object::{Fault, Fields};

/// Tools that a conversation could call.
const TOOLS: [&str; 2] = ["tools", "functions"];
/// How much a row counts.
const WEIGHTS: [&str; 3] = ["weight", "sample_weight", "loss_weight"];
/// Whether a row is learnt, as several tools write it.
const LEARNT: [&str; 3] = ["train", "training", "loss"];

/// Refuses a row that is marked to count less than others, or not at all.
///
/// # Errors
/// The reason, with the mark's name.
pub fn check_learnt(fields: &Fields<'_>) -> Result<(), Fault> {
    for key in WEIGHTS.into_iter().chain(LEARNT) {
        let Some(mark) = fields.stated(key) else { continue };
        let share = share(mark);
        // Words under such a name are no mark.
        if share.is_none() && mark.is_string() && LEARNT.contains(&key) {
            continue;
        }
        if share != Some(1.0) {
            return Err(format!("has `{key}`, and a row's weight other than 1 is not known; take it out, or the row"));
        }
        fields.get(key);
    }
    // As KTO has it. A label that is a word or a number is a class.
    let Some(Value::Bool(is_wanted)) = fields.peek("label") else { return Ok(()) };
    if !is_wanted {
        return Err("has `label` false, and an answer that is not wanted is not learnt; take the row out".into());
    }
    fields.get("label");
    Ok(())
}

/// The field that describes tools, if one does.
pub fn tools(fields: &Fields<'_>) -> Option<&'static str> {
    TOOLS.into_iter().find(|key| fields.stated(key).is_some())
}

/// How much a mark counts. A cell of CSV is a text.
fn share(mark: &Value) -> Option<f64> {
    match mark {
        Value::Bool(is_learnt) => Some(f64::from(*is_learnt)),
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.trim().to_lowercase().as_str() {
            "true" => Some(1.0),
            "false" => Some(0.0),
            number => number.parse().ok(),
        },
        _ => None,
    }
}
