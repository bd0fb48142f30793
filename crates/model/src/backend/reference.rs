//! The reference path as a backend: candle in f32 on the CPU, a micro-batch a thread. What trains and answers with it is on any
//! device, in any precision: `cuda.rs` makes the same of it elsewhere.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, DType, Device, InplaceOp2, Layout, Tensor, Var, bail};
use tunebench_kernels::SimdLevel;
use tunebench_kernels::fingerprint::fingerprint;
use tunebench_kernels::optim::adamw::{AdamW, Update, Weights as KernelWeights, update};
use tunebench_spec::Decoder;
use tunebench_spec::plan::RecordedPlan;

use super::{
    Backend, BatchLayout, Generator, OptimizerStep, Parts, PromptRow, Rows, Sequence, StepKey, StepSize, StepTotals,
    Trainable,
};
use crate::Error;
use crate::dropout::DropoutKey;
use crate::flat::Flat;
use crate::memory_need::MemoryNeed;
use crate::optim::{AdamWState, AdamWStates};
use crate::reference::{Batch, Cache, Compute, Gradients, ReferenceModel, Targets};
use crate::weights::QuantisedWeights;

/// [`ReferenceModel`] in f32 on the CPU.
#[derive(Debug)]
pub(super) struct Reference;

impl Backend for Reference {
    fn name(&self) -> &'static str {
        "reference"
    }

    fn precision(&self) -> &'static str {
        "f32"
    }

    fn training_memory(
        &self,
        _: &Decoder,
        _: &RecordedPlan,
        _: &QuantisedWeights,
        _: StepSize,
        _: bool,
    ) -> Option<MemoryNeed> {
        None
    }

    /// Everything is f32, keys and values grow by copying, and attention keeps the scores of a layer.
    fn answering_memory(&self, shape: &Decoder, _: &QuantisedWeights, rows: usize, tokens: usize) -> MemoryNeed {
        const FULL: u64 = 4;
        let [rows, tokens] = [rows, tokens].map(|n| n as u64);
        let [d, f, v] = [shape.hidden_size, shape.mlp.intermediate_size, shape.vocab_size].map(|x| x as u64);
        let [h, kv] = [shape.attention.heads, shape.attention.kv_width()].map(|x| x as u64);
        let cache = (shape.num_hidden_layers as u64 + 1) * 2 * 2 * kv * rows * tokens;
        let pass = rows * tokens * (8 * d + 4 * f + 3 * h * tokens) + rows * v * 2;
        MemoryNeed::own(FULL * (shape.params() + cache + pass))
    }

    fn trainable(&self, parts: Parts<'_>, states: AdamWStates, recompute: bool) -> Result<Box<dyn Trainable>, Error> {
        trainable(parts, states, Compute { recompute, ..Compute::full(&Device::Cpu) })
    }

    fn generator(&self, parts: Parts<'_>) -> Result<Box<dyn Generator>, Error> {
        generator(parts, Compute::full(&Device::Cpu))
    }
}

/// A model in training that computes so.
pub(super) fn trainable(parts: Parts<'_>, states: AdamWStates, compute: Compute) -> Result<Box<dyn Trainable>, Error> {
    let model = ReferenceModel::with(parts.shape, &parts.weights, &parts.tuning, compute)?;
    let level = SimdLevel::chosen()?;
    let flat = Flat::new(model.params().values().map(|param| param.var.elem_count()));
    let own = 0..flat.len();
    Ok(Box::new(Training { model, gradients: Gradients::new(), states, flat, own, level }))
}

/// A model that answers and computes so.
pub(super) fn generator(parts: Parts<'_>, compute: Compute) -> Result<Box<dyn Generator>, Error> {
    Ok(Box::new(Answering(ReferenceModel::with(parts.shape, &parts.weights, &parts.tuning, compute)?)))
}

pub(super) struct Training {
    pub(super) model: ReferenceModel,
    pub(super) gradients: Gradients,
    /// Of what is owned of each tensor.
    pub(super) states: AdamWStates,
    pub(super) flat: Flat,
    /// The part that this process moves.
    pub(super) own: Range<usize>,
    pub(super) level: SimdLevel,
}

