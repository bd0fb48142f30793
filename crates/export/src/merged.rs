//! A Hugging Face folder of a model with its tuning folded in.

use std::path::Path;

use tunebench_model::formats::huggingface;
use tunebench_model::formats::safetensors::Float;
use tunebench_model::{Tuning, Weights, quantise};
use tunebench_spec::Decoder;

use crate::compare::{Scores, check_folding};
use crate::{Error, Report, Target, Trained, card, kept};

/// How the numbers are kept.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The format of all of them; that of the base model's file, each its own, where it is none.
    pub float: Option<Float>,
    /// Bytes of one file of weights at most.
    pub shard_bytes: u64,
}

/// Writes the folder, after its scores were compared with the model's.
///
/// # Errors
/// When the tuning cannot be folded in, a number does not fit its format, or what was written is another model.
pub fn write(model: Trained<'_>, target: &Target, options: Options) -> Result<Report, Error> {
    let Trained { shape, weights, tuning, tokenizer, base, about, backend } = model;
    let score = |weights: &Weights, tuning: Tuning| Scores::of(backend, shape, weights.clone(), tuning, tokenizer);
    let before = score(&weights, tuning.clone())?;
    let dequantised = quantise::dequantised(&weights);
    let merged = tuning.merge(shape, weights)?;
    check_folding(&before, &score(&merged, Tuning::none())?)?;

    let stored = base.map(|base| base.floats()).transpose()?.unwrap_or_default();
    let float = |name: &str| options.float.or(stored.get(name).copied()).unwrap_or(Float::F32);
    let most = prevailing(&merged, &float);
    let (mut said, mut files, mut difference) = (Vec::new(), Vec::new(), None);
    target.write(|dir| {
        said = kept::write(dir, shape, tokenizer, base, &about)?;
        said.extend(dequantised);
        files = huggingface::save_weights(dir, shape, &merged, &float, options.shard_bytes)?;
        card::write(dir, &about, base, "transformers", &format!("a Hugging Face folder, {}", most.torch_name()))?;
        let mut config = kept::config(shape, base, most)?;
        kept::name_base(&mut config, about.base_name);
        said.extend(kept::without_code(&mut config, "config.json"));
        if base.is_none_or(|base| base.folder().is_none()) {
            config["bos_token_id"] = tokenizer.bos.into();
            config["eos_token_id"] = tokenizer.eos.clone().into();
        }
        huggingface::save_config(dir, config)?;
        let after = reopened(dir, shape, &merged, &float, |weights| score(&weights, Tuning::none()))?;
        difference = Some(before.difference(&after));
        Ok(())
    })?;
    let count = if files.len() == 1 { "1 file of weights".into() } else { format!("{} files of weights", files.len()) };
    let what = format!("a Hugging Face folder, {}, {count}", most.torch_name());
    Ok(Report { what, difference: difference.unwrap_or_default(), said })
}

/// Opens what was written: the decoder must be the one that went in, and each weight the number that its format holds.
fn reopened(
    dir: &Path,
    shape: &Decoder,
    merged: &Weights,
    float: &dyn Fn(&str) -> Float,
    score: impl FnOnce(Weights) -> Result<Scores, Error>,
) -> Result<Scores, Error> {
    let source = tunebench_model::open(dir)?;
    let fault = |fault: String| Err(Error::Differs { what: "reading the export", fault });
    if source.shape != *shape {
        return fault("its configuration is that of another model".into());
    }
    let weights = source.weights()?;
    for (name, tensor) in merged.iter() {
        if weights.distance(name, &float(name).rounded(name, &tensor)?)? > 0.0 {
            return fault(format!("`{name}` does not come back as it was written"));
        }
    }
    score(weights)
}

/// The format that most numbers have.
fn prevailing(weights: &Weights, float: &dyn Fn(&str) -> Float) -> Float {
    let count = |of: Float| -> usize {
        let of_it = weights.stored().filter(|(name, _)| float(name) == of);
        of_it.map(|(_, stored)| stored.dims().iter().product::<usize>()).sum()
    };
    [Float::F16, Float::BF16, Float::F32].into_iter().max_by_key(|of| count(*of)).unwrap_or(Float::F32)
}
