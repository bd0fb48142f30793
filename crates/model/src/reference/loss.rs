//! Loss and gradients: candle's autograd layer by layer, from the last to the first, each layer's graph freed as
//! soon as it has been walked, or made anew to be walked; and at the head a slice of the vocabulary scores at a time.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor, Var};
use tunebench_spec::VirtualTokens;
use tunebench_spec::names::Role;

use crate::Error;
use crate::dropout::DropoutKey;
use crate::graph::attach::{is_tracked, seeded};
use crate::graph::ops;
use crate::reference::batch::{Batch, Targets};
use crate::reference::context::Context;
use crate::reference::model::{ReferenceModel, within};
use crate::reference::virtual_tokens::Prefix;
use crate::reference::weight::Pass;

/// Most scores that exist at once, `labels · v`: 64 MiB, a few times over while they are worked on.
pub(crate) const SCORES_AT_ONCE: usize = 1 << 24;

/// Gradients by the name of the trained tensor. One that no label depends on has none.
pub type Gradients = BTreeMap<String, Tensor>;

/// A part's graph: what went in, as a leaf when a gradient goes on from there, and what came out.
struct Segment {
    input: Tensor,
    output: Tensor,
}

impl Segment {
    /// Leads `gradient` of the output back: gradients of the parameters to `gradients`, that of the input returned
    /// when it is a leaf.
    fn backward(
        self,
        gradient: Tensor,
        model: &ReferenceModel,
        context: &Context<'_>,
        gradients: &mut Gradients,
    ) -> Result<Option<Tensor>, Error> {
        let mut found = seeded(&self.output, gradient)?.backward()?;
        collect(&mut found, model, context, gradients)?;
        // candle also keeps gradients that nobody asked for, of values that meet tracked ones in a product.
        Ok(found.remove(&self.input).filter(|_| self.input.is_variable()))
    }
}

impl ReferenceModel {
    /// Sum over the targets of the cross-entropy, in nats. Divide by the number of labels of the whole batch, not
    /// of a piece of it.
    ///
    /// # Errors
    /// [`Error::Batch`] when a token is not in the vocabulary.
    pub fn loss(&self, batch: &Batch, targets: &Targets) -> Result<f64, Error> {
        let count = self.virtual_count();
        let x = self.run(&batch.with_prefix(count))?;
        let mut sum = 0.0;
        for (from, labels) in self.slices(&targets.with_prefix(batch, count)) {
            let logits = self.logits_of(&x, from)?;
            let (losses, _) = ops::cross_entropy(&logits, &Tensor::new(labels, self.device())?)?;
            sum += total(&losses)?;
        }
        Ok(sum)
    }

    /// [`ReferenceModel::loss`] with dropout, and the gradients of that sum.
    ///
    /// # Errors
    /// [`Error::Batch`] when a token is not in the vocabulary or `key` is not that of the rows.
    pub fn loss_and_gradients(
        &self,
        batch: &Batch,
        targets: &Targets,
        key: &DropoutKey,
    ) -> Result<(f64, Gradients), Error> {
        if key.examples() != batch.rows() {
            return Err(Error::Batch(format!("{} rows, but a dropout key of {}", batch.rows(), key.examples())));
        }
        let (targets, batch) =
            (&*targets.with_prefix(batch, self.virtual_count()), &*batch.with_prefix(self.virtual_count()));
        let context = self.context(batch, Pass::Train(key))?;
        let input = leaf(&self.embed(batch.tokens())?, self.embedding.is_trained())?;
        let output = self.embedded(&input, batch.positions(), &context)?;
        let mut x = output.detach();
        let mut tracked = is_tracked(&output);
        let first = Segment { input, output };
        let mut passed = Vec::with_capacity(self.layers.len());
        let is_in_layers = context.prefix.as_ref().is_some_and(Prefix::is_in_layers);
        for layer in &self.layers {
            let input = leaf(&x, tracked)?;
            let output = layer.forward(&input, &context, within)?;
            tracked |= layer.is_trained() || is_in_layers;
            x = output.detach();
            passed.push((input, (!self.compute.recompute).then_some(output)));
        }

        let mut gradients = Gradients::new();
        let (loss, mut gradient) = self.head_backward(&leaf(&x, tracked)?, targets, &context, &mut gradients)?;
        for (layer, (input, output)) in self.layers.iter().zip(passed).rev() {
            let Some(of_output) = gradient else { break };
            let output = output.map_or_else(|| layer.forward(&input, &context, within), Ok)?;
            gradient = Segment { input, output }.backward(of_output, self, &context, &mut gradients)?;
        }
        let of_first = gradient.map(|g| first.backward(g, self, &context, &mut gradients)).transpose()?;
        if let Some(of_embedded) = of_first.flatten() {
            let name = self.shape.weight_name(Role::Embedding, 0);
            let tokens = Tensor::new(batch.tokens(), self.device())?;
            let zeros = self.embedding.get(Pass::Eval).zeros_like()?;
            add(&mut gradients, &name, zeros.index_add(&tokens, &of_embedded.to_dtype(DType::F32)?, 0)?)?;
        }
        if let (Some(prefix), Some(gradient)) = (&context.prefix, gradients.remove(VirtualTokens::NAME)) {
            collect(&mut prefix.seeded(gradient)?.backward()?, self, &context, &mut gradients)?;
        }
        Ok((loss, gradients))
    }

