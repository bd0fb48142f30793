//! Where a training stands, brought together for the first rank, who writes it. The others send what they own, number for
//! number in the order in which it is written.

use std::borrow::Cow;

use tunebench_model::backend::{Moment, Trainable};

use crate::Error;
use crate::division::Division;
use crate::ranks::{Ranks, To};

/// Names and shapes, in the order in which they are written.
type Shapes = Vec<(String, Vec<usize>)>;

/// A model in training, divided among ranks.
pub(crate) struct Divided<'m, 'r> {
    pub ranks: &'m mut Ranks<'r>,
    pub model: &'m dyn Trainable,
    pub division: &'m Division,
    /// Whether the optimizer has made a step.
    pub has_moments: bool,
}

impl<'m> Divided<'m, '_> {
    pub fn is_first(&self) -> bool {
        self.ranks.is_first()
    }

    /// Names and shapes of all that is trained.
    pub fn params(&self) -> Shapes {
        self.model.params()
    }

    /// The numbers of a trained tensor.
    pub fn value(&mut self, index: usize) -> Result<Cow<'m, [f32]>, Error> {
        self.ranks.value(self.model, self.division, index, To::First)
    }

    /// What there is of the optimizer: names and shapes, and whose moments each is; by the names of the tensors.
    pub fn moments(&self) -> (Shapes, Vec<(usize, Moment)>) {
        let mut params: Vec<(usize, String)> = self.params().into_iter().map(|(name, _)| name).enumerate().collect();
        params.sort_by(|a, b| a.1.cmp(&b.1));
        params.retain(|_| self.has_moments);
        let both = |(index, name): (usize, String)| {
            let shape = vec![self.division.flat().tensor(index).len()];
            [("first", Moment::First), ("second", Moment::Second)]
                .map(|(which, moment)| ((format!("{which}.{name}"), shape.clone()), (index, moment)))
        };
        params.into_iter().flat_map(both).unzip()
    }

    /// Moments of a trained tensor.
    pub fn moment(&mut self, index: usize, which: Moment) -> Result<Cow<'m, [f32]>, Error> {
        Ok(Cow::Owned(self.ranks.moments(self.model, self.division, index, which)?))
    }

    /// What the first rank writes of all values.
    pub fn send_values(&mut self) -> Result<(), Error> {
        (0..self.params().len()).try_for_each(|index| self.value(index).map(drop))
    }

    /// What the first rank writes of all moments.
    pub fn send_moments(&mut self) -> Result<(), Error> {
        let (_, moments) = self.moments();
        moments.into_iter().try_for_each(|(index, which)| self.moment(index, which).map(drop))
    }
}
