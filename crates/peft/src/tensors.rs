//! Which tensor of a PEFT folder is what, by its name and shape: a parameter of the adapter at some weight, or a whole weight.

use std::collections::{BTreeMap, BTreeSet};

use tunebench_spec::Decoder;
use tunebench_spec::names::Role;

use crate::Error;
use crate::error::some;
use crate::settings::{MERGE, Settings};

const PREFIX: &str = "base_model.model.";
/// Behind a module that was trained whole: what it became, and what it was.
const TRAINED: &str = ".modules_to_save.";
const ORIGINAL: &str = ".original_module.";
/// Behind an adapted module: what stands below the adapter.
const BASE_LAYER: &str = ".base_layer.";

pub(crate) type Shapes = BTreeMap<String, Vec<usize>>;

/// Names of tensors by the weight that each is.
type Names = BTreeMap<String, String>;

/// The weights that are there beside the adapter's own tensors.
#[derive(Default)]
pub(crate) struct Beside {
    /// In place of the model's.
    pub whole: Names,
    /// The model's own, of modules that are adapted.
    pub under: Names,
}

/// The tensors by weight and parameter, and whole weights.
pub(crate) struct Sorted {
    pub sites: BTreeMap<String, BTreeMap<&'static str, String>>,
    pub beside: Beside,
}

/// Sorts the tensors of an adapter with these parameters at its sites.
///
/// # Errors
/// [`Error::Tensors`] or [`Error::Setting`] names a tensor that is no part of such an adapter, or is missing.
pub(crate) fn sorted(
    settings: &Settings,
    shape: &Decoder,
    shapes: &Shapes,
    params: &[&'static str],
) -> Result<Sorted, Error> {
    let weights: BTreeMap<String, (Role, Vec<usize>)> =
        shape.weights().into_iter().map(|w| (w.name, (w.role, w.shape))).collect();
    let saved = settings.names("modules_to_save")?;
    let biases = settings.get("bias").as_str().unwrap_or("none") != "none";
    let mut this = Sorted { sites: BTreeMap::new(), beside: Beside::default() };
    let mut adapters = BTreeSet::new();
    for name in shapes.keys() {
        if let Some((module, param, adapter)) = site_of(name, params) {
            adapters.insert(adapter);
            let of_site = this.sites.entry(format!("{module}.weight")).or_default();
            if of_site.insert(param, name.clone()).is_some() || adapters.len() > 1 {
                let fault = format!("`{module}.{param}` is there twice, or of several adapters; only one can be read");
                return Err(Error::Tensors(fault));
            }
            continue;
        }
        let plain = plain(name, |weight| weights.contains_key(weight));
        // PEFT goes by how a name ends here, parts or not.
        let is_saved = saved.iter().any(|end| module_of(&plain).ends_with(end.as_str()));
        if is_saved && name.contains(ORIGINAL) {
            continue;
        }
        let is_trained_bias = biases && plain.ends_with(".bias");
        if name.contains(BASE_LAYER) && !is_trained_bias {
            this.beside.under.insert(plain, name.clone());
            continue;
        }
        let known = weights.get(&plain);
        if is_saved && shape.tie_word_embeddings && known.is_some_and(|(role, _)| *role == Role::Embedding) {
            let fault = "trained apart, the embeddings are no longer tied to the head, as this model's are";
            return Err(settings.fault("modules_to_save", format!("{fault}; {MERGE}")));
        }
        let is_read =
            is_saved || known.is_some_and(|(role, _)| is_trained_bias || matches!(role, Role::Embedding | Role::Head));
        if known.is_none() || !is_read || name.contains(ORIGINAL) {
            return Err(Error::Tensors(unknown(name, &plain, is_saved, shape)));
        }
        // What was trained is there once more, under a plain name, where PEFT was asked to save embeddings.
        if !name.contains(TRAINED) && this.beside.whole.contains_key(&plain) {
            continue;
        }
        let other = this.beside.whole.insert(plain, name.clone());
        if let Some(other) = other.filter(|other| other.contains(TRAINED)) {
            let fault = format!("`{other}` and `{name}` are one weight, of several adapters; only one can be read");
            return Err(Error::Tensors(fault));
        }
    }
    check_beside(&this, &weights, shapes, shape)?;
    if let Some(weight) = this.sites.keys().find(|weight| this.beside.whole.contains_key(*weight)) {
        let fault = format!("`{}` is adapted and there as a whole, too, which is not read", module_of(weight));
        return Err(Error::Tensors(format!("{fault}; {MERGE}")));
    }
    check_whole(settings, &this, weights.keys())?;
    Ok(this)
}

/// That weights beside the adapter are the model's, in their shapes.
fn check_beside(
    found: &Sorted,
    weights: &BTreeMap<String, (Role, Vec<usize>)>,
    shapes: &Shapes,
    shape: &Decoder,
) -> Result<(), Error> {
    for (weight, name) in &found.beside.under {
        let site = format!("{}.weight", module_of(weight));
        // Where the model does not have the module, more is said of it when the sites are checked.
        let is_known = weights.contains_key(weight) || !weights.contains_key(&site);
        if !is_known || !found.sites.contains_key(&site) {
            return Err(Error::Tensors(unknown(name, weight, false, shape)));
        }
    }
    for (weight, name) in found.beside.whole.iter().chain(&found.beside.under) {
        let dims = &shapes[name];
        if let Some((_, expected)) = weights.get(weight).filter(|(_, expected)| expected != dims) {
            return Err(Error::Tensors(format!(
                "`{name}` has shape {dims:?}, and this model's is {expected:?}; was its vocabulary changed? {MERGE}"
            )));
        }
    }
    Ok(())
}

/// The weight that a tensor is, `known` where the model has it: PEFT wraps a module that was trained whole or is adapted, and
/// leaves its adapter's name out of some names.
fn plain(name: &str, known: impl Fn(&str) -> bool) -> String {
    let name = name.strip_prefix(PREFIX).unwrap_or(name);
    let unwrapped = [TRAINED, ORIGINAL, BASE_LAYER].into_iter().find_map(|wrap| name.split_once(wrap));
    let Some((module, rest)) = unwrapped else { return name.to_owned() };
    let whole = format!("{module}.{rest}");
    match rest.split_once('.') {
        Some((_adapter, rest)) if name.contains(TRAINED) && !known(&whole) => format!("{module}.{rest}"),
        _ => whole,
    }
}

/// That all weights are there that were trained whole.
fn check_whole<'a>(
    settings: &Settings,
    found: &Sorted,
    weights: impl Iterator<Item = &'a String>,
) -> Result<(), Error> {
    let saved = settings.names("modules_to_save")?;
    let bias = settings.get("bias").as_str().unwrap_or("none");
    let is_biased = |weight: &str| match bias {
        "all" => true,
        "lora_only" => found.sites.contains_key(&format!("{}.weight", module_of(weight))),
        _ => false,
    };
    let mut named = BTreeSet::new();
    let (mut missing, mut biases) = (Vec::new(), Vec::new());
    for weight in weights {
        let ends: Vec<&String> = saved.iter().filter(|end| module_of(weight).ends_with(end.as_str())).collect();
        let is_saved = !ends.is_empty();
        named.extend(ends);
        if is_saved && !found.beside.whole.contains_key(weight) {
            missing.push(weight.clone());
        } else if weight.ends_with(".bias") && is_biased(weight) && !found.beside.whole.contains_key(weight) {
            biases.push(weight.clone());
        }
    }
    missing.extend(saved.iter().filter(|end| !named.contains(end)).cloned());
    if !missing.is_empty() {
        return Err(settings.fault("modules_to_save", format!("there is no tensor of {}", some(&missing))));
    }
    if !biases.is_empty() {
        return Err(settings.fault("bias", format!("there is no tensor of {}", some(&biases))));
    }
    Ok(())
}

