//! The frames of a run folder as they grow: the rows of one model after the other, each replaced as a whole when they
//! are made anew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tunebench_results as results;
use tunebench_results::Record;
use tunebench_spec::{
    ArmRecord, Generation, GradientReceipt, Judgement, JudgementStatus, LossLog, StepLog, Study, hash,
};

use crate::error::StudyError;
use crate::model_key::ModelKey;
use crate::observer::{Event, Observer};

/// The rows of one model.
#[derive(Clone, Default, PartialEq)]
pub struct ArmRows {
    /// One row.
    pub arms: Vec<ArmRecord>,
    pub steps: Vec<StepLog>,
    pub losses: Vec<LossLog>,
    /// None of a base model, nor of a training that began before receipts were kept.
    pub receipts: Vec<GradientReceipt>,
    pub generations: Vec<Generation>,
    pub judgements: Vec<Judgement>,
    /// Its place in the frames that it was read from.
    pub place: usize,
}

/// Arm, candidate and seed.
type RowKey = (String, String, u64);

/// The rows of all models, in the study's order.
pub struct RunFrames {
    order: Vec<RowKey>,
    rows: BTreeMap<RowKey, ArmRows>,
}

fn row_key(key: &ModelKey) -> RowKey {
    (key.arm.clone(), key.candidate.clone(), key.seed)
}

impl RunFrames {
    /// What an earlier run left in the frames: a run that breaks off must not take away what was there.
    pub fn open(root: &Path, observer: &mut dyn Observer) -> Self {
        let rows = match earlier(root) {
            Ok(rows) => rows,
            Err(_) if !root.join("arms.parquet").exists() => BTreeMap::new(),
            Err(error) => {
                observer.on_event(&Event::FramesLost(&error));
                BTreeMap::new()
            }
        };
        Self { order: Vec::new(), rows }
    }

    /// Keeps of what is there what still is as the study describes it, which names each model by an identity; and puts it
    /// into the study's order. What is dropped is told; whether that changes what was read.
    pub fn keep(
        &mut self,
        order: &[ModelKey],
        identities: &BTreeMap<ModelKey, String>,
        observer: &mut dyn Observer,
    ) -> bool {
        self.order = order.iter().map(row_key).collect();
        let identities: BTreeMap<RowKey, &String> = identities.iter().map(|(key, id)| (row_key(key), id)).collect();
        let is_current = |key: &RowKey, rows: &ArmRows| {
            !rows.arms.is_empty() && rows.arms.iter().all(|arm| identities.get(key) == Some(&&arm.identity))
        };
        let dropped: BTreeSet<String> =
            self.rows.iter().filter(|(key, rows)| !is_current(key, rows)).map(|(key, _)| key.0.clone()).collect();
        self.rows.retain(|key, rows| is_current(key, rows));
        let mut places: Vec<(usize, &RowKey)> = self.rows.iter().map(|(key, rows)| (rows.place, key)).collect();
        places.sort();
        let order = self.order.iter().filter(|key| self.rows.contains_key(key));
        let is_other = !dropped.is_empty() || !places.iter().map(|(_, key)| *key).eq(order);
        if !dropped.is_empty() {
            let arms: Vec<String> = dropped.into_iter().collect();
            observer.on_event(&Event::RowsDropped { arms: &arms });
        }
        is_other
    }

    /// All that is in the frames of a run folder, in its order.
    ///
    /// # Errors
    /// When a frame is missing or damaged: what would be written in its place would be less than there was.
    pub fn read(root: &Path) -> Result<Self, StudyError> {
        let rows = earlier(root)?;
        let mut order: Vec<(usize, RowKey)> = rows.iter().map(|(key, rows)| (rows.place, key.clone())).collect();
        order.sort();
        Ok(Self { order: order.into_iter().map(|(_, key)| key).collect(), rows })
    }

    /// Puts in the rows of a model, in place of those it had. What judges said that are none of `judges` stays, where it is of
    /// the answers that are there now: it was paid for.
    ///
    /// Whether that changes anything.
    pub fn replace(&mut self, model: &ModelKey, judges: &BTreeSet<String>, mut rows: ArmRows) -> bool {
        let key = row_key(model);
        if let Some(earlier) = self.rows.get(&key) {
            let answers = answer_hashes(&rows.generations);
            let is_kept = |row: &&Judgement| {
                !judges.contains(&row.judge) && answers.get(row.item.as_str()) == Some(&row.answer_hash)
            };
            rows.judgements.extend(earlier.judgements.iter().filter(is_kept).cloned());
            rows.place = earlier.place;
        }
        let is_new = self.rows.get(&key) != Some(&rows);
        self.rows.insert(key, rows);
        is_new
    }

    /// Puts in what one judge says of a model's answers, in place of what it said before. Where it could not be asked now, and the
    /// same judge scored the same answer before, that stays.
    pub fn judged(&mut self, model: &ModelKey, judge: &str, judgements: Vec<Judgement>) {
        let rows = self.rows.entry(row_key(model)).or_default();
        let (earlier, others) = std::mem::take(&mut rows.judgements).into_iter().partition(|row| row.judge == judge);
        let earlier: Vec<Judgement> = earlier;
        let same = |row: &Judgement| {
            let is_same = |other: &&Judgement| other.score.is_some() && named(other) == named(row);
            earlier.iter().find(is_same).filter(|_| row.status == JudgementStatus::Failed).cloned()
        };
        rows.judgements = others;
        rows.judgements.extend(judgements.into_iter().map(|row| same(&row).unwrap_or(row)));
    }

