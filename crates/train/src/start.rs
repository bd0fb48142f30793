//! Where a training begins: what it is given, or the checkpoint, which the first rank reads for all.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use tunebench_model::backend::{Moment, Trainable};
use tunebench_model::{AdamWState, AdamWStates, Tuning, tuning};
use tunebench_spec::Decoder;

use crate::Error;
use crate::checkpoint::{self, Checkpoint};
use crate::division::Division;
use crate::ranks::Ranks;
use crate::receipt::Draft;

/// Where a training begins.
pub(crate) struct Start {
    pub tuning: Tuning,
    /// Of the optimizer, with the first rank alone.
    pub states: AdamWStates,
    /// Whether the optimizer has made a step.
    pub has_moments: bool,
    /// Steps made.
    pub done: u64,
    pub receipt: Option<Draft>,
}

/// What the first rank says of a checkpoint.
#[derive(Serialize, Deserialize)]
struct Found {
    steps: u64,
    receipt: Option<Draft>,
    has_moments: bool,
}

impl Start {
    /// That of a training in `dir`, whose own beginning is `tuning`.
    pub fn find(ranks: &mut Ranks<'_>, shape: &Decoder, tuning: Tuning, dir: &Path) -> Result<Self, Error> {
        let recorded = tuning.recorded().clone();
        let (mut values, mut states) = (BTreeMap::new(), AdamWStates::new());
        let found = ranks.told_by_first(|| {
            let Some(found) = checkpoint::load(dir)? else { return Ok(None) };
            checkpoint::fit(shape, &recorded, &found, dir)?;
            let Checkpoint { steps, receipt, .. } = found;
            (values, states) = (found.values, found.states);
            Ok(Some(Found { steps, receipt, has_moments: !states.is_empty() }))
        })?;
        let Some(Found { steps: done, receipt, has_moments }) = found else {
            return Ok(Self { tuning, states, has_moments: false, done: 0, receipt: None });
        };
        if !ranks.is_alone() {
            for (name, dims) in tuning::shapes(shape, &recorded) {
                let mut numbers = match values.get(&name) {
                    Some(value) => value.flatten_all()?.to_vec1()?,
                    None => vec![0.0; dims.iter().product()],
                };
                ranks.numbers_of_first(&mut numbers)?;
                values.insert(name, Tensor::from_vec(numbers, dims, &Device::Cpu)?);
            }
        }
        Ok(Self { tuning: Tuning::new(shape, recorded, values)?, states, has_moments, done, receipt })
    }
}

/// Gives each rank the moments of what it owns, from those that the first one has.
pub(crate) fn spread_moments(
    ranks: &mut Ranks<'_>,
    model: &mut dyn Trainable,
    division: &Division,
    states: AdamWStates,
) -> Result<(), Error> {
    let names: Vec<String> = model.params().into_iter().map(|(name, _)| name).collect();
    let of = |which: Moment, part: Range<usize>, out: &mut Vec<f32>| {
        for piece in division.flat().pieces(part) {
            match (states.get(&names[piece.index]), which) {
                (Some(AdamWState { first, .. }), Moment::First) => out.extend(&first[piece.inside]),
                (Some(AdamWState { second, .. }), Moment::Second) => out.extend(&second[piece.inside]),
                (None, _) => out.extend(piece.inside.map(|_| 0.0)),
            }
        }
    };
    for window in division.windows() {
        for which in [Moment::First, Moment::Second] {
            let mut sent = Vec::new();
            if ranks.is_first() {
                window.iter().for_each(|part| of(which, part.clone(), &mut sent));
            }
            let own = window[ranks.rank()].clone();
            let mut moments = vec![0.0; own.len()];
            ranks.parts_of_first(&sent, &window, &mut moments)?;
            model.set_moments(which, own, &moments);
        }
    }
    Ok(())
}
