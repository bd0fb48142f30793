//! The operations that this host has, by name and version.

use serde_json::{Map, Value};
use tunebench_spec::Op;
use tunebench_spec::shapes::name_of;

/// The operation of this name and version with these attributes, a JSON object.
///
/// # Errors
/// When there is no such operation, or these are not its attributes.
pub(crate) fn parse(name: &str, version: u32, attributes: &str) -> Result<Op, String> {
    // What cannot be read is looked at again to say why; what can is known.
    let op =
        read(name, attributes).map_err(|error| if is_known(name, version) { error } else { unknown(name, version) })?;
    if version == 1 && op != Op::Input { Ok(op) } else { Err(unknown(name, version)) }
}

/// Whether this host has an operation; every one is in its first version so far.
pub(crate) fn is_known(name: &str, version: u32) -> bool {
    // With each attribute that any operation needs, a known name parses and an unknown one does not.
    let all = r#"{"name":"","by":1,"axis":0,"shape":[],"dtype":"f32","p":0}"#;
    version == 1 && name != "input" && read(name, all).is_ok()
}

const WITHOUT_ATTRIBUTES: [Op; 17] = [
    Op::Base,
    Op::Weight,
    Op::Matmul,
    Op::Add,
    Op::Sub,
    Op::Mul,
    Op::Div,
    Op::Transpose,
    Op::Gelu,
    Op::Silu,
    Op::Relu,
    Op::Sigmoid,
    Op::Tanh,
    Op::Exp,
    Op::Sqrt,
    Op::Detach,
    Op::Input,
];

/// The operation of this name: the names are those of [`Op`]'s variants.
fn read(name: &str, attributes: &str) -> Result<Op, String> {
    // Most operations have no attributes, and a study records thousands.
    if attributes == "{}"
        && let Some(op) = WITHOUT_ATTRIBUTES.iter().find(|op| name_of(op) == name)
    {
        return Ok(op.clone());
    }
    let mut object: Map<String, Value> = serde_json::from_str(attributes).map_err(|e| format!("`{name}`: {e}"))?;
    object.insert("op".into(), name.into());
    serde_json::from_value(Value::Object(object)).map_err(|e| format!("`{name}`: {e}"))
}

fn unknown(name: &str, version: u32) -> String {
    format!("this host has no operation `{name}` in version {version}; update tunebench")
}
