//! Numbers with a shape: as much of an array library as the maths of a site needs.

use crate::{Error, Result};

/// Numbers in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    pub shape: Vec<usize>,
    /// As many as the lengths in `shape` multiplied.
    pub data: Vec<f64>,
}

impl Array {
    /// # Errors
    /// When there are more or fewer numbers than the shape has places.
    pub fn new(shape: impl Into<Vec<usize>>, data: Vec<f64>) -> Result<Self> {
        let shape = shape.into();
        if shape.iter().product::<usize>() != data.len() {
            return Err(Error::new(format!("{} numbers do not fill {shape:?}", data.len())));
        }
        Ok(Self { shape, data })
    }

    pub(super) fn filled(shape: &[usize], mut next: impl FnMut() -> f64) -> Self {
        let count = shape.iter().product();
        Self { shape: shape.to_vec(), data: (0..count).map(|_| next()).collect() }
    }

    pub(super) fn zeros(shape: &[usize]) -> Self {
        Self::filled(shape, || 0.0)
    }

    pub(super) fn map(&self, f: impl Fn(f64) -> f64) -> Self {
        Self { shape: self.shape.clone(), data: self.data.iter().map(|v| f(*v)).collect() }
    }

    /// Element by element with an array of the same shape.
    pub(super) fn zip(&self, other: &Self, f: impl Fn(f64, f64) -> f64) -> Self {
        let data = self.data.iter().zip(&other.data).map(|(a, b)| f(*a, *b)).collect();
        Self { shape: self.shape.clone(), data }
    }

    pub(super) fn with_shape(&self, shape: &[usize]) -> Self {
        Self { shape: shape.to_vec(), data: self.data.clone() }
    }

    /// `[a, b] -> [b, a]`.
    pub(super) fn transposed(&self) -> Self {
        let (rows, columns) = self.rows_and_columns();
        let data = (0..columns).flat_map(|c| (0..rows).map(move |r| self.data[r * columns + c])).collect();
        Self { shape: vec![columns, rows], data }
    }

    /// `[m, k] x [k, n] -> [m, n]`.
    pub(super) fn matmul(&self, other: &Self) -> Self {
        let ((m, k), (_, n)) = (self.rows_and_columns(), other.rows_and_columns());
        let mut product = Self::zeros(&[m, n]);
        for (row, out) in self.data.chunks_exact(k).zip(product.data.chunks_exact_mut(n)) {
            for (a, b_row) in row.iter().zip(other.data.chunks_exact(n)) {
                out.iter_mut().zip(b_row).for_each(|(sum, b)| *sum += a * b);
            }
        }
        product
    }

    /// Repeated along axes of length 1, and along new ones in front, to `shape`.
    pub(super) fn broadcast(&self, shape: &[usize]) -> Self {
        Self { shape: shape.to_vec(), data: places(shape, &self.shape).map(|place| self.data[place]).collect() }
    }

    /// Summed down to a shape that broadcasts to this one.
    pub(super) fn summed(&self, shape: &[usize]) -> Self {
        let mut sum = Self::zeros(shape);
        for (value, place) in self.data.iter().zip(places(&self.shape, shape)) {
            sum.data[place] += value;
        }
        sum
    }

    /// The largest absolute value; NaN when there is one.
    pub(super) fn largest(&self) -> f64 {
        self.data.iter().fold(0.0, |most, v| if v.is_nan() { f64::NAN } else { f64::max(most, v.abs()) })
    }

    pub(super) fn is_finite(&self) -> bool {
        self.data.iter().all(|v| v.is_finite())
    }

    fn rows_and_columns(&self) -> (usize, usize) {
        (self.shape[0], self.shape[1])
    }
}

/// For each element of an array of shape `large`, the place in one of shape `small` that broadcasts to it.
fn places<'a>(large: &'a [usize], small: &'a [usize]) -> impl Iterator<Item = usize> + 'a {
    let new_axes = large.len() - small.len();
    (0..large.iter().product()).map(move |index: usize| {
        let (mut rest, mut place, mut stride) = (index, 0, 1);
        for axis in (0..large.len()).rev() {
            let at = rest % large[axis];
            rest /= large[axis];
            let Some(axis) = axis.checked_sub(new_axes) else { continue };
            if small[axis] > 1 {
                place += at * stride;
            }
            stride *= small[axis];
        }
        place
    })
}
