//! A trained arm that answers questions.

use std::path::Path;

use tunebench_dataset::Unusable;
use tunebench_generate::{Prompt, Sampling, Settings, answer};
use tunebench_model::backend::{Backend, Generator, Parts};
use tunebench_spec::{Role, Turn};

use crate::error::StudyError;
use crate::model_encoder::ModelEncoder;
use crate::trained_arm::{self, TrainedArm};

/// A trained arm, ready to answer. Each question is a conversation of its own.
pub struct Chat {
    model: Box<dyn Generator>,
    encoder: ModelEncoder,
    settings: Settings,
}

impl Chat {
    /// Opens an arm of a run folder. `temperature` 0 is greedy.
    ///
    /// # Errors
    /// When there is no such arm, or it cannot be opened.
    pub fn open(
        root: &Path,
        arm: &str,
        backend: &'static dyn Backend,
        max_new_tokens: usize,
        temperature: f64,
    ) -> Result<Self, StudyError> {
        let TrainedArm { file, weights, tuning, tokenizer } = trained_arm::find(root, arm)?;
        let model = backend.generator(Parts { shape: &file.shape, weights, tuning })?;
        let encoder = ModelEncoder::new(file.form(), tokenizer, file.shape.vocab_size)?;
        let sampling = Sampling::new(temperature, file.record.seed);
        let stop_tokens = encoder.encoder.stop_tokens().to_vec();
        let settings = Settings { max_new_tokens, sampling, stop_tokens, top_logprobs: None, constraint: None };
        Ok(Self { model, encoder, settings })
    }

    /// The answer to a question, or why the model cannot be asked it; `key` decides what is drawn.
    ///
    /// # Errors
    /// When the model fails.
    pub fn ask(&self, question: &str, key: u64) -> Result<Result<String, Unusable>, StudyError> {
        let turn = Turn::new(Role::User, question);
        let tokens = match self.encoder.encoder.prompt(&[turn]) {
            Ok(prompt) if prompt.tokens.len() < self.model.positions() => prompt.tokens,
            Ok(_) => return Ok(Err(Unusable("that is longer than the model can read".to_owned()))),
            Err(reason) => return Ok(Err(reason)),
        };
        let mut text = String::new();
        answer(self.model.as_ref(), &[&Prompt { tokens, key, adapter: 0 }], &self.settings, 1, &mut |_, found| {
            text = self.encoder.encoder.tokenizer().decode(&found.tokens)?;
            Ok::<(), StudyError>(())
        })?;
        Ok(Ok(text.trim().to_owned()))
    }
}
