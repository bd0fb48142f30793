//! The quickstart's study: the paper's eight arms, and one more, at toy scale. All sizes are here.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tunebench_spec::decoder::{Decoder, Dims, Norm};
use tunebench_spec::grid::{ArmGrid, Grid, Selection, SelectionSchedule};
use tunebench_spec::recipe::{RecipeOverrides, Schedule};
use tunebench_spec::study::{Arm, ChatSettings, Dataset, Eval, GenerationSettings, Header, Model, Sources, Study};

/// How much of everything: what decides how long the quickstart takes.
#[derive(Clone, Debug)]
pub struct Sizes {
    pub text_rows: usize,
    pub text_epochs: f64,
    /// The three nested instruction sets, for the paper's 0.6M, 2M and 4M.
    pub examples: [u64; 3],
    /// For the paper's 0.25M, more: a small model needs to see a sum often.
    pub math_rows: usize,
    /// Rows per class in training, items per class in evaluation. Maths and code are reported together.
    pub classes: [(&'static str, usize, usize); 10],
    pub small: Dimensions,
    pub large: Dimensions,
}

/// What differs between the two base models.
#[derive(Clone, Copy, Debug)]
pub struct Dimensions {
    pub hidden: usize,
    pub intermediate: usize,
    pub layers: usize,
    pub heads: usize,
    pub kv_heads: usize,
}

impl Sizes {
    /// For two cores and less than ten minutes.
    pub const QUICKSTART: Self = Self {
        text_rows: 3000,
        text_epochs: 6.0,
        examples: [600, 2000, 4000],
        math_rows: 1500,
        classes: [
            ("math", 160, 16),
            ("code", 300, 8),
            ("classification", 600, 18),
            ("extract", 600, 18),
            ("closed QA", 640, 18),
            ("open QA", 280, 20),
            ("rewrite", 600, 18),
            ("summarization", 520, 18),
            ("generation", 500, 18),
            ("brainstorming", 420, 18),
        ],
        small: Dimensions { hidden: 128, intermediate: 384, layers: 4, heads: 4, kv_heads: 4 },
        large: Dimensions { hidden: 160, intermediate: 448, layers: 5, heads: 5, kv_heads: 5 },
    };

    pub(super) fn dimensions(&self, size: &str) -> Dimensions {
        if size == "large" { self.large } else { self.small }
    }

    pub(super) fn train_rows(&self, class: &str) -> usize {
        self.class(class).1
    }

    pub(super) fn eval_items(&self, class: &str) -> usize {
        self.class(class).2
    }

    fn class(&self, name: &str) -> (&'static str, usize, usize) {
        self.classes.into_iter().find(|c| c.0 == name).unwrap_or(("", 0, 0))
    }
}

/// Of each source, kept from training: some 200 instructions, and 75 sums.
const HELD_OUT_SHARE: f64 = 0.05;

/// A batch is computed at once, of instructions and of texts.
const PIECE_TOKENS: usize = 4096;
const TEXT_PIECE_TOKENS: usize = 4096;
const MAX_POSITIONS: usize = 256;
const HEAD_DIM: usize = 32;

/// Learning rates of models of this size; the paper's belong to models a thousand times larger. Epochs are the
/// paper's, batches small enough that the smallest set still makes a hundred steps.
const TEXT_RATE: f64 = 4e-3;
/// Hundreds of steps do not fill the usual average over a thousand.
const BETA2: f64 = 0.98;
const FT_RATE: f64 = 2e-3;
const LORA_RATE: f64 = 5e-3;
/// The maths alone makes a model forget the rest, the faster the higher the rate; the paper takes a tenth too.
const MATH_FT_RATE: f64 = 3e-4;
const MATH_LORA_RATE: f64 = 7e-4;

/// How often every arm is trained.
const SEEDS: u32 = 3;

/// Where the base models come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bases {
    /// From the folders that [`super::bases`] writes.
    Shipped,
    /// Each is an arm that the others start from.
    Pretrained,
}

/// The study over the files that [`super::write_all`] puts beside it.
pub fn study(seed: u64, vocab_size: usize, sizes: &Sizes, bases: Bases) -> Study {
    let names = sizes.examples.map(|n| format!("belle_{n}"));
    let math = format!("math_{}", sizes.math_rows);
    let mut datasets = vec![dataset("text", "belle", "text.jsonl", None)];
    datasets.extend(sizes.examples.iter().zip(&names).map(|(n, id)| dataset(id, "belle", "belle.jsonl", Some(*n))));
    datasets.push(dataset(&math, "math", "math.jsonl", None));
    let questions = Sources::Many(vec!["eval_set.json".into(), "eval_prompt.json".into()]);
    datasets.push(Dataset { source: questions, ..dataset("questions", "belle", "", None) });

    let (models, mut arms) = match bases {
        Bases::Shipped => (["small", "large"].map(shipped).into(), Vec::new()),
        Bases::Pretrained => pretrained(vocab_size, sizes),
    };
    let [few, middle, many] = [0, 1, 2].map(|i| (sizes.examples[i], names[i].as_str()));
    let lora = |size: &str, (n, data): (u64, &str)| {
        arm(format!("{size} + LoRA({n})"), &base(size), Method::Lora, data, LORA_RATE, 4.0)
    };
    let ft = |size: &str, (n, data): (u64, &str)| {
        arm(format!("{size} + FT({n})"), &base(size), Method::Ft, data, FT_RATE, 3.0)
    };
    let of_grid = |arm: Arm, name: &str| {
        let recipe = RecipeOverrides { learning_rate: None, ..arm.recipe };
        Arm { recipe, grid: Some(ArmGrid::Named(name.into())), ..arm }
    };
    // The order of the paper's Table 4. The three methods on one set are compared at the best of three rates each.
    arms.extend([lora("small", few), of_grid(lora("small", middle), "lora_rates"), lora("small", many)]);
    arms.push(lora("large", middle));
    arms.extend([ft("small", few), of_grid(ft("small", middle), "ft_rates")]);
    let tuned = format!("small + FT({})", middle.0);
    arms.push(arm(format!("{tuned} + LoRA({math})"), &tuned, Method::Lora, &math, MATH_LORA_RATE, 4.0));
    arms.push(arm(format!("{tuned} + FT({math})"), &tuned, Method::Ft, &math, MATH_FT_RATE, 2.0));
    // Beyond the paper: LoRA on attention alone, to compare with LoRA on nearly everything.
    let name = format!("small + LoRA-attention({})", middle.0);
    let attention = arm(name, &base("small"), Method::LoraAttention, middle.1, LORA_RATE, 4.0);
    arms.push(of_grid(attention, "lora_rates"));

    Study {
        study: Header { seeds: SEEDS, ..header("quickstart", seed) },
        recipe: RecipeOverrides { max_length: Some(MAX_POSITIONS), ..RecipeOverrides::default() },
        selection: Some(Selection {
            share: Some(HELD_OUT_SHARE),
            dataset: None,
            examples: 200,
            schedule: SelectionSchedule::Halving,
            reduction_factor: 3,
            least_steps: 0.4,
        }),
        grids: [("ft_rates", 2.0 * FT_RATE), ("lora_rates", LORA_RATE)].map(rates).into(),
        models,
        datasets,
        arms: arms.into(),
        eval: Some(Eval {
            items: "questions".into(),
            judge: "reference".into(),
            judge_options: options(json!({ "metrics": metrics() })),
            repeats: 1,
            judge_name: None,
            repeat_share: None,
            baseline: None,
            panel: Vec::new(),
            bases: Vec::new(),
            generation: GenerationSettings { max_new_tokens: 32, batch_size: 32, ..GenerationSettings::default() },
            chat: ChatSettings::default(),
        }),
    }
}

/// The study that makes the base models, and nothing else.
pub fn pretraining_study(seed: u64, vocab_size: usize, sizes: &Sizes) -> Study {
    let (models, arms) = pretrained(vocab_size, sizes);
    Study {
        study: header("quickstart-bases", seed),
        recipe: RecipeOverrides { max_length: Some(MAX_POSITIONS), ..RecipeOverrides::default() },
        selection: None,
        grids: BTreeMap::new(),
        models,
        datasets: vec![dataset("text", "belle", "text.jsonl", None)],
        arms: arms.into(),
        eval: None,
    }
}

fn header(name: &str, seed: u64) -> Header {
    Header { name: name.into(), seed, seeds: 1, template: "belle".into(), add_bos_token: false, plugins: Vec::new() }
}

/// A rate, its half and its double.
fn rates((name, rate): (&str, f64)) -> (String, Grid) {
    let values = [rate / 2.0, rate, rate * 2.0].map(Value::from).into();
    (name.into(), Grid([("learning_rate".into(), values)].into()))
}

/// The models without weights, and the arms that train them.
fn pretrained(vocab_size: usize, sizes: &Sizes) -> (Vec<Model>, Vec<Arm>) {
    let models = ["small", "large"].map(|size| Model {
        source: "init:".into(),
        shape: Some(decoder(vocab_size, sizes.dimensions(size))),
        ..model(size)
    });
    (models.into(), ["small", "large"].map(|size| pretraining(size, sizes)).into())
}

fn shipped(size: &str) -> Model {
    Model { source: base(size), ..model(&base(size)) }
}

/// How each category is scored: an answer is right or wrong, except that each wished-for word and each listed
/// member counts for itself.
fn metrics() -> Value {
    json!({
        "math": ["number"],
        "code": ["exact"],
        "others": ["number", "exact"],
        "classification": ["label"],
        "extract": ["exact"],
        "closed qa": ["exact"],
        "open qa": ["exact"],
        "rewrite": ["exact"],
        "summarization": ["exact"],
        "generation": ["checks"],
        "brainstorming": ["members"],
    })
}

enum Method {
    Ft,
    Lora,
    LoraAttention,
}

fn arm(name: String, base: &str, method: Method, dataset: &str, learning_rate: f64, epochs: f64) -> Arm {
    let (tuner, tuner_options) = match method {
        Method::Ft => ("ft", json!({})),
        Method::Lora => ("lora-all-linear", json!({ "targets": "paper" })),
        Method::LoraAttention => ("lora-attention", json!({})),
    };
    Arm {
        name,
        base: base.into(),
        tuner: tuner.into(),
        dataset: dataset.into(),
        options: options(tuner_options),
        recipe: recipe(learning_rate, epochs),
        seed: None,
        seeds: None,
        grid: None,
        template: None,
        add_bos_token: None,
        evaluate: true,
    }
}

fn recipe(learning_rate: f64, epochs: f64) -> RecipeOverrides {
    RecipeOverrides {
        learning_rate: Some(learning_rate),
        epochs: Some(epochs),
        batch_size: Some(16),
        schedule: Some(Schedule::Cosine),
        warmup_steps: Some(0),
        warmup_ratio: Some(0.05),
        beta2: Some(BETA2),
        micro_batch_tokens: Some(PIECE_TOKENS),
        ..RecipeOverrides::default()
    }
}

/// The arm that makes a base model: all weights, plain text, not asked anything.
fn pretraining(size: &str, sizes: &Sizes) -> Arm {
    let mut arm = arm(base(size), size, Method::Ft, "text", TEXT_RATE, sizes.text_epochs);
    arm.template = Some("text".into());
    arm.recipe.micro_batch_tokens = Some(TEXT_PIECE_TOKENS);
    arm.evaluate = false;
    arm.seeds = Some(1);
    arm
}

fn base(size: &str) -> String {
    format!("base-{size}")
}

fn model(id: &str) -> Model {
    let tokenizer = Some("tokenizer.json".into());
    Model { id: id.into(), source: String::new(), shape: None, quantise: None, adapter: None, tokenizer, hint: None }
}

/// The shape of a base model.
pub fn decoder(vocab_size: usize, of: Dimensions) -> Decoder {
    let dims = Dims {
        vocab_size,
        hidden_size: of.hidden,
        intermediate_size: of.intermediate,
        num_hidden_layers: of.layers,
        heads: of.heads,
        kv_heads: of.kv_heads,
        head_dim: HEAD_DIM,
    };
    let plain = Decoder::llama(dims);
    let norm = Norm { eps: 1e-5, ..plain.norm };
    Decoder { max_position_embeddings: MAX_POSITIONS, norm, tie_word_embeddings: true, ..plain }
}

fn dataset(id: &str, plugin: &str, source: &str, examples: Option<u64>) -> Dataset {
    Dataset {
        id: id.into(),
        plugin: plugin.into(),
        source: Sources::One(source.into()),
        examples,
        seed: None,
        options: BTreeMap::new(),
        columns: BTreeMap::new(),
        max_skipped_share: None,
        hint: None,
    }
}

fn options(value: Value) -> BTreeMap<String, Value> {
    match value {
        Value::Object(fields) => fields.into_iter().collect(),
        _ => BTreeMap::new(),
    }
}
