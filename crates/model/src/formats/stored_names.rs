//! What a checkpoint's tensors are for, under the names that it has them by: a decoder's own, or those without the prefix of a
//! whole model, as checkpoints of the bare one have them.

use std::collections::{BTreeMap, BTreeSet};

use tunebench_spec::Decoder;
use tunebench_spec::names::Role;

/// The decoder's names of a checkpoint's tensors.
pub(crate) struct StoredNames {
    expected: BTreeSet<String>,
    /// What whole models have in front of the bare one's names: `model.`, `transformer.`, `gpt_neox.`.
    prefix: String,
}

impl StoredNames {
    /// Of a decoder's checkpoints; a head may be there, tied or not.
    pub fn new(shape: &Decoder) -> Self {
        let embedding = shape.weight_name(Role::Embedding, 0);
        let prefix = embedding.split_once('.').map_or_else(String::new, |(first, _)| format!("{first}."));
        let mut expected: BTreeSet<String> = shape.weights().into_iter().map(|weight| weight.name).collect();
        expected.insert(shape.weight_name(Role::Head, 0));
        Self { expected, prefix }
    }

    /// The decoder's name of the tensor that a file has as `stored`; the same where it has none.
    pub fn own(&self, stored: &str) -> String {
        let whole = format!("{}{stored}", self.prefix);
        if !self.expected.contains(stored) && self.expected.contains(&whole) { whole } else { stored.to_owned() }
    }
}

/// Buffers that old checkpoints carry and every reader leaves out: rotary frequencies, and masks of GPT-NeoX by name and
/// shape.
pub(crate) fn is_buffer(name: &str, dims: &[usize]) -> bool {
    name.ends_with(".rotary_emb.inv_freq")
        || name.ends_with(".attention.masked_bias") && dims.iter().product::<usize>() == 1
        || name.ends_with(".attention.bias") && dims.len() == 4
}

/// The tensors of some shapes by the decoder's names, or the two that would share one.
pub(crate) fn by_own_name<T>(
    names: &StoredNames,
    stored: impl IntoIterator<Item = (String, T)>,
) -> Result<BTreeMap<String, (String, T)>, [String; 2]> {
    let mut found: BTreeMap<String, (String, T)> = BTreeMap::new();
    for (name, of) in stored {
        let own = names.own(&name);
        if let Some((other, _)) = found.get(&own) {
            return Err([other.clone(), name]);
        }
        found.insert(own, (name, of));
    }
    Ok(found)
}
