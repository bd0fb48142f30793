//! What the models of a study are evaluated by: items, judge and settings.

use std::collections::BTreeSet;

use tunebench_host::JudgePlugin;
use tunebench_model::backend::Backend;
use tunebench_spec::study::Eval;
use tunebench_spec::{Example, Generation};

use crate::context::StudyContext;
use crate::error::{Locate, StudyError};
use crate::examples::Datasets;
use crate::generations::GenerationRequest;
use crate::judgements::{self, Judgements};
use crate::model_encoder::ModelEncoder;
use crate::observer::{Event, Observer};
use crate::run_folder::RunFolder;

/// The evaluation of a study, opened.
pub struct Evaluation<'a> {
    eval: &'a Eval,
    items: Vec<Example>,
    judge: JudgePlugin,
    /// SHA-256 of the judge plugin's file.
    judge_sha256: String,
    seed: u64,
    backend: &'static dyn Backend,
}

impl<'a> Evaluation<'a> {
    /// Opens the judge and reads the items.
    ///
    /// # Errors
    /// When either fails, or two items have one id.
    pub fn open(
        context: &'a StudyContext,
        eval: &'a Eval,
        datasets: &mut Datasets<'a>,
        observer: &mut dyn Observer,
    ) -> Result<Self, StudyError> {
        let judge = context.plugins.judge(&eval.judge, &eval.judge_options)?;
        let judge_sha256 = context.plugins.find("judge", &eval.judge)?.sha256.clone();
        let found = datasets.examples(&eval.items, observer)?;
        let items = found.all().at(format_args!("dataset `{}`", eval.items))?.to_vec();
        if found.skips().total() > 0 {
            observer.on_event(&Event::ItemsSkipped(found.skips()));
        }
        let mut seen = BTreeSet::new();
        if let Some(item) = items.iter().find(|item| !seen.insert(&item.id)) {
            let fault = format!("dataset `{}`: two items have the id `{}`", eval.items, item.id);
            return Err(StudyError::Invalid(fault));
        }
        Ok(Self { eval, items, judge, judge_sha256, seed: context.study.study.seed, backend: context.backend })
    }

    /// Base models that answer too, for comparison.
    pub fn bases(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.eval.bases.iter().map(String::as_str)
    }

    /// What a model with this encoder is asked.
    pub fn request<'b>(&'b self, encoder: &'b ModelEncoder) -> GenerationRequest<'b> {
        GenerationRequest {
            items: &self.items,
            settings: &self.eval.generation,
            encoder,
            seed: self.seed,
            backend: self.backend,
        }
    }

    /// Names the judgements of the generations of this identity.
    ///
    /// # Errors
    /// When an option has no JSON form.
    pub fn judging_identity(&self, generations: &str) -> Result<String, StudyError> {
        judgements::identity(self.eval, &self.judge_sha256, &self.items, generations)
    }

    /// As [`judgements::judge_generations`].
    ///
    /// # Errors
    /// As [`judgements::judge_generations`].
    pub fn judge(
        &self,
        generations: &[Generation],
        folder: &RunFolder,
        observer: &mut dyn Observer,
    ) -> Result<Judgements, StudyError> {
        let replies = folder.replies();
        judgements::judge_generations(&self.judge, self.eval, &replies, &self.items, generations, observer)
    }
}
