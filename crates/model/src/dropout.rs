//! Dropout whose draws depend on what is dropped alone: the seed, the step, the example, the site and the
//! operation. A resumed run draws the same, and so does one that cuts its batches into other pieces.

use candle_core::{Device, Tensor};
use tunebench_spec::random::Stream;

use crate::Error;

/// Separates these draws from others of the same seed.
const PURPOSE: u64 = 0x64_726f_706f_7574;

/// The key of all draws of one forward pass.
#[derive(Clone, Debug)]
pub struct Draw {
    pub seed: u64,
    pub step: u64,
    /// For each row of the batch a number of its own within the step.
    pub rows: Vec<u64>,
    /// Where each row's tokens end among all; empty when the rows are alike long.
    pub ends: Vec<usize>,
}

impl Draw {
    /// The words that a row draws at this site and node.
    fn stream(&self, row: u64, [site, node]: [u64; 2]) -> Stream {
        Stream::new(self.seed, &[PURPOSE, self.step, row, site, node])
    }

    /// [`Draw::stream`] of every row.
    pub(crate) fn streams(&self, place: [u64; 2]) -> Vec<Stream> {
        self.rows.iter().map(|row| self.stream(*row, place)).collect()
    }

    /// 0 with probability `p`, else `1/(1-p)`, for a value of `shape` computed by operation `node` at site `site`.
    /// Where the first axis is the tokens', each row of the batch has its own stream.
    pub(crate) fn mask(&self, p: f64, shape: &Shape<'_>, place: [u64; 2], device: &Device) -> Result<Tensor, Error> {
        let (rows, dims): (&[u64], &[usize]) = match shape {
            Shape::Tokens(dims) => (&self.rows, dims),
            Shape::Fixed(dims) => (&[0], dims),
        };
        let count: usize = dims.iter().product();
        let per_token = count / dims.first().copied().unwrap_or(1).max(1);
        let alike = count / rows.len().max(1);
        let lengths: Vec<usize> = match shape {
            Shape::Tokens(_) if !self.ends.is_empty() => {
                let starts = std::iter::once(&0).chain(&self.ends);
                self.ends.iter().zip(starts).map(|(end, start)| (end - start) * per_token).collect()
            }
            _ => vec![alike; rows.len()],
        };
        // Half a word an element: probabilities to 2^-32.
        let threshold = (p * 2f64.powi(32)) as u32;
        let kept = (1.0 / (1.0 - p)) as f32;
        let mut mask = Vec::with_capacity(count);
        for (&row, length) in rows.iter().zip(lengths) {
            let mut stream = self.stream(row, place);
            for _ in 0..length.div_ceil(2) {
                let word = stream.next_u64();
                mask.extend([word as u32, (word >> 32) as u32].map(|w| if w < threshold { 0.0 } else { kept }));
            }
            mask.truncate(mask.len() - length % 2);
        }
        Ok(Tensor::from_vec(mask, dims, device)?)
    }
}

/// The lengths of a value, and whether its first axis is the tokens of a batch, row after row.
pub(crate) enum Shape<'a> {
    Tokens(&'a [usize]),
    Fixed(&'a [usize]),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_that_is_dropped_is_p_and_the_mean_stays() {
        let draw = Draw { seed: 1, step: 2, rows: vec![3, 4], ends: vec![] };
        let mask = draw.mask(0.25, &Shape::Tokens(&[2 * 101, 99]), [5, 6], &Device::Cpu).unwrap();
        let values: Vec<f32> = mask.flatten_all().unwrap().to_vec1().unwrap();
        let dropped = values.iter().filter(|v| **v == 0.0).count() as f64 / values.len() as f64;
        assert!((dropped - 0.25).abs() < 0.01, "{dropped}");
        assert!(values.iter().all(|v| *v == 0.0 || *v == 1.0 / 0.75));
        // Rows of an odd number of elements draw apart from each other.
        assert_ne!(values[..101 * 99], values[101 * 99..]);
        let alone = Draw { rows: vec![4], ..draw };
        let alone = alone.mask(0.25, &Shape::Tokens(&[101, 99]), [5, 6], &Device::Cpu).unwrap();
        assert_eq!(values[101 * 99..], alone.flatten_all().unwrap().to_vec1::<f32>().unwrap());
    }
}
