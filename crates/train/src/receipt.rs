//! The gradient receipt of a training: that every trained tensor gets a gradient and moves, that no other does, and that it
//! makes a difference to what the model computes.
//!
//! It is drawn up over the first steps. What it takes until then is kept with the checkpoint, so a run that goes on draws up
//! the same one; the receipt itself is `DIR/receipt.json`, once after those steps and again at the end. A training that was
//! past its first steps when receipts were not kept yet has none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use tunebench_files::{read_json, write_json};
use tunebench_kernels::fingerprint::fingerprint;
use tunebench_model::backend::{Sequence, Trainable};
use tunebench_spec::GradientReceipt;

use crate::Error;
use crate::division::Division;
use crate::ranks::{Ranks, To};

/// The step after which it is drawn up. LoRA's `A` gets its first gradient when `B` has moved, and with a warm-up from zero `B`
/// moves in the second step.
const STEPS: u64 = 3;
/// Names that are shown.
const SHOWN: usize = 5;
const FILE: &str = "receipt.json";

/// The receipt of a training in `dir`; none where none was drawn up.
///
/// # Errors
/// When the file is damaged.
pub fn receipt(dir: &Path) -> Result<Option<GradientReceipt>, Error> {
    let path = dir.join(FILE);
    if !path.exists() {
        return Ok(None);
    }
    Ok(Some(read_json(&path)?))
}

/// A receipt in the making, as it is kept with a checkpoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Draft {
    receipt: GradientReceipt,
    /// Fingerprints, at the beginning, of the tensors that have not moved so far.
    begin: BTreeMap<String, u64>,
    /// The tensors that had no gradient so far.
    without: BTreeSet<String>,
}

/// A receipt in the making, with what only this process needs of it. All ranks have the same one.
pub(crate) struct Receipt {
    draft: Draft,
    /// Of all that is frozen, when this process began; none once the first steps are over.
    frozen: Option<u64>,
    /// The step after which it is drawn up.
    until: u64,
}

impl Receipt {
    /// Before the first step of `total`, whose first example with labels is `probe`. `frozen` tensors are not trained.
    pub fn begin(
        model: &mut dyn Trainable,
        probe: Option<Sequence<'_>>,
        frozen: u64,
        total: u64,
    ) -> Result<Self, Error> {
        let mut begin = BTreeMap::new();
        for (index, (name, _)) in model.params().into_iter().enumerate() {
            begin.insert(name, fingerprint(&model.value(index)?));
        }
        let receipt = GradientReceipt {
            arm: String::new(),
            candidate: String::new(),
            seed: 0,
            step: STEPS.min(total),
            tensors: begin.len() as u64,
            gradients_first: 0,
            gradients: 0,
            moved: 0,
            still: String::new(),
            frozen,
            frozen_unchanged: true,
            loss_before: loss(model, probe)?,
            loss_after: None,
            passed: true,
        };
        let without = begin.keys().cloned().collect();
        Self::resume(Draft { receipt, begin, without }, model, 0)
    }

    /// What a training begins with, as far as it was looked at: all that is trained, and the loss of its first example with
    /// labels. Ranks that agree in it have the same weights.
    pub fn beginning(&self) -> String {
        let tensors = self.draft.begin.iter().map(|(name, print)| format!("beginning of {name}: {print:016x}"));
        let loss = self.draft.receipt.loss_before.map(|loss| format!("loss of the first example: {loss}"));
        tensors.chain(loss).collect::<Vec<_>>().join("\n")
    }

    /// After `done` steps, from what was kept with the checkpoint there.
    pub fn resume(draft: Draft, model: &dyn Trainable, done: u64) -> Result<Self, Error> {
        let until = draft.receipt.step;
        let frozen = if done < until { Some(model.frozen_fingerprint()?) } else { None };
        Ok(Self { draft, frozen, until })
    }

    /// What is to be kept with a checkpoint.
    pub fn draft(&self) -> &Draft {
        &self.draft
    }

    /// Whether it looks at step `step`.
    pub fn waits_for(&self, step: u64) -> bool {
        step <= self.until
    }

    /// Looks at the gradients of step `step`, before it is made: of each trained tensor, whether it has one that is not zero.
    pub fn gradients(&mut self, model: &dyn Trainable, arrived: &[bool], step: u64) {
        for ((name, _), _) in model.params().into_iter().zip(arrived).filter(|(_, arrived)| **arrived) {
            self.draft.without.remove(&name);
        }
        let receipt = &mut self.draft.receipt;
        receipt.gradients = receipt.tensors - self.draft.without.len() as u64;
        if step == 1 {
            receipt.gradients_first = receipt.gradients;
        }
    }

    /// Looks at the tensors after step `step`; the receipt, when that was the last one it waited for. The first rank writes
    /// it into `dir`.
    pub fn moved(
        &mut self,
        ranks: &mut Ranks<'_>,
        model: &dyn Trainable,
        division: &Division,
        step: u64,
        dir: &Path,
    ) -> Result<Option<&GradientReceipt>, Error> {
        if step != self.until {
            return Ok(None);
        }
        self.compare(ranks, model, division)?;
        let receipt = &mut self.draft.receipt;
        receipt.moved = receipt.tensors - self.draft.begin.len() as u64;
        if let Some(before) = self.frozen.take() {
            receipt.frozen_unchanged = before == model.frozen_fingerprint()?;
        }
        self.judge();
        self.write(ranks, dir)?;
        Ok(Some(&self.draft.receipt))
    }

    /// At the training's end: what had not moved may have by now, and the difference that all of it makes is known.
    pub fn finish(
        mut self,
        ranks: &mut Ranks<'_>,
        model: &mut dyn Trainable,
        division: &Division,
        probe: Option<Sequence<'_>>,
        dir: &Path,
    ) -> Result<(), Error> {
        self.compare(ranks, model, division)?;
        self.draft.receipt.loss_after = loss(model, probe)?;
        self.judge();
        self.write(ranks, dir)
    }

    fn write(&self, ranks: &Ranks<'_>, dir: &Path) -> Result<(), Error> {
        if ranks.is_first() { Ok(write_json(&dir.join(FILE), &self.draft.receipt)?) } else { Ok(()) }
    }

    /// Forgets the tensors that have moved.
    fn compare(&mut self, ranks: &mut Ranks<'_>, model: &dyn Trainable, division: &Division) -> Result<(), Error> {
        if self.draft.begin.is_empty() {
            return Ok(());
        }
        for (index, (name, _)) in model.params().into_iter().enumerate() {
            let Some(before) = self.draft.begin.get(&name) else { continue };
            if *before != fingerprint(&ranks.value(model, division, index, To::All)?) {
                self.draft.begin.remove(&name);
            }
        }
        Ok(())
    }

    fn judge(&mut self) {
        let Draft { receipt, begin, without } = &mut self.draft;
        let still: BTreeSet<&String> = begin.keys().chain(without.iter()).collect();
        receipt.still = named(still.iter().map(|name| name.as_str()));
        let differs = receipt.loss_before.zip(receipt.loss_after).is_none_or(|(before, after)| before != after);
        receipt.passed = still.is_empty() && receipt.frozen_unchanged && differs;
    }
}

/// The first few names, and how many more there are.
pub(crate) fn named<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Nats per label of one example, nothing dropped.
fn loss(model: &mut dyn Trainable, probe: Option<Sequence<'_>>) -> Result<Option<f64>, Error> {
    let Some(probe) = probe else { return Ok(None) };
    let totals = model.loss(&[vec![probe]])?;
    Ok((totals.labels > 0 && totals.loss.is_finite()).then(|| totals.loss / totals.labels as f64))
}
