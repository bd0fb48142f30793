//! A request's fields, taken one by one; what nobody took is either harmless or refused.

use serde_json::{Map, Value};
use tunebench_spec::escape;

use crate::api_error::ApiError;

/// What is left of a request.
pub(crate) struct Fields {
    left: Map<String, Value>,
    /// Where it stands in the whole, as `messages[0].`.
    place: String,
}

/// A field that changes nothing while it is this.
type Harmless = (&'static str, fn(&Value) -> bool);

/// Fields of OpenAI's and of servers like it that ask for nothing here, and when.
const HARMLESS: [Harmless; 34] = [
    ("user", |_| true),
    ("metadata", |_| true),
    ("safety_identifier", |_| true),
    ("prompt_cache_key", |_| true),
    ("prompt_cache_retention", |_| true),
    ("store", is_false),
    ("service_tier", |v| matches!(v.as_str(), Some("auto" | "default"))),
    ("parallel_tool_calls", Value::is_boolean), // there are no tools
    ("frequency_penalty", is_zero),
    ("presence_penalty", is_zero),
    ("logit_bias", is_empty),
    ("tools", is_empty),
    ("tool_choice", |v| matches!(v.as_str(), Some("none" | "auto"))),
    ("functions", is_empty),
    ("function_call", |v| matches!(v.as_str(), Some("none" | "auto"))),
    ("modalities", |v| *v == serde_json::json!(["text"])),
    ("suffix", |v| v.as_str() == Some("")),
    ("verbosity", |v| v.as_str() == Some("medium")),
    // Of vLLM, llama.cpp and others.
    ("top_k", |v| matches!(v.as_i64(), Some(-1 | 0))),
    ("min_p", is_zero),
    ("typical_p", is_one),
    ("repetition_penalty", is_one),
    ("repeat_penalty", is_one),
    ("length_penalty", is_one),
    ("use_beam_search", is_false),
    ("ignore_eos", is_false),
    ("min_tokens", is_zero),
    ("do_sample", |v| v.is_boolean()), // the temperature says it
    ("skip_special_tokens", |v| *v == Value::Bool(true)),
    ("add_generation_prompt", |v| *v == Value::Bool(true)),
    ("continue_final_message", is_false),
    ("chat_template_kwargs", is_empty),
    ("stop_token_ids", is_empty),
    ("cache_prompt", Value::is_boolean),
];

fn is_zero(value: &Value) -> bool {
    value.as_f64() == Some(0.0)
}

fn is_one(value: &Value) -> bool {
    value.as_f64() == Some(1.0)
}

fn is_false(value: &Value) -> bool {
    *value == Value::Bool(false)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

impl Fields {
    /// # Errors
    /// When the body is no JSON object.
    pub(crate) fn read(body: &[u8]) -> Result<Self, ApiError> {
        let value: Value = serde_json::from_slice(body)
            .map_err(|error| ApiError::invalid(format!("We could not parse the JSON body of your request: {error}")))?;
        Self::of(value, "").map_err(|_| ApiError::invalid("The body must be a JSON object"))
    }

    /// The fields of an object within a request.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn of(value: Value, place: &str) -> Result<Self, ApiError> {
        match value {
            Value::Object(left) => {
                let place = if place.is_empty() { String::new() } else { format!("{place}.") };
                Ok(Self { left, place })
            }
            _ => Err(ApiError::field(place, format!("{place} must be an object"))),
        }
    }

    /// A field, as errors name it.
    pub(crate) fn name(&self, name: &str) -> String {
        format!("{}{name}", self.place)
    }

    /// A field's value; null is as good as nothing.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name).filter(|value| !value.is_null())
    }

    fn wrong(&self, name: &str, want: &str) -> ApiError {
        let name = self.name(name);
        ApiError::field(&name, format!("{name} must be {want}"))
    }

    /// # Errors
    /// When it is no text.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(name, "a string")),
        }
    }

    /// # Errors
    /// When it is neither true nor false.
    pub(crate) fn truth(&mut self, name: &str) -> Result<bool, ApiError> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(truth)) => Ok(truth),
            Some(_) => Err(self.wrong(name, "a boolean")),
        }
    }

    /// A number within bounds, both of which are allowed.
    ///
    /// # Errors
    /// When it is something else.
    pub(crate) fn number(&mut self, name: &str, [least, most]: [f64; 2]) -> Result<Option<f64>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        match value.as_f64().filter(|number| (least..=most).contains(number)) {
            Some(number) => Ok(Some(number + 0.0)), // zeros have two forms
            None => Err(self.wrong(name, &format!("a number from {least} to {most}"))),
        }
    }

    /// A whole number within bounds, both of which are allowed.
    ///
    /// # Errors
    /// When it is something else.
    pub(crate) fn whole(&mut self, name: &str, [least, most]: [i64; 2]) -> Result<Option<i64>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        // A number above i64 is a seed of some clients.
        let number = value.as_i64().or_else(|| value.as_u64().map(|number| number as i64).filter(|_| most == i64::MAX));
        match number.filter(|number| (least..=most).contains(number)) {
            Some(number) => Ok(Some(number)),
            None if [least, most] == [i64::MIN, i64::MAX] => Err(self.wrong(name, "a whole number")),
            None if most == i64::MAX => Err(self.wrong(name, &format!("a whole number of at least {least}"))),
            None => Err(self.wrong(name, &format!("a whole number from {least} to {most}"))),
        }
    }

    /// # Errors
    /// Names a field that is left and asks for something.
    pub(crate) fn end(mut self) -> Result<(), ApiError> {
        self.left.retain(|name, value| {
            let row = HARMLESS.iter().find(|(harmless, _)| harmless == name);
            !value.is_null() && !row.is_some_and(|(_, is_harmless)| is_harmless(value))
        });
        let Some(name) = self.left.keys().next() else { return Ok(()) };
        let is_known = HARMLESS.iter().any(|(known, _)| known == name);
        let shown: String = escape::line(&self.name(name)).chars().take(100).collect();
        let why = if is_known { "would change the answer" } else { "is not known" };
        let fault = format!("Unsupported parameter: {shown} {why} and is not carried out here; leave it out");
        Err(ApiError::unsupported(&shown, fault))
    }
}
