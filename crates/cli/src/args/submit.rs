//! What may be said to `submit` and `status`.

use std::path::PathBuf;

/// Where a study's work goes.
#[derive(clap::Args)]
pub struct SubmitArgs {
    /// Study file (TOML).
    pub file: PathBuf,
    /// Run folder, which all nodes see under this path; runs/NAME of the study by default.
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Only this arm and what it starts from; may be repeated.
    #[arg(long)]
    pub only: Vec<String>,
    /// To Slurm: an array of jobs for each depth of the chain of arms, and one that joins.
    #[arg(long, required_unless_present = "kubernetes", conflicts_with = "kubernetes")]
    pub slurm: bool,
    /// Print a manifest for Kubernetes, an Indexed Job; nothing is submitted.
    #[arg(long)]
    pub kubernetes: bool,
    /// Print the scripts, submit nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Cores of a task; those of this machine by default, one where the models are small.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub cpus: Option<u32>,
    /// How long a process on another node may give no sign before its work is taken over.
    #[arg(long, value_name = "SECONDS", default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..))]
    pub lost_after: u64,
    #[command(flatten)]
    pub slurm_options: SlurmArgs,
    #[command(flatten)]
    pub kubernetes_options: KubernetesArgs,
}

#[derive(clap::Args)]
#[command(next_help_heading = "Slurm")]
pub struct SlurmArgs {
    #[arg(long)]
    pub partition: Option<String>,
    #[arg(long)]
    pub account: Option<String>,
    #[arg(long)]
    pub qos: Option<String>,
    #[arg(long)]
    pub constraint: Option<String>,
    /// The longest that a job may run, in minutes: longer tasks are stopped in time, requeued, and go on.
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u32).range(1..))]
    pub time_limit: Option<u32>,
    /// Tasks of a stage that may run at once.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub at_once: Option<u32>,
    /// An option of sbatch as it is, as --sbatch=--gres=gpu:1; may be repeated.
    #[arg(long = "sbatch", value_name = "OPTION", allow_hyphen_values = true)]
    pub extra: Vec<String>,
}

#[derive(clap::Args)]
#[command(next_help_heading = "Kubernetes")]
pub struct KubernetesArgs {
    /// The container image that holds this program.
    #[arg(long, required_if_eq("kubernetes", "true"))]
    pub image: Option<String>,
    /// The PersistentVolumeClaim that all pods mount (ReadWriteMany).
    #[arg(long, required_if_eq("kubernetes", "true"))]
    pub claim: Option<String>,
    /// Where it is mounted; study file and run folder lie under it.
    #[arg(long, value_name = "PATH", required_if_eq("kubernetes", "true"))]
    pub mount: Option<PathBuf>,
    #[arg(long)]
    pub namespace: Option<String>,
    /// A secret whose keys become variables, such as a judge's key.
    #[arg(long)]
    pub secret: Option<String>,
}

#[derive(clap::Args)]
pub struct StatusArgs {
    /// Run folder.
    pub dir: PathBuf,
}
