//! The model that is measured and what a tuner trains of it, through the plugins as built.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use candle_core::DType;
use clap::ValueEnum;
use half::bf16;
use serde_json::json;
use tunebench_host::{Options, Registry};
use tunebench_kernels::machine;
use tunebench_model::{Tuning, Weights, quantise};
use tunebench_spec::Decoder;
use tunebench_spec::decoder::Weight;
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::study::Quantise;

use crate::drawn;
use crate::tokens::SEED;

/// Which model.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
pub struct Choice {
    /// A Hugging Face folder or a .gguf file.
    #[arg(long, value_name = "PATH")]
    pub model: Option<PathBuf>,
    /// A well-known shape with generated weights, e.g. llama-7b.
    #[arg(long, value_name = "NAME")]
    pub preset: Option<String>,
}

/// How its weights are held.
#[derive(clap::Args)]
pub struct Held {
    /// Quantise the linear maps of all layers to this: nf4.
    #[arg(long, value_name = "FORMAT", value_parser = quantise_named)]
    pub quantise: Option<Quantise>,
}

/// As a study file spells it.
fn quantise_named(name: &str) -> Result<Quantise, serde_json::Error> {
    serde_json::from_value(json!(name))
}

/// A model in memory.
pub struct Model {
    pub shape: Decoder,
    pub weights: Weights,
}

/// The tuners that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Tuner {
    Ft,
    LoraAttention,
    LoraAllLinear,
}

impl Choice {
    /// Its shape alone.
    pub fn shape(&self) -> Result<Decoder> {
        match (&self.model, &self.preset) {
            (Some(path), _) => Ok(tunebench_model::open(path)?.shape),
            (None, Some(name)) => Ok(Decoder::preset(name)?),
            (None, None) => bail!("name a --model or a --preset"),
        }
    }

    /// Reads its weights, or generates them. Refuses what has no room in memory, before the system has to.
    pub fn load(&self) -> Result<Model> {
        let shape = self.shape()?;
        let needed = self.bytes_of(shape.params())?;
        // The blocks of a GGUF file stay in it, which may be larger than memory.
        let is_mapped = self.model.as_ref().is_some_and(|path| path.is_file());
        if let Some(room) = machine::memory::available().filter(|_| !is_mapped) {
            let [needed, room] = [needed, room].map(|bytes| bytes as f64 / f64::from(1 << 30));
            ensure!(needed < room, "the weights take {needed:.1} GiB, but only {room:.1} GiB are free");
        }
        let weights = match &self.model {
            Some(path) => tunebench_model::open(path)?.weights()?,
            None => Weights::init_as(&shape, SEED, DType::BF16)?,
        };
        Ok(Model { shape, weights })
    }

    /// The same model, held as asked for.
    pub fn load_as(&self, held: &Held) -> Result<Model> {
        let Some(Quantise::Nf4) = held.quantise else { return self.load() };
        let (shape, weights) = match &self.model {
            Some(path) => {
                let source = tunebench_model::open(path)?;
                let weights = quantise::nf4_of(&source)?;
                (source.shape, weights)
            }
            None => {
                let shape = self.shape()?;
                let weights = drawn::nf4(&shape)?;
                (shape, weights)
            }
        };
        Ok(Model { shape, weights })
    }

    /// Bytes of so many weights: as bf16, or those of the whole file where the model is a GGUF file, whose weights stay
    /// in the bits that they have there.
    pub fn bytes_of(&self, weights: u64) -> Result<u64> {
        match &self.model {
            Some(path) if path.is_file() => {
                Ok(std::fs::metadata(path).with_context(|| path.display().to_string())?.len())
            }
            _ => Ok(weights * size_of::<bf16>() as u64),
        }
    }
}

impl Model {
    /// Bytes that quantising its weights saved, of those that had 16 bits a number before.
    pub fn saved_bytes(&self) -> u64 {
        let quantised = self.weights.quantised();
        let as_bf16 =
            |weight: Weight| Some((weight.len() * size_of::<bf16>() as u64, quantised.get(&weight.name)?.bytes));
        self.shape.weights().into_iter().filter_map(as_bf16).map(|(bf16, bytes)| bf16.saturating_sub(bytes)).sum()
    }
}

impl Tuner {
    /// As a study names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ft => "ft",
            Self::LoraAttention => "lora-attention",
            Self::LoraAllLinear => "lora-all-linear",
        }
    }

    /// Operations that each weight costs at least for each token of training: two forward, two for what comes before
    /// it, and two more for its own gradient where it is trained.
    pub fn flop_per_weight(self) -> u64 {
        match self {
            Self::Ft => 6,
            Self::LoraAttention | Self::LoraAllLinear => 4,
        }
    }

    /// LoRA as PEFT is set up on the other side; without dropout, so that losses can be compared.
    fn options(self) -> Result<Options> {
        Ok(match self {
            Self::Ft => Options::new(),
            Self::LoraAttention | Self::LoraAllLinear => {
                serde_json::from_value(json!({ "r": 8, "lora_alpha": 16.0, "lora_dropout": 0.0 }))?
            }
        })
    }

    /// What it does to a model of this shape, recorded by its plugin.
    pub fn record(self, shape: &Decoder) -> Result<RecordedPlan> {
        let executable = std::env::current_exe().context("where this executable is")?;
        let folder = executable.parent().unwrap_or(Path::new("."));
        let mut plugins = Registry::default();
        let is_tuner = |file: &PathBuf| file.file_name().is_some_and(|name| name.to_string_lossy().contains("tuner_"));
        for file in Registry::files_in(folder)?.iter().filter(|file| is_tuner(file)) {
            plugins.add(file)?;
        }
        let tuner = plugins.tuner(self.name(), &self.options()?);
        let mut tuner = tuner.context("`cargo xtask plugins` builds the plugins")?;
        Ok(tuner.record(shape)?)
    }

    /// Its beginning, the same in every process.
    pub fn start(self, model: &Model) -> Result<Tuning> {
        Ok(Tuning::init(&model.shape, &model.weights, self.record(&model.shape)?, SEED)?)
    }
}
