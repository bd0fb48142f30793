//! What the models of a study are evaluated by: items, judge and settings.

use std::collections::BTreeSet;

use tunebench_dataset::Skips;
use tunebench_host::JudgePlugin;
use tunebench_model::backend::Backend;
use tunebench_spec::study::Eval;
use tunebench_spec::{Example, Generation, JudgeStep};

use crate::context::StudyContext;
use crate::error::{Locate, StudyError};
use crate::examples::Datasets;
use crate::generations::GenerationRequest;
use crate::items::Items;
use crate::judgements::{self, Judgements, Judging};
use crate::model_encoder::ModelEncoder;
use crate::model_key::ModelKey;
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
        let found = datasets.items(&eval.items, observer)?;
        let items = found.all().at(format_args!("dataset `{}`", eval.items))?;
        let items: Vec<Example> = items.iter().cloned().map(Example::into_item).collect();
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

    /// Asks the judge about every item, with its reference as the answer, what it would do: most judges that can tell
    /// nothing of an item say so at once, and nothing should be trained for answers that nobody can score.
    ///
    /// # Errors
    /// When it can score none.
    pub fn check_judge(&self, observer: &mut dyn Observer) -> Result<(), StudyError> {
        let mut unscorable = Skips::default();
        for (item, reason) in self.unscorable() {
            unscorable.add(&item.id, &reason);
        }
        let (judge, items) = (self.eval.judge.as_str(), self.items.len());
        match unscorable.total() {
            0 => Ok(()),
            n if n == items as u64 => Err(StudyError::Invalid(format!(
                "[eval]: the judge `{judge}` can score none of the {items} items: {unscorable}; give the items what it asks \
                 for, or name another judge"
            ))),
            _ => {
                observer.on_event(&Event::JudgeCannotScore { judge, items, unscorable: &unscorable });
                Ok(())
            }
        }
    }

    /// The items that the judge can score, and their categories.
    pub fn scorable(&self) -> Items {
        let unscorable: BTreeSet<&str> = self.unscorable().into_iter().map(|(item, _)| item.id.as_str()).collect();
        let scorable: Vec<&Example> = self.items.iter().filter(|item| !unscorable.contains(item.id.as_str())).collect();
        let categories: BTreeSet<Option<&str>> = scorable.iter().map(|item| item.category.as_deref()).collect();
        Items { scorable: scorable.len(), categories: categories.len(), repeats: self.eval.repeats as usize }
    }

    /// The items that the judge refuses whatever the answer, with its reasons. What breaks here breaks when it judges, and
    /// is told there with all that it concerns.
    fn unscorable(&self) -> Vec<(&Example, String)> {
        let mut found = Vec::new();
        for item in &self.items {
            let answer = item.reference.as_deref().unwrap_or("?");
            match self.judge.step(item, answer, &[]) {
                Ok(JudgeStep::Unscored { reason }) => found.push((item, reason)),
                Ok(JudgeStep::Ask { .. } | JudgeStep::Score { .. }) => {}
                Err(_) => return Vec::new(),
            }
        }
        found
    }

    /// What judging one model's answers takes: requests, and US dollars at most, if each answer takes one request and is as long
    /// as it may be. No dollars where the study gives no prices.
    ///
    /// # Errors
    /// When the prices are not whole.
    pub fn judging(&self) -> Result<(u64, Option<f64>), StudyError> {
        let answer = "word ".repeat(self.eval.generation.max_new_tokens);
        let (mut requests, mut usd) = (0, Some(0.0));
        for item in &self.items {
            let Ok(JudgeStep::Ask { request }) = self.judge.step(item, &answer, &[]) else { continue };
            requests += u64::from(self.eval.repeats);
            let dearest = tunebench_judge::dearest_usd(&request, &self.eval.chat)?;
            usd = usd.zip(dearest).map(|(sum, one)| sum + one * f64::from(self.eval.repeats));
        }
        Ok((requests, usd))
    }

    /// The judge, and how often it is asked of each answer.
    pub fn settings(&self) -> &'a Eval {
        self.eval
    }

    /// Base models that answer too, for comparison.
    pub fn bases(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.eval.bases.iter().map(String::as_str)
    }

    /// What is asked.
    pub fn items(&self) -> &[Example] {
        &self.items
    }

    /// What this model with this encoder is asked. Each training of an arm draws its answers anew.
    pub fn request<'b>(&'b self, encoder: &'b ModelEncoder, model: &'b ModelKey) -> GenerationRequest<'b> {
        let seed = self.eval.generation.seed.unwrap_or(self.seed).wrapping_add(u64::from(model.number - 1));
        let (items, settings, backend) = (&self.items, &self.eval.generation, self.backend);
        GenerationRequest { items, settings, encoder, model, seed, backend }
    }

    /// Names the judgements of the generations of this identity.
    ///
    /// # Errors
    /// When an option has no JSON form.
    pub fn judging_identity(&self, generations: &str) -> Result<String, StudyError> {
        judgements::identity(self.eval, &self.judge_sha256, &self.items, generations)
    }

    /// As [`Judging::judge`].
    ///
    /// # Errors
    /// As [`Judging::judge`].
    pub fn judge(
        &self,
        model: &ModelKey,
        generations: &[Generation],
        folder: &RunFolder,
        observer: &mut dyn Observer,
    ) -> Result<Judgements, StudyError> {
        let judging = Judging {
            plugin: &self.judge,
            plugin_sha256: &self.judge_sha256,
            eval: self.eval,
            items: &self.items,
            model,
        };
        judging.judge(&folder.replies(), generations, observer)
    }
}
