//! LoRA of several adapters over the linear maps of one input, each adapter for its own rows of a batch (multi-LoRA, as of
//! Punica and S-LoRA): the base is read once for all of them.
//!
//! The hidden values of a row, `s · x Aᵀ`, lie in the first columns of `[n, R]`, `R` the sum of the ranks of the widest
//! adapter. The product with `Bᵀ` is a term of the map's own product, of the adapter's rows alone, so that a row has the bytes
//! that it has where its adapter is the only one, whatever numbers other adapters hold.

use tunebench_kernels::gemm::{Columns, Matrix, MatrixMut, Term, gemm_columns};
use tunebench_kernels::{SimdLevel, Store};
use tunebench_spec::WeightPlan;
use tunebench_spec::plan::RecordedPlan;

use super::fusion;
use super::row_adapters::RowAdapters;
use super::storage::{Storage, resize};
use crate::tuning::param_name;
use crate::{Error, Tuning};

/// What several adapters add to the linear maps of one input.
pub(super) struct GroupedLora<E> {
    /// By number; some have nothing here.
    adapters: Vec<Adapter<E>>,
    /// `R`.
    rank: usize,
    in_features: usize,
}

/// What one of them adds.
struct Adapter<E> {
    sites: Vec<Site<E>>,
    /// The `A`s of its sites, those of one scale below each other.
    stacks: Vec<Stack<E>>,
}

/// `B [out, r]` of a map, and the first of its columns among the hidden values.
struct Site<E> {
    /// The map's number among those of the input.
    linear: usize,
    b: Vec<E>,
    rank: usize,
    offset: usize,
}

/// `A [r, in]` of one map or of some, and the first of its columns among the hidden values.
struct Stack<E> {
    a: Vec<E>,
    rank: usize,
    offset: usize,
    scale: f32,
}

/// Why a model that is tuned so cannot answer beside others over the same base; nothing where it can.
pub(crate) fn refusal(recorded: &RecordedPlan) -> Option<String> {
    if recorded.plan.virtual_tokens.is_some() {
        return Some("it has virtual tokens".to_owned());
    }
    recorded.plan.weights.iter().find_map(|(name, plan)| match plan {
        WeightPlan::Frozen => None,
        WeightPlan::Trainable { .. } => Some(format!("it trains `{name}` itself")),
        WeightPlan::Adapted { params } => match recorded.graphs_of(name) {
            Some(graphs) if fusion::lora(&graphs.forward, params).is_some() => None,
            _ => Some(format!("what it does at `{name}` is not LoRA")),
        },
    })
}

impl<E: Storage> GroupedLora<E> {
    /// What these tunings do at the maps of an input of this width, by their weights' names; nothing where none does anything.
    ///
    /// # Errors
    /// [`Error::Plan`] where it is not LoRA; [`Error::Missing`] where a value is not there.
    pub fn new(tunings: &mut [Tuning], names: &[String], in_features: usize) -> Result<Option<Self>, Error> {
        let adapters = tunings.iter_mut().map(|tuning| Adapter::new(tuning, names)).collect::<Result<Vec<_>, _>>()?;
        let rank = adapters.iter().map(Adapter::rank).max().unwrap_or(0);
        Ok((rank > 0).then_some(Self { adapters, rank, in_features }))
    }

    /// `s · x Aᵀ` of each row of `x [n, in]` by its own adapter, to `hidden [n, R]`; what else is there means nothing.
    pub fn hidden(&self, level: SimdLevel, rows: &RowAdapters, x: &[E], hidden: &mut Vec<E>) {
        let n = x.len() / self.in_features;
        resize(hidden, n * self.rank);
        let x = Matrix::new(x, n, self.in_features);
        let mut parts = Vec::new();
        for (number, adapter) in self.adapters.iter().enumerate() {
            for (stack, range) in
                adapter.stacks.iter().flat_map(|stack| rows.of(number).iter().map(move |r| (stack, r)))
            {
                let Stack { a, rank, offset, scale } = stack;
                let terms = vec![Term::new(x, Matrix::new(a, *rank, self.in_features).t())];
                let (first, count, rows, scale) = (*offset, *rank, *range, *scale);
                parts.push(Columns { first, count, rows, terms, scale, store: Store::Set });
            }
        }
        gemm_columns(level, &parts, MatrixMut::new(hidden, n, self.rank));
    }

    /// What is added to the product of a map, by its number and width, to each row by its own adapter.
    pub fn terms<'a>(
        &'a self,
        rows: &'a RowAdapters,
        [linear, out_features]: [usize; 2],
        hidden: &'a [E],
    ) -> impl Iterator<Item = Term<'a, E>> {
        let n = hidden.len() / self.rank;
        let sites = self.adapters.iter().enumerate().flat_map(|(number, of)| of.sites.iter().map(move |s| (number, s)));
        sites.filter(move |(number, site)| site.linear == linear && !rows.of(*number).is_empty()).map(
            move |(number, site)| {
                let hidden = Matrix::strided(&hidden[site.offset..], n, site.rank, self.rank);
                let up = Matrix::new(&site.b, out_features, site.rank).t();
                Term { rows: Some(rows.of(number)), ..Term::new(hidden, up) }
            },
        )
    }
}

impl<E: Storage> Adapter<E> {
    fn new(tuning: &mut Tuning, names: &[String]) -> Result<Self, Error> {
        let (mut sites, mut stacks, mut offset) = (Vec::new(), Vec::<Stack<E>>::new(), 0);
        for (linear, name) in names.iter().enumerate() {
            let Some(WeightPlan::Adapted { params }) = tuning.recorded().plan.weights.get(name) else { continue };
            let graphs = tuning.recorded().graphs_of(name);
            let Some(form) = graphs.and_then(|graphs| fusion::lora(&graphs.forward, params)) else {
                return Err(Error::Plan { weight: name.clone(), fault: "it is not LoRA, so it answers alone".into() });
            };
            let [a, b] = [&form.a, &form.b].map(|param| numbers(tuning, &param_name(name, param)));
            let (a, b, rank, scale) = (a?, b?, form.rank, form.scale as f32);
            match stacks.last_mut() {
                Some(stack) if stack.scale == scale => {
                    stack.a.extend(a);
                    stack.rank += rank;
                }
                _ => stacks.push(Stack { a, rank, offset, scale }),
            }
            sites.push(Site { linear, b, rank, offset });
            offset += rank;
        }
        Ok(Self { sites, stacks })
    }

    fn rank(&self) -> usize {
        self.sites.iter().map(|site| site.rank).sum()
    }
}

/// A trained value as products read it.
fn numbers<E: Storage>(tuning: &mut Tuning, name: &str) -> Result<Vec<E>, Error> {
    let values = f32::take(&tuning.take_value(name)?)?;
    Ok(values.into_iter().map(E::from_f32).collect())
}
