//! The reference path on a graphics card, by candle's CUDA: products and activations in bf16 or in f32, trained weights, norms,
//! softmax and loss in f32, AdamW and its moments on the CPU. One card a process.

use std::sync::OnceLock;

use candle_core::Device;
use tunebench_kernels::machine::memory::{self, LimitSource, MemoryLimit};
use tunebench_spec::Decoder;
use tunebench_spec::plan::RecordedPlan;

use super::reference::{generator, trainable};
use super::{Backend, Generator, Parts, StepSize, Trainable, card, cuda_memory};
use crate::Error;
use crate::memory_need::MemoryNeed;
use crate::optim::AdamWStates;
use crate::reference::{Compute, Precision};
use crate::weights::QuantisedWeights;

/// What a program without CUDA says.
const NOT_LINKED: &str =
    "this program has no CUDA; use tunebench-cuda, which `cargo xtask cuda` builds where CUDA's compiler, nvcc, is";

/// [`crate::ReferenceModel`] on the card of a number.
#[derive(Debug)]
pub struct Cuda {
    /// From 0, as the driver counts.
    ordinal: usize,
    precision: Precision,
    /// Once it is opened.
    device: OnceLock<Device>,
}

impl Cuda {
    /// Of what a card is foretold to take, the bytes of CUDA itself.
    pub const CONTEXT: u64 = cuda_memory::CONTEXT;

    /// The card of this number, which is opened when something is computed.
    pub const fn new(ordinal: usize, precision: Precision) -> Self {
        Self { ordinal, precision, device: OnceLock::new() }
    }

    /// The same over another device: what tests of it have instead of a card.
    pub fn on(device: Device, precision: Precision) -> Self {
        Self { device: OnceLock::from(device), ..Self::new(0, precision) }
    }

    /// The engine that `--engine` asks for by `cuda`, `cuda:N`, `cuda-f32` or `cuda-f32:N`; none when that is no card.
    pub(super) fn named(argument: &str) -> Option<Result<&'static dyn Backend, String>> {
        let (name, number) = argument.split_once(':').map_or((argument, None), |(name, number)| (name, Some(number)));
        let precision = [Precision::BF16, Precision::F32].into_iter().find(|precision| spelled(*precision) == name)?;
        if !card::is_linked() {
            return Some(Err(NOT_LINKED.to_owned()));
        }
        let Ok(ordinal) = number.unwrap_or("0").parse() else {
            return Some(Err(format!("`{argument}`: the card's number is a whole one from 0, as in `{name}:1`")));
        };
        // An engine is there as long as the program; a command line names one.
        Some(Ok(Box::leak(Box::new(Self::new(ordinal, precision)))))
    }

    fn device(&self) -> Result<&Device, Error> {
        if let Some(device) = self.device.get() {
            return Ok(device);
        }
        let fault = |source| Error::Card { ordinal: self.ordinal, source: Box::new(source) };
        let device = Device::new_cuda(self.ordinal).map_err(fault)?;
        Ok(self.device.get_or_init(|| device))
    }

    fn compute(&self, recompute: bool) -> Result<Compute, Error> {
        Ok(Compute { device: self.device()?.clone(), precision: self.precision, recompute })
    }
}

const fn spelled(precision: Precision) -> &'static str {
    match precision {
        Precision::BF16 => "cuda",
        Precision::F32 => "cuda-f32",
    }
}

impl Backend for Cuda {
    fn name(&self) -> &'static str {
        spelled(self.precision)
    }

    fn argument(&self) -> String {
        format!("{}:{}", self.name(), self.ordinal)
    }

    fn precision(&self) -> &'static str {
        match self.precision {
            Precision::BF16 => "bf16, trained weights, norms, softmax and loss f32",
            Precision::F32 => "f32",
        }
    }

    fn training_memory(
        &self,
        shape: &Decoder,
        recorded: &RecordedPlan,
        _: &QuantisedWeights,
        size: StepSize,
        recompute: bool,
    ) -> Option<MemoryNeed> {
        Some(MemoryNeed::own(cuda_memory::training(shape, recorded, size, recompute, self.precision)))
    }

    fn answering_memory(&self, shape: &Decoder, _: &QuantisedWeights, rows: usize, tokens: usize) -> MemoryNeed {
        MemoryNeed::own(cuda_memory::answering(shape, rows, tokens, self.precision))
    }

    fn memory_limit(&self) -> Option<MemoryLimit> {
        match self.device().ok()? {
            Device::Cpu => memory::limit(),
            device => {
                let [_, bytes] = card::memory(device)?;
                Some(MemoryLimit { bytes, source: LimitSource::Card { ordinal: self.ordinal } })
            }
        }
    }

    fn memory_free(&self) -> Option<u64> {
        match self.device().ok()? {
            Device::Cpu => memory::available(),
            device => card::memory(device).map(|[free, _]| free),
        }
    }

    fn has_device(&self) -> bool {
        true
    }

    fn trainable(&self, parts: Parts<'_>, states: AdamWStates, recompute: bool) -> Result<Box<dyn Trainable>, Error> {
        trainable(parts, states, self.compute(recompute)?)
    }

    fn generator(&self, parts: Parts<'_>) -> Result<Box<dyn Generator>, Error> {
        generator(parts, self.compute(false)?)
    }
}
