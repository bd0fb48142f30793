//! The command line: every command with an example.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use tunebench_analysis::estimates::MARGIN;
use tunebench_model::backend::{self, Backend};
use tunebench_model::formats::gguf::GgufType;
use tunebench_model::formats::safetensors::Float;

mod judge;
mod submit;

pub use judge::{CalibrateArgs, JudgeAgainArgs, JudgeArgs, JudgeCommand, ProbeArgs};
pub use submit::{StatusArgs, SubmitArgs};

use crate::quickstart::bases;

/// Decide, with evidence, how to tune a language model: all parameters, LoRA on attention, or LoRA on every linear layer.
#[derive(Parser)]
#[command(name = "tunebench", version, max_term_width = 110)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub shared: Shared,
}

/// What every command takes.
#[derive(clap::Args)]
pub struct Shared {
    /// A plugin file beside those that come with tunebench; may be repeated.
    #[arg(long = "plugin", global = true, value_name = "FILE")]
    pub plugins: Vec<PathBuf>,
    /// Run each plugin in a process of its own, in a sandbox: it can open no file and reach no network, and one that
    /// breaks fails what needs it and nothing else.
    #[arg(long, global = true)]
    pub isolate: bool,
    /// Longest time that a plugin may take for one answer.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    pub plugin_timeout: u64,
    /// What trains and answers: fast, or reference, the slow path that fast is tested against.
    #[arg(long = "engine", global = true, value_name = "ENGINE", default_value = backend::FAST.name(), value_parser = backend::named)]
    pub backend: &'static dyn Backend,
}

#[derive(Subcommand)]
pub enum Command {
    /// Run the embedded study: tiny models, the paper's eight arms and one more, minutes, no network.
    #[command(after_help = "Example: tunebench quickstart --out runs/quickstart")]
    Quickstart(Quickstart),
    /// Run a study, or go on with one that was interrupted.
    #[command(after_help = "Example: tunebench study data/studies/smollm2.toml --out runs/smollm2")]
    Study(Study),
    /// Say what a study will do and take: parameters, steps, memory and time, and what looks wrong with it.
    #[command(after_help = "Example: tunebench plan data/studies/paper.toml --json")]
    Plan(Plan),
    /// Download what a study takes from the hub, and say where it is.
    #[command(after_help = "Example: HF_HOME=/data/hf tunebench fetch data/studies/belle.toml")]
    Fetch(Fetch),
    /// Show the tokens that an arm learns from, and what looks wrong with them.
    #[command(after_help = "Example: tunebench labels data/studies/smollm2.toml --arm \"FT(zh)\" --show 2")]
    Labels(Labels),
    /// Judge a run's answers again, by another judge, by changed answers, or by people.
    #[command(
        after_help = "Example: tunebench judge runs/smollm2 --judge chatgpt --name luna --model gpt-6-luna --share 0.2"
    )]
    Judge(Box<JudgeArgs>),
    /// Tables from a run folder.
    #[command(after_help = "Example: tunebench analyze scores runs/quickstart")]
    Analyze(Analyze),
    /// SQL over a run's frames: arms, steps, losses, receipts, generations, judgements, probes, scores.
    #[command(
        after_help = "Example: tunebench query runs/quickstart \"SELECT arm, AVG(score) AS mean FROM judgements GROUP BY arm\""
    )]
    Query(Query),
    /// Write a trained arm in formats other tools read.
    #[command(after_help = "Example: tunebench export adapter runs/smollm2 \"LoRA-attention(zh)\" adapter/")]
    Export(Export),
    /// Ask a trained arm; one question a line on standard input.
    #[command(after_help = "Example: echo 'What is two and three?' | tunebench chat runs/smollm2 \"FT(zh)\"")]
    Chat(Chat),
    /// Answer any OpenAI client with trained arms and base models of a run, many requests at once.
    #[command(after_help = "Example: tunebench serve runs/smollm2 \"LoRA-all-linear(zh)\" --port 8000")]
    Serve(Serve),
    /// Hand a study to a cluster: Slurm's jobs, or a manifest for Kubernetes.
    #[command(
        after_help = "Example: tunebench submit data/studies/smollm2.toml --out /shared/smollm2 --slurm --partition cpu --dry-run"
    )]
    Submit(Box<SubmitArgs>),
    /// How far a run is: which process works on what, and its jobs in Slurm's queue.
    #[command(after_help = "Example: tunebench status /shared/smollm2")]
    Status(StatusArgs),
    /// A running study: arms, seeds and candidates, losses, speed, memory and the time left.
    #[command(after_help = "Example: tunebench watch runs/smollm2")]
    Watch(Watch),
    /// One HTML file that says what a run came to: it opens offline and can be sent on.
    #[command(after_help = "Example: tunebench report runs/smollm2 --out smollm2.html")]
    Report(Report),
    /// Tokens of large datasets, kept from run to run: where they are and what they take.
    #[command(after_help = "Example: tunebench cache --clear")]
    Cache(Cache),
    /// Plugins: what is there, and whether a file is one.
    #[command(after_help = "Example: tunebench plugins list")]
    Plugins(Plugins),
}