    /// The loss of the last layer's output `x [n, d]`, and its gradient when `x` is a leaf.
    fn head_backward(
        &self,
        x: &Tensor,
        targets: &Targets,
        context: &Context<'_>,
        gradients: &mut Gradients,
    ) -> Result<(f64, Option<Tensor>), Error> {
        if targets.is_empty() {
            return Ok((0.0, None));
        }
        let pass = context.pass;
        let chosen = x.index_select(&Tensor::new(targets.from.as_slice(), self.device())?, 0)?;
        let normed = self.norm.apply(&chosen, pass)?; // [m, d]
        let (mut loss, mut start, mut slices) = (0.0, 0, vec![]);
        for (_, labels) in self.slices(targets) {
            let slice = leaf(&normed.detach().narrow(0, start, labels.len())?, is_tracked(&normed))?;
            let logits = self.capped(&self.head.apply(&slice, pass)?)?;
            let (losses, sum) = ops::cross_entropy(&logits, &Tensor::new(labels, self.device())?)?;
            loss += total(&losses)?;
            if is_tracked(&sum) {
                let mut found = sum.backward()?;
                collect(&mut found, self, context, gradients)?;
                slices.extend(found.remove(&slice));
            }
            start += labels.len();
        }
        if !is_tracked(&normed) {
            return Ok((loss, None));
        }
        let last = Segment { input: x.clone(), output: normed };
        Ok((loss, last.backward(Tensor::cat(&slices, 0)?, self, context, gradients)?))
    }

    /// The targets in pieces whose scores may exist at once.
    fn slices<'a>(&self, targets: &'a Targets) -> impl Iterator<Item = (&'a [u32], &'a [u32])> {
        let size = (SCORES_AT_ONCE / self.shape.vocab_size).max(1);
        targets.from.chunks(size).zip(targets.labels.chunks(size))
    }
}

/// `x` as a leaf that collects a gradient, or as a plain value.
fn leaf(x: &Tensor, tracked: bool) -> Result<Tensor, Error> {
    if tracked { Ok(Var::from_tensor(x)?.into_inner()) } else { Ok(x.clone()) }
}

/// Sums in f64, in order.
fn total(losses: &Tensor) -> Result<f64, Error> {
    Ok(losses.to_vec1::<f32>()?.into_iter().map(f64::from).sum())
}

/// Gradients of the trained tensors; and, by the name that begins those of their parameters, that of the virtual
/// tokens' value.
fn collect(
    found: &mut GradStore,
    model: &ReferenceModel,
    context: &Context<'_>,
    gradients: &mut Gradients,
) -> Result<(), Error> {
    if let Some(gradient) = context.prefix.as_ref().and_then(|prefix| found.remove(&prefix.leaf)) {
        add(gradients, VirtualTokens::NAME, gradient)?;
    }
    for (name, param) in model.params() {
        if let Some(gradient) = found.remove(&param.var) {
            add(gradients, name, gradient)?;
        }
    }
    Ok(())
}

fn add(gradients: &mut Gradients, name: &str, gradient: Tensor) -> Result<(), Error> {
    match gradients.entry(name.into()) {
        Entry::Vacant(entry) => {
            entry.insert(gradient);
        }
        Entry::Occupied(mut entry) => {
            let sum = (entry.get() + gradient)?;
            entry.insert(sum);
        }
    }
    Ok(())
}
