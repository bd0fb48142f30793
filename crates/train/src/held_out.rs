//! The loss on examples that nothing is learned from: of a model in training, or of one as it is.

use std::collections::BTreeSet;
use std::f64::consts::LN_2;

use tunebench_dataset::Examples;
use tunebench_exchange::Alone;
use tunebench_model::AdamWStates;
use tunebench_model::backend::{Backend, Parts, Sequence, Trainable};
use tunebench_spec::LossLog;

use crate::Error;
use crate::batches;
use crate::ranks::Ranks;

/// Examples to measure a loss on.
#[derive(Clone, Copy, Debug)]
pub struct HeldOut<'a> {
    /// As [`LossLog::set`].
    pub set: &'a str,
    /// As [`LossLog::set_hash`].
    pub set_hash: &'a str,
    pub examples: &'a dyn Examples,
    /// UTF-8 bytes of the text that the labels are.
    pub bytes: u64,
}

/// What a model's loss on a set sums up to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SetLoss {
    /// Cross-entropy summed over the labels, nats.
    pub nats: f64,
    /// Label tokens.
    pub tokens: u64,
}

impl HeldOut<'_> {
    /// The line that a log has of this set after `step` optimizer steps. Arm, candidate and seed are the caller's to fill
    /// in, and whether it is the loss of a result.
    ///
    /// `bits_per_byte = nats / ln 2 / bytes`.
    pub fn line(&self, step: u64, of: SetLoss) -> LossLog {
        LossLog {
            arm: String::new(),
            candidate: String::new(),
            seed: 0,
            step,
            set: self.set.to_owned(),
            set_hash: self.set_hash.to_owned(),
            loss: of.nats / of.tokens as f64,
            bits_per_byte: of.nats / LN_2 / self.bytes as f64,
            tokens: of.tokens,
            bytes: self.bytes,
            is_final: false,
        }
    }

    /// The loss of `model`, whose examples have so many virtual tokens in front, nothing dropped. Micro-batches hold at
    /// most `micro_batch_tokens` tokens, in the order of the examples; each rank computes a run of them, and what they come
    /// to is added up as one rank adds it.
    pub(crate) fn measure(
        &self,
        ranks: &mut Ranks<'_>,
        model: &mut dyn Trainable,
        virtual_tokens: usize,
        micro_batch_tokens: usize,
    ) -> Result<SetLoss, Error> {
        let micro_batches = batches::in_order(self.examples, model.layout(), virtual_tokens, micro_batch_tokens);
        let border = |rank| rank * micro_batches.len() / ranks.size();
        let own = &micro_batches[border(ranks.rank())..border(ranks.rank() + 1)];
        let read = own.iter().map(|of| of.read(self.examples)).collect::<Result<Vec<_>, _>>()?;
        let sequences: Vec<Vec<Sequence<'_>>> =
            own.iter().zip(&read).map(|(of, examples)| of.sequences(examples)).collect();
        let (nats, tokens) = if ranks.is_alone() {
            let totals = model.loss(&sequences)?;
            (totals.loss, totals.labels as u64)
        } else {
            let mut terms = Vec::new();
            let totals = model.losses(&sequences, &mut |term| terms.push(term))?;
            let all = ranks.words([terms.len() as u64, totals.labels as u64])?;
            let counts: Vec<usize> = all.iter().map(|[terms, _]| *terms as usize).collect();
            let terms = ranks.doubles(&terms, &counts)?;
            (terms.into_iter().fold(0.0, |sum, term| sum + term), all.iter().map(|[_, labels]| labels).sum())
        };
        if !nats.is_finite() {
            return Err(Error::HeldOutDiverged { set: self.set.to_owned(), loss: nats });
        }
        Ok(SetLoss { nats, tokens })
    }
}

/// The losses of a model as it is, of each set in turn: a base model, or one whose training is over.
///
/// # Errors
/// When a set has nothing to measure, when the model's parts do not fit, or when a loss is not finite.
pub fn measure(
    parts: Parts<'_>,
    backend: &dyn Backend,
    held_out: &[HeldOut<'_>],
    micro_batch_tokens: usize,
) -> Result<Vec<SetLoss>, Error> {
    check(held_out)?;
    let virtual_tokens = parts.tuning.recorded().plan.virtual_count();
    let mut model = backend.trainable(parts, AdamWStates::new(), false)?;
    let mut alone = Alone;
    let mut ranks = Ranks::new(&mut alone);
    held_out.iter().map(|set| set.measure(&mut ranks, model.as_mut(), virtual_tokens, micro_batch_tokens)).collect()
}

/// Whether each set has a name of its own and a loss.
pub(crate) fn check(held_out: &[HeldOut<'_>]) -> Result<(), Error> {
    let mut names = BTreeSet::new();
    for HeldOut { set, examples, bytes, .. } in held_out {
        let fault = |fault: &'static str| Err(Error::HeldOut { set: (*set).to_owned(), fault });
        if !names.insert(*set) {
            return fault("another one has this name");
        }
        if *bytes == 0 || !examples.has_labels() {
            return fault("it has no label token, or no byte of text");
        }
    }
    Ok(())
}
