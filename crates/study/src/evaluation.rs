//! What the models of a study are evaluated by: items, judge and settings.

use std::collections::BTreeSet;
use std::sync::Arc;

use tunebench_dataset::Skips;
use tunebench_model::backend::Backend;
use tunebench_spec::study::Eval;
use tunebench_spec::{Example, Generation, JudgeStep, hash};

use crate::context::StudyContext;
use crate::error::StudyError;
use crate::examples::Datasets;
use crate::generations::GenerationRequest;
use crate::items::Items;
use crate::judge_cost::{self, JudgingForecast};
use crate::judge_servers::JudgeServers;
use crate::judgements::{Answers, Judgements, Judging, JudgingOptions};
use crate::judges::OpenJudge;
use crate::model_encoder::ModelEncoder;
use crate::model_key::ModelKey;
use crate::observer::{Event, Observer};
use crate::prompts::{KnownPrompts, Prompts};
use crate::run_folder::RunFolder;

/// The evaluation of a study, opened.
pub struct Evaluation<'a> {
    eval: &'a Eval,
    items: Vec<Example>,
    /// The study's judges, the first one first.
    judges: Vec<OpenJudge>,
    servers: JudgeServers,
    seed: u64,
    backend: &'static dyn Backend,
    prompts: KnownPrompts,
}

impl<'a> Evaluation<'a> {
    /// Opens the judges, checks whom they ask as far as that can be done without asking, and reads the items.
    ///
    /// # Errors
    /// When any of that fails, or two items have one id.
    pub fn open(
        context: &'a StudyContext,
        eval: &'a Eval,
        datasets: &mut Datasets<'a>,
        observer: &mut dyn Observer,
    ) -> Result<Self, StudyError> {
        let open = |settings| OpenJudge::open(&context.plugins, settings);
        let judges: Vec<OpenJudge> = eval.judges().into_iter().map(open).collect::<Result<_, _>>()?;
        let (items, skips) = datasets.items(&eval.items, observer)?;
        let items: Vec<Example> = items.into_iter().map(Example::into_item).collect();
        if skips.total() > 0 {
            observer.on_event(&Event::ItemsSkipped(&skips));
        }
        let mut seen = BTreeSet::new();
        if let Some(item) = items.iter().find(|item| !seen.insert(&item.id)) {
            let fault = format!("dataset `{}`: two items have the id `{}`", eval.items, item.id);
            return Err(StudyError::Invalid(fault));
        }
        let servers = JudgeServers::new(context.local_models()?, context.backend);
        let this = Self {
            eval,
            items,
            judges,
            servers,
            seed: context.study.study.seed,
            backend: context.backend,
            prompts: KnownPrompts::default(),
        };
        this.remarks(observer);
        Ok(this)
    }

    /// Says what of the judges' settings cannot work, and what is known of their models.
    fn remarks(&self, observer: &mut dyn Observer) {
        for judge in &self.judges {
            let Some(request) = judge.first_request(&self.items) else { continue };
            let unusable = self.servers.check(&judge.chat()).err().map(|error| error.to_string());
            for remark in unusable.into_iter().chain(judge_cost::remark(&request.model, &judge.chat())) {
                observer.on_event(&Event::JudgeRemark { judge: judge.name(), remark: &remark });
            }
        }
    }

    /// Checks all that the judges' settings say, before anything is kept or trained.
    ///
    /// # Errors
    /// What of them cannot work.
    pub fn check_settings(&self) -> Result<(), StudyError> {
        let check = |judge: &OpenJudge| self.servers.check_settings(judge, judge.first_request(&self.items).as_ref());
        self.judges.iter().try_for_each(check)
    }

    /// Asks each judge's server one small question, so that nothing is trained before a judge that cannot work.
    ///
    /// # Errors
    /// Why a server cannot be used.
    pub fn probe(&self, observer: &mut dyn Observer) -> Result<(), StudyError> {
        for judge in &self.judges {
            let Some(request) = judge.first_request(&self.items) else { continue };
            let said = self.servers.probe(judge, &request)?;
            observer.on_event(&Event::JudgeProbed { judge: judge.name(), said: &said });
        }
        Ok(())
    }

    /// Asks each judge about every item, with its reference as the answer, what it would do: most judges that can tell
    /// nothing of an item say so at once, and nothing should be trained for answers that nobody can score.
    ///
    /// # Errors
    /// When one can score none.
    pub fn check_judges(&self, observer: &mut dyn Observer) -> Result<(), StudyError> {
        for judge in &self.judges {
            let mut unscorable = Skips::default();
            for (item, reason) in self.unscorable(judge) {
                unscorable.add(&item.id, &reason);
            }
            let (name, items) = (judge.name(), self.items.len());
            match unscorable.total() {
                0 => {}
                n if n == items as u64 => {
                    return Err(StudyError::Invalid(format!(
                        "[eval]: the judge `{name}` can score none of the {items} items: {unscorable}; give the items what it \
                         asks for, or name another judge"
                    )));
                }
                _ => observer.on_event(&Event::JudgeCannotScore { judge: name, items, unscorable: &unscorable }),
            }
        }
        Ok(())
    }

