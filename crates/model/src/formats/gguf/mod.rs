//! GGUF files: shape, weights under their family's names, and the tokenizer's metadata.

mod block_type;
mod blocks;
mod header;
mod rope;
mod shape;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use tunebench_spec::Decoder;
use tunebench_spec::decoder::{Part, Weight};
use tunebench_spec::names::Role;

use crate::families::{Family, Gguf};
use crate::files::Reader;
use crate::weights::{check, place};
use crate::{Error, Weights};
pub(crate) use header::Value;
use header::{Header, TensorInfo};

/// Tensors by role; those of layer N have `blk.N.` in front, and `.weight` or `.bias` behind.
const NAMES: [(Role, &str); 14] = [
    (Role::Embedding, "token_embd"),
    (Role::FinalNorm, "output_norm"),
    (Role::Head, "output"),
    (Role::AttentionNorm, "attn_norm"),
    (Role::Query, "attn_q"),
    (Role::Key, "attn_k"),
    (Role::Value, "attn_v"),
    (Role::Output, "attn_output"),
    (Role::QueryNorm, "attn_q_norm"),
    (Role::KeyNorm, "attn_k_norm"),
    (Role::MlpNorm, "ffn_norm"),
    (Role::Gate, "ffn_gate"),
    (Role::Up, "ffn_up"),
    (Role::Down, "ffn_down"),
];

/// Not a weight: factors of the rotary frequencies, turned into the scaling of [`tunebench_spec::decoder::Positions::Rotary`].
const ROPE_FREQS: &str = "rope_freqs.weight";

/// A GGUF file whose header has been read and agrees with the shape it states.
pub struct GgufFile {
    path: PathBuf,
    shape: Decoder,
    gguf: Gguf,
    metadata: BTreeMap<String, Value>,
    /// What the file has of each weight.
    tensors: Vec<(Weight, TensorInfo)>,
}

impl GgufFile {
    /// Reads and checks the header.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the header contradicts itself or the file's length, [`Error::Unsupported`] and its
    /// kin when it describes another architecture.
    pub fn open(families: &[Family], path: &Path) -> Result<Self, Error> {
        let mut header = Header::read(path)?;
        let rope_factors = match header.tensors.remove(ROPE_FREQS) {
            Some(info) => blocks::read(&mut Reader::open(path)?, ROPE_FREQS, &info)?.flatten_all()?.to_vec1()?,
            None => vec![],
        };
        let (shape, gguf) = shape::read(families, path, &header, &rope_factors)?;
        let mut names = names(&shape);
        let (mut tensors, mut found) = (vec![], BTreeMap::new());
        for (name, info) in header.tensors {
            let weight = names.remove(&name);
            found.insert(weight.as_ref().map_or(name, |w| w.name.clone()), info.shape.clone());
            tensors.extend(weight.map(|weight| (weight, info)));
        }
        check(&place(path), &shape, &found)?;
        Ok(Self { path: path.into(), shape, gguf, metadata: header.metadata, tensors })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn shape(&self) -> &Decoder {
        &self.shape
    }

    /// Reads every weight, as f32 in Hugging Face's order of rows.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Corrupt`] when the file has changed since it was opened.
    pub fn weights(&self) -> Result<Weights, Error> {
        let mut reader = Reader::open(&self.path)?;
        let mut all = BTreeMap::new();
        for (weight, info) in &self.tensors {
            let tensor = blocks::read(&mut reader, &weight.name, info)?;
            let tensor = match rotated_heads(weight.role, &self.shape) {
                Some(heads) if self.gguf.has_rotary_pairs => halves_apart(&tensor, heads)?,
                _ => tensor,
            };
            all.insert(weight.name.clone(), tensor);
        }
        Weights::new(&self.shape, all)
    }

    pub(crate) fn metadata(&self, key: &str) -> Option<&Value> {
        self.metadata.get(key)
    }
}

/// The decoder's own name by GGUF's. A name that is not there stays as it is, and is refused as unexpected.
fn names(shape: &Decoder) -> BTreeMap<String, Weight> {
    let gguf: BTreeMap<Role, &str> = NAMES.into_iter().collect();
    let name = |weight: Weight| {
        let part = if weight.part == Part::Bias { "bias" } else { "weight" };
        let module = gguf.get(&weight.role)?;
        let name = match weight.layer {
            Some(layer) => format!("blk.{layer}.{module}.{part}"),
            None => format!("{module}.{part}"),
        };
        Some((name, weight))
    };
    shape.weights().into_iter().filter_map(name).collect()
}

/// The number of heads of a projection whose rows are rotated.
fn rotated_heads(role: Role, shape: &Decoder) -> Option<usize> {
    match role {
        Role::Query => Some(shape.attention.heads),
        Role::Key => Some(shape.attention.kv_heads),
        _ => None,
    }
}

/// llama.cpp rotates rows (2i, 2i+1) of a head `[e, d]` together, Hugging Face rows (i, i + e/2): reorders from
/// the first to the second. `[heads * e, …]` in and out.
fn halves_apart(tensor: &Tensor, heads: usize) -> Result<Tensor, Error> {
    let rows = tensor.dim(0)?;
    let pairs = tensor.reshape((heads, rows / heads / 2, 2, ()))?;
    Ok(pairs.transpose(1, 2)?.contiguous()?.reshape(tensor.dims())?)
}
