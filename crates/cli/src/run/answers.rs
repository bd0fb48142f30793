//! Generation: an arm's answers to the evaluation items, kept group by group.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use serde_json::json;
use tunebench_dataset::{Encoder, Unusable};
use tunebench_generate::{Prompt, Sampling, Settings, answer, groups};
use tunebench_llama::Llama;
use tunebench_spec::random::Stream;
use tunebench_spec::study::GenerationSettings;
use tunebench_spec::{Example, Generation, hash};

use super::arms::ENGINE;
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
}

impl Questions<'_> {
    /// Names the answers that the model of this identity gives: by what it is asked, not by how that is judged.
    pub fn identity(&self, model: &str, encoder: &Encoder) -> Result<String> {
        let GenerationSettings { max_new_tokens, temperature, batch_size } = self.settings;
        let asked: Vec<_> = self.items.iter().map(|item| (&item.id, &item.turns)).collect();
        let tokenizer = encoder.tokenizer().inner().to_string(false).map_err(|e| anyhow!("tokenizer: {e}"))?;
        Ok(hash::of_json(&json!({
            "answering": [ENGINE, ANSWERING_VERSION.to_string()],
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
    pub fn ask(&self, model: &Llama, encoder: &Encoder, path: &Path, arm: &str) -> Result<()> {
        let (mut file, found) = Lines::<Generation>::open(path)?;
        let done: Vec<String> = found.into_iter().map(|g| g.item).collect();
        let room = model.shape().max_position_embeddings;
        let mut prompts = Vec::new();
        let mut texts = Vec::new();
        for item in self.items {
            let found = encoder.prompt(&item.turns).and_then(|p| match p.tokens.len() {
                0 => Err(Unusable("the prompt is empty".into())),
                n if n >= room => Err(Unusable(format!("{n} tokens of prompt; the model has {room} positions"))),
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
        let mut progress = Progress::new("answering", prompts.len() as u64);
        let mut count = 0;
        for group in groups(&prompts, self.settings.batch_size) {
            count += group.len();
            let missing: Vec<usize> = (0..group.len()).filter(|&i| !done.contains(&texts[group[i]].0.id)).collect();
            if missing.is_empty() {
                continue;
            }
            let start = Instant::now();
            let asked: Vec<&Prompt> = group.iter().map(|&i| &prompts[i]).collect();
            let answers = answer(model, &asked, &settings).with_context(|| format!("arm `{arm}`"))?;
            let seconds = start.elapsed().as_secs_f64() / group.len() as f64;
            for i in missing {
                let (item, prompt) = &texts[group[i]];
                file.append(&Generation {
                    arm: arm.to_owned(),
                    item: item.id.clone(),
                    category: category(item),
                    prompt: prompt.clone(),
                    answer: encoder.tokenizer().decode(&answers[i].tokens)?.trim().to_owned(),
                    reference: item.reference.clone(),
                    prompt_tokens: asked[i].tokens.len() as u64,
                    new_tokens: answers[i].tokens.len() as u64,
                    finish: answers[i].finish.as_str().to_owned(),
                    seconds,
                })?;
            }
            progress.set(count as u64, "");
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
