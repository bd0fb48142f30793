//! Dropout whose draws depend on what is dropped alone: the seed, the step, the example, the site and the
//! operation. A resumed run draws the same, and so does one that cuts its batches into other micro-batches.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use tunebench_spec::VirtualTokens;
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::random::Stream;

use crate::Error;

/// Separates these draws from others of the same seed.
const PURPOSE: u64 = 0x64_726f_706f_7574;

/// A recorded graph among those of a model: the adapted weights in order of their names, then the virtual tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SiteId(u64);

impl SiteId {
    /// Those of a plan, by the name of the adapted weight, or [`VirtualTokens::NAME`].
    pub(crate) fn all(recorded: &RecordedPlan) -> BTreeMap<String, Self> {
        let names = recorded.sites.keys().map(String::as_str).chain([VirtualTokens::NAME]);
        names.zip(0..).map(|(name, number)| (name.to_owned(), Self(number))).collect()
    }
}

/// One dropout of a model: a node in the graph of a site.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DropoutNode {
    pub site: SiteId,
    pub node: usize,
}

/// The key of all draws of one forward pass.
#[derive(Clone, Debug)]
pub struct DropoutKey {
    seed: u64,
    step: u64,
    /// For each example a number of its own within the step.
    examples: Vec<u64>,
    /// Cumulative lengths of the examples; empty when they are padded to one length.
    seq_ends: Vec<usize>,
}

impl DropoutKey {
    /// For examples that lie end to end, each ending at its cumulative length in `seq_ends`. `examples` are their
    /// numbers within the step.
    pub fn for_batch(seed: u64, step: u64, examples: Vec<u64>, seq_ends: &[usize]) -> Self {
        Self { seed, step, examples, seq_ends: seq_ends.to_vec() }
    }

    /// For examples padded to one length.
    pub fn new(seed: u64, step: u64, examples: Vec<u64>) -> Self {
        Self { seed, step, examples, seq_ends: Vec::new() }
    }

    /// Number of examples.
    pub(crate) fn examples(&self) -> usize {
        self.examples.len()
    }

    /// Cumulative lengths of examples that lie end to end.
    pub(crate) fn seq_ends(&self) -> &[usize] {
        &self.seq_ends
    }

    /// The words that an example draws at this node.
    fn stream(&self, example: u64, at: DropoutNode) -> Stream {
        Stream::new(self.seed, &[PURPOSE, self.step, example, at.site.0, at.node as u64])
    }

    /// [`DropoutKey::stream`] of every example.
    pub(crate) fn streams(&self, at: DropoutNode) -> Vec<Stream> {
        self.examples.iter().map(|example| self.stream(*example, at)).collect()
    }

    /// 0 with probability `p`, else `1/(1-p)`, for a value of `shape` computed at `at`. Where the first axis is the
    /// tokens', each example of the batch has its own stream.
    pub(crate) fn mask(&self, p: f64, shape: &Shape<'_>, at: DropoutNode, device: &Device) -> Result<Tensor, Error> {
        let (examples, dims): (&[u64], &[usize]) = match shape {
            Shape::Tokens(dims) => (&self.examples, dims),
            Shape::Fixed(dims) => (&[0], dims),
        };
        let count: usize = dims.iter().product();
        let per_token = count / dims.first().copied().unwrap_or(1).max(1);
        let lengths: Vec<usize> = match shape {
            Shape::Tokens(_) if !self.seq_ends.is_empty() => {
                let starts = std::iter::once(&0).chain(&self.seq_ends);
                self.seq_ends.iter().zip(starts).map(|(end, start)| (end - start) * per_token).collect()
            }
            _ => vec![count / examples.len().max(1); examples.len()],
        };
        // Half a word an element: probabilities to 2^-32.
        let threshold = (p * 2f64.powi(32)) as u32;
        let kept = (1.0 / (1.0 - p)) as f32;
        let mut mask = Vec::with_capacity(count);
        for (&example, length) in examples.iter().zip(lengths) {
            let mut stream = self.stream(example, at);
            for _ in 0..length.div_ceil(2) {
                let word = stream.next_u64();
                mask.extend([word as u32, (word >> 32) as u32].map(|w| if w < threshold { 0.0 } else { kept }));
            }
            mask.truncate(mask.len() - length % 2);
        }
        Ok(Tensor::from_vec(mask, dims, device)?)
    }
}

/// The lengths of a value, and whether its first axis is the tokens of a batch, example after example.
pub(crate) enum Shape<'a> {
    Tokens(&'a [usize]),
    Fixed(&'a [usize]),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_that_is_dropped_is_p_and_the_mean_stays() {
        let at = DropoutNode { site: SiteId(5), node: 6 };
        let key = DropoutKey::new(1, 2, vec![3, 4]);
        let mask = key.mask(0.25, &Shape::Tokens(&[2 * 101, 99]), at, &Device::Cpu).unwrap();
        let values: Vec<f32> = mask.flatten_all().unwrap().to_vec1().unwrap();
        let dropped = values.iter().filter(|v| **v == 0.0).count() as f64 / values.len() as f64;
        assert!((dropped - 0.25).abs() < 0.01, "{dropped}");
        assert!(values.iter().all(|v| *v == 0.0 || *v == 1.0 / 0.75));
        // Examples of an odd number of elements draw apart from each other.
        assert_ne!(values[..101 * 99], values[101 * 99..]);
        let alone = DropoutKey::new(1, 2, vec![4]);
        let alone = alone.mask(0.25, &Shape::Tokens(&[101, 99]), at, &Device::Cpu).unwrap();
        assert_eq!(values[101 * 99..], alone.flatten_all().unwrap().to_vec1::<f32>().unwrap());
    }
}
