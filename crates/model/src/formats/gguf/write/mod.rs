//! GGUF files for llama.cpp and what is built on it: what [`super::GgufFile`] reads, the other way round.

mod container;
mod metadata;
mod types;

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Tensor};
use tunebench_spec::Decoder;
use tunebench_spec::decoder::{ConfigError, Positions, RopeScaling, Rotary, Weight};

use super::block_type::{BlockType, Values};
use super::{GgufFile, Value, blocks, file_name, to_file};
use crate::families::{self, Gguf, GgufWindow};
use crate::rotary::rotation;
use crate::{Error, Tokenizer, Weights, tokenizer};
pub(crate) use container::Meta;
use container::Planned;
pub use types::GgufType;

/// Families that llama.cpp has under another's name.
const UNDER_ANOTHER_NAME: [(&str, &str); 1] = [("mistral", "llama")];

/// What a file is made of.
pub struct Content<'a> {
    pub shape: &'a Decoder,
    pub weights: &'a Weights,
    pub tokenizer: &'a Tokenizer,
    /// The token that fills batches, where the model names one.
    pub padding: Option<u32>,
    pub kind: GgufType,
    /// What the model is called.
    pub name: &'a str,
    /// In Jinja.
    pub chat_template: Option<&'a str>,
    /// The file that the model comes from: what it says of the tokenizer stays as it is.
    pub from: Option<&'a GgufFile>,
}

/// Writes a file, whole or not at all; and says what of the model it cannot say, a sentence each.
///
/// # Errors
/// [`Error::Config`] when llama.cpp has no such family, [`Error::Tokenizer`] when it cannot say such a tokenizer, and
/// [`Error::Type`] when a number does not fit the type that is asked for.
pub fn write(path: &Path, content: &Content<'_>) -> Result<Vec<String>, Error> {
    let Content { shape, weights, kind, .. } = content;
    let gguf = gguf_of(shape).map_err(|source| Error::Config { path: path.into(), source })?;
    let (context, mut said) = context(shape);
    let mut entries = general(content, gguf);
    let (own, factors) = metadata::of(shape, gguf, context);
    entries.extend(own);
    match content.from {
        Some(file) => entries.extend(file.metadata.iter().filter_map(kept)),
        None => {
            let (own, notes) = tokenizer::to_gguf::entries(content.tokenizer, shape.vocab_size)?;
            entries.extend(own);
            entries.extend(content.padding.map(|id| ("tokenizer.ggml.padding_token_id".into(), Meta::U32(id))));
            said.extend(notes);
        }
    }
    entries.extend(content.chat_template.map(|text| ("tokenizer.chat_template".into(), Meta::Text(text.into()))));
    let weights_of = shape.weights();
    let planned = |weight: &Weight| -> Result<Planned, Error> {
        let name = file_name(weight).ok_or_else(|| {
            let what = format!("llama.cpp has no name for `{}`", weight.name);
            Error::unsupported(path, what)
        })?;
        Ok(Planned { name, shape: weight.shape.clone(), block: kind.of(shape, weight) })
    };
    let mut tensors: Vec<Planned> = weights_of.iter().map(planned).collect::<Result<_, _>>()?;
    let f32 = BlockType::named("F32").expect("it is in the table");
    tensors.extend(factors.iter().map(|(name, factors)| Planned {
        name: (*name).into(),
        shape: vec![factors.len()],
        block: f32,
    }));
    container::write(path, &entries, &tensors, |i| match weights_of.get(i) {
        Some(weight) => {
            let tensor = to_file(&weights.get(&weight.name)?, weight, shape, gguf)?;
            encode(&weight.name, &tensor, tensors[i].block)
        }
        None => Ok(factors[i - weights_of.len()].1.iter().flat_map(|v| v.to_le_bytes()).collect()),
    })?;
    Ok(said)
}

/// The weights as they come back from a file of this kind: rounded, or cut into blocks and put together again.
///
/// # Errors
/// [`Error::Type`] when a number does not fit.
pub fn quantized(shape: &Decoder, weights: Weights, kind: GgufType) -> Result<Weights, Error> {
    let of: BTreeMap<String, Weight> = shape.weights().into_iter().map(|w| (w.name.clone(), w)).collect();
    let mut all = weights.into_map();
    for (name, tensor) in &mut all {
        let Some(block) = of.get(name).map(|weight| kind.of(shape, weight)) else { continue };
        // Blocks lie within rows, so the order of rows in the file changes none.
        let bytes = encode(name, tensor, block)?;
        *tensor = blocks::decode(block, tensor.dims(), bytes)?;
    }
    Weights::new(shape, all)
}

