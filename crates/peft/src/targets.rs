//! Which modules a configuration names: by their last parts, by a regular expression as Python's `re` reads it, or all linear
//! ones; of some layers only, and some left out.

use fancy_regex::Regex;
use serde_json::Value;
use tunebench_spec::Decoder;
use tunebench_spec::decoder::{Part, Weight};
use tunebench_spec::names::Role;

use crate::Error;
use crate::form::module;
use crate::settings::{MERGE, Settings};

/// Every linear module but the head.
const ALL_LINEAR: &str = "all-linear";

/// Some modules, as a setting names them.
enum Modules {
    None,
    /// A name, or the last parts of one.
    Ends(Vec<String>),
    Pattern(Regex),
    AllLinear,
}

impl Modules {
    fn read(settings: &Settings, key: &str) -> Result<Self, Error> {
        match settings.get(key) {
            Value::String(text) if text.to_lowercase() == ALL_LINEAR => Ok(Self::AllLinear),
            Value::String(text) if !text.is_empty() => {
                Ok(Self::Pattern(regex(settings, key, &format!("^(?:{text})$"))?))
            }
            _ => {
                let names = settings.names(key)?;
                Ok(if names.is_empty() { Self::None } else { Self::Ends(names) })
            }
        }
    }

    fn have(&self, module: &str, is_all_linear: bool) -> Result<bool, Error> {
        match self {
            Self::None => Ok(false),
            Self::Ends(names) => Ok(names.iter().any(|name| ends_with_module(module, name))),
            Self::Pattern(regex) => matches(regex, module),
            Self::AllLinear => Ok(is_all_linear),
        }
    }
}

/// The weights that `target_modules` and what goes with it name, in the order of a checkpoint.
///
/// # Errors
/// [`Error::Setting`] for a pattern that cannot be read, and for embeddings and a tied head, whose adapters are not read.
pub(crate) fn targeted(settings: &Settings, shape: &Decoder) -> Result<Vec<Weight>, Error> {
    const KEY: &str = "target_modules";
    let targets = Modules::read(settings, KEY)?;
    let excluded = Modules::read(settings, "exclude_modules")?;
    let saved = settings.names("modules_to_save")?;
    let saved: Vec<Regex> = saved
        .iter()
        .map(|name| regex(settings, "modules_to_save", &format!(r"^(?:(?:^|.*\.){name}(?:$|\..*))")))
        .collect::<Result<_, _>>()?;
    let layers = Layers::read(settings)?;
    if let Modules::None = targets {
        let why = "it is needed to know which modules the adapter stands at; write a list like [\"q_proj\", \"v_proj\"] of the \
                   modules that adapter_model.safetensors has tensors of";
        return Err(settings.fault(KEY, why));
    }
    let is_targeted = |module: &str, is_all_linear: bool| -> Result<bool, Error> {
        if excluded.have(module, is_all_linear)? {
            return Ok(false);
        }
        for saved in &saved {
            if matches(saved, module)? {
                return Ok(false);
            }
        }
        let has = targets.have(module, is_all_linear)?;
        let Modules::Ends(names) = &targets else { return Ok(has) };
        // PEFT asks for the layer only where a name is not there in full.
        Ok(has && (names.iter().any(|name| name == module) || layers.have(module)?))
    };
    let head = shape.names.module(Role::Head);
    if shape.tie_word_embeddings && is_targeted(head, false)? {
        let why =
            format!("the head `{head}` is tied to the embeddings, and an adapter of it would untie them; {MERGE}");
        return Err(settings.fault(KEY, why));
    }
    let mut found = Vec::new();
    for weight in shape.weights().into_iter().filter(|w| w.part == Part::Weight) {
        if !is_targeted(module(&weight.name), weight.is_adaptable())? {
            continue;
        }
        if !weight.role.is_linear() {
            let why = format!(
                "`{}` is no linear module, and adapters of embeddings are not read; {MERGE}",
                module(&weight.name)
            );
            return Err(settings.fault(KEY, why));
        }
        found.push(weight);
    }
    if found.is_empty() {
        return Err(settings.fault(KEY, "it names no module of this model; is the adapter another model's?"));
    }
    Ok(found)
}

/// The layers that `layers_to_transform` leaves.
struct Layers {
    /// All where it is empty.
    numbers: Vec<u64>,
    /// Expressions whose group `idx` is the number of a layer.
    patterns: Vec<Regex>,
}

