//! Generation: a model's answers to the evaluation items, kept one by one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use tunebench_dataset::Unusable;
use tunebench_files::JsonLines;
use tunebench_generate::{Answer, Prompt, Sampling, Settings, answer, groups};
use tunebench_model::backend::{Backend, Generator};
use tunebench_spec::random::Stream;
use tunebench_spec::study::GenerationSettings;
use tunebench_spec::{Example, Generation, hash};

use crate::error::StudyError;
use crate::model_encoder::ModelEncoder;
use crate::model_key::ModelKey;
use crate::observer::{Event, Observer, Stop};
use crate::prompts::{KnownPrompts, Prompts};
use crate::ranks::Ranks;

/// The finish of an item that the model could not be asked.
pub const SKIPPED: &str = "not_asked";

/// Raised when a change of the code changes what is answered.
const ANSWERING_VERSION: u32 = 1;

const REMEDY: &str = "delete the file to make it anew";

/// What generations depend on beside the model.
pub struct GenerationRequest<'a> {
    pub items: &'a [Example],
    pub settings: &'a GenerationSettings,
    pub encoder: &'a ModelEncoder,
    /// Who answers: a name only, which may change.
    pub model: &'a ModelKey,
    pub seed: u64,
    pub backend: &'static dyn Backend,
    /// What other models were asked.
    pub known: &'a KnownPrompts,
}

/// The items that a model can be asked, and those that it cannot.
pub struct AskedItems<'a> {
    pub prompts: Vec<Prompt>,
    /// Item and text of each prompt.
    pub items: Vec<(&'a Example, &'a str)>,
    skipped: Vec<(&'a Example, &'a Unusable)>,
}

/// Which of several things a rank does: every so many-th.
#[derive(Clone, Copy)]
struct Share {
    rank: usize,
    size: usize,
}

impl Share {
    fn of<T>(self, all: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
        all.skip(self.rank).step_by(self.size)
    }
}

/// A file of generations, open for more.
pub struct AnswerFile {
    path: PathBuf,
    file: JsonLines<Generation>,
    /// The items that are answered there.
    pub done: BTreeSet<String>,
}

impl AnswerFile {
    fn open(path: &Path) -> Result<Self, StudyError> {
        // Another machine may have made the folder, and that not be seen here yet.
        path.parent().map_or(Ok(()), tunebench_files::create_folder)?;
        let (file, found) = JsonLines::<Generation>::open(path).map_err(damaged)?;
        Ok(Self { path: path.to_owned(), file, done: found.into_iter().map(|found| found.item).collect() })
    }

    /// Adds an answer.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append(&mut self, generation: &Generation) -> Result<(), StudyError> {
        self.file.append(generation)?;
        Ok(())
    }

    /// Takes over what other ranks have answered, in this run or in one that was killed.
    fn take_parts(&mut self) -> Result<Vec<Generation>, StudyError> {
        let mut taken = Vec::new();
        for path in parts(&self.path)? {
            let (file, found) = JsonLines::<Generation>::open(&path).map_err(damaged)?;
            for generation in found {
                if self.done.insert(generation.item.clone()) {
                    self.file.append(&generation)?;
                    taken.push(generation);
                }
            }
            self.file.sync()?;
            drop(file);
            std::fs::remove_file(&path)?;
        }
        Ok(taken)
    }
}

/// The file of what another rank than the first answers.
fn part(path: &Path, rank: usize) -> PathBuf {
    path.with_extension(format!("rank-{rank}.jsonl"))
}

/// Such files that are there.
fn parts(path: &Path) -> Result<Vec<PathBuf>, StudyError> {
    let (Some(folder), Some(stem)) = (path.parent(), path.file_stem()) else { return Ok(Vec::new()) };
    let begin = format!("{}.rank-", stem.to_string_lossy());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&begin) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

impl<'a> GenerationRequest<'a> {
    /// Names the answers of the model with this identity: by what it is asked, not by how that is judged.
    ///
    /// # Errors
    /// When an item has no JSON form.
    pub fn identity(&self, model: &str) -> Result<String, StudyError> {
        let GenerationSettings { max_new_tokens, temperature, batch_size, .. } = self.settings;
        let asked: Vec<_> = self.items.iter().map(|item| (&item.id, &item.turns)).collect();
        let mut named = json!({
            "answering": [self.backend.name(), ANSWERING_VERSION.to_string()],
            "model": model,
            "items": asked,
            "template": self.encoder.encoder.template_identity(),
            "tokenizer": self.encoder.tokenizer_hash,
            "stop": self.encoder.encoder.stop_tokens(),
            "seed": self.seed,
            "settings": [max_new_tokens, batch_size],
            "temperature": temperature,
        });
        // Absent where it says nothing, so that answers from before it was there keep their name.
        if self.encoder.encoder.adds_bos() {
            named["add_bos_token"] = true.into();
        }
        Ok(hash::of_json(&named)?)
    }