/// A decoder as it comes back from a file: under the family that llama.cpp has it as, without what changes nothing.
pub fn as_read(shape: &Decoder) -> Decoder {
    let mut read = Decoder { max_position_embeddings: context(shape).0, ..shape.clone() };
    if let Some((_, other)) = UNDER_ANOTHER_NAME.iter().find(|(own, _)| *own == shape.family) {
        read.family = (*other).into();
    }
    if window_of(shape) == GgufWindow::Unsaid {
        read.attention.window = None;
    }
    let factor = rotation(shape).map(|rotation| f64::from(rotation.factor));
    if let Positions::Rotary(Rotary { scaling, .. }) = &mut read.positions {
        match scaling {
            Some(RopeScaling::Dynamic { .. }) => *scaling = None,
            // The file has what its factor comes to.
            Some(RopeScaling::Longrope(longrope)) => (longrope.factor, longrope.attention_factor) = (None, factor),
            _ => {}
        }
    }
    read
}

/// What llama.cpp makes of a decoder's sliding window.
fn window_of(shape: &Decoder) -> GgufWindow {
    gguf_of(shape).map_or(GgufWindow::Unsaid, |gguf| gguf.window)
}

/// How llama.cpp keeps the family of a decoder.
///
/// # Errors
/// When it has no such family.
fn gguf_of(shape: &Decoder) -> Result<Gguf, ConfigError> {
    let name = UNDER_ANOTHER_NAME.iter().find(|(own, _)| *own == shape.family).map(|(_, other)| *other);
    let family = families::find(families::ALL, name.unwrap_or(&shape.family))?;
    family.gguf.ok_or_else(|| {
        let why = format!("llama.cpp has no models of the family `{}`; export merged writes a folder", shape.family);
        ConfigError::Unsupported(why)
    })
}

/// Positions that the file promises, and what is to be said of them.
fn context(shape: &Decoder) -> (usize, Vec<String>) {
    let longest = shape.max_position_embeddings;
    let Some(window) = shape.attention.window.as_ref().filter(|window| window.size < longest) else {
        return (longest, vec![]);
    };
    let size = window.size;
    match window_of(shape) {
        GgufWindow::Computed => (longest, vec![]),
        GgufWindow::Ignored => {
            let said = format!(
                "llama.cpp computes this family without its sliding window, so it answers otherwise beyond {size} positions"
            );
            (longest, vec![said])
        }
        GgufWindow::Unsaid => {
            let said = format!(
                "llama.cpp computes this family without its sliding window, so the file promises {size} positions and not {longest}"
            );
            (size, vec![said])
        }
    }
}

fn general(content: &Content<'_>, gguf: Gguf) -> Vec<(String, Meta)> {
    let text = |key: &str, text: &str| (key.to_owned(), Meta::Text(text.to_owned()));
    vec![
        text("general.architecture", gguf.architecture),
        text("general.type", "model"),
        text("general.name", content.name),
        ("general.file_type".into(), Meta::U32(content.kind.file_type())),
        ("general.quantization_version".into(), Meta::U32(2)),
    ]
}

/// What a file says of its tokenizer, in the types that its keys have; the template is that of the arm.
fn kept((key, value): (&String, &Value)) -> Option<(String, Meta)> {
    if !key.starts_with("tokenizer.") || key.starts_with("tokenizer.chat_template") {
        return None;
    }
    let value = match value {
        Value::Int(id) => u32::try_from(*id).map_or(Meta::I64(*id), Meta::U32),
        Value::Float(v) => Meta::F32(*v as f32),
        Value::Bool(v) => Meta::Bool(*v),
        Value::Text(text) => Meta::Text(text.clone()),
        Value::Texts(texts) => Meta::Texts(texts.clone()),
        Value::Ints(ids) => Meta::I32s(ids.iter().map(|id| *id as i32).collect()),
        Value::Floats(all) => Meta::F32s(all.iter().map(|v| *v as f32).collect()),
    };
    Some((key.clone(), value))
}

/// A tensor's bytes, `name` for the message.
fn encode(name: &str, tensor: &Tensor, block: &BlockType) -> Result<Vec<u8>, Error> {
    let fault = |found: String| Error::Type {
        place: format!("weights to be written as {}", block.name),
        name: name.into(),
        found,
        supported: "finite numbers that it can hold; BF16 and F32 hold all of them".into(),
    };
    let tensor = match block.values {
        Values::Plain(float) => float.rounded(name, tensor)?,
        Values::Blocks(_) => tensor.clone(),
    };
    let numbers: Vec<f32> = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    if let Some(number) = numbers.iter().find(|number| !number.is_finite()) {
        return Err(fault(format!("{:?} with the number {number}", tensor.dtype())));
    }
    block.encode(&numbers).ok_or_else(|| fault("a block type that is read only".into()))
}
