//! GGUF files of the `llama` architecture: shape, weights under Hugging Face names, and the tokenizer's metadata.

mod blocks;
mod header;
mod rope;
mod shape;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use tunebench_spec::ModelShape;

use crate::files::Reader;
use crate::weights::{check, place};
use crate::{Error, Weights};
pub(crate) use header::Value;
use header::{Header, TensorInfo};

/// Tensors outside the layers: GGUF name, Hugging Face name.
const OUTER: [(&str, &str); 3] = [
    ("token_embd.weight", "model.embed_tokens.weight"),
    ("output_norm.weight", "model.norm.weight"),
    ("output.weight", "lm_head.weight"),
];

/// Tensors of layer N, `blk.N.` and `model.layers.N.`.
const INNER: [(&str, &str); 9] = [
    ("attn_norm.weight", "input_layernorm.weight"),
    ("attn_q.weight", "self_attn.q_proj.weight"),
    ("attn_k.weight", "self_attn.k_proj.weight"),
    ("attn_v.weight", "self_attn.v_proj.weight"),
    ("attn_output.weight", "self_attn.o_proj.weight"),
    ("ffn_norm.weight", "post_attention_layernorm.weight"),
    ("ffn_gate.weight", "mlp.gate_proj.weight"),
    ("ffn_up.weight", "mlp.up_proj.weight"),
    ("ffn_down.weight", "mlp.down_proj.weight"),
];

/// Not a weight: factors of the rotary frequencies, turned into [`ModelShape::rope_scaling`].
const ROPE_FREQS: &str = "rope_freqs.weight";

/// A GGUF file whose header has been read and agrees with the shape it states.
pub struct GgufFile {
    path: PathBuf,
    shape: ModelShape,
    metadata: BTreeMap<String, Value>,
    /// By Hugging Face name.
    tensors: BTreeMap<String, TensorInfo>,
}

impl GgufFile {
    /// Reads and checks the header.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the header contradicts itself or the file's length, [`Error::Unsupported`] and its
    /// kin when it describes another architecture.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let mut header = Header::read(path)?;
        let rope_factors = match header.tensors.remove(ROPE_FREQS) {
            Some(info) => blocks::read(&mut Reader::open(path)?, ROPE_FREQS, &info)?.flatten_all()?.to_vec1()?,
            None => vec![],
        };
        let tied = !header.tensors.contains_key("output.weight");
        let shape = shape::from_metadata(path, &header.metadata, tied, &rope_factors)?;
        let tensors: BTreeMap<_, _> = header.tensors.into_iter().map(|(n, i)| (hugging_face_name(&n), i)).collect();
        let found = tensors.iter().map(|(name, i)| (name.clone(), i.shape.clone())).collect();
        check(&place(path), &shape, &found)?;
        Ok(Self { path: path.into(), shape, metadata: header.metadata, tensors })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn shape(&self) -> &ModelShape {
        &self.shape
    }

    /// Reads every weight, as f32 in Hugging Face's order of rows.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Corrupt`] when the file has changed since it was opened.
    pub fn weights(&self) -> Result<Weights, Error> {
        let mut reader = Reader::open(&self.path)?;
        let mut all = BTreeMap::new();
        for (name, info) in &self.tensors {
            let tensor = blocks::read(&mut reader, name, info)?;
            let tensor = match rotated_heads(name, &self.shape) {
                Some(heads) => halves_apart(&tensor, heads)?,
                None => tensor,
            };
            all.insert(name.clone(), tensor);
        }
        Weights::new(&self.shape, all)
    }

    pub(crate) fn metadata(&self, key: &str) -> Option<&Value> {
        self.metadata.get(key)
    }
}

/// A name that is not in the tables stays as it is, and is refused as unexpected.
fn hugging_face_name(name: &str) -> String {
    let outer = OUTER.iter().find(|(gguf, _)| *gguf == name).map(|(_, hf)| (*hf).to_string());
    let inner = || {
        let (layer, rest) = name.strip_prefix("blk.")?.split_once('.')?;
        let (_, hf) = INNER.iter().find(|(gguf, _)| *gguf == rest)?;
        Some(format!("model.layers.{layer}.{hf}"))
    };
    outer.or_else(inner).unwrap_or_else(|| name.to_string())
}

/// The number of heads of a projection whose output is rotated.
fn rotated_heads(name: &str, shape: &ModelShape) -> Option<usize> {
    let heads = [
        ("self_attn.q_proj.weight", shape.num_attention_heads),
        ("self_attn.k_proj.weight", shape.num_key_value_heads),
    ];
    heads.iter().find(|(end, _)| name.ends_with(end)).map(|(_, heads)| *heads)
}

/// llama.cpp rotates rows (2i, 2i+1) of a head `[e, d]` together, Hugging Face rows (i, i + e/2): reorders from
/// the first to the second. `[heads * e, d]` in and out.
fn halves_apart(tensor: &Tensor, heads: usize) -> Result<Tensor, Error> {
    let (rows, columns) = tensor.dims2()?;
    let pairs = tensor.reshape((heads, rows / heads / 2, 2, columns))?;
    Ok(pairs.transpose(1, 2)?.contiguous()?.reshape((rows, columns))?)
}
