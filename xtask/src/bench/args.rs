//! The options of `cargo xtask bench`, and what they mean together.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::ValueEnum;

use super::case::{Case, STREAMS, TUNERS, USUAL};

/// Names the model when no option does; `data/studies/smollm2.toml` reads it too.
const MODEL_VARIABLE: &str = "TUNEBENCH_SMOLLM2";

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Args {
    /// Model folder in Hugging Face's layout; unless given, the one that TUNEBENCH_SMOLLM2 names.
    #[arg(long, value_name = "DIR", conflicts_with = "preset")]
    pub model: Option<PathBuf>,
    /// A well-known shape with generated weights instead, e.g. llama-7b: training only, unless --only says otherwise.
    #[arg(long, value_name = "NAME", conflicts_with = "against")]
    pub preset: Option<String>,
    /// Run the other side too, in turn with ours.
    #[arg(long, value_enum)]
    pub against: Option<Peer>,
    /// A Python that has torch, transformers and peft, for --against peft, or vllm, for --against vllm.
    #[arg(long, value_name = "PATH", requires = "against", required_if_eq("against", "peft"))]
    pub python: Option<PathBuf>,
    /// What PyTorch computes in; auto takes the faster of f32 and bf16 on this CPU, and the tables say which.
    #[arg(long, value_enum, default_value_t = Dtype::Auto)]
    pub dtype: Dtype,
    /// The folder of llama.cpp's llama-batched-bench, or that program itself; for --against llamacpp.
    #[arg(long, value_name = "DIR", requires = "against")]
    pub llamacpp: Option<PathBuf>,
    /// GGUF files, from each of which both sides answer; for --against llamacpp.
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "against")]
    pub gguf: Vec<PathBuf>,
    /// Texts answered at once, instead of 1 and 64; may be given more than once. For --against llamacpp and vllm.
    #[arg(long, value_name = "N", requires = "against", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub streams: Vec<u16>,
    /// Our products at each level of CPU instructions that this CPU has; with --model also training and answering one
    /// text, as shares of what the machine can do.
    #[arg(long, conflicts_with_all = ["against", "preset", "only", "tuner", "cases"])]
    pub levels: bool,
    /// Times that each side is run; medians are reported.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    pub rounds: u16,
    /// One part instead of all.
    #[arg(long, value_enum)]
    pub only: Option<Part>,
    /// Tuners to train with, instead of all three; may be given more than once.
    #[arg(long, value_parser = TUNERS)]
    pub tuner: Vec<String>,
    /// Batches to train on, rows x tokens, instead of 4x256 and 2x1024; may be given more than once.
    #[arg(long = "case", value_name = "ROWSxTOKENS")]
    pub cases: Vec<Case>,
    /// Training steps that are timed.
    #[arg(long, default_value_t = 17, value_parser = clap::value_parser!(u16).range(1..))]
    pub steps: u16,
    /// Training steps before them; their losses are compared too.
    #[arg(long, default_value_t = 3)]
    pub warmup: u16,
    /// Threads of each side.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: u16,
    /// Engine of our side; unless given, its own choice.
    #[arg(long)]
    pub engine: Option<String>,
    /// Train with recomputed layers: less memory, more work. Theirs: gradient checkpointing.
    #[arg(long)]
    pub recompute: bool,
    /// One line of JSON instead of tables.
    #[arg(long)]
    pub json: bool,
}

/// What the other side can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Peer {
    /// PyTorch, transformers and PEFT: eager and compiled.
    Peft,
    /// llama.cpp's llama-batched-bench: answers alone, from GGUF files.
    #[value(name = "llamacpp")]
    LlamaCpp,
    /// vLLM's CPU build: answers alone, from a model folder.
    Vllm,
}

/// What the other side's weights and arithmetic are in, as its scripts spell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Dtype {
    Auto,
    Bf16,
    F32,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    Training,
    Generation,
    Kernels,
    /// What plugins cost.
    Boundary,
}

impl Args {
    pub fn has(&self, part: Part) -> bool {
        match (self.only, &self.preset) {
            (Some(only), _) => only == part,
            (None, Some(_)) => part == Part::Training,
            (None, None) => true,
        }
    }

    pub fn needs_model(&self) -> bool {
        match (self.only, self.against) {
            (Some(Part::Kernels | Part::Boundary), _) | (_, Some(Peer::LlamaCpp)) => false,
            _ => !self.levels || self.model.is_some(),
        }
    }