    /// What one judge said of a model's answers.
    pub fn judgements(&self, model: &ModelKey, judge: &str) -> Vec<Judgement> {
        let rows = self.rows.get(&row_key(model)).into_iter().flat_map(|rows| &rows.judgements);
        rows.filter(|row| row.judge == judge).cloned().collect()
    }

    /// The models that have answers, in the study's order, with those. A training's number is that of its seed.
    pub fn answered(&self, study: &Study) -> Vec<(ModelKey, &[Generation])> {
        let rows = self.order.iter().filter_map(|key| Some((key, self.rows.get(key)?)));
        let answered = rows.filter(|(_, rows)| !rows.generations.is_empty());
        let key = |(arm, candidate, seed): &RowKey| {
            let mut key = ModelKey { candidate: candidate.clone(), ..ModelKey::single(arm, *seed) };
            if let Some(arm) = study.trained_arm(arm) {
                key.of = study.seeds(arm);
                key.number = 1 + seed.wrapping_sub(study.training_seed(arm, 0)) as u32;
            }
            key
        };
        answered.map(|(row, rows)| (key(row), rows.generations.as_slice())).collect()
    }

    /// Writes what judges said alone.
    ///
    /// # Errors
    /// As [`RunFrames::write`].
    pub fn write_judgements(&self, root: &Path) -> Result<(), StudyError> {
        let rows = self.order.iter().filter_map(|key| self.rows.get(key));
        Ok(results::write_judgements(root, &rows.flat_map(|r| r.judgements.clone()).collect::<Vec<_>>())?)
    }

    /// Writes all frames.
    ///
    /// # Errors
    /// When a file cannot be written; the old one is then still whole.
    pub fn write(&self, root: &Path) -> Result<(), StudyError> {
        let rows = || self.order.iter().filter_map(|key| self.rows.get(key));
        results::write_steps(root, &rows().flat_map(|r| r.steps.clone()).collect::<Vec<_>>())?;
        results::write_losses(root, &rows().flat_map(|r| r.losses.clone()).collect::<Vec<_>>())?;
        results::write_receipts(root, &rows().flat_map(|r| r.receipts.clone()).collect::<Vec<_>>())?;
        results::write_generations(root, &rows().flat_map(|r| r.generations.clone()).collect::<Vec<_>>())?;
        results::write_judgements(root, &rows().flat_map(|r| r.judgements.clone()).collect::<Vec<_>>())?;
        // Last, so that a model with a row here has all its others, whenever the run is killed.
        results::write_arms(root, &rows().flat_map(|r| r.arms.clone()).collect::<Vec<_>>())?;
        Ok(())
    }
}

/// What a judgement is of, and by which judge.
fn named(row: &Judgement) -> (&str, &str, &str, &str, u64, &str, bool, u32) {
    let Judgement { item, answer_hash, judge_hash, rival, rival_seed, rival_answer_hash, swapped, repeat, .. } = row;
    (item, answer_hash, judge_hash, rival, *rival_seed, rival_answer_hash, *swapped, *repeat)
}

/// Of each item, the hash of its answer.
fn answer_hashes(generations: &[Generation]) -> BTreeMap<&str, String> {
    generations.iter().map(|row| (row.item.as_str(), hash::of_bytes(row.answer.as_bytes()))).collect()
}

/// The rows of the frames by model.
fn earlier(root: &Path) -> results::Result<BTreeMap<RowKey, ArmRows>> {
    let frames = results::Frames::open(root)?;
    let mut rows: BTreeMap<RowKey, ArmRows> = BTreeMap::new();
    // A model that answered is the one that was chosen at the time.
    let mut chosen: BTreeMap<(String, u64), RowKey> = BTreeMap::new();
    for row in frames.read::<ArmRecord>()? {
        let key = (row.arm.clone(), row.candidate.clone(), row.seed);
        if row.selected {
            chosen.insert((row.arm.clone(), row.seed), key.clone());
        }
        let place = rows.len();
        let of_model = rows.entry(key).or_insert_with(|| ArmRows { place, ..ArmRows::default() });
        of_model.arms.push(row);
    }
    for row in frames.read::<StepLog>()? {
        rows.entry((row.arm.clone(), row.candidate.clone(), row.seed)).or_default().steps.push(row);
    }
    for row in frames.read::<LossLog>()? {
        rows.entry((row.arm.clone(), row.candidate.clone(), row.seed)).or_default().losses.push(row);
    }
    // A frame that runs from before it was made do not have.
    let has_receipts = frames.present().iter().any(|frame| frame.name == GradientReceipt::FRAME);
    for row in if has_receipts { frames.read::<GradientReceipt>()? } else { Vec::new() } {
        rows.entry((row.arm.clone(), row.candidate.clone(), row.seed)).or_default().receipts.push(row);
    }
    for row in frames.read::<Generation>()? {
        if let Some(key) = chosen.get(&(row.arm.clone(), row.seed)) {
            rows.entry(key.clone()).or_default().generations.push(row);
        }
    }
    for row in frames.read::<Judgement>()? {
        if let Some(key) = chosen.get(&(row.arm.clone(), row.seed)) {
            rows.entry(key.clone()).or_default().judgements.push(row);
        }
    }
    Ok(rows)
}