#[derive(clap::Args)]
pub struct Quickstart {
    /// Run folder.
    #[arg(long, default_value = "runs/quickstart")]
    pub out: PathBuf,
    /// Seed of data, weights and order; the base models come with seed 1 and are trained for any other.
    #[arg(long, default_value_t = bases::SEED)]
    pub seed: u64,
    /// Processes that work side by side, each with its share of cores and memory; as many as gain by it unless given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub jobs: Option<u32>,
    /// Train the two base models that come with tunebench anew, write them into this folder and do nothing else.
    #[arg(long, value_name = "FOLDER", hide = true)]
    pub pretrain: Option<PathBuf>,
}

#[derive(clap::Args)]
pub struct Study {
    /// Study file (TOML).
    pub file: PathBuf,
    /// Run folder; runs/NAME of the study by default.
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Only this arm and what it starts from; may be repeated.
    #[arg(long)]
    pub only: Vec<String>,
    /// Check everything, say what would be done, train nothing.
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub part: StudyPart,
}

/// Which part of a run a process takes.
#[derive(Clone, Copy, clap::Args)]
pub struct StudyPart {
    /// Processes that work side by side, each with its share of cores and memory; as many as gain by it unless given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), conflicts_with_all = ["worker", "join", "dry_run"])]
    pub jobs: Option<u32>,
    /// Take pieces of work that no other process does, until none is left: on any machine that sees the run folder.
    #[arg(long, conflicts_with_all = ["join", "dry_run"])]
    pub worker: bool,
    /// Of a worker: end when the work on so many models is done.
    #[arg(long, value_name = "N", requires = "worker", value_parser = clap::value_parser!(u32).range(1..))]
    pub models: Option<u32>,
    /// Of a worker: leave judging to whoever joins.
    #[arg(long, requires = "worker")]
    pub leave_judging: bool,
    /// Train nothing: judge what is answered, and join the frames of what is done.
    #[arg(long, conflicts_with = "dry_run")]
    pub join: bool,
    /// How long a process on another machine may give no sign before its work is taken over.
    #[arg(long, value_name = "SECONDS", default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..))]
    pub lost_after: u64,
    /// End with the process that started this one, which holds its standard input open.
    #[arg(long, hide = true, requires = "worker")]
    pub attached: bool,
}

#[derive(clap::Args)]
pub struct Plan {
    /// Study file (TOML).
    pub file: PathBuf,
    /// A run folder whose scores say how much they vary, for the seeds and items that a difference needs; runs/NAME of the
    /// study where that is there, else a guess is stated.
    #[arg(long, value_name = "DIR")]
    pub seen: Option<PathBuf>,
    /// The difference of scores that is to be shown.
    #[arg(long, default_value_t = MARGIN)]
    pub margin: f64,
    /// Ask each judge's server one small question: whether its key, model and limits work.
    #[arg(long)]
    pub probe: bool,
    /// A described cluster, such as data/clusters/a100x8.toml: how long the whole study takes there, where it waits, what it costs.
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    pub on: Option<PathBuf>,
    #[arg(long)]
    pub json: bool,
}

#[derive(clap::Args)]
pub struct Fetch {
    /// Study file (TOML).
    pub file: PathBuf,
}

#[derive(clap::Args)]
pub struct Watch {
    /// Run folder.
    pub dir: PathBuf,
    /// Print how it stands and end, as off a terminal.
    #[arg(long)]
    pub once: bool,
}

#[derive(clap::Args)]
pub struct Report {
    /// Run folder.
    pub dir: PathBuf,
    /// The file to write; report.html in the run folder by default.
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// A difference of scores that would not matter to you.
    #[arg(long, default_value_t = MARGIN)]
    pub margin: f64,
    /// The language it opens in; a button switches to the other.
    #[arg(long, value_enum, default_value = "en")]
    pub language: Language,
}

