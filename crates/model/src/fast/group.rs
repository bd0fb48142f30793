//! Linear weights that read one input: their products, and LoRA at all of them at once.
//!
//! The outputs of a group lie side by side in one buffer, and so do the low ranks of its LoRA sites, `[n, R]` with `R` the
//! sum of their ranks: where nothing is dropped, one product with the stacked `A`s makes them all.

use tunebench_kernels::gemm::{Matrix, MatrixMut, Rhs, Store, gemm};
use tunebench_kernels::ops::dropout::{Drops, dropout, dropout_add};

use super::linear::{Linear, Lora, Pass, Site, Weight};
use super::values::{Gradients, Storage};
use crate::Error;

/// Linears of one input, none empty.
pub(super) struct Group<E> {
    pub linears: Vec<Linear<E>>,
}

/// One LoRA site among those of a group.
struct Adapted<'a, E> {
    linear: &'a Linear<E>,
    lora: &'a Lora,
    /// Where its ranks begin among the group's, and its outputs.
    rank_from: usize,
    out_from: usize,
}

impl<E: Storage> Group<E> {
    pub fn is_trained(&self) -> bool {
        self.linears.iter().any(Linear::is_trained)
    }

    fn in_features(&self) -> usize {
        self.linears[0].in_features
    }

    /// Columns of all outputs.
    pub fn width(&self) -> usize {
        self.linears.iter().map(|l| l.out_features).sum()
    }

    /// The linears and where their outputs begin.
    fn places(&self) -> impl Iterator<Item = (&Linear<E>, usize)> {
        self.linears.iter().scan(0, |from, linear| {
            let place = (linear, *from);
            *from += linear.out_features;
            Some(place)
        })
    }

