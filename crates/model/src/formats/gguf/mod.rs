//! GGUF files: shape, weights under their family's names, and the tokenizer's metadata.

mod block_type;
mod blocks;
mod header;
mod keys;
mod quantize;
mod rope;
mod shape;
mod write;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::Tensor;
use tunebench_kernels::machine::mapping::Mapping;
use tunebench_spec::Decoder;
use tunebench_spec::decoder::{NormKind, Part, QkvLayout, Weight};
use tunebench_spec::names::Role;

use crate::families::{Family, Gguf};
use crate::files::Reader;
use crate::formats::safetensors::Float;
use crate::weights::{QuantisedWeight, QuantisedWeights, Stored, check, place};
use crate::{Error, Weights};
use block_type::Values;
pub(crate) use header::Value;
use header::{Header, TensorInfo};
use rope::RopeFactors;
pub(crate) use write::Meta;
pub use write::{Content, GgufType, as_read, quantized, write};

/// Tensors by role; those of layer N have `blk.N.` in front, and `.weight` or `.bias` behind.
const NAMES: [(Role, &str); 20] = [
    (Role::Embedding, "token_embd"),
    (Role::PositionEmbedding, "position_embd"),
    (Role::EmbeddingNorm, "token_embd_norm"),
    (Role::FinalNorm, "output_norm"),
    (Role::Head, "output"),
    (Role::AttentionNorm, "attn_norm"),
    (Role::Query, "attn_q"),
    (Role::Key, "attn_k"),
    (Role::Value, "attn_v"),
    (Role::QueryKeyValue, "attn_qkv"),
    (Role::Output, "attn_output"),
    (Role::QueryNorm, "attn_q_norm"),
    (Role::KeyNorm, "attn_k_norm"),
    (Role::PostAttentionNorm, "post_attention_norm"),
    (Role::MlpNorm, "ffn_norm"),
    (Role::PostMlpNorm, "post_ffw_norm"),
    (Role::Gate, "ffn_gate"),
    (Role::Up, "ffn_up"),
    (Role::GateUp, "ffn_up"),
    (Role::Down, "ffn_down"),
];

/// Not weights: factors of the rotary frequencies, turned into the scaling of [`tunebench_spec::decoder::Rotary`].
const ROPE_FREQS: &str = "rope_freqs.weight";
const ROPE_SHORT: &str = "rope_factors_short.weight";
const ROPE_LONG: &str = "rope_factors_long.weight";

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
        check_whole(path, &header)?;
        let mut factors = |name: &str| match header.tensors.remove(name) {
            Some(info) => Ok(blocks::read(&mut Reader::open(path)?, name, &info)?.flatten_all()?.to_vec1()?),
            None => Ok::<_, Error>(vec![]),
        };
        let factors =
            RopeFactors { divisors: factors(ROPE_FREQS)?, short: factors(ROPE_SHORT)?, long: factors(ROPE_LONG)? };
        let (shape, gguf) = shape::read(families, path, &header, &factors)?;
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

    /// What whoever uses the model should know of it, a sentence each: a GGUF file asks for nothing that is not done.
    pub fn notes(&self) -> &[String] {
        &[]
    }

    /// Reads every weight, and changes it, in Hugging Face's order of rows: matrices of blocks or of 16 bits a number as they are stored, the
    /// rest as f32.
    ///
    /// # Errors
    /// [`Error::NotFinite`] for a tensor with a number that is none; [`Error::Io`] or [`Error::Corrupt`] when the file has
    /// changed since it was opened.
    pub fn weights(&self, change: &dyn Fn(&str, Stored) -> Result<Stored, Error>) -> Result<Weights, Error> {
        let mut reader = Reader::open(&self.path)?;
        // Where the system cannot, the file is read.
        let mapping = File::open(&self.path).and_then(|file| Mapping::new(&file)).map(Arc::new).ok();
        let mut all = BTreeMap::new();
        for (weight, info) in &self.tensors {
            let order = self.row_order(weight);
            // Rows that lie in another order are copied, so the file's own need not stay in memory beside them.
            let in_file = mapping.as_ref().filter(|_| order.is_none());
            let stored = blocks::read_stored(&mut reader, in_file, &weight.name, info)?;
            let stored = match order {
                Some(order) => order.applied(stored)?,
                None => stored,
            };
            // llama.cpp keeps what a norm multiplies with, Hugging Face what is added to 1.
            let has_offset = weight.role.is_norm() && self.shape.norm.kind == NormKind::Rms { unit_offset: true };
            let stored = if has_offset { Stored::Plain((stored.tensor().as_ref() - 1.0)?) } else { stored };
            all.insert(weight.name.clone(), change(&weight.name, stored)?);
        }
        Weights::of_stored(&self.shape, all)
    }

    /// The order of rows that a weight has in the file, where it is another than Hugging Face's.
    fn row_order(&self, weight: &Weight) -> Option<RowOrder> {
        if let Some(heads) = rotated_heads(weight.role, &self.shape).filter(|_| self.gguf.has_rotary_pairs) {
            return Some(RowOrder::Pairs { heads });
        }
        let is_by_head = weight.role == Role::QueryKeyValue && self.shape.attention.qkv == QkvLayout::ByHead;
        is_by_head.then_some(RowOrder::ByKind { heads: self.shape.attention.heads })
    }

    /// The weights that are held quantised, by the decoder's name; all are mapped, where the system can, but those whose rows lie
    /// in another order than the decoder's.
    pub fn quantised(&self) -> QuantisedWeights {
        let in_blocks = |(weight, info): &(Weight, TensorInfo)| match info.block.values {
            Values::Blocks(kind) if info.shape.len() == 2 => {
                let is_mapped = cfg!(unix) && self.row_order(weight).is_none();
                Some((weight.name.clone(), QuantisedWeight { kind, bytes: info.size, is_mapped }))
            }
            _ => None,
        };
        self.tensors.iter().filter_map(in_blocks).collect()
    }

    /// How each weight is stored, by the decoder's name; those in blocks count as f32.
    pub fn floats(&self) -> BTreeMap<String, Float> {
        let float = |info: &TensorInfo| match info.block.values {
            Values::Plain(float) => float,
            Values::Blocks(_) => Float::F32,
        };
        self.tensors.iter().map(|(weight, info)| (weight.name.clone(), float(info))).collect()
    }

    pub(crate) fn metadata(&self, key: &str) -> Option<&Value> {
        self.metadata.get(key)
    }
}

