//! What a tuner does with each weight of a model, with the recorded graphs of what it adapts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::decoder::Decoder;
use crate::graph::Graph;
use crate::param::ParamSpec;
use crate::recipe::RecipeOverrides;
use crate::virtual_tokens::VirtualTokens;

/// A tuner's decision about every weight of a model, by name, what it puts in front of examples, and its recipe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TunePlan {
    pub weights: BTreeMap<String, WeightPlan>,
    /// What stands in front of every example, if anything does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_tokens: Option<VirtualTokens>,
    /// What the tuner recommends; a study may override each value.
    #[serde(default)]
    pub recipe: RecipeOverrides,
}

/// What happens to one weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum WeightPlan {
    Frozen,
    Trainable {
        /// Multiplies the learning rate.
        #[serde(default = "one")]
        lr_scale: f64,
    },
    /// Stays frozen, and its product is replaced by the tuner's recorded graph over new parameters.
    Adapted {
        params: Vec<ParamSpec>,
    },
}

fn one() -> f64 {
    1.0
}

impl TunePlan {
    /// Parameters that an optimizer updates: trainable weights, and the parameters of adapted ones and virtual tokens.
    pub fn trainable_params(&self, model: &Decoder) -> u64 {
        let sizes: BTreeMap<String, u64> = model.weights().into_iter().map(|w| (w.name.clone(), w.len())).collect();
        let count = |(name, plan): (&String, &WeightPlan)| match plan {
            WeightPlan::Frozen => 0,
            WeightPlan::Trainable { .. } => sizes.get(name).copied().unwrap_or(0),
            WeightPlan::Adapted { params } => params.iter().map(ParamSpec::len).sum(),
        };
        self.weights.iter().map(count).sum::<u64>() + self.virtual_params()
    }

    /// Parameters beyond the base model's own: those of adapted weights and of virtual tokens.
    pub fn additional_params(&self) -> u64 {
        self.adapted().flat_map(|(_, params)| params).map(ParamSpec::len).sum::<u64>() + self.virtual_params()
    }

    /// Number of virtual tokens in front of each example.
    pub fn virtual_count(&self) -> usize {
        self.virtual_tokens.as_ref().map_or(0, |tokens| tokens.count)
    }

    fn virtual_params(&self) -> u64 {
        self.virtual_tokens.iter().flat_map(|tokens| &tokens.params).map(ParamSpec::len).sum()
    }

    /// The adapted weights, in order of their names.
    pub fn adapted(&self) -> impl Iterator<Item = (&str, &[ParamSpec])> {
        self.weights.iter().filter_map(|(name, plan)| match plan {
            WeightPlan::Adapted { params } => Some((name.as_str(), params.as_slice())),
            _ => None,
        })
    }
}

/// The recorded graphs of one adapted weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SiteGraphs {
    /// `x [t, in] -> [t, out]`.
    pub forward: Graph,
    /// The weight with the adaptation folded in, `[out, in]`; none when the tuner cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge: Option<Graph>,
    /// Initial values of the parameters whose init is [`Init::Computed`], by parameter name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inits: BTreeMap<String, Graph>,
}

/// A plan with the graphs of all its sites: all that is needed to build, train and reopen a tuned model.
/// Equal graphs are stored once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RecordedPlan {
    pub plan: TunePlan,
    pub graphs: Vec<SiteGraphs>,
    /// Adapted weight name -> index into `graphs`.
    pub sites: BTreeMap<String, usize>,
    /// The virtual tokens of the plan, as [`VirtualTokens::shape`] says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_tokens: Option<Graph>,
}

impl RecordedPlan {
    /// The graphs of an adapted weight.
    pub fn graphs_of(&self, weight: &str) -> Option<&SiteGraphs> {
        self.graphs.get(*self.sites.get(weight)?)
    }
}
