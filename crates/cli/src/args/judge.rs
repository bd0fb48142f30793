//! What `tunebench judge` may be told.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct JudgeArgs {
    #[command(subcommand)]
    pub command: Option<JudgeCommand>,
    #[command(flatten)]
    pub again: JudgeAgainArgs,
}

#[derive(Subcommand)]
pub enum JudgeCommand {
    /// Mark answers yourself, without seeing whose they are, so that the judge's error can be reckoned with.
    #[command(after_help = "Example: tunebench judge calibrate runs/smollm2 --count 40")]
    Calibrate(CalibrateArgs),
    /// Show the judge answers that were changed on purpose: longer, claiming a mark, in another order, of another question.
    #[command(after_help = "Example: tunebench judge probe runs/smollm2 --answers 20")]
    Probe(ProbeArgs),
}

#[derive(clap::Args)]
pub struct JudgeAgainArgs {
    /// Run folder.
    #[arg(required = true)]
    pub dir: Option<PathBuf>,
    /// Plugin name of a judge that is added to those of the run; without it all of the run's judge.
    #[arg(long, value_name = "PLUGIN")]
    pub judge: Option<String>,
    /// What tables call it; the plugin's name by default.
    #[arg(long)]
    pub name: Option<String>,
    /// The model that it asks.
    #[arg(long)]
    pub model: Option<String>,
    /// An option of the judge; may be repeated.
    #[arg(long = "option", value_name = "NAME=VALUE")]
    pub options: Vec<String>,
    /// Whom it asks, or local:MODEL for a model that tunebench runs itself; the study's by default.
    #[arg(long, value_name = "URL")]
    pub base_url: Option<String>,
    /// A field of the study's [eval.chat] in another way, such as batch=true; may be repeated.
    #[arg(long, value_name = "NAME=VALUE")]
    pub chat: Vec<String>,
    /// The share of the items that it judges.
    #[arg(long)]
    pub share: Option<f64>,
    /// How often each answer is judged.
    #[arg(long, default_value_t = 1)]
    pub repeats: u32,
    /// The share of the items that are judged more than once.
    #[arg(long)]
    pub repeat_share: Option<f64>,
    /// Of a judge that compares: the arm or model that all others are compared with.
    #[arg(long)]
    pub baseline: Option<String>,
    /// Which answers are asked about again.
    #[arg(long, value_enum, default_value = "failed")]
    pub again: Again,
    /// Ask nobody: read the replies again that are kept.
    #[arg(long)]
    pub replay: bool,
    /// US dollars that this may cost.
    #[arg(long, value_name = "USD")]
    pub max_cost: Option<f64>,
    /// Say what it would cost, and ask nobody.
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
pub enum Again {
    /// Those that could not be asked about.
    Failed,
    /// Also those whose replies were empty, filtered, cut off or could not be read.
    Unscored,
}

impl From<Again> for tunebench_study::Again {
    fn from(again: Again) -> Self {
        match again {
            Again::Failed => Self::Failed,
            Again::Unscored => Self::Unscored,
        }
    }
}

#[derive(clap::Args)]
pub struct CalibrateArgs {
    /// Run folder.
    pub dir: PathBuf,
    /// Take the marks of this file, JSON lines of arm, seed, item and score, instead of asking.
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// How many answers to mark.
    #[arg(long, default_value_t = 40)]
    pub count: usize,
    /// Draws the answers.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Who marks.
    #[arg(long, default_value = "")]
    pub labeler: String,
}

#[derive(clap::Args)]
pub struct ProbeArgs {
    /// Run folder.
    pub dir: PathBuf,
    /// Name of the judge; the run's first by default.
    #[arg(long)]
    pub judge: Option<String>,
    /// How many answers are changed.
    #[arg(long, default_value_t = 20)]
    pub answers: usize,
    /// US dollars that this may cost.
    #[arg(long, value_name = "USD")]
    pub max_cost: Option<f64>,
}
