//! Generation: an arm's answers to the evaluation items, kept one by one.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use serde_json::json;
use tunebench_dataset::{Encoder, Unusable};
use tunebench_generate::{Model, Prompt, Sampling, Settings, answer, groups};
use tunebench_spec::random::Stream;
use tunebench_spec::study::GenerationSettings;
use tunebench_spec::{Engine, Example, Generation, hash};

use super::folder::Lines;
use crate::progress::Progress;

/// The finish of an item that the model could not be asked.
pub const NOT_ASKED: &str = "not_asked";

/// Raised when a change of the code changes what is answered.
const ANSWERING_VERSION: u32 = 1;

/// What answers depend on beside the model.
pub struct Questions<'a> {
    pub items: &'a [Example],
    pub settings: &'a GenerationSettings,
    pub template: &'a str,
    pub seed: u64,
    pub engine: Engine,
}

impl Questions<'_> {
    /// Names the answers that the model of this identity gives: by what it is asked, not by how that is judged.
    pub fn identity(&self, model: &str, encoder: &Encoder) -> Result<String> {
        let GenerationSettings { max_new_tokens, temperature, batch_size } = self.settings;
        let asked: Vec<_> = self.items.iter().map(|item| (&item.id, &item.turns)).collect();
        let tokenizer = encoder.tokenizer().inner().to_string(false).map_err(|e| anyhow!("tokenizer: {e}"))?;
        Ok(hash::of_json(&json!({
            "answering": [self.engine.name(), ANSWERING_VERSION.to_string()],
            "model": model,
            "items": asked,
            "template": self.template,
            "tokenizer": hash::of_bytes(tokenizer.as_bytes()),
            "stop": encoder.stop_tokens(),
            "seed": self.seed,
            "settings": [max_new_tokens, batch_size],
            "temperature": temperature,
        }))?)
    }

    /// The answers that are already there, in the order of the items; `None` when some are missing.
    pub fn finished(&self, path: &Path, arm: &str) -> Result<Option<Vec<Generation>>> {
        if !path.exists() {
            return Ok(None);
        }
        let (_, found) = Lines::<Generation>::open(path)?;
        let mut found: BTreeMap<String, Generation> = found.into_iter().map(|g| (g.item.clone(), g)).collect();
        let answers = self.items.iter().map(|item| {
            let (arm, reference) = (arm.to_owned(), item.reference.clone());
            Some(Generation { arm, category: category(item), reference, ..found.remove(&item.id)? })
        });
        Ok(answers.collect())
    }

    /// Answers what is not answered yet.
    pub fn ask(&self, model: &Model, encoder: &Encoder, path: &Path, arm: &str) -> Result<()> {
        let (mut file, found) = Lines::<Generation>::open(path)?;
        let done: Vec<String> = found.into_iter().map(|g| g.item).collect();
        let room = model.positions();
        let mut prompts = Vec::new();
        let mut texts = Vec::new();
        for item in self.items {
            let found = encoder.prompt(&item.turns).and_then(|p| match p.tokens.len() {
                0 => Err(Unusable("the prompt is empty".into())),
                n if n >= room => Err(Unusable(format!("{n} tokens of prompt; the model has positions for {room}"))),
                _ => Ok(p),
            });
            match found {
                Ok(prompt) => {
                    let key = Stream::named(self.seed, &item.id).next_u64();
                    prompts.push(Prompt { tokens: prompt.tokens, key });
                    texts.push((item, prompt.text));
                }
                Err(reason) if !done.contains(&item.id) => file.append(&not_asked(arm, item, &reason))?,
                Err(_) => {}
            }
        }
        let sampling = Sampling::new(self.settings.temperature, self.seed);
        let stop_tokens = encoder.stop_tokens().to_vec();
        let settings = Settings { max_new_tokens: self.settings.max_new_tokens, sampling, stop_tokens };
        // Where an answer depends on the company it was made in, the groups are the same whatever is done already, and
        // one that was broken off is answered again as a whole.
        let places = self.settings.batch_size;
        let is_missing = |i: &usize| !done.contains(&texts[*i].0.id);
        let mut groups = groups(&prompts, if model.has_independent_rows() { usize::MAX } else { places });
        if model.has_independent_rows() {
            groups.iter_mut().for_each(|group| group.retain(is_missing));
        }
        let mut progress = Progress::new("answering", prompts.len() as u64);
        let mut count = done.len();
        for group in groups.iter().filter(|group| group.iter().any(&is_missing)) {
            let asked: Vec<&Prompt> = group.iter().map(|&i| &prompts[i]).collect();
            let mut last = Instant::now();
            answer(model, &asked, &settings, places, &mut |i, found| -> Result<()> {
                // Answers are made side by side: the seconds of each are those since the one before it.
                let seconds = std::mem::replace(&mut last, Instant::now()).elapsed().as_secs_f64();
                let (item, prompt) = &texts[group[i]];
                if !is_missing(&group[i]) {
                    return Ok(());
                }
                count += 1;
                progress.set(count as u64, "");
                file.append(&Generation {
                    arm: arm.to_owned(),
                    item: item.id.clone(),
                    category: category(item),
                    prompt: prompt.clone(),
                    answer: encoder.tokenizer().decode(&found.tokens)?.trim().to_owned(),
                    reference: item.reference.clone(),
                    prompt_tokens: asked[i].tokens.len() as u64,
                    new_tokens: found.tokens.len() as u64,
                    finish: found.finish.as_str().to_owned(),
                    seconds,
                })
            })
            .with_context(|| format!("arm `{arm}`"))?;
        }
        Ok(())
    }
}

fn category(item: &Example) -> String {
    item.category.clone().unwrap_or_else(|| "all".to_owned())
}

fn not_asked(arm: &str, item: &Example, reason: &Unusable) -> Generation {
    Generation {
        arm: arm.to_owned(),
        item: item.id.clone(),
        category: category(item),
        prompt: format!("(not asked: {reason})"),
        answer: String::new(),
        reference: item.reference.clone(),
        prompt_tokens: 0,
        new_tokens: 0,
        finish: NOT_ASKED.to_owned(),
        seconds: 0.0,
    }
}
