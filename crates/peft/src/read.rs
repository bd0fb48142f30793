//! A PEFT folder as an adapter: first what can be known from its configuration and from the names and shapes of its tensors,
//! which is all that a plan needs; then the numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use serde_json::Value;
use tunebench_model::formats::safetensors::TensorFile;
use tunebench_model::{Tuning, Weights};
use tunebench_spec::Decoder;
use tunebench_spec::names::Role;

use crate::Error;
use crate::error::some;
use crate::folder::{CONFIG, TENSORS, find};
use crate::form::{Form, Ia3Site, Kind, LoraSite, VirtualForm, module};
use crate::record::{A, B, L, MAGNITUDE};
use crate::settings::{MERGE, Settings};
use crate::targets::{Pattern, is_feedforward, targeted};

/// Largest configuration that is read.
const LARGEST_CONFIG: u64 = 1 << 24;
const PREFIX: &str = "base_model.model.";

/// What a folder is, before a number of it is read.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Where its files are.
    pub folder: PathBuf,
    pub kind: Kind,
    /// The model that it says it was trained on.
    pub base: Option<String>,
    /// Virtual tokens in front of every example.
    pub virtual_count: usize,
    /// What to tell the user of it, in sentences.
    pub remarks: Vec<String>,
}

/// An adapter that was read.
#[derive(Clone, Debug)]
pub struct Adapter {
    pub form: Form,
    /// Weights that were trained whole beside it (`modules_to_save`, biases), by name.
    pub whole: BTreeMap<String, Tensor>,
    pub inspection: Inspection,
}

/// Checks the adapter in `dir` for a model of `shape`, reading no number of it.
///
/// # Errors
/// [`Error::Folder`], [`Error::Setting`] or [`Error::Tensors`] say what is missing or not supported, and what to do.
pub fn inspect(dir: &Path, shape: &Decoder) -> Result<Inspection, Error> {
    Ok(Opened::new(dir, shape)?.inspection)
}

/// Reads the adapter in `dir` for a model of `shape`.
///
/// # Errors
/// As [`inspect`]; the model's errors when the file is damaged.
pub fn load(dir: &Path, shape: &Decoder) -> Result<Adapter, Error> {
    let Opened { inspection, layout, whole, mut file } = Opened::new(dir, shape)?;
    let form = match layout {
        Layout::Lora(sites) => Form::Lora(
            sites
                .into_iter()
                .map(|(weight, LoraLayout { a, b, magnitude, scale, dropout })| {
                    let magnitude = magnitude.map(|name| file.read(&name)).transpose()?;
                    Ok((weight, LoraSite { a: file.read(&a)?, b: file.read(&b)?, magnitude, scale, dropout }))
                })
                .collect::<Result<_, Error>>()?,
        ),
        Layout::Ia3(sites) => Form::Ia3(
            sites
                .into_iter()
                .map(|(weight, (name, scales_input))| {
                    Ok((weight, Ia3Site { l: file.read(&name)?.flatten_all()?, scales_input }))
                })
                .collect::<Result<_, Error>>()?,
        ),
        Layout::Virtual(name) => Form::Virtual(VirtualForm { kind: inspection.kind, value: file.read(&name)? }),
    };
    let whole =
        whole.into_iter().map(|(weight, name)| Ok((weight, file.read(&name)?))).collect::<Result<_, Error>>()?;
    Ok(Adapter { form, whole, inspection })
}

impl Adapter {
    /// The adapter over its base model, computed beside the weights. Not all of an (IA)³ whose modules have biases: PEFT
    /// scales those too, which [`Adapter::applied`] does.
    ///
    /// # Errors
    /// When a tensor does not fit the model.
    pub fn tuning(&self, shape: &Decoder) -> Result<Tuning, Error> {
        self.form.tuning(shape, self.whole.clone())
    }

    /// The model with the adapter: folded into `weights` where that can be, with nothing left to tune; virtual tokens beside
    /// them.
    ///
    /// # Errors
    /// When a tensor does not fit the model.
    pub fn applied(&self, shape: &Decoder, weights: Weights) -> Result<(Weights, Tuning), Error> {
        let tuning = self.tuning(shape)?;
        if self.inspection.kind.is_virtual() {
            return Ok((weights, tuning));
        }
        let mut merged = tuning.merge(shape, weights)?.into_map();
        if let Form::Ia3(sites) = &self.form {
            for (weight, site) in sites.iter().filter(|(_, site)| !site.scales_input) {
                let name = format!("{}.bias", module(weight));
                if let Some(bias) = merged.get(&name) {
                    let scaled = (bias.to_dtype(candle_core::DType::F32)? * &site.l)?;
                    merged.insert(name, scaled);
                }
            }
        }
        Ok((Weights::new(shape, merged)?, Tuning::none()))
    }
}