impl Layers {
    fn read(settings: &Settings) -> Result<Self, Error> {
        const KEY: &str = "layers_to_transform";
        let numbers = match settings.get(KEY) {
            Value::Null => Vec::new(),
            Value::Array(items) => {
                let of =
                    |item: &Value| item.as_u64().ok_or_else(|| settings.fault(KEY, "numbers of layers are expected"));
                items.iter().map(of).collect::<Result<_, _>>()?
            }
            one => vec![one.as_u64().ok_or_else(|| settings.fault(KEY, "numbers of layers are expected"))?],
        };
        const PATTERN: &str = "layers_pattern";
        let names = match settings.get(PATTERN) {
            Value::String(text) if !text.is_empty() => vec![text.clone()],
            Value::String(_) => Vec::new(),
            _ => settings.names(PATTERN)?,
        };
        let mut patterns = Vec::new();
        for name in &names {
            patterns.push(regex(settings, PATTERN, &format!(r"^(?:^|.*?\.){name}\.(?P<idx>\d+)\."))?);
        }
        if patterns.is_empty() {
            patterns.push(regex(settings, PATTERN, r"^.*?\.[^.]*\.(?P<idx>\d+)\.")?);
        }
        Ok(Self { numbers, patterns })
    }

    fn have(&self, module: &str) -> Result<bool, Error> {
        if self.numbers.is_empty() {
            return Ok(true);
        }
        for pattern in &self.patterns {
            if let Some(found) = pattern.captures(module).map_err(|e| failed(pattern, &e))? {
                let number = found.name("idx").and_then(|idx| idx.as_str().parse().ok());
                return Ok(number.is_some_and(|number: u64| self.numbers.contains(&number)));
            }
        }
        Ok(false)
    }
}

/// A setting that differs by module: `rank_pattern`, `alpha_pattern`. The keys are regular expressions of a module's last
/// parts, the first that matches counts.
pub(crate) struct Pattern<'a> {
    settings: &'a Settings,
    key: &'static str,
    entries: Vec<(Regex, f64)>,
}

impl<'a> Pattern<'a> {
    pub fn read(settings: &'a Settings, key: &'static str) -> Result<Self, Error> {
        let entries = match settings.get(key) {
            Value::Null => return Ok(Self { settings, key, entries: Vec::new() }),
            Value::Object(entries) => entries,
            _ => return Err(settings.fault(key, "an object of modules and numbers is expected")),
        };
        let entry = |(name, value): (&String, &Value)| {
            let number = value.as_f64().filter(|x| x.is_finite());
            let number = number.ok_or_else(|| settings.fault(key, "an object of modules and numbers is expected"))?;
            Ok((regex(settings, key, &format!(r"^(?:.*\.)?(?:{name})$"))?, number))
        };
        Ok(Self { settings, key, entries: entries.iter().map(entry).collect::<Result<_, Error>>()? })
    }

    /// The number of a module, where the pattern gives one.
    ///
    /// # Errors
    /// When two keys match and say different numbers: which counts depends on an order that JSON does not keep.
    pub fn of(&self, module: &str) -> Result<Option<f64>, Error> {
        let mut found = None;
        for (regex, number) in &self.entries {
            if matches(regex, module)? {
                if found.is_some_and(|other: f64| other != *number) {
                    let why = format!("two of its keys match `{module}` and say different numbers; leave one");
                    return Err(self.settings.fault(self.key, why));
                }
                found = Some(*number);
            }
        }
        Ok(found)
    }

    /// That every key names a module of `modules`.
    ///
    /// # Errors
    /// [`Error::Setting`] names one that does not.
    pub fn check(&self, modules: &[&str]) -> Result<(), Error> {
        for (regex, _) in &self.entries {
            let mut is_used = false;
            for module in modules {
                is_used = is_used || matches(regex, module)?;
            }
            if !is_used {
                let why = format!("the pattern {} names no adapted module; is it misspelt?", regex.as_str());
                return Err(self.settings.fault(self.key, why));
            }
        }
        Ok(())
    }
}

/// Whether PEFT takes a module of (IA)³ as feed-forward: by how its name ends, parts or not, or by an expression.
pub(crate) fn is_feedforward(settings: &Settings, module: &str) -> Result<bool, Error> {
    const KEY: &str = "feedforward_modules";
    match settings.get(KEY) {
        Value::String(text) => matches(&regex(settings, KEY, &format!("^(?:{text})$"))?, module),
        _ => Ok(settings.names(KEY)?.iter().any(|name| module.ends_with(name.as_str()))),
    }
}

pub(crate) fn ends_with_module(module: &str, end: &str) -> bool {
    module.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// An expression of a setting; `$` is the end.
fn regex(settings: &Settings, key: &str, expression: &str) -> Result<Regex, Error> {
    Regex::new(expression).map_err(|e| settings.fault(key, format!("not a regular expression that can be read: {e}")))
}

fn matches(regex: &Regex, module: &str) -> Result<bool, Error> {
    regex.is_match(module).map_err(|e| failed(regex, &e))
}

/// An expression that goes back and forth for too long.
fn failed(regex: &Regex, error: &fancy_regex::Error) -> Error {
    Error::Tensors(format!("the expression {} of adapter_config.json cannot be matched: {error}", regex.as_str()))
}
