//! What is known of models that are rented: what they cost, hold and refuse, and when they go.
//!
//! All of it is data, in `models.toml`. It is used only at the addresses of those who rent them out: a server of one's own may
//! call its model what it likes, and costs nothing.

mod date;
mod table;

pub use self::date::Date;
pub use self::table::{LongPrompts, Model};

use self::table::TABLE;
use crate::address;

/// Asked where a study names no model.
pub const DEFAULT_MODEL: &str = "gpt-6-luna";

/// The day on which the table was true.
pub fn as_of() -> Option<Date> {
    TABLE.as_of
}

/// All models of the table.
pub fn all() -> &'static [Model] {
    &TABLE.model
}

/// What is known of a model at an address: its provider's, or that of one who hands it on at the same price under
/// `openai/gpt-4o`. A snapshot (`gpt-4o-2024-08-06`) is the model that it is one of.
pub fn find(name: &str, base_url: &str) -> Option<&'static Model> {
    let host = address::host(base_url);
    if let Some(provider) = TABLE.provider.iter().find(|provider| provider.hosts.contains(&host)) {
        return in_provider(name, &provider.name);
    }
    TABLE.reseller.iter().find(|reseller| reseller.hosts.contains(&host))?;
    let (prefix, name) = name.split_once('/')?;
    let provider = TABLE.provider.iter().find(|provider| provider.prefix.as_deref() == Some(prefix))?;
    in_provider(name, &provider.name)
}

/// The longest reply, in tokens, that a model of this name gives, whoever answers for it; the longest of several.
pub(crate) fn longest_reply(name: &str) -> Option<u64> {
    let name = name.rsplit('/').next().unwrap_or(name);
    TABLE.provider.iter().filter_map(|provider| in_provider(name, &provider.name)?.max_output_tokens).max()
}

fn in_provider(name: &str, provider: &str) -> Option<&'static Model> {
    let name = name.strip_prefix("models/").unwrap_or(name); // as Google has it
    let of_provider = || TABLE.model.iter().filter(|model| model.provider == provider);
    let named = |name: &str| of_provider().find(|model| model.id == name || model.aliases.iter().any(|a| a == name));
    named(name).or_else(|| named(without_date(name)?))
}

/// The name of a snapshot without its date, `-2024-08-06` or `-20250929`.
fn without_date(name: &str) -> Option<&str> {
    let is_date = |text: &str| {
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        let is_shaped = text.chars().all(|c| c.is_ascii_digit() || c == '-') && matches!(text.len(), 8 | 10);
        is_shaped && digits.len() == 8 && digits.starts_with("20")
    };
    ["-YYYY-MM-DD", "-YYYYMMDD"].iter().find_map(|shape| {
        let (base, date) = name.split_at_checked(name.len().checked_sub(shape.len())?)?;
        (!base.is_empty() && is_date(date.strip_prefix('-')?)).then_some(base)
    })
}
