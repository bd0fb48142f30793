//! A folder with a GGUF file for llama.cpp and a `Modelfile` for Ollama.

use serde_json::Value;
use tunebench_files::write_file;
use tunebench_model::formats::gguf::{self, Content, GgufType};
use tunebench_model::{Source, Tokenizer, Tuning, Weights, quantise};
use tunebench_spec::Decoder;

use crate::compare::{Scores, check_folding};
use crate::{Error, Report, Target, Trained, card, kept, modelfile};

/// How far a number may come back from where it went: norms of some families are written with 1 added.
const ROUNDING: f32 = 4e-7;

/// Text that its tokens must be the same in, by the file's tokenizer as by the model's own.
const TEXTS: [&str; 5] = [
    "Hello world,  it's 12:30! I'll be there.",
    "天空是什么颜色？请回答。\n\n“好的”……",
    "def f(x):\n\treturn x ** 2  # 3.14\r\n",
    "naïve Ünïcode — 😀 привет мир עולם",
    " leading and trailing  ",
];

/// Writes the folder, after the file was read again and its scores were compared with the model's.
///
/// # Errors
/// When llama.cpp has no such family or tokenizer, the tuning cannot be folded in, a number does not fit, or what was written
/// is another model.
pub fn write(model: Trained<'_>, target: &Target, kind: GgufType) -> Result<Report, Error> {
    let Trained { shape, weights, tuning, tokenizer, base, about, backend } = model;
    let score = |weights: &Weights, tuning: Tuning| Scores::of(backend, shape, weights.clone(), tuning, tokenizer);
    let before = score(&weights, tuning.clone())?;
    let dequantised = quantise::dequantised(&weights);
    let merged = tuning.merge(shape, weights)?;
    check_folding(&before, &score(&merged, Tuning::none())?)?;

    let file = format!("{}-{}.gguf", slug(&about.record.arm), kind.name());
    let content = Content {
        shape,
        weights: &merged,
        tokenizer,
        padding: base.and_then(|base| padding(base, tokenizer)),
        kind,
        name: &about.record.arm,
        chat_template: about.chat_template,
        from: base.filter(|base| is_same(base, tokenizer)).and_then(Source::gguf),
    };
    let (mut said, mut difference) = (Vec::new(), None);
    target.write(|dir| {
        let path = dir.join(&file);
        said = gguf::write(&path, &content)?;
        said.extend(dequantised);
        let source = tunebench_model::open(&path)?;
        check_decoder(shape, &source.shape)?;
        said.extend(check_tokens(tokenizer, &source.tokenizer()?)?);
        let found = source.weights()?;
        let held = gguf::quantized(shape, merged.clone(), kind)?;
        for (name, tensor) in held.iter() {
            let apart = found.distance(name, &tensor)?;
            if apart > ROUNDING {
                let fault = format!("`{name}` does not come back as it was written, but {apart:e} apart");
                return Err(Error::Differs { what: "reading the export", fault });
            }
        }
        difference = Some(before.difference(&score(&found, Tuning::none())?));
        let (text, notes) = modelfile::text(&file, tokenizer, &about);
        said.extend(notes);
        said.extend(begins_otherwise(tokenizer, about.chat_template));
        write_file(&dir.join("Modelfile"), |out| out.write_all(text.as_bytes()))?;
        kept::terms(dir, base)?;
        card::write(dir, &about, base, "gguf", &format!("GGUF, {}", kind.name()))
    })?;
    let what = format!("{file}, {}, with a Modelfile for Ollama", kind.name());
    Ok(Report { what, difference: difference.unwrap_or_default(), said })
}

/// What the file says must be the model, in numbers as wide as a file has them.
fn check_decoder(shape: &Decoder, found: &Decoder) -> Result<(), Error> {
    let rounded = |shape: &Decoder| serde_json::to_value(shape).map(in_f32).ok();
    if rounded(&gguf::as_read(shape)) == rounded(found) {
        return Ok(());
    }
    let fault = "its metadata say another model, so GGUF has no words for all of this one".to_owned();
    Err(Error::Differs { what: "reading the export", fault })
}

fn in_f32(value: Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().map_or(Value::Null, |number| ((number as f32) as f64).into()),
        Value::Array(all) => all.into_iter().map(in_f32).collect(),
        Value::Object(all) => all.into_iter().map(|(key, value)| (key, in_f32(value))).collect(),
        other => other,
    }
}

/// Whether the file cuts text as the model's tokenizer does.
fn check_tokens(own: &Tokenizer, found: &Tokenizer) -> Result<Option<String>, Error> {
    let ids = |tokenizer: &Tokenizer, text: &str| {
        tokenizer.inner.encode(text, true).map(|found| found.get_ids().to_vec()).unwrap_or_default()
    };
    if let Some(text) = TEXTS.iter().find(|text| ids(own, text) != ids(found, text)) {
        let fault = format!("the tokenizer in the file cuts {text:?} into other tokens than the model's own");
        return Err(Error::Differs { what: "reading the export", fault });
    }
    if own.eos.len() <= found.eos.len() {
        return Ok(None);
    }
    let left: Vec<String> = own.eos[found.eos.len()..].iter().filter_map(|id| own.inner.id_to_token(*id)).collect();
    Ok(Some(format!("a GGUF file names three tokens to stop at; give llama.cpp these as well: {}", left.join(" "))))
}

/// What to say where llama.cpp puts a token in front of each text that the template, and so training, does not.
fn begins_otherwise(tokenizer: &Tokenizer, template: Option<&str>) -> Option<String> {
    let bos = tokenizer.bos.filter(|_| tokenizer.prepends_bos()).and_then(|id| tokenizer.inner.id_to_token(id))?;
    let template = template?;
    (!template.contains("bos_token") && !template.contains(&bos)).then(|| {
        format!("llama.cpp puts `{bos}` in front of each prompt, as this tokenizer does, and the arm's template does not; give it --override-kv tokenizer.ggml.add_bos_token=bool:false to ask as it was trained")
    })
}

/// Whether the tokenizer is the one that the model brings.
fn is_same(base: &Source, tokenizer: &Tokenizer) -> bool {
    let text = |tokenizer: &Tokenizer| tokenizer.inner.to_string(false).ok();
    base.tokenizer()
        .is_ok_and(|own| own.bos == tokenizer.bos && own.eos == tokenizer.eos && text(&own) == text(tokenizer))
}

/// The token that fills batches, as the base model's folder names it.
fn padding(base: &Source, tokenizer: &Tokenizer) -> Option<u32> {
    let config: Value = tunebench_files::read_json(&base.folder()?.join("tokenizer_config.json")).ok()?;
    let named = &config["pad_token"];
    let token = named.as_str().or_else(|| named["content"].as_str())?;
    tokenizer.inner.token_to_id(token)
}

/// A name of a file: letters, digits and `-`.
fn slug(name: &str) -> String {
    let plain: String = name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
    let parts: Vec<&str> = plain.split('-').filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "model".into() } else { parts.join("-") }
}
