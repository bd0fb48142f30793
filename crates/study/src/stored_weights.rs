//! How a model's weights are held when it is opened, known before one of them is read.

use std::collections::BTreeMap;

use tunebench_hub::Wanted;
use tunebench_model::QuantisedWeights;
use tunebench_model::formats::safetensors::Float;
use tunebench_peft::Inspection;
use tunebench_spec::Decoder;
use tunebench_spec::study::Model;

use crate::context::StudyContext;
use crate::error::StudyError;
use crate::hub_files::is_address;
use crate::model_files::{ModelFiles, quantised_by};

/// By name, the weights of a model that are held quantised, and what the numbers of others are, f32 where that is not said: by its
/// files, or by its shape where these are not here.
///
/// # Errors
/// When a file cannot be read, or a weight cannot be quantised.
pub fn stored_weights(
    context: &StudyContext,
    model: &Model,
    adapter: Option<&Inspection>,
    shape: &Decoder,
) -> Result<(QuantisedWeights, BTreeMap<String, Float>), StudyError> {
    if model.shape.is_none() && !model.source.starts_with("preset:") {
        let paths = context.paths(&model.source, Wanted::Config, model.hint.as_deref())?;
        // Of a folder on the hub the configuration alone may be here, and its weights are not in blocks.
        if let [source] = paths.as_slice()
            && (source.extension().is_some_and(|end| end.eq_ignore_ascii_case("gguf")) || !is_address(&model.source))
        {
            // Of an adapter that is yet to be fetched it is not known what it changes; that counts as all.
            if model.adapter.is_some() && adapter.is_none() && model.quantise.is_none() {
                return Ok(Default::default());
            }
            let files = ModelFiles { source: source.clone(), adapter: None, quantise: model.quantise };
            return Ok((files.quantised_with(adapter)?, files.open()?.floats()?));
        }
    }
    let quantised = model.quantise.map_or(Ok(QuantisedWeights::new()), |quantise| quantised_by(quantise, shape))?;
    Ok((quantised, known_floats(context, model)))
}

/// What the numbers of a folder on the hub are, where its weights are here already.
fn known_floats(context: &StudyContext, model: &Model) -> BTreeMap<String, Float> {
    if !is_address(&model.source) {
        return BTreeMap::new();
    }
    let paths = context.paths(&model.source, Wanted::Config, model.hint.as_deref()).unwrap_or_default();
    let [source] = paths.as_slice() else { return BTreeMap::new() };
    let files = ModelFiles { source: source.clone(), adapter: None, quantise: None };
    files.open().ok().and_then(|source| source.floats().ok()).unwrap_or_default()
}