#[derive(Clone, Copy, clap::ValueEnum)]
pub enum Language {
    En,
    Zh,
}

#[derive(clap::Args)]
pub struct Cache {
    /// Delete all of them; they are made again when they are needed.
    #[arg(long)]
    pub clear: bool,
}

#[derive(clap::Args)]
pub struct Labels {
    /// Study file (TOML).
    pub file: PathBuf,
    /// Only this arm.
    #[arg(long)]
    pub arm: Option<String>,
    /// Examples to show in full per arm.
    #[arg(long, default_value_t = 1)]
    pub show: usize,
}

#[derive(clap::Args)]
pub struct Analyze {
    #[command(subcommand)]
    pub analysis: Analysis,
    #[arg(long, global = true, conflicts_with = "markdown")]
    pub json: bool,
    #[arg(long, global = true)]
    pub markdown: bool,
}

#[derive(Subcommand)]
pub enum Analysis {
    /// Average score of each arm with its interval and group, and by category: the paper's Tables 4 and 5.
    Scores { dir: PathBuf },
    /// Two arms, paired by item: difference, interval, p-values, verdict, and what would show more.
    Compare {
        dir: PathBuf,
        a: String,
        b: String,
        /// Differences smaller than this do not matter.
        #[arg(long, default_value_t = MARGIN)]
        margin: f64,
    },
    /// The decision, in a sentence or two, with its certainty.
    Decision {
        dir: PathBuf,
        /// Differences smaller than this do not matter.
        #[arg(long, default_value_t = MARGIN)]
        margin: f64,
    },
    /// Effects of method, data size, base size and rank: the paper's four conclusions, with sizes and intervals.
    Factors { dir: PathBuf },
    /// Score and loss against data and parameters.
    Scaling { dir: PathBuf },
    /// Loss on general language before and after.
    Forgetting { dir: PathBuf },
    /// Time, memory and money per arm, and which arms nothing beats.
    Cost { dir: PathBuf },
    /// How the losses fell.
    Curves { dir: PathBuf },
    /// Length of answers and their score, and which were cut off.
    Lengths { dir: PathBuf },
    /// Every hyper-parameter of every arm, and where it comes from.
    Ledger { dir: PathBuf },
    /// How far judges agree with each other, with themselves and with people.
    Agreement { dir: PathBuf },
    /// How good each judge is: whom it asked, cost, repeats, probes, order and length.
    Judges { dir: PathBuf },
    /// How far judges are from people's marks, and scores corrected by them.
    Calibration { dir: PathBuf },
    /// Win rates, strengths and a matrix of arms, by judges that compare two answers.
    Pairs { dir: PathBuf },
    /// What changes when one judge takes the place of another, over the answers of both.
    Bridge {
        dir: PathBuf,
        /// The judge that goes.
        #[arg(long)]
        from: String,
        /// The judge that comes.
        #[arg(long)]
        to: String,
    },
    /// What makes a comparison of these arms unfair; of the paper's own without a folder.
    Lint { dir: Option<PathBuf> },
    /// The figures of Sun et al. 2023, and which of its differences its items can carry.
    Paper,
}

#[derive(clap::Args)]
pub struct Query {
    /// Run folder.
    pub dir: PathBuf,
    /// SELECT …
    pub sql: String,
    #[arg(long, conflicts_with = "markdown")]
    pub json: bool,
    #[arg(long)]
    pub markdown: bool,
}

#[derive(clap::Args)]
pub struct Export {
    #[command(subcommand)]
    pub what: Exported,
}

#[derive(Subcommand)]
pub enum Exported {
    /// The adapter alone, as a PEFT folder.
    #[command(after_help = "Example: tunebench export adapter runs/smollm2 \"LoRA-attention(zh)\" adapter/")]
    Adapter {
        #[command(flatten)]
        of: ExportedArm,
    },
    /// The whole model with the tuning folded in, as a Hugging Face folder with all that the base model's has.
    #[command(after_help = "Example: tunebench export merged runs/smollm2 \"FT(zh)\" merged/ --dtype bf16")]
    Merged {
        #[command(flatten)]
        of: ExportedArm,
        /// Of all numbers, f32, f16 or bf16; by default each is kept as the base model's files have it.
        #[arg(long, value_parser = tunebench_study::arm_export::float)]
        dtype: Option<Float>,
        /// Of one file of weights, such as 5GB, 500MB or 2GiB.
        #[arg(long, value_name = "SIZE", default_value = "5GB", value_parser = tunebench_study::arm_export::bytes)]
        max_shard_size: u64,
    },
    /// The whole model as a GGUF file for llama.cpp, with a Modelfile for Ollama.
    #[command(after_help = "Example: tunebench export gguf runs/smollm2 \"FT(zh)\" gguf/ --type Q4_K_M")]
    Gguf {
        #[command(flatten)]
        of: ExportedArm,
        /// F32, F16, BF16, Q8_0 or Q4_K_M.
        #[arg(long = "type", value_name = "TYPE", default_value = "F16", value_parser = tunebench_study::arm_export::gguf_type)]
        kind: GgufType,
    },
}

