//! The list of a server's batches, the newest first.

use serde_json::Value;

use super::calls::Calls;
use crate::error::ChatError;

/// So many batches a page are asked for.
const PER_PAGE: usize = 100;
/// More pages than this are not asked for.
const MOST_PAGES: usize = 500;

/// Tells `each` of every batch until it says that this was enough. `cursor` is what the server calls the last one of the page
/// before.
///
/// # Errors
/// When the list cannot be had, or has no end.
pub(super) fn batches(
    calls: &Calls<'_>,
    path: &str,
    cursor: &str,
    each: &mut dyn FnMut(&Value) -> Result<bool, ChatError>,
) -> Result<(), ChatError> {
    let mut last = String::new();
    for _ in 0..MOST_PAGES {
        let page = match last.as_str() {
            "" => calls.get(&format!("{path}?limit={PER_PAGE}"))?,
            last => calls.get(&format!("{path}?limit={PER_PAGE}&{cursor}={last}"))?,
        };
        let batches = page.get("data").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for batch in batches {
            if !each(batch)? {
                return Ok(());
            }
        }
        let next = batches.last().map(id).unwrap_or_default();
        if page.get("has_more").and_then(Value::as_bool) != Some(true) || next.is_empty() || next == last {
            return Ok(());
        }
        last = next;
    }
    Err(calls.refused(path, "its list of batches has no end"))
}

/// The number of a batch or a file; empty where it has none.
pub(super) fn id(value: &Value) -> String {
    text(value, "id").to_owned()
}

/// A text of an object; empty where it is none.
pub(super) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The sum of some counts of an object.
pub(super) fn sum(counts: Option<&Value>, names: &[&str]) -> u64 {
    let count = |name: &&str| counts?.get(*name)?.as_u64();
    names.iter().filter_map(count).sum()
}
