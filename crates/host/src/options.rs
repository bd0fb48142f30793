//! Options of a plugin, as a study gives them.

use std::collections::BTreeMap;

use serde_json::Value;

/// Options by name.
pub type Options = BTreeMap<String, Value>;

/// As plugins read them: a JSON object.
pub(crate) fn to_json(options: &Options) -> String {
    Value::Object(options.clone().into_iter().collect()).to_string()
}