    fn adapted(&self) -> Vec<Adapted<'_, E>> {
        let mut rank_from = 0;
        let sites = self.places().filter_map(|(linear, out_from)| {
            let Site::Lora(lora) = &linear.site else { return None };
            let found = Adapted { linear, lora, rank_from, out_from };
            rank_from += lora.rank;
            Some(found)
        });
        sites.collect()
    }

    /// Sum of the ranks of its LoRA sites, `R`.
    fn ranks(&self) -> usize {
        self.adapted().iter().map(|site| site.lora.rank).sum()
    }

    /// The scale of all LoRA sites, where one product with their stacked `A`s says what they are: it is the same for all
    /// and nothing is dropped.
    fn common_scale(&self, pass: &Pass<'_, E>) -> Option<f32> {
        let sites = self.adapted();
        let scale = sites.first()?.lora.scale;
        let is_alike = |site: &Adapted<'_, E>| site.lora.scale == scale && site.lora.drops(pass).is_none();
        sites.iter().all(is_alike).then_some(scale)
    }

    /// The `A`s of all LoRA sites below each other, `[R, in]`.
    fn stacked(&self, pass: &Pass<'_, E>) -> Vec<E> {
        self.adapted().iter().flat_map(|site| pass.trained[site.lora.a].rounded().iter().copied()).collect()
    }

    /// `x [n, in]` to `out [n, width]`, set or added; keeps `low [n, R]` for the backward pass.
    pub fn forward<O: Storage>(
        &self,
        pass: &Pass<'_, E>,
        x: &[E],
        out: &mut [O],
        store: Store,
        low: &mut Vec<E>,
    ) -> Result<(), Error> {
        let rights: Vec<Rhs<'_, E>> = self.linears.iter().map(|l| l.right(pass.trained)).collect();
        self.forward_by(&rights, pass, x, out, store, low)
    }

    /// [`Group::forward`] by the weights as the caller has packed them, each `[in, out]`.
    pub fn forward_by<O: Storage>(
        &self,
        weights: &[Rhs<'_, E>],
        pass: &Pass<'_, E>,
        x: &[E],
        out: &mut [O],
        store: Store,
        low: &mut Vec<E>,
    ) -> Result<(), Error> {
        let (width, ranks) = (self.width(), self.ranks());
        let n = x.len() / self.in_features();
        self.lower(pass, x, low);
        let input = Matrix::new(x, n, self.in_features());
        let adapted = self.adapted();
        for ((linear, from), weight) in self.places().zip(weights) {
            let mut out = MatrixMut::strided(&mut out[from..], n, linear.out_features, width);
            let site = adapted.iter().find(|site| site.out_from == from);
            match (&linear.site, site) {
                (Site::Graph(site), _) => out.put(&site.forward(pass, linear.weight.values(pass.trained), x)?, store),
                (_, Some(Adapted { lora, rank_from, .. })) => {
                    let low = Matrix::strided(&low[*rank_from..], n, lora.rank, ranks);
                    let b = lora.b(pass, linear.out_features).t();
                    gemm(pass.level, &[(input, *weight), (low, b.into())], 1.0, out, store);
                }
                _ => gemm(pass.level, &[(input, *weight)], 1.0, out, store),
            }
        }
        Ok(())
    }

    /// `low = s · dropout(x) Aᵀ [n, R]`.
    fn lower(&self, pass: &Pass<'_, E>, x: &[E], low: &mut Vec<E>) {
        let (width, ranks) = (self.in_features(), self.ranks());
        let n = x.len() / width;
        low.resize(n * ranks, E::default());
        if let Some(scale) = self.common_scale(pass) {
            let a = self.stacked(pass);
            let terms = [(Matrix::new(x, n, width), Matrix::new(&a, ranks, width).t())];
            gemm(pass.level, &terms, scale, MatrixMut::new(low, n, ranks), Store::Set);
            return;
        }
        for Adapted { lora, rank_from, .. } in self.adapted() {
            let out = MatrixMut::strided(&mut low[rank_from..], n, lora.rank, ranks);
            let dropped = dropped(lora, pass, x, width);
            let x = dropped.as_deref().unwrap_or(x);
            let terms = [(Matrix::new(x, n, width), lora.a(pass, width).t())];
            gemm(pass.level, &terms, lora.scale, out, Store::Set);
        }
    }

    /// Gradients of what is trained here, from the input `x [n, in]`, the gradient `dy [n, width]` of the outputs and
    /// `low` as the forward pass kept it; and, if `dx [n, in]` is given, the input's gradient set there.
    pub fn backward<O: Storage>(
        &self,
        pass: &Pass<'_, E>,
        x: &[E],
        dy: &[E],
        low: &[E],
        gradients: &mut Gradients,
        dx: Option<&mut [O]>,
    ) -> Result<(), Error> {
        let weights: Vec<Rhs<'_, E>> = self.linears.iter().map(|l| l.right_back(pass.trained)).collect();
        self.backward_by(&weights, pass, x, dy, low, gradients, dx)
    }

    /// [`Group::backward`] by the weights as the caller has packed them, each `[out, in]`.
    #[allow(clippy::too_many_arguments)]
    pub fn backward_by<O: Storage>(
        &self,
        weights: &[Rhs<'_, E>],
        pass: &Pass<'_, E>,
        x: &[E],
        dy: &[E],
        low: &[E],
        gradients: &mut Gradients,
        dx: Option<&mut [O]>,
    ) -> Result<(), Error> {
        let (in_features, width, ranks) = (self.in_features(), self.width(), self.ranks());
        let n = x.len() / in_features;
        let of = |linear: &Linear<E>, from: usize| Matrix::strided(&dy[from..], n, linear.out_features, width);
        // What of the input's gradient is no term of a product, `[n, in]`.
        let mut extra: Option<Vec<f32>> = None;
        for (linear, from) in self.places() {
            if let Weight::Trained(slot) = linear.weight {
                let (target, store) = gradients.target(slot);
                let target = MatrixMut::new(target, linear.out_features, in_features);
                gemm(pass.level, &[(of(linear, from).t(), Matrix::new(x, n, in_features))], 1.0, target, store);
            }
            if let Site::Graph(site) = &linear.site {
                let weight = linear.weight.values(pass.trained);
                let found = site.backward(pass, weight, x, of(linear, from), gradients)?;
                add(&mut extra, found);
            }
        }
        let d_low = self.lora_backward(pass, x, dy, low, gradients, &mut extra);
        let Some(dx) = dx else { return Ok(()) };

        let a = if d_low.is_empty() { Vec::new() } else { self.stacked(pass) };
        let mut terms: Vec<(Matrix<'_, E>, Rhs<'_, E>)> = Vec::new();
        for ((linear, from), weight) in self.places().zip(weights) {
            if !matches!(linear.site, Site::Graph(_)) {
                terms.push((of(linear, from), *weight));
            }
        }
        if !d_low.is_empty() {
            terms.push((Matrix::new(&d_low, n, ranks), Matrix::new(&a, ranks, in_features).into()));
        }
        gemm(pass.level, &terms, 1.0, MatrixMut::new(dx, n, in_features), Store::Set);
        if let Some(extra) = extra {
            dx.iter_mut().zip(extra).for_each(|(to, from)| *to = O::from_f32(to.to_f32() + from));
        }
        Ok(())
    }

    /// Gradients of all `A`s and `B`s. Yields `d_low [n, R]` where the input's gradient has the term `d_low A`; where
    /// something was dropped it is added to `extra` instead.
    fn lora_backward(
        &self,
        pass: &Pass<'_, E>,
        x: &[E],
        dy: &[E],
        low: &[E],
        gradients: &mut Gradients,
        extra: &mut Option<Vec<f32>>,
    ) -> Vec<E> {
        let (in_features, width, ranks) = (self.in_features(), self.width(), self.ranks());
        let n = x.len() / in_features;
        let mut d_low = vec![E::default(); n * ranks];
        let adapted = self.adapted();
        for Adapted { linear, lora, rank_from, out_from } in &adapted {
            let (rank, out_features) = (lora.rank, linear.out_features);
            let dy = Matrix::strided(&dy[*out_from..], n, out_features, width);
            let low = Matrix::strided(&low[*rank_from..], n, rank, ranks);
            // Transposed, [r, out]: kernels waste less on few rows than on few columns.
            let mut d_b = vec![0f32; rank * out_features];
            gemm(pass.level, &[(low.t(), dy)], 1.0, MatrixMut::new(&mut d_b, rank, out_features), Store::Set);
            let (target, store) = gradients.target(lora.b);
            for (j, row) in target.chunks_exact_mut(rank).enumerate() {
                for (i, to) in row.iter_mut().enumerate() {
                    *to = if store == Store::Add { *to } else { 0.0 } + d_b[i * out_features + j];
                }
            }
            let out = MatrixMut::strided(&mut d_low[*rank_from..], n, rank, ranks);
            gemm(pass.level, &[(dy, lora.b(pass, out_features))], lora.scale, out, Store::Set);
        }
        if adapted.is_empty() || self.common_scale(pass).is_some() {
            let mut d_a = vec![0f32; ranks * in_features];
            let terms = [(Matrix::new(&d_low, n, ranks).t(), Matrix::new(x, n, in_features))];
            gemm(pass.level, &terms, 1.0, MatrixMut::new(&mut d_a, ranks, in_features), Store::Set);
            for Adapted { lora, rank_from, .. } in &adapted {
                let found = &d_a[rank_from * in_features..][..lora.rank * in_features];
                let (target, store) = gradients.target(lora.a);
                MatrixMut::new(target, lora.rank, in_features).put(found, store);
            }
            return d_low;
        }
        for Adapted { lora, rank_from, .. } in &adapted {
            let rank = lora.rank;
            let d_low = Matrix::strided(&d_low[*rank_from..], n, rank, ranks);
            let dropped = dropped(lora, pass, x, in_features);
            let x = Matrix::new(dropped.as_deref().unwrap_or(x), n, in_features);
            let (target, store) = gradients.target(lora.a);
            gemm(pass.level, &[(d_low.t(), x)], 1.0, MatrixMut::new(target, rank, in_features), store);
            let mut found = vec![0f32; n * in_features];
            let out = MatrixMut::new(&mut found, n, in_features);
            gemm(pass.level, &[(d_low, lora.a(pass, in_features))], 1.0, out, Store::Set);
            match lora.drops(pass) {
                None => add(extra, found),
                Some((p, streams)) => {
                    let sum = extra.get_or_insert_with(|| vec![0f32; n * in_features]);
                    let drops = Drops { p, seq_ends: pass.ends, streams: &streams };
                    dropout_add(pass.level, &found, in_features, &drops, sum);
                }
            }
        }
        Vec::new()
    }
}

/// The input of a site with its dropped numbers, if any are.
fn dropped<E: Storage>(lora: &Lora, pass: &Pass<'_, E>, x: &[E], width: usize) -> Option<Vec<E>> {
    let (p, streams) = lora.drops(pass)?;
    let mut found = vec![E::default(); x.len()];
    dropout(pass.level, x, width, &Drops { p, seq_ends: pass.ends, streams: &streams }, &mut found);
    Some(found)
}

fn add(sum: &mut Option<Vec<f32>>, found: Vec<f32>) {
    match sum {
        Some(sum) => sum.iter_mut().zip(found).for_each(|(to, from)| *to += from),
        None => *sum = Some(found),
    }
}