impl Trainable for Training {
    fn layout(&self) -> BatchLayout {
        BatchLayout::Padded
    }

    fn zero_grad(&mut self) {
        self.gradients.clear();
    }

    /// As many micro-batches at once as there are threads, one on a card; added up in their order: the sum is the same on any
    /// machine.
    fn accumulate(&mut self, micro_batches: &[Vec<Sequence<'_>>], key: StepKey) -> Result<StepTotals, Error> {
        let mut totals = StepTotals::default();
        for together in micro_batches.chunks(self.at_once()) {
            for result in each(&self.model, together, |model, rows| differentiate(model, rows, key)) {
                let (of, gradients) = result?;
                add(&mut totals, of);
                self.add(gradients)?;
            }
        }
        Ok(totals)
    }

    /// A term a micro-batch.
    fn losses(
        &mut self,
        micro_batches: &[Vec<Sequence<'_>>],
        term: &mut (dyn FnMut(f64) + Send),
    ) -> Result<StepTotals, Error> {
        let mut totals = StepTotals::default();
        for together in micro_batches.chunks(self.at_once()) {
            for of in each(&self.model, together, evaluate) {
                let of = of?;
                term(of.loss);
                add(&mut totals, StepTotals { loss: 0.0, ..of });
            }
        }
        Ok(totals)
    }

    fn visit_gradients(&mut self, visit: &mut dyn FnMut(&str, &mut [f32])) -> Result<(), Error> {
        for (name, param) in self.model.params() {
            let gradient = self.gradients.get(name).cloned().map_or_else(|| param.var.zeros_like(), Ok)?;
            let mut values = gradient.flatten_all()?.to_vec1::<f32>()?;
            visit(name, &mut values);
            let values = Tensor::from_vec(values, gradient.dims(), gradient.device())?;
            self.gradients.insert(name.clone(), values);
        }
        Ok(())
    }

    fn grad_norm(&self) -> Result<f64, Error> {
        let mut sum = 0.0;
        for (name, gradient) in &self.gradients {
            let values = gradient.flatten_all()?.to_vec1::<f32>()?;
            let square: f64 = values.into_iter().map(|g| f64::from(g) * f64::from(g)).sum();
            if !square.is_finite() {
                return Err(Error::BadGradient { name: name.clone() });
            }
            sum += square;
        }
        Ok(sum.sqrt())
    }

    fn gradient_norms(&self) -> Result<Vec<Option<f64>>, Error> {
        let norm = |name| {
            let Some(gradient) = self.gradients.get(name) else { return Ok(None) };
            let values = gradient.flatten_all()?.to_vec1::<f32>()?;
            Ok(Some(values.into_iter().map(|g| f64::from(g) * f64::from(g)).sum::<f64>().sqrt()))
        };
        self.model.params().keys().map(norm).collect()
    }

    fn frozen_fingerprint(&self) -> Result<u64, Error> {
        let of = |tensor: &Tensor| {
            let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
            Ok::<_, Error>(fingerprint(&values).to_le_bytes())
        };
        let all = self.model.frozen().iter().map(of).collect::<Result<Vec<_>, Error>>()?;
        Ok(fingerprint(&all.concat().into_iter().map(f32::from).collect::<Vec<_>>()))
    }

    fn update(&mut self, step: &OptimizerStep) -> Result<(), Error> {
        for (name, param) in self.model.params() {
            let gradient = self.gradients.get(name).ok_or_else(|| Error::NoGradient { name: name.clone() })?;
            let state = self.states.entry(name.clone()).or_default();
            apply(self.level, step.of(param.options), &param.var, gradient, state)?;
        }
        Ok(())
    }

    fn params(&self) -> Vec<(String, Vec<usize>)> {
        self.model.params().iter().map(|(name, param)| (name.clone(), param.var.dims().to_vec())).collect()
    }

    fn value(&self, index: usize) -> Result<Cow<'_, [f32]>, Error> {
        let Some(param) = self.model.params().values().nth(index) else { return Ok(Cow::Borrowed(&[])) };
        Ok(Cow::Owned(param.var.as_detached_tensor().flatten_all()?.to_vec1()?))
    }

    fn adamw_states(&self) -> BTreeMap<&str, &AdamWState> {
        self.states.iter().map(|(name, state)| (name.as_str(), state)).collect()
    }
}

impl Training {
    fn at_once(&self) -> usize {
        match self.model.device() {
            Device::Cpu => std::thread::available_parallelism().map_or(1, usize::from),
            _ => 1,
        }
    }