/// Which tensor is what.
enum Layout {
    Lora(BTreeMap<String, LoraLayout>),
    /// Of each weight the tensor's name, and whether it scales the input.
    Ia3(BTreeMap<String, (String, bool)>),
    Virtual(String),
}

struct LoraLayout {
    a: String,
    b: String,
    magnitude: Option<String>,
    scale: f64,
    dropout: f64,
}

struct Opened {
    inspection: Inspection,
    layout: Layout,
    whole: BTreeMap<String, String>,
    file: TensorFile,
}

impl Opened {
    fn new(dir: &Path, shape: &Decoder) -> Result<Self, Error> {
        let folder = find(dir)?;
        let settings = settings(&folder.join(CONFIG))?;
        let file = TensorFile::open(&folder.join(TENSORS))?;
        file.check_types()?;
        let mut remarks = settings.remarks();
        if folder != dir {
            remarks.insert(0, format!("it was found in {}", folder.display()));
        }
        let shapes = file.shapes();
        let (kind, layout, whole, virtual_count) = match settings.peft_type() {
            "LORA" => {
                let (sites, whole) = lora(&settings, shape, &shapes)?;
                let kind = if settings.flag("use_dora") { Kind::Dora } else { Kind::Lora };
                (kind, Layout::Lora(sites), whole, 0)
            }
            "IA3" => {
                let (sites, whole) = ia3(&settings, shape, &shapes)?;
                (Kind::Ia3, Layout::Ia3(sites), whole, 0)
            }
            _ => {
                let (kind, name, count) = virtual_tokens(&settings, shape, &shapes)?;
                (kind, Layout::Virtual(name), BTreeMap::new(), count)
            }
        };
        let base = settings.get("base_model_name_or_path").as_str().filter(|name| !name.is_empty()).map(str::to_owned);
        Ok(Self { inspection: Inspection { folder, kind, base, virtual_count, remarks }, layout, whole, file })
    }
}

fn settings(path: &Path) -> Result<Settings, Error> {
    let length = std::fs::metadata(path).map_err(Error::io(path))?.len();
    if length > LARGEST_CONFIG {
        return Err(Error::folder(
            path,
            format!("has {length} bytes; a configuration of at most {LARGEST_CONFIG} is read"),
        ));
    }
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let value: Value =
        serde_json::from_slice(&bytes).map_err(|source| Error::Json { path: path.to_owned(), source })?;
    match value {
        Value::Object(values) => Settings::new(values),
        _ => Err(Error::folder(path, "is no JSON object")),
    }
}

type Shapes = BTreeMap<String, Vec<usize>>;

/// The tensors by weight and parameter, and whole weights.
struct Sorted {
    sites: BTreeMap<String, BTreeMap<&'static str, String>>,
    whole: BTreeMap<String, String>,
}