    /// The generations that are already there, in the order of the items, under the model's present name; `None` when
    /// some are missing.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn finished(&self, path: &Path) -> Result<Option<Vec<Generation>>, StudyError> {
        let found: Vec<Generation> = tunebench_files::read_lines(path).map_err(damaged)?;
        let mut found: BTreeMap<String, Generation> = found.into_iter().map(|g| (g.item.clone(), g)).collect();
        let generations = self.items.iter().map(|item| {
            let found = found.remove(&item.id)?;
            let Generation { arm, seed, category, reference, item_hash, .. } = self.empty(item);
            let prompt_hash = self.prompt_hash(&found.prompt);
            Some(Generation { arm, seed, category, reference, item_hash, prompt_hash, ..found })
        });
        Ok(generations.collect())
    }

    /// Answers what is not answered yet: each rank some of it, which the first one brings together.
    ///
    /// # Errors
    /// When the model fails, or a file is damaged or cannot be written, on any rank.
    pub fn generate(
        &self,
        model: &dyn Generator,
        path: &Path,
        ranks: &mut Ranks<'_>,
        observer: &mut dyn Observer,
    ) -> Result<(), StudyError> {
        let known = self.known_prompts(model.positions());
        let prompts = self.asked_items(&known);
        let mut all = None;
        let done = ranks.told_by_first(|| {
            let found = self.open(path, &prompts)?;
            let done = found.done.clone();
            all = Some(found);
            Ok(done)
        })?;
        let share = Share { rank: ranks.rank(), size: ranks.size() };
        let answered = match &mut all {
            Some(all) => self.answer(model, &prompts, &done, share, &mut all.file, observer),
            None => AnswerFile::open(&part(path, share.rank))
                .and_then(|mut own| self.answer(model, &prompts, &done, share, &mut own.file, observer)),
        };
        // Where one was stopped or failed, all that was answered stays in its file until the next time.
        let answered = ranks.agree(answered)?;
        let taken = all.as_mut().map_or(Ok(Vec::new()), AnswerFile::take_parts)?;
        for (done, generation) in (answered + 1..).zip(&taken) {
            observer.on_event(&Event::Generated { done, generation });
        }
        Ok(())
    }

    /// Opens the file of the answers for more, with those in it that the model cannot give.
    ///
    /// # Errors
    /// When it is damaged or cannot be written.
    pub fn open(&self, path: &Path, asked: &AskedItems<'_>) -> Result<AnswerFile, StudyError> {
        let mut found = AnswerFile::open(path)?;
        found.take_parts()?;
        for (item, reason) in asked.skipped.iter().filter(|(item, _)| !found.done.contains(&item.id)) {
            found.file.append(&self.skipped(item, reason))?;
        }
        Ok(found)
    }

    /// Answers a rank's share of what is not done; how many are, then, as far as this rank knows.
    fn answer(
        &self,
        model: &dyn Generator,
        asked: &AskedItems<'_>,
        done: &BTreeSet<String>,
        share: Share,
        file: &mut JsonLines<Generation>,
        observer: &mut dyn Observer,
    ) -> Result<usize, StudyError> {
        let AskedItems { prompts, items, .. } = asked;
        // Where an answer depends on the company it was made in, the groups are the same whatever is done already, and
        // one that was broken off is answered again as a whole.
        let slots = self.settings.batch_size;
        let is_missing = |i: &usize| !done.contains(&items[*i].0.id);
        let mut groups = groups(prompts, if model.has_independent_rows() { usize::MAX } else { slots });
        if model.has_independent_rows() {
            groups.iter_mut().for_each(|group| {
                group.retain(is_missing);
                *group = share.of(group.iter().copied()).collect();
            });
        } else {
            groups = share.of(groups.into_iter().filter(|group| group.iter().any(&is_missing))).collect();
        }
        let mut count = done.len();
        observer.on_event(&Event::GenerationStarted { model: self.model, items: prompts.len(), done: count });
        let settings = self.settings();
        for group in groups.iter().filter(|group| group.iter().any(&is_missing)) {
            let together: Vec<&Prompt> = group.iter().map(|&i| &prompts[i]).collect();
            let mut last = Instant::now();
            answer(model, &together, &settings, slots, &mut |i, found| -> Result<(), StudyError> {
                // Answers are made side by side: the seconds of each are those since the one before it.
                let seconds = std::mem::replace(&mut last, Instant::now()).elapsed().as_secs_f64();
                if !is_missing(&group[i]) {
                    return Ok(());
                }
                let generation = self.answered(asked, group[i], &found, seconds)?;
                file.append(&generation)?;
                count += 1;
                observer.on_event(&Event::Generated { done: count, generation: &generation });
                if observer.stop() == Stop::No { Ok(()) } else { Err(StudyError::Stopped) }
            })
            .map_err(|error| match error {
                StudyError::Stopped => StudyError::Stopped,
                error => StudyError::Arm { arm: self.model.to_string(), source: Box::new(error) },
            })?;
        }
        Ok(count)
    }

    /// What is kept of the answer to a prompt, by its number.
    ///
    /// # Errors
    /// When its tokens are no text.
    pub fn answered(
        &self,
        asked: &AskedItems<'_>,
        number: usize,
        found: &Answer,
        seconds: f64,
    ) -> Result<Generation, StudyError> {
        let (item, prompt) = &asked.items[number];
        Ok(Generation {
            prompt: (*prompt).to_owned(),
            answer: self.encoder.encoder.tokenizer().decode(&found.tokens)?.trim().to_owned(),
            prompt_tokens: asked.prompts[number].tokens.len() as u64,
            new_tokens: found.tokens.len() as u64,
            finish: found.finish.as_str().to_owned(),
            seconds,
            ..self.empty(item)
        })
    }

    /// Tokens of the longest prompt with its answer, of a model with so many positions.
    pub fn longest(&self, positions: usize) -> usize {
        let known = self.known_prompts(positions);
        let longest = known.iter().flatten().map(|prompt| prompt.tokens.len()).max().unwrap_or(0);
        positions.min(longest + self.settings.max_new_tokens)
    }

    /// The items as prompts of a model with so many positions, tokenized once for all that read them alike.
    pub fn known_prompts(&self, positions: usize) -> Arc<Prompts> {
        self.known.of(self.items, self.encoder, positions)
    }

    /// The items as this model is asked them: what is drawn for each is its own.
    pub fn asked_items<'p>(&'p self, known: &'p Prompts) -> AskedItems<'p> {
        let mut all = AskedItems { prompts: Vec::new(), items: Vec::new(), skipped: Vec::new() };
        for (item, prompt) in self.items.iter().zip(known) {
            match prompt {
                Ok(prompt) => {
                    let key = Stream::named(self.seed, &item.id).next_u64();
                    all.prompts.push(Prompt { tokens: prompt.tokens.clone(), key, adapter: 0 });
                    all.items.push((item, &prompt.text));
                }
                Err(reason) => all.skipped.push((item, reason)),
            }
        }
        all
    }

    /// The model could not be asked, and why.
    fn skipped(&self, item: &Example, reason: &Unusable) -> Generation {
        Generation { prompt: format!("(not asked: {reason})"), ..self.empty(item) }
    }

    /// No answer to an item.
    fn empty(&self, item: &Example) -> Generation {
        Generation {
            arm: self.model.arm.clone(),
            seed: self.model.seed,
            item: item.id.clone(),
            item_hash: item_hash(item),
            prompt_hash: String::new(),
            category: category(item),
            prompt: String::new(),
            answer: String::new(),
            reference: item.reference.clone(),
            prompt_tokens: 0,
            new_tokens: 0,
            finish: SKIPPED.to_owned(),
            seconds: 0.0,
        }
    }

    /// SHA-256 of a prompt and of the settings of generation.
    fn prompt_hash(&self, prompt: &str) -> String {
        let GenerationSettings { max_new_tokens, temperature, .. } = self.settings;
        hash::of_bytes(json!([prompt, max_new_tokens, temperature]).to_string().as_bytes())
    }

    /// How they are answered.
    pub fn settings(&self) -> Settings {
        Settings {
            max_new_tokens: self.settings.max_new_tokens,
            sampling: Sampling::new(self.settings.temperature, self.seed),
            stop_tokens: self.encoder.encoder.stop_tokens().to_vec(),
            top_logprobs: None,
            constraint: None,
        }
    }
}

/// SHA-256 of what an item is, whatever its id: turns, category and reference.
pub fn item_hash(item: &Example) -> String {
    hash::of_bytes(json!([item.turns, item.category, item.reference]).to_string().as_bytes())
}

fn category(item: &Example) -> String {
    item.category.clone().unwrap_or_else(|| "all".to_owned())
}

fn damaged(source: tunebench_files::Error) -> StudyError {
    match source {
        tunebench_files::Error::Line { .. } => StudyError::Damaged { source, remedy: REMEDY },
        other => other.into(),
    }
}
