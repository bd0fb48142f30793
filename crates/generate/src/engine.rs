//! What answers: a model on either engine, and the rows of text that it makes grow.

use candle_core::Device;
use half::bf16;
use tunebench_kernels::SimdLevel;
use tunebench_model::{Cache, Llama, Tuning, Weights, fast};
use tunebench_spec::{Engine, ModelShape};

use crate::Error;

/// A model ready to answer.
pub enum Model {
    Fast(Box<fast::Model<bf16>>),
    Reference(Box<Llama>),
}

/// Texts that grow, each by a token a step. Scores are `[rows, v]`, row after row.
pub trait Rows {
    /// Adds the prompts as rows; `scores` becomes what comes after each of them.
    ///
    /// # Errors
    /// When a prompt is empty or has a token that the model does not know.
    fn prefill(&mut self, prompts: &[&[u32]], scores: &mut Vec<f32>) -> Result<(), Error>;

    /// Gives each row its next token; `scores` becomes what comes after it.
    ///
    /// # Errors
    /// As [`Rows::prefill`].
    fn step(&mut self, tokens: &[u32], scores: &mut Vec<f32>) -> Result<(), Error>;

    /// Drops a row; the last one takes its place.
    ///
    /// # Errors
    /// When there is no such row.
    fn swap_remove(&mut self, row: usize) -> Result<(), Error>;
}

impl Model {
    /// Puts a model together: adapters run beside their weights, unmerged.
    ///
    /// # Errors
    /// When weights and tuning do not fit, or the CPU level that was asked for is not there.
    pub fn new(engine: Engine, shape: &ModelShape, weights: Weights, tuning: Tuning) -> Result<Self, Error> {
        match engine {
            Engine::Fast => {
                let options = fast::Options { level: SimdLevel::chosen()?, recompute: false, packed: false };
                let mut model = fast::Model::new(shape, weights, tuning, options)?;
                model.pack();
                Ok(Self::Fast(Box::new(model)))
            }
            Engine::Reference => Ok(Self::Reference(Box::new(Llama::new(shape, &weights, &tuning, &Device::Cpu)?))),
        }
    }

    /// Dimensions of the model.
    pub fn shape(&self) -> &ModelShape {
        match self {
            Self::Fast(model) => model.shape(),
            Self::Reference(model) => model.shape(),
        }
    }

    /// Positions for a prompt and its answer: the model's without those of virtual tokens.
    pub fn positions(&self) -> usize {
        match self {
            Self::Fast(model) => model.positions(),
            Self::Reference(model) => model.positions(),
        }
    }

    /// Whether a row's scores are the same bytes whatever rows stand beside it, so that an answer does not depend on
    /// the company it was made in.
    pub fn has_independent_rows(&self) -> bool {
        matches!(self, Self::Fast(_))
    }

    /// No rows yet.
    pub fn rows(&self) -> Box<dyn Rows + '_> {
        match self {
            Self::Fast(model) => Box::new(FastRows { model, cache: fast::Cache::new(model) }),
            Self::Reference(model) => Box::new(ReferenceRows { model, cache: Cache::new(model) }),
        }
    }
}

struct FastRows<'a> {
    model: &'a fast::Model<bf16>,
    cache: fast::Cache<bf16>,
}

impl Rows for FastRows<'_> {
    fn prefill(&mut self, prompts: &[&[u32]], scores: &mut Vec<f32>) -> Result<(), Error> {
        Ok(self.model.prefill(&mut self.cache, prompts, scores)?)
    }

    fn step(&mut self, tokens: &[u32], scores: &mut Vec<f32>) -> Result<(), Error> {
        Ok(self.model.step(&mut self.cache, tokens, scores)?)
    }

    fn swap_remove(&mut self, row: usize) -> Result<(), Error> {
        Ok(self.cache.swap_remove(row)?)
    }
}

struct ReferenceRows<'a> {
    model: &'a Llama,
    cache: Cache,
}

impl Rows for ReferenceRows<'_> {
    fn prefill(&mut self, prompts: &[&[u32]], scores: &mut Vec<f32>) -> Result<(), Error> {
        *scores = self.model.prefill(&mut self.cache, prompts)?.flatten_all()?.to_vec1()?;
        Ok(())
    }

    fn step(&mut self, tokens: &[u32], scores: &mut Vec<f32>) -> Result<(), Error> {
        *scores = self.model.step(&mut self.cache, tokens)?.flatten_all()?.to_vec1()?;
        Ok(())
    }

    fn swap_remove(&mut self, row: usize) -> Result<(), Error> {
        Ok(self.cache.swap_remove(row)?)
    }
}