/// The module of a tensor: its name without `.weight` or `.bias`.
fn module_of(tensor: &str) -> &str {
    tensor.rsplit_once('.').map_or(tensor, |(module, _)| module)
}

/// Why a tensor cannot be taken.
fn unknown(name: &str, plain: &str, is_saved: bool, shape: &Decoder) -> String {
    if plain.contains("lora_embedding_") {
        return format!("`{name}` adapts an embedding, which is not read; {MERGE}");
    }
    if plain.ends_with("lora_B.bias") {
        return format!("`{name}` is a bias of `lora_B` (lora_bias), which is not read; {MERGE}");
    }
    if is_saved && shape.tie_word_embeddings && plain.starts_with(shape.names.module(Role::Head)) {
        return format!(
            "`{name}` is a head of its own (modules_to_save), and this model's is tied to its embeddings; {MERGE}"
        );
    }
    if is_saved {
        return format!("`{name}` (modules_to_save) is no weight of this model; is the adapter another model's?");
    }
    format!("`{name}` is none that such an adapter has; is the file another adapter's?")
}

/// Module, parameter and adapter of `base_model.model.MODULE.lora_A.weight`; older files put the adapter's name after the
/// parameter's.
fn site_of<'a>(name: &'a str, params: &[&'static str]) -> Option<(&'a str, &'static str, &'a str)> {
    let name = name.strip_prefix(PREFIX)?;
    params.iter().find_map(|param| {
        let (module, rest) = name.rsplit_once(&format!(".{param}"))?;
        let rest = rest.strip_suffix(".weight").unwrap_or(rest);
        match rest.strip_prefix('.') {
            None if rest.is_empty() => Some((module, *param, "")),
            Some(adapter) if !adapter.contains('.') && !adapter.is_empty() && adapter != "bias" => {
                Some((module, *param, adapter))
            }
            _ => None,
        }
    })
}