/// Sorts the tensors of an adapter with these parameters at its sites.
fn sorted(settings: &Settings, shape: &Decoder, shapes: &Shapes, params: &[&'static str]) -> Result<Sorted, Error> {
    let weights: BTreeMap<String, (Role, Vec<usize>)> =
        shape.weights().into_iter().map(|w| (w.name, (w.role, w.shape))).collect();
    let saved = settings.names("modules_to_save")?;
    let biases = settings.get("bias").as_str().unwrap_or("none") != "none";
    let mut this = Sorted { sites: BTreeMap::new(), whole: BTreeMap::new() };
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
        let plain = name.strip_prefix(PREFIX).unwrap_or(name);
        let plain = plain.replace(".modules_to_save.default.", ".").replace(".base_layer.", ".");
        // PEFT goes by how a name ends here, parts or not.
        let is_saved = saved.iter().any(|end| module_of(&plain).ends_with(end.as_str()));
        let known = weights.get(&plain);
        if is_saved && shape.tie_word_embeddings && known.is_some_and(|(role, _)| *role == Role::Embedding) {
            let fault = "trained apart, the embeddings are no longer tied to the head, as this model's are";
            return Err(settings.fault("modules_to_save", format!("{fault}; {MERGE}")));
        }
        let is_read = is_saved
            || known.is_some_and(|(role, _)| {
                (biases && plain.ends_with(".bias")) || matches!(role, Role::Embedding | Role::Head)
            });
        match known {
            Some((_, expected)) if is_read && *expected == shapes[name] => {
                this.whole.insert(plain, name.clone());
            }
            Some((_, expected)) if is_read => {
                let found = &shapes[name];
                return Err(Error::Tensors(format!(
                    "`{name}` has shape {found:?}, and this model's is {expected:?}; was its vocabulary changed? {MERGE}"
                )));
            }
            _ => return Err(Error::Tensors(unknown(name, &plain, is_saved, shape))),
        }
    }
    if let Some(weight) = this.sites.keys().find(|weight| this.whole.contains_key(*weight)) {
        let fault = format!("`{}` is adapted and there as a whole, too, which is not read", module_of(weight));
        return Err(Error::Tensors(format!("{fault}; {MERGE}")));
    }
    check_whole(settings, &this, weights.keys())?;
    Ok(this)
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
        if is_saved && !found.whole.contains_key(weight) {
            missing.push(weight.clone());
        } else if weight.ends_with(".bias") && is_biased(weight) && !found.whole.contains_key(weight) {
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

/// That there is a site for each targeted weight and no other.
fn check_sites(
    settings: &Settings,
    shape: &Decoder,
    sites: &BTreeMap<String, BTreeMap<&'static str, String>>,
) -> Result<(), Error> {
    let expected: BTreeSet<String> = targeted(settings, shape)?.into_iter().map(|weight| weight.name).collect();
    let modules =
        |names: Vec<&String>| -> Vec<String> { names.into_iter().map(|name| module(name).to_owned()).collect() };
    let left_over = modules(sites.keys().filter(|weight| !expected.contains(*weight)).collect());
    let known: BTreeSet<String> = shape.weights().into_iter().map(|w| w.name).collect();
    if let Some(strange) = left_over.iter().find(|name| !known.contains(&format!("{name}.weight"))) {
        return Err(Error::Tensors(format!(
            "the model has no linear weight `{strange}`; is the adapter another model's?"
        )));
    }
    if !left_over.is_empty() {
        return Err(Error::Tensors(format!(
            "there are tensors of {}, which adapter_config.json does not target; PEFT would leave them out: name them in \
             target_modules, or take them out",
            some(&left_over)
        )));
    }
    let missing = modules(expected.iter().filter(|weight| !sites.contains_key(*weight)).collect());
    if !missing.is_empty() {
        return Err(Error::Tensors(format!(
            "tensors are missing: adapter_config.json targets {}, of {} modules, and there are none of theirs; PEFT would \
             only warn and leave these modules as they were. Copy or save the adapter anew",
            some(&missing),
            expected.len()
        )));
    }
    Ok(())
}

type Whole = BTreeMap<String, String>;

fn lora(settings: &Settings, shape: &Decoder, shapes: &Shapes) -> Result<(BTreeMap<String, LoraLayout>, Whole), Error> {
    let Sorted { sites, whole } = sorted(settings, shape, shapes, &[A, B, MAGNITUDE])?;
    check_sites(settings, shape, &sites)?;
    let is_dora = settings.flag("use_dora");
    let expected: BTreeSet<&str> = [A, B, MAGNITUDE].into_iter().take(if is_dora { 3 } else { 2 }).collect();
    let (ranks, alphas) = (Pattern::read(settings, "rank_pattern")?, Pattern::read(settings, "alpha_pattern")?);
    let modules: Vec<&str> = sites.keys().map(|weight| module(weight)).collect();
    ranks.check(&modules)?;
    alphas.check(&modules)?;
    let (r, alpha) = (settings.number("r", 8.0)?, settings.number("lora_alpha", 8.0)?);
    let dropout = settings.number("lora_dropout", 0.0)?;
    if !(0.0..1.0).contains(&dropout) {
        return Err(settings.fault("lora_dropout", "a dropout is at least 0 and below 1"));
    }
    let mut found = BTreeMap::new();
    for (weight, mut names) in sites.clone() {
        let has: BTreeSet<&str> = names.keys().copied().collect();
        if has != expected {
            let (has, expected) = (words(&has), words(&expected));
            let why = if is_dora { "use_dora is set" } else { "use_dora is not set" };
            return Err(Error::Tensors(format!("`{}` has {has}, expected {expected} ({why})", module(&weight))));
        }
        let [out, width] = crate::record::linear(shape, &weight).unwrap_or_default();
        let rank = shapes[&names[A]].first().copied().unwrap_or(0);
        let said = ranks.of(module(&weight))?.unwrap_or(r);
        if rank == 0 || said != rank as f64 {
            return Err(Error::Tensors(format!(
                "`{}` has rank {rank}, but adapter_config.json says {said}",
                module(&weight)
            )));
        }
        for (param, dims) in [(A, vec![rank, width]), (B, vec![out, rank]), (MAGNITUDE, vec![out])] {
            if let Some(name) = names.get(param) {
                check_shape(name, &shapes[name], &dims)?;
            }
        }
        let by = if settings.flag("use_rslora") { (rank as f64).sqrt() } else { rank as f64 };
        let scale = alphas.of(module(&weight))?.unwrap_or(alpha) / by;
        let mut take = |param: &str| names.remove(param);
        let (a, b, magnitude) = (take(A).unwrap_or_default(), take(B).unwrap_or_default(), take(MAGNITUDE));
        found.insert(weight, LoraLayout { a, b, magnitude, scale, dropout });
    }
    Ok((found, whole))
}

fn words(names: &BTreeSet<&str>) -> String {
    names.iter().copied().collect::<Vec<_>>().join(" and ")
}

fn check_shape(name: &str, found: &[usize], expected: &[usize]) -> Result<(), Error> {
    if found == expected {
        return Ok(());
    }
    Err(Error::Tensors(format!("`{name}` has shape {found:?}, expected {expected:?}; is the adapter another model's?")))
}

/// Weights with the tensor that scales each, and whether it scales what goes in.
type Ia3Sites = BTreeMap<String, (String, bool)>;

fn ia3(settings: &Settings, shape: &Decoder, shapes: &Shapes) -> Result<(Ia3Sites, Whole), Error> {
    let Sorted { sites, whole } = sorted(settings, shape, shapes, &[L])?;
    check_sites(settings, shape, &sites)?;
    let mut found = BTreeMap::new();
    for (weight, names) in sites {
        let [out, width] = crate::record::linear(shape, &weight).unwrap_or_default();
        let scales_input = is_feedforward(settings, module(&weight))?;
        let expected = if scales_input { [1, width] } else { [out, 1] };
        let name = names.get(L).cloned().unwrap_or_default();
        check_shape(&name, &shapes[&name], &expected).map_err(|error| match shapes[&name].as_slice() {
            // The other way round: the configuration says which way is meant.
            &[a, b] if scales_input && b == 1 && a == out || !scales_input && a == 1 && b == width => settings.fault(
                "feedforward_modules",
                format!(
                    "by its shape `{name}` scales the {}; correct it",
                    if scales_input { "output" } else { "input" }
                ),
            ),
            _ => error,
        })?;
        found.insert(weight, (name, scales_input));
    }
    Ok((found, whole))
}

fn virtual_tokens(settings: &Settings, shape: &Decoder, shapes: &Shapes) -> Result<(Kind, String, usize), Error> {
    const NAME: &str = "prompt_embeddings";
    if settings.is_said("modules_to_save") {
        return Err(settings.fault("modules_to_save", "weights that were trained beside virtual tokens are not read"));
    }
    let Some(found) = shapes.get(NAME).filter(|_| shapes.len() == 1) else {
        let names: Vec<String> = shapes.keys().cloned().collect();
        let fault =
            format!("`{NAME}` alone is expected, there is {}; save it with PEFT's save_pretrained", some(&names));
        return Err(Error::Tensors(fault));
    };
    let kv = shape.attention.kv_width();
    let (kind, heads, token_dim, width) = match settings.peft_type() {
        "PREFIX_TUNING" => (Kind::PrefixTuning, shape.attention.kv_heads, kv, shape.num_hidden_layers * 2 * kv),
        "P_TUNING" => (Kind::PTuning, shape.attention.heads, shape.hidden_size, shape.hidden_size),
        _ => (Kind::PromptTuning, shape.attention.heads, shape.hidden_size, shape.hidden_size),
    };
    for (key, expected) in
        [("num_layers", shape.num_hidden_layers), ("token_dim", token_dim), ("num_attention_heads", heads)]
    {
        // Embeddings have no heads; only a prefix is laid out by them.
        let matters = key != "num_attention_heads" || kind == Kind::PrefixTuning;
        if settings.count(key)?.is_some_and(|said| matters && said != expected) {
            return Err(settings.fault(key, format!("this model has {expected}; is the adapter another model's?")));
        }
    }
    let count = match settings.count("num_virtual_tokens")? {
        Some(count) => count,
        None => found.first().copied().unwrap_or(0),
    };
    check_shape(NAME, found, &[count, width])?;
    let tokens =
        tunebench_spec::VirtualTokens { kind: tunebench_spec::VirtualKind::Embeddings, count, params: Vec::new() };
    tokens.check(shape).map_err(|fault| settings.fault("num_virtual_tokens", fault))?;
    Ok((kind, NAME.to_owned(), count))
}