    /// The items that the first judge can score, and their categories.
    pub fn scorable(&self) -> Items {
        let judge = self.judges.first();
        let unscorable = judge.map(|judge| self.unscorable(judge)).unwrap_or_default();
        let unscorable: BTreeSet<&str> = unscorable.into_iter().map(|(item, _)| item.id.as_str()).collect();
        let scorable: Vec<&Example> = self.items.iter().filter(|item| !unscorable.contains(item.id.as_str())).collect();
        let categories: BTreeSet<Option<&str>> = scorable.iter().map(|item| item.category.as_deref()).collect();
        Items { scorable: scorable.len(), categories: categories.len(), repeats: self.eval.repeats as usize }
    }

    /// The items that a judge refuses whatever the answer, with its reasons. What breaks here breaks when it judges, and
    /// is told there with all that it concerns.
    fn unscorable(&self, judge: &OpenJudge) -> Vec<(&Example, String)> {
        let mut found = Vec::new();
        for item in &self.items {
            match judge.first_step(item, item.reference.as_deref().unwrap_or("?")) {
                Ok(JudgeStep::Unscored { reason }) => found.push((item, reason)),
                Ok(JudgeStep::Ask { .. } | JudgeStep::Score { .. }) => {}
                Err(_) => return Vec::new(),
            }
        }
        found
    }

    /// What judging takes, by each judge, of so many models of so many arms.
    ///
    /// # Errors
    /// When prices are not whole.
    pub fn judging(&self, arms: u64, models: u64) -> Result<Vec<JudgingForecast>, StudyError> {
        let limit = self.eval.generation.max_new_tokens;
        self.judges.iter().map(|judge| judge_cost::forecast(judge, &self.items, limit, arms, models)).collect()
    }

    /// How models are evaluated.
    pub fn settings(&self) -> &'a Eval {
        self.eval
    }

    /// The judges, the first one first.
    pub fn judges(&self) -> &[OpenJudge] {
        &self.judges
    }

    /// The names of those that judge a model's answers as soon as they are there.
    pub fn immediate(&self) -> impl Iterator<Item = String> {
        self.judges.iter().filter(|judge| !judge.waits()).map(|judge| judge.name().to_owned())
    }

    /// Whether our own engine runs the model of a judge that judges answers as soon as they are there.
    pub fn has_local_judge(&self) -> bool {
        self.judges.iter().any(|judge| !judge.waits() && self.servers.is_local(&judge.chat()))
    }

    /// Base models that answer too, for comparison.
    pub fn bases(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.eval.bases.iter().map(String::as_str)
    }

    /// What is asked.
    pub fn items(&self) -> &[Example] {
        &self.items
    }

    /// The items as prompts for models with this encoder and so many positions.
    pub fn prompts(&self, encoder: &ModelEncoder, positions: usize) -> Arc<Prompts> {
        self.prompts.of(&self.items, encoder, positions)
    }

    /// What this model with this encoder is asked. Each training of an arm draws its answers anew.
    pub fn request<'b>(&'b self, encoder: &'b ModelEncoder, model: &'b ModelKey) -> GenerationRequest<'b> {
        let seed = self.eval.generation.seed.unwrap_or(self.seed).wrapping_add(u64::from(model.number - 1));
        let (items, settings, backend) = (&self.items, &self.eval.generation, self.backend);
        GenerationRequest { items, settings, encoder, model, seed, backend, known: &self.prompts }
    }

    /// Answers that are made at once.
    pub fn batch_size(&self) -> usize {
        self.eval.generation.batch_size
    }

    /// Names what the judges that do not wait for all answers say of the generations of this identity; none where all wait.
    ///
    /// # Errors
    /// When an option has no JSON form.
    pub fn judging_identity(&self, generations: &str) -> Result<Option<String>, StudyError> {
        let identities = self.judges.iter().filter(|judge| !judge.waits());
        let identities: Vec<String> =
            identities.map(|judge| judge.identity(&self.items, generations)).collect::<Result<_, _>>()?;
        if identities.is_empty() {
            return Ok(None);
        }
        Ok(Some(hash::of_json(&identities)?))
    }

    /// Has these answers judged by the judges that do not wait for all, as [`Judging::judge`].
    ///
    /// # Errors
    /// As [`Judging::judge`].
    pub fn judge(
        &self,
        generations: &[Generation],
        folder: &RunFolder,
        observer: &mut dyn Observer,
    ) -> Result<Judgements, StudyError> {
        let mut all = Judgements::default();
        for judge in self.judges.iter().filter(|judge| !judge.waits()) {
            let answers = [Answers { generations, rivals: &[] }];
            match self.by(judge).judge(&answers, folder, observer) {
                Ok(found) => all.extend(found),
                Err(StudyError::Stopped) => return Err(StudyError::Stopped),
                // What another judge was paid for is kept.
                Err(error) => {
                    let stopped = Some(format!("judge `{}`: {error}", judge.name()));
                    all.extend(Judgements { stopped, ..Judgements::default() });
                }
            }
        }
        Ok(all)
    }

    /// One judge at work.
    pub fn by<'b>(&'b self, judge: &'b OpenJudge) -> Judging<'b> {
        Judging {
            judge,
            items: &self.items,
            servers: &self.servers,
            seed: self.seed,
            options: JudgingOptions::default(),
        }
    }
}