    /// Refuses options of another side than the one that is asked for.
    ///
    /// # Errors
    /// Names the first.
    pub fn check(&self) -> Result<()> {
        let Some(peer) = self.against else { return Ok(()) };
        let [peft, llamacpp, vllm] = [Peer::Peft, Peer::LlamaCpp, Peer::Vllm];
        let of: [(_, _, &[Peer]); 10] = [
            ("--python", self.python.is_some(), &[peft, vllm]),
            ("--model", self.model.is_some(), &[peft, vllm]),
            ("--only", self.only.is_some(), &[peft]),
            ("--tuner", !self.tuner.is_empty(), &[peft]),
            ("--case", !self.cases.is_empty(), &[peft]),
            ("--dtype", self.dtype != Dtype::Auto, &[peft]),
            ("--recompute", self.recompute, &[peft]),
            ("--llamacpp", self.llamacpp.is_some(), &[llamacpp]),
            ("--gguf", !self.gguf.is_empty(), &[llamacpp]),
            ("--streams", !self.streams.is_empty(), &[llamacpp, vllm]),
        ];
        match of.iter().find(|(_, is_given, of)| *is_given && !of.contains(&peer)) {
            Some((option, ..)) => bail!("--against {} does not know {option}; leave it out", name(peer)),
            None => Ok(()),
        }
    }

    /// Texts answered at once.
    pub fn streams(&self) -> Vec<usize> {
        match self.streams.as_slice() {
            [] => STREAMS.to_vec(),
            given => given.iter().map(|n| usize::from(*n)).collect(),
        }
    }

    pub fn cases(&self) -> Vec<Case> {
        if self.cases.is_empty() { USUAL.to_vec() } else { self.cases.clone() }
    }

    pub fn tuners(&self) -> Vec<&str> {
        if self.tuner.is_empty() { TUNERS.to_vec() } else { self.tuner.iter().map(String::as_str).collect() }
    }

    /// What the model is named by on our side; none where none is needed.
    pub fn model(&self) -> Result<Option<[String; 2]>> {
        if !self.needs_model() {
            return Ok(None);
        }
        if let Some(name) = &self.preset {
            return Ok(Some(["--preset".into(), name.clone()]));
        }
        let named = self.model.clone().or_else(|| std::env::var_os(MODEL_VARIABLE).map(PathBuf::from));
        let Some(folder) = named else {
            bail!(
                "which model? Give --model DIR or set {MODEL_VARIABLE}; only --only kernels and --only boundary need none"
            );
        };
        if !folder.join("config.json").is_file() {
            bail!("{}: no model folder; one holds config.json and model.safetensors", folder.display());
        }
        Ok(Some(["--model".into(), folder.to_string_lossy().into()]))
    }
}

/// A value as the command line spells it.
pub fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

#[cfg(test)]
pub mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    /// The options of a line of words.
    pub fn parse(line: &str) -> Result<Args> {
        let args = Line::try_parse_from(["bench"].into_iter().chain(line.split_whitespace()))?.args;
        args.check()?;
        Ok(args)
    }

    #[test]
    fn each_other_side_has_options_of_its_own() {
        let args = parse("--against llamacpp --llamacpp bin --gguf a.gguf b.gguf --streams 1 --streams 8").unwrap();
        assert_eq!((args.gguf.len(), args.streams(), args.needs_model()), (2, vec![1, 8], false));
        let args = parse("--model m --against peft --python p").unwrap();
        assert_eq!((args.dtype, args.streams(), args.needs_model()), (Dtype::Auto, vec![1, 64], true));
        for (line, want) in [
            ("--against peft", "--python <PATH>"),
            ("--python p", "--against <AGAINST>"),
            ("--gguf a", "--against <AGAINST>"),
            ("--against peft --python p --gguf a", "--against peft does not know --gguf; leave it out"),
            ("--against llamacpp --model m", "--against llamacpp does not know --model; leave it out"),
            ("--against vllm --python p --tuner ft", "--against vllm does not know --tuner; leave it out"),
            ("--against vllm --gguf a", "--against vllm does not know --gguf; leave it out"),
            ("--levels --only kernels", "cannot be used with"),
            ("--against llamacpp --streams 0", "1..=1024"),
        ] {
            let error = parse(line).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(want), "{line}: {error}");
        }
    }

    #[test]
    fn levels_need_a_model_only_to_train_it() {
        assert!(!parse("--levels").unwrap().needs_model());
        assert!(parse("--levels --model m").unwrap().needs_model());
        assert!(parse("").unwrap().needs_model());
    }
}
