//! The example by which a receipt asks whether training makes a difference.

use tunebench_dataset::{Examples, Tokenized};
use tunebench_model::backend::Sequence;

use crate::Error;
use crate::batches::Steps;

/// The first example of the first step that has a label, and its index within the step.
pub(crate) struct Probe {
    example: Tokenized,
    step_index: u64,
}

impl Probe {
    pub fn find(steps: &mut Steps<'_>, examples: &dyn Examples) -> Result<Option<Self>, Error> {
        let first = if steps.total > 0 { steps.step(0) } else { Vec::new() };
        for micro_batch in &first {
            for (example, step_index) in micro_batch.read(examples)?.into_iter().zip(&micro_batch.step_indices) {
                if example.n_labels() > 0 {
                    return Ok(Some(Self { example, step_index: *step_index }));
                }
            }
        }
        Ok(None)
    }

    pub fn sequence(&self) -> Sequence<'_> {
        let Self { example: Tokenized { tokens, is_label }, step_index } = self;
        Sequence { tokens, is_label, step_index: *step_index }
    }
}