#[derive(clap::Args)]
pub struct ExportedArm {
    /// Run folder.
    pub dir: PathBuf,
    pub arm: String,
    /// The folder to write: not there yet, or empty, and outside the run, its models and its data.
    pub out: PathBuf,
    /// Of its trainings the one with this seed; the first by default.
    #[arg(long)]
    pub seed: Option<u64>,
}

impl ExportedArm {
    /// The arm with its seed, as run folders name a training.
    pub fn name(&self) -> String {
        self.seed.map_or_else(|| self.arm.clone(), |seed| format!("{}@{seed}", self.arm))
    }
}

#[derive(clap::Args)]
pub struct Chat {
    /// Run folder.
    pub dir: PathBuf,
    pub arm: String,
    #[arg(long, default_value_t = 256, value_parser = at_least_one)]
    pub max_new_tokens: usize,
    /// 0 is greedy.
    #[arg(long, default_value_t = 0.0, value_parser = temperature)]
    pub temperature: f64,
}

#[derive(clap::Args)]
pub struct Serve {
    /// Run folder.
    pub dir: PathBuf,
    /// Arms, as LoRA or of one training LoRA@2, and base models by their id in the study; requests name them so.
    #[arg(required = true)]
    pub arms: Vec<String>,
    /// The address to listen at; by any other than this machine's own, others can ask, too.
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,
    /// 0 takes any that is free.
    #[arg(long, default_value_t = 8000)]
    pub port: u16,
    /// The environment variable with the key that requests must bring.
    #[arg(long, value_name = "NAME")]
    pub api_key_env: Option<String>,
    /// Answers of a model that may wait; more are turned away with status 429.
    #[arg(long, default_value_t = 512, value_parser = at_least_one)]
    pub max_queue: usize,
    /// Draws for requests that name no seed and are not greedy.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Seconds that answers under way have, once a signal ends the server; a second signal ends it at once.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub end_within: u64,
}

#[derive(clap::Args)]
pub struct Plugins {
    #[command(subcommand)]
    pub command: PluginsCommand,
}

#[derive(Subcommand)]
pub enum PluginsCommand {
    /// The plugins a study may name: those that came with tunebench, and those added.
    List {
        #[arg(long)]
        json: bool,
    },
    /// Load a file as a study would, and say what each step of that found.
    #[command(after_help = "Example: tunebench plugins check target/debug/libmine.so")]
    Check {
        file: PathBuf,
        #[arg(long)]
        json: bool,
    },
    /// Let studies name a plugin file from now on, as long as it stays as it is.
    #[command(after_help = "Example: tunebench plugins add target/release/libmine.so

The file's SHA-256 is kept in plugins.lock, in $TUNEBENCH_HOME or else in tunebench/ under the user's configuration \
folder; a file that has changed is refused until it is added again.")]
    Add { file: PathBuf },
    /// Write a folder with a plugin to start from: it builds, passes its test and loads.
    #[command(after_help = "Example: tunebench plugins new tuner mine && cd mine && cargo test")]
    New(NewPlugin),
}

#[derive(clap::Args)]
pub struct NewPlugin {
    pub kind: PluginKind,
    /// Of the folder, the package and the plugin: lowercase letters, digits and -.
    pub name: String,
    /// A folder with tunebench-plugin-api to depend on, instead of a copy of it in NAME/vendor.
    #[arg(long, value_name = "FOLDER")]
    pub api: Option<PathBuf>,
    /// Where the folder NAME is made.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub out: PathBuf,
}

#[derive(Clone, Copy, clap::ValueEnum)]
pub enum PluginKind {
    Tuner,
    Dataset,
    Judge,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "a whole number of at least 1".to_owned())
}

fn temperature(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|t: &f64| t.is_finite() && *t >= 0.0).ok_or_else(|| "a number of at least 0".to_owned())
}
