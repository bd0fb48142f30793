//! Tasks, and how long each takes on a node.

use crate::error::Error;
use crate::simulation::cluster::Node;
use crate::submission::Submission;

/// Tasks that begin together.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulatedStage {
    pub name: String,
    /// In the order of their numbers.
    pub tasks: Vec<Task>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    pub name: String,
    pub work: Work,
    /// Devices of one node: cores, or cards.
    pub devices: u32,
    /// In bytes, over all of them.
    pub memory: u64,
}

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Work {
    /// Seconds on as many devices of the machine they were forecast for.
    Seconds(f64),
    /// A training, by the node's rate. What is exchanged is not overlapped with what is computed, so that this is the
    /// most it takes.
    Training {
        flops: f64,
        tokens: f64,
        steps: f64,
        /// Bytes that each device sends in a step.
        bytes_per_step: f64,
    },
}

impl Task {
    /// How long it takes on a node, in seconds.
    ///
    /// # Errors
    /// [`Error::Value`] when the node has no rate for it, or what comes out is no time.
    pub fn seconds(&self, node: &Node) -> Result<f64, Error> {
        let about = || format!("task `{}` on node `{}`", self.name, node.name);
        let devices = f64::from(self.devices);
        let seconds = match self.work {
            Work::Seconds(seconds) => seconds / node.speed,
            Work::Training { flops, tokens, steps, bytes_per_step } => {
                let compute = match (node.tokens_per_second, node.flops, node.utilisation) {
                    (Some(rate), _, _) => tokens / (rate * devices),
                    (None, Some(most), Some(part)) => flops / (most * part * devices),
                    _ => {
                        return Err(Error::value(
                            about(),
                            "the node states no rate: `flops` with `utilisation`, or `tokens_per_second`",
                        ));
                    }
                };
                let exchanged = if self.devices > 1 { steps * bytes_per_step } else { 0.0 };
                let exchange = match node.bandwidth {
                    Some(bandwidth) => exchanged / bandwidth,
                    None if exchanged > 0.0 => {
                        return Err(Error::value(about(), "its devices exchange, and the node states no `bandwidth`"));
                    }
                    None => 0.0,
                };
                compute + exchange
            }
        };
        if seconds.is_finite() && seconds >= 0.0 {
            Ok(seconds)
        } else {
            Err(Error::value(about(), format!("takes {seconds} s, which is no time")))
        }
    }
}

/// The stages of a submission and its join, in the times that it states.
///
/// # Errors
/// As [`Submission::check`].
pub fn stages(submission: &Submission) -> Result<Vec<SimulatedStage>, Error> {
    submission.check()?;
    let join = ("join", 1, submission.join);
    let all = submission.stages.iter().map(|stage| (stage.name.as_str(), stage.tasks, stage.needs)).chain([join]);
    let simulated = all.map(|(name, count, needs)| {
        let task = |number| Task {
            name: format!("{name} {number}"),
            work: Work::Seconds(needs.seconds),
            devices: needs.cpus,
            memory: needs.memory,
        };
        SimulatedStage { name: name.to_owned(), tasks: (0..count).map(task).collect() }
    });
    Ok(simulated.collect())
}
