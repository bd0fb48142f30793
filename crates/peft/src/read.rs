//! A PEFT folder as an adapter: first what can be known from its configuration and from the names and shapes of its tensors;
//! then the numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};
use serde_json::Value;
use tunebench_model::formats::safetensors::{Float, TensorFile};
use tunebench_model::weights::Stored;
use tunebench_model::{Tuning, Weights};
use tunebench_spec::Decoder;

use crate::Error;
use crate::error::some;
use crate::folder::{CONFIG, TENSORS, find};
use crate::form::{Form, Ia3Site, Kind, LoraSite, VirtualForm, module};
use crate::record::{A, B, L, MAGNITUDE};
use crate::settings::{MERGE, Settings};
use crate::targets::{Pattern, is_feedforward, targeted};
use crate::tensors::{Beside, Shapes, Sorted, sorted};

/// Largest configuration that is read.
const LARGEST_CONFIG: u64 = 1 << 24;

/// What a folder is, without its numbers.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Where its files are.
    pub folder: PathBuf,
    pub kind: Kind,
    /// The model that it says it was trained on.
    pub base: Option<String>,
    /// Virtual tokens in front of every example.
    pub virtual_count: usize,
    /// The weights of the model that it is folded into, or brings whole, by name; none of virtual tokens, which cannot be folded.
    pub changed: BTreeSet<String>,
    /// What to tell the user of it, in sentences.
    pub remarks: Vec<String>,
}

/// An adapter that was read.
#[derive(Clone, Debug)]
pub struct Adapter {
    pub form: Form,
    /// Weights that were trained whole beside it (`modules_to_save`, biases), by name.
    pub whole: BTreeMap<String, Tensor>,
    /// The base model's weights that PEFT saved from below it, and the format that each was rounded to.
    under: BTreeMap<String, (Tensor, Float)>,
    pub inspection: Inspection,
}

/// Checks the adapter in `dir` for a model of `shape`. Weights that are there as a whole, embeddings perhaps, are not read.
///
/// # Errors
/// [`Error::Folder`], [`Error::Setting`] or [`Error::Tensors`] say what is missing, damaged or not supported, and what to do.
pub fn inspect(dir: &Path, shape: &Decoder) -> Result<Inspection, Error> {
    let Opened { inspection, layout, mut file, .. } = Opened::new(dir, shape)?;
    form(layout, inspection.kind, &mut file)?;
    Ok(inspection)
}

/// Reads the adapter in `dir` for a model of `shape`.
///
/// # Errors
/// As [`inspect`]; the model's errors when the file is damaged.
pub fn load(dir: &Path, shape: &Decoder) -> Result<Adapter, Error> {
    let Opened { inspection, layout, beside, mut file } = Opened::new(dir, shape)?;
    let form = form(layout, inspection.kind, &mut file)?;
    let (mut whole, mut under) = (BTreeMap::new(), BTreeMap::new());
    for (weight, name) in beside.whole {
        whole.insert(weight, file.read(&name)?);
    }
    for (weight, name) in beside.under {
        let float = file.float(&name).unwrap_or(Float::F32);
        under.insert(weight, (file.read(&name)?, float));
    }
    Ok(Adapter { form, whole, under, inspection })
}

/// The numbers of the adapter itself.
fn form(layout: Layout, kind: Kind, file: &mut TensorFile) -> Result<Form, Error> {
    Ok(match layout {
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
        Layout::Virtual(name) => Form::Virtual(VirtualForm { kind, value: file.read(&name)? }),
    })
}

impl Adapter {
    /// The adapter over its base model, computed beside the weights. Not all of an (IA)³ whose modules have biases: PEFT
    /// scales those too, which [`Adapter::applied`] does; nor are weights compared that PEFT saved from below it.
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
    /// When a tensor does not fit the model, or a weight that PEFT saved from below the adapter is not the model's.
    pub fn applied(&self, shape: &Decoder, weights: Weights) -> Result<(Weights, Tuning), Error> {
        self.check_under(&weights)?;
        let tuning = self.tuning(shape)?;
        if self.inspection.kind.is_virtual() {
            return Ok((weights, tuning));
        }
        let mut merged = tuning.merge(shape, weights)?.into_stored();
        if let Form::Ia3(sites) = &self.form {
            for (weight, site) in sites.iter().filter(|(_, site)| !site.scales_input) {
                let name = format!("{}.bias", module(weight));
                if let Some(bias) = merged.get(&name) {
                    let scaled = (bias.tensor().to_dtype(DType::F32)? * &site.l)?;
                    merged.insert(name, Stored::Plain(scaled));
                }
            }
        }
        Ok((Weights::of_stored(shape, merged)?, Tuning::none()))
    }

    /// That the adapter stood on these weights, as far as PEFT saved them: that of an adapted head it saves unasked.
    fn check_under(&self, weights: &Weights) -> Result<(), Error> {
        for (name, (saved, float)) in &self.under {
            // It may have stood on them in a narrower format than the model's files have.
            let Ok(own) = float.rounded(name, &weights.get(name)?) else { return Err(other_base(name)) };
            let apart = (own.to_dtype(DType::F32)? - saved)?.abs()?.max_all()?.to_scalar::<f32>()?;
            if apart != 0.0 {
                return Err(other_base(name));
            }
        }
        Ok(())
    }
}

fn other_base(weight: &str) -> Error {
    Error::Tensors(format!(
        "`{weight}` was saved from below the adapter (base_layer), and this model's differs from it; give the model that the \
         adapter was trained on, or {MERGE}"
    ))
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
    beside: Beside,
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
        let (kind, layout, beside, virtual_count) = match settings.peft_type() {
            "LORA" => {
                let (sites, beside) = lora(&settings, shape, &shapes)?;
                let kind = if settings.flag("use_dora") { Kind::Dora } else { Kind::Lora };
                (kind, Layout::Lora(sites), beside, 0)
            }
            "IA3" => {
                let (sites, beside) = ia3(&settings, shape, &shapes)?;
                (Kind::Ia3, Layout::Ia3(sites), beside, 0)
            }
            _ => {
                let (kind, name, count) = virtual_tokens(&settings, shape, &shapes)?;
                (kind, Layout::Virtual(name), Beside::default(), count)
            }
        };
        let base = settings.get("base_model_name_or_path").as_str().filter(|name| !name.is_empty()).map(str::to_owned);
        let sites: BTreeSet<String> = match &layout {
            Layout::Lora(sites) => sites.keys().cloned().collect(),
            Layout::Ia3(sites) => sites.keys().cloned().collect(),
            Layout::Virtual(_) => BTreeSet::new(),
        };
        let changed = sites.into_iter().chain(beside.whole.keys().cloned()).collect();
        Ok(Self {
            inspection: Inspection { folder, kind, base, virtual_count, changed, remarks },
            layout,
            beside,
            file,
        })
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

fn lora(
    settings: &Settings,
    shape: &Decoder,
    shapes: &Shapes,
) -> Result<(BTreeMap<String, LoraLayout>, Beside), Error> {
    let Sorted { sites, beside } = sorted(settings, shape, shapes, &[A, B, MAGNITUDE])?;
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
    Ok((found, beside))
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

fn ia3(settings: &Settings, shape: &Decoder, shapes: &Shapes) -> Result<(Ia3Sites, Beside), Error> {
    let Sorted { sites, beside } = sorted(settings, shape, shapes, &[L])?;
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
    Ok((found, beside))
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
