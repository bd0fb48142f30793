//! A cluster as its nodes, read from TOML.

use serde::Deserialize;

use crate::error::Error;
use crate::slurm::WARNING;

/// More than any cluster has; each takes memory here.
const MOST_NODES: u64 = 1_000_000;

/// Nodes and limits.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    pub name: String,
    /// In the order in which they are filled.
    #[serde(rename = "node")]
    pub nodes: Vec<Node>,
    #[serde(default)]
    pub limits: Limits,
}

/// Nodes of one kind.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    pub name: String,
    pub count: u32,
    /// What tasks ask for a number of: cores, or cards.
    pub devices: u32,
    /// Bytes of a node, over all its devices.
    pub memory: u64,
    /// How fast a device is beside one of the machine on which times were forecast, for work that is given as time.
    #[serde(default = "one")]
    pub speed: f64,
    /// The most operations a second of a device, as its maker states.
    pub flops: Option<f64>,
    /// The part of them that training sustains: measured or assumed.
    pub utilisation: Option<f64>,
    /// Tokens a second of a device, measured, in place of `flops` and `utilisation`; of the model that all tasks train.
    pub tokens_per_second: Option<f64>,
    /// Bytes a second that each device sends while all of a node do. Without it nothing can be exchanged.
    pub bandwidth: Option<f64>,
    /// In any currency.
    #[serde(default)]
    pub cost_per_hour: f64,
}

/// What the partition allows.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The longest that the partition lets a task run at a stretch, in seconds.
    pub seconds: Option<f64>,
    /// How long a requeued task waits: two minutes where Slurm is not told otherwise.
    #[serde(default = "two_minutes")]
    pub requeue_seconds: f64,
    /// The most tasks that run at once.
    pub at_once: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { seconds: None, requeue_seconds: two_minutes(), at_once: None }
    }
}

impl Cluster {
    /// Reads a cluster, as `data/clusters/a100x8.toml` is one.
    ///
    /// # Errors
    /// [`Error::Value`] with the line, or with the number that makes no sense.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        let fault = |error: toml::de::Error| Error::value("the cluster", error.to_string().trim_end().to_owned());
        let cluster: Self = toml::from_str(text).map_err(fault)?;
        cluster.check()?;
        Ok(cluster)
    }

    /// # Errors
    /// [`Error::Value`] with the first number that makes no sense.
    pub fn check(&self) -> Result<(), Error> {
        let about = |what: &str| format!("cluster `{}`: {what}", self.name);
        let positive = |what: &str, value: Option<f64>| match value {
            Some(value) if !value.is_finite() || value <= 0.0 => {
                Err(Error::value(about(what), format!("{value} is not more than 0")))
            }
            _ => Ok(()),
        };
        if self.nodes.is_empty() {
            return Err(Error::value(about("node"), "there is none"));
        }
        if self.nodes.iter().map(|node| u64::from(node.count)).sum::<u64>() > MOST_NODES {
            return Err(Error::value(about("node"), format!("there are more than {MOST_NODES}")));
        }
        for node in &self.nodes {
            let what = |field: &str| format!("node `{}`: {field}", node.name);
            if node.count == 0 || node.devices == 0 || node.memory == 0 {
                return Err(Error::value(about(&what("count, devices and memory")), "are all to be more than 0"));
            }
            for (field, value) in [
                ("speed", Some(node.speed)),
                ("flops", node.flops),
                ("utilisation", node.utilisation),
                ("tokens_per_second", node.tokens_per_second),
                ("bandwidth", node.bandwidth),
            ] {
                positive(&what(field), value)?;
            }
            if node.utilisation.is_some_and(|part| part > 1.0) {
                return Err(Error::value(about(&what("utilisation")), "is a part of `flops`, at most 1"));
            }
            if node.flops.is_some() != node.utilisation.is_some()
                || (node.flops.is_some() && node.tokens_per_second.is_some())
            {
                let fault = "a rate is `flops` with `utilisation`, or `tokens_per_second`";
                return Err(Error::value(about(&what("rate")), fault));
            }
            if !node.cost_per_hour.is_finite() || node.cost_per_hour < 0.0 {
                return Err(Error::value(about(&what("cost_per_hour")), format!("{} is no price", node.cost_per_hour)));
            }
        }
        if self.limits.seconds.is_some_and(|limit| limit.is_nan() || limit <= f64::from(WARNING)) {
            let fault = format!("leaves no time to work: a task is stopped {WARNING} s before its time is up");
            return Err(Error::value(about("limits: seconds"), fault));
        }
        if !self.limits.requeue_seconds.is_finite() || self.limits.requeue_seconds < 0.0 {
            return Err(Error::value(about("limits: requeue_seconds"), "is no time"));
        }
        if self.limits.at_once == Some(0) {
            return Err(Error::value(about("limits: at_once"), "nothing would ever begin"));
        }
        Ok(())
    }
}

fn one() -> f64 {
    1.0
}

fn two_minutes() -> f64 {
    120.0
}