    fn add(&mut self, gradients: Gradients) -> Result<(), Error> {
        for (name, gradient) in gradients {
            let sum = match self.gradients.remove(&name) {
                Some(sum) => (sum + gradient)?,
                None => gradient,
            };
            self.gradients.insert(name, sum);
        }
        Ok(())
    }
}

/// What `f` makes of each micro-batch, in their order, each on a thread of its own; one alone of a device on this.
fn each<T: Send>(
    model: &ReferenceModel,
    micro_batches: &[Vec<Sequence<'_>>],
    f: impl Fn(&ReferenceModel, &[Sequence<'_>]) -> Result<T, Error> + Copy + Send,
) -> Vec<Result<T, Error>> {
    // A device does one at a time; on the CPU a thread's panic is an error of its own.
    if let [rows] = micro_batches
        && !matches!(model.device(), Device::Cpu)
    {
        return vec![f(model, rows)];
    }
    std::thread::scope(|scope| {
        let running: Vec<_> = micro_batches.iter().map(|rows| scope.spawn(move || f(model, rows))).collect();
        running.into_iter().map(|thread| thread.join().unwrap_or(Err(Error::ThreadPanicked))).collect()
    })
}

fn add(totals: &mut StepTotals, of: StepTotals) {
    totals.loss += of.loss;
    totals.labels += of.labels;
    totals.tokens += of.tokens;
}

/// Loss and gradients of one micro-batch.
fn differentiate(
    model: &ReferenceModel,
    sequences: &[Sequence<'_>],
    key: StepKey,
) -> Result<(StepTotals, Gradients), Error> {
    let (batch, targets) = padded(sequences)?;
    let draw = DropoutKey::new(key.seed, key.step, sequences.iter().map(|s| s.step_index).collect());
    let (loss, gradients) = model.loss_and_gradients(&batch, &targets, &draw)?;
    Ok((totals(loss, &batch, &targets), gradients))
}

/// Loss of one micro-batch, nothing dropped.
fn evaluate(model: &ReferenceModel, sequences: &[Sequence<'_>]) -> Result<StepTotals, Error> {
    let (batch, targets) = padded(sequences)?;
    Ok(totals(model.loss(&batch, &targets)?, &batch, &targets))
}

fn padded(sequences: &[Sequence<'_>]) -> Result<(Batch, Targets), Error> {
    let rows: Vec<&[u32]> = sequences.iter().map(|s| s.tokens).collect();
    let marks: Vec<&[bool]> = sequences.iter().map(|s| s.is_label).collect();
    let batch = Batch::right_padded(&rows)?;
    let targets = Targets::new(&batch, &marks)?;
    Ok((batch, targets))
}

fn totals(loss: f64, batch: &Batch, targets: &Targets) -> StepTotals {
    StepTotals { loss, labels: targets.len(), tokens: batch.lengths().iter().map(|n| *n as u64).sum() }
}

/// AdamW's pass over one variable on the CPU, its numbers the kernels'; elsewhere over a copy brought here and back.
fn apply(level: SimdLevel, step: AdamW, var: &Var, gradient: &Tensor, state: &mut AdamWState) -> Result<(), Error> {
    let n = var.elem_count();
    for moment in [&mut state.first, &mut state.second] {
        moment.resize(n, 0.0);
    }
    let Device::Cpu = var.device() else {
        let mut weights = var.as_detached_tensor().flatten_all()?.to_vec1::<f32>()?;
        let gradient = gradient.flatten_all()?.to_vec1::<f32>()?;
        let AdamWState { first, second } = state;
        let tensor = KernelWeights::Full(&mut weights);
        update(level, vec![Update { weights: tensor, gradient: &gradient, first, second, step }]);
        return Ok(var.set(&Tensor::from_vec(weights, var.dims(), var.device())?)?);
    };
    let pass = InPlace { level, step, state: Mutex::new(state) };
    Ok(var.as_tensor().inplace_op2(&gradient.contiguous()?, &pass)?)
}

/// One tensor's update, as candle runs it in place.
struct InPlace<'a> {
    level: SimdLevel,
    step: AdamW,
    state: Mutex<&'a mut AdamWState>,
}

impl InplaceOp2 for InPlace<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(
        &self,
        weights: &mut CpuStorage,
        l1: &Layout,
        gradient: &CpuStorage,
        l2: &Layout,
    ) -> candle_core::Result<()> {
        let (Some((from1, to1)), Some((from2, to2))) = (l1.contiguous_offsets(), l2.contiguous_offsets()) else {
            bail!("adamw: weights and gradients must be contiguous");
        };
        let CpuStorage::F32(weights) = weights else { bail!("adamw: weights must be f32") };
        let (weights, gradient) = (&mut weights[from1..to1], &gradient.as_slice::<f32>()?[from2..to2]);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let AdamWState { first, second } = &mut **state;
        let weights = KernelWeights::Full(weights);
        update(self.level, vec![Update { weights, gradient, first, second, step: self.step }]);
        Ok(())
    }
}

struct Answering(ReferenceModel);

/// All is plain numbers here.
static NOTHING: QuantisedWeights = QuantisedWeights::new();

impl Generator for Answering {
    fn shape(&self) -> &Decoder {
        self.0.shape()
    }

    fn positions(&self) -> usize {
        self.0.positions()
    }

    fn has_independent_rows(&self) -> bool {
        false
    }

    fn quantised(&self) -> &QuantisedWeights {
        &NOTHING
    }

    fn rows(&self) -> Box<dyn Rows + '_> {
        Box::new(CachedRows { model: &self.0, cache: Cache::new(&self.0) })
    }
}

struct CachedRows<'a> {
    model: &'a ReferenceModel,
    cache: Cache,
}

impl Rows for CachedRows<'_> {
    fn prefill(&mut self, prompts: &[PromptRow<'_>], logits: &mut Vec<f32>) -> Result<(), Error> {
        check_adapters(prompts)?;
        *logits = self.model.prefill(&mut self.cache, prompts)?.flatten_all()?.to_vec1()?;
        Ok(())
    }

    fn prefill_scored(
        &mut self,
        prompts: &[PromptRow<'_>],
        each: &mut (dyn FnMut(usize, &[f32]) + Send),
        logits: &mut Vec<f32>,
    ) -> Result<(), Error> {
        check_adapters(prompts)?;
        let (all, last) = self.model.prefill_scored(&mut self.cache, prompts)?;
        each(0, &all.flatten_all()?.to_vec1::<f32>()?);
        *logits = last.flatten_all()?.to_vec1()?;
        Ok(())
    }

    fn step(&mut self, tokens: &[u32], logits: &mut Vec<f32>) -> Result<(), Error> {
        *logits = self.model.step(&mut self.cache, tokens)?.flatten_all()?.to_vec1()?;
        Ok(())
    }

    fn swap_remove(&mut self, row: usize) -> Result<(), Error> {
        self.cache.swap_remove(row)
    }
}

/// This engine's models have one adapter at most.
fn check_adapters(prompts: &[PromptRow<'_>]) -> Result<(), Error> {
    match prompts.iter().find(|prompt| prompt.adapter > 0) {
        Some(prompt) => Err(Error::Batch(format!("no adapter {} in a model of 1", prompt.adapter))),
        None => Ok(()),
    }
}