/// Refuses one part of several: the first has all metadata, the others none.
fn check_whole(path: &Path, header: &Header) -> Result<(), Error> {
    let number = |key: &str| match header.metadata.get(key) {
        Some(Value::Int(number)) => *number,
        _ => 0,
    };
    let count = number("split.count");
    if count <= 1 || header.tensors.len() as i64 >= number("split.tensors.count") {
        return Ok(());
    }
    let part = number("split.no").saturating_add(1);
    let what = format!("is part {part} of {count}; join the parts with `llama-gguf-split --merge` and name the result");
    Err(Error::unsupported(path, what))
}

/// The decoder's own name by GGUF's. A name that is not there stays as it is, and is refused as unexpected.
fn names(shape: &Decoder) -> BTreeMap<String, Weight> {
    shape.weights().into_iter().filter_map(|weight| Some((file_name(&weight)?, weight))).collect()
}

/// What GGUF calls a weight.
fn file_name(weight: &Weight) -> Option<String> {
    let part = if weight.part == Part::Bias { "bias" } else { "weight" };
    let (_, module) = NAMES.iter().find(|(role, _)| *role == weight.role)?;
    Some(match weight.layer {
        Some(layer) => format!("blk.{layer}.{module}.{part}"),
        None => format!("{module}.{part}"),
    })
}

/// The number of heads of a projection whose rows are rotated.
fn rotated_heads(role: Role, shape: &Decoder) -> Option<usize> {
    match role {
        Role::Query => Some(shape.attention.heads),
        Role::Key => Some(shape.attention.kv_heads),
        _ => None,
    }
}

/// Orders of rows that a file has and Hugging Face has not. A row stays what it is, whatever its format.
enum RowOrder {
    /// llama.cpp rotates rows (2i, 2i+1) of a head together, Hugging Face rows (i, i + e/2).
    Pairs { heads: usize },
    /// llama.cpp keeps a fused weight as all queries, all keys, all values, Hugging Face for each head its three.
    ByKind { heads: usize },
}

impl RowOrder {
    /// From the file's order to Hugging Face's. `[rows, …]`, or without further axes, in and out.
    fn applied(&self, stored: Stored) -> Result<Stored, Error> {
        let tensor = match stored {
            Stored::Plain(tensor) => tensor,
            Stored::Quantised(tensor) => {
                let [rows, _] = tensor.dims();
                let tensor = Arc::unwrap_or_clone(tensor).with_rows(|row| self.in_file(row, rows));
                return Ok(Stored::Quantised(Arc::new(tensor)));
            }
        };
        let rows = tensor.dim(0)?;
        let order: Vec<u32> = (0..rows).map(|row| self.in_file(row, rows) as u32).collect();
        Ok(Stored::Plain(tensor.index_select(&Tensor::from_vec(order, rows, tensor.device())?, 0)?))
    }

    /// The row in the file that is Hugging Face's row `row` of so many.
    fn in_file(&self, row: usize, rows: usize) -> usize {
        match *self {
            Self::Pairs { heads } => {
                let width = rows / heads;
                let (head, within) = (row / width, row % width);
                head * width + within % (width / 2) * 2 + within / (width / 2)
            }
            Self::ByKind { heads } => {
                let width = rows / 3 / heads;
                let (head, kind, within) = (row / width / 3, row / width % 3, row % width);
                (kind * heads + head) * width + within
            }
        }
    }
}

/// A weight as a file has it: rotated rows in pairs, a fused `query_key_value` by kind and not by head, norms with their 1.
fn to_file(tensor: &Tensor, weight: &Weight, shape: &Decoder, gguf: Gguf) -> Result<Tensor, Error> {
    if let Some(heads) = rotated_heads(weight.role, shape).filter(|_| gguf.has_rotary_pairs) {
        let halves = tensor.reshape((heads, 2, tensor.dim(0)? / heads / 2, ()))?;
        return Ok(halves.transpose(1, 2)?.contiguous()?.reshape(tensor.dims())?);
    }
    if weight.role == Role::QueryKeyValue && shape.attention.qkv == QkvLayout::ByHead {
        let by_head = tensor.reshape((shape.attention.heads, 3, shape.attention.head_dim, ()))?;
        return Ok(by_head.transpose(0, 1)?.contiguous()?.reshape(tensor.dims())?);
    }
    let has_offset = shape.norm.kind == NormKind::Rms { unit_offset: true };
    if weight.role.is_norm() && has_offset { Ok((tensor + 1.0)?) } else { Ok(tensor.clone()) }
}
