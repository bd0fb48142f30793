//! Linear maps of one input, fused: their products, and LoRA at all of them at once.
//!
//! The outputs lie side by side in one buffer, `[n, out]` with `out` the sum of their widths, and so do the hidden values
//! `s · dropout(x) Aᵀ` of LoRA, `[n, R]` with `R` the sum of the ranks: where nothing is dropped, one product with the
//! stacked `A`s makes them all.

use tunebench_kernels::Store;
use tunebench_kernels::gemm::{Columns, Matrix, MatrixMut, Rhs, Term, gemm, gemm_columns};
use tunebench_kernels::ops::RowColumns;
use tunebench_kernels::ops::bias::{add_bias, bias_gradient, broadcast_bias};
use tunebench_kernels::ops::dropout::{Drops, dropout, dropout_add};

use super::grouped_lora::GroupedLora;
use super::linear::{Linear, LinearWeight, Lora, Map};
use super::pass::{BackwardPass, Pass};
use super::storage::Storage;
use super::trained::Vector;
use crate::Error;

/// Linear maps of one input, at least one.
pub(super) struct FusedLinear<E> {
    linears: Vec<Linear<E>>,
    in_features: usize,
    out_features: usize,
    /// `R`.
    lora_rank: usize,
    /// The scale of all LoRA sites, if they have one in common.
    lora_scale: Option<f32>,
    /// Whether a LoRA site has dropout.
    has_dropout: bool,
    /// LoRA of several adapters, in place of one's.
    grouped: Option<GroupedLora<E>>,
}

impl<E: Storage> FusedLinear<E> {
    /// Fuses maps that read the same input, in the order of their outputs.
    pub fn new(mut linears: Vec<Linear<E>>) -> Self {
        let (mut out_features, mut lora_rank) = (0, 0);
        let (mut scales, mut has_dropout) = (Vec::new(), false);
        for linear in &mut linears {
            linear.offset = out_features;
            out_features += linear.out_features;
            if let Map::Product { lora: Some(lora), .. } = &mut linear.map {
                lora.offset = lora_rank;
                lora_rank += lora.rank;
                has_dropout |= lora.dropout.is_some();
                scales.push(lora.scale);
            }
        }
        let in_features = linears.first().map_or(0, |linear| linear.in_features);
        let lora_scale = scales.first().copied().filter(|scale| scales.iter().all(|other| other == scale));
        Self { linears, in_features, out_features, lora_rank, lora_scale, has_dropout, grouped: None }
    }

    /// With LoRA of several adapters, in a model that only answers.
    pub fn with_grouped(self, grouped: Option<GroupedLora<E>>) -> Self {
        Self { grouped, ..self }
    }

    pub fn is_trained(&self) -> bool {
        self.linears.iter().any(Linear::is_trained)
    }

    pub fn in_features(&self) -> usize {
        self.in_features
    }

    /// Columns of all outputs.
    pub fn out_features(&self) -> usize {
        self.out_features
    }

    pub fn linears(&self) -> &[Linear<E>] {
        &self.linears
    }

    pub fn linears_mut(&mut self) -> &mut [Linear<E>] {
        &mut self.linears
    }

    /// What the forward pass multiplies by, each `[in, out]`.
    pub fn fwd<'a>(&'a self, pass: &Pass<'a, E>) -> Vec<Rhs<'a, E>> {
        self.linears.iter().map(|linear| linear.fwd(pass.trained)).collect()
    }

    /// What the backward pass multiplies by, each `[out, in]`.
    pub fn bwd<'a>(&'a self, pass: &Pass<'a, E>) -> Result<Vec<Rhs<'a, E>>, Error> {
        self.linears.iter().map(|linear| linear.bwd(pass.trained)).collect()
    }

    /// `x [n, in]` by `weights`, as [`FusedLinear::fwd`] or the caller has packed them, to `out [n, out]`, set or added;
    /// keeps `lora_hidden [n, R]` for the backward pass.
    pub fn forward<O: Storage>(
        &self,
        pass: &Pass<'_, E>,
        weights: &[Rhs<'_, E>],
        x: &[E],
        out: &mut [O],
        store: Store,
        lora_hidden: &mut Vec<E>,
    ) -> Result<(), Error> {
        let n = x.len() / self.in_features;
        self.lora_forward(pass, x, lora_hidden);
        let input = Matrix::new(x, n, self.in_features);
        let mut products: Vec<Columns<'_, E>> = Vec::with_capacity(self.linears.len());
        for (number, (linear, weight)) in self.linears.iter().zip(weights).enumerate() {
            let store = self.put_bias(pass, linear, out, store);
            match &linear.map {
                Map::Product { lora, .. } => {
                    let mut terms = vec![Term::new(input, *weight)];
                    if let Some(lora) = lora {
                        let hidden = Matrix::strided(&lora_hidden[lora.offset..], n, lora.rank, self.lora_rank);
                        terms.push(Term::new(hidden, lora.b(pass, linear.out_features).t()));
                    }
                    let (first, count) = (linear.offset, linear.out_features);
                    if let Some((grouped, rows)) = self.grouped.as_ref().zip(pass.adapters) {
                        terms.extend(grouped.terms(rows, [number, count], lora_hidden));
                    }
                    products.push(Columns { first, count, rows: [0, n], terms, scale: 1.0, store });
                }
                Map::Graph(site) => {
                    let out = &mut out[linear.offset..];
                    let mut out = MatrixMut::strided(out, n, linear.out_features, self.out_features);
                    out.put(&site.forward(pass, x)?, store);
                }
            }
        }
        gemm_columns(pass.level, &products, MatrixMut::new(out, n, self.out_features));
        Ok(())
    }

    /// Puts a linear's bias into its columns of `out [n, out]`, if it has one; yields how its product is stored there.
    fn put_bias<O: Storage>(&self, pass: &Pass<'_, E>, linear: &Linear<E>, out: &mut [O], store: Store) -> Store {
        let Some(bias) = &linear.bias else { return store };
        let (columns, bias) = (self.row_columns(linear), bias.values(pass.trained));
        match store {
            Store::Set => broadcast_bias(pass.level, out, columns, &bias),
            Store::Add => add_bias(pass.level, out, columns, &bias),
        }
        Store::Add
    }

    /// `s · dropout(x) Aᵀ`, to `hidden [n, R]`.
    fn lora_forward(&self, pass: &Pass<'_, E>, x: &[E], hidden: &mut Vec<E>) {
        if let Some((grouped, rows)) = self.grouped.as_ref().zip(pass.adapters) {
            return grouped.hidden(pass.level, rows, x, hidden);
        }
        let (d, rank) = (self.in_features, self.lora_rank);
        let n = x.len() / d;
        hidden.resize(n * rank, E::default());
        if let Some(scale) = self.stacked_scale(pass) {
            let a = self.stacked_a(pass);
            let terms = [(Matrix::new(x, n, d), Matrix::new(&a, rank, d).t())];
            gemm(pass.level, &terms, scale, MatrixMut::new(hidden, n, rank), Store::Set);
            return;
        }
        for (_, lora) in self.lora_sites() {
            let out = MatrixMut::strided(&mut hidden[lora.offset..], n, lora.rank, rank);
            let dropped = dropped(lora, pass, x, d);
            let x = dropped.as_deref().unwrap_or(x);
            gemm(pass.level, &[(Matrix::new(x, n, d), lora.a(pass, d).t())], lora.scale, out, Store::Set);
        }
    }

    /// Adds the gradients of what is trained here, from the input `x [n, in]`, the gradient `dy [n, out]` of the outputs
    /// and `lora_hidden` as the forward pass kept it; and sets `dx [n, in]`, if it is given, to the input's gradient.
    /// `weights` as [`FusedLinear::bwd`] or the caller has packed them.
    pub fn backward<O: Storage>(
        &self,
        back: &mut BackwardPass<'_, E>,
        weights: &[Rhs<'_, E>],
        x: &[E],
        dy: &[E],
        lora_hidden: &[E],
        dx: Option<&mut [O]>,
    ) -> Result<(), Error> {
        let d_lora = self.lora_hidden_backward(back.pass, dy);
        let from_graphs = self.graphs_backward(back, x, dy)?;
        if let Some(dx) = dx {
            self.input_backward(back.pass, weights, dy, &d_lora, from_graphs, dx);
        }
        self.products_backward(back, x, dy, lora_hidden, &d_lora);
        Ok(())
    }

    /// Whether one of the maps is no product but an unfused graph.
    pub fn has_graph(&self) -> bool {
        self.linears.iter().any(|linear| matches!(linear.map, Map::Graph(_)))
    }

    /// The gradient of LoRA's hidden values, `s · dy B [n, R]`.
    pub fn lora_hidden_backward(&self, pass: &Pass<'_, E>, dy: &[E]) -> Vec<E> {
        let (n, rank) = (dy.len() / self.out_features, self.lora_rank);
        let mut d_lora = vec![E::default(); n * rank];
        for (linear, lora) in self.lora_sites() {
            let out = MatrixMut::strided(&mut d_lora[lora.offset..], n, lora.rank, rank);
            let terms = [(self.columns(linear, dy, n), lora.b(pass, linear.out_features))];
            gemm(pass.level, &terms, lora.scale, out, Store::Set);
        }
        d_lora
    }

    /// Gradients of what unfused graphs train, from the input `x [n, in]`; yields what they send to it, `[n, in]`.
    pub fn graphs_backward(
        &self,
        back: &mut BackwardPass<'_, E>,
        x: &[E],
        dy: &[E],
    ) -> Result<Option<Vec<f32>>, Error> {
        let mut d_input = None;
        for linear in &self.linears {
            if let Map::Graph(site) = &linear.map {
                add(&mut d_input, site.backward(back, x, self.columns(linear, dy, x.len() / self.in_features))?);
            }
        }
        Ok(d_input)
    }

    /// Sets `dx [n, in]` to the input's gradient, for which the input itself is not needed: `d_lora` is that of LoRA's hidden values,
    /// `from_graphs` what unfused graphs send.
    pub fn input_backward<O: Storage>(
        &self,
        pass: &Pass<'_, E>,
        weights: &[Rhs<'_, E>],
        dy: &[E],
        d_lora: &[E],
        from_graphs: Option<Vec<f32>>,
        dx: &mut [O],
    ) {
        let n = dy.len() / self.out_features;
        // What is no term of the product, `[n, in]`.
        let mut rest = from_graphs;
        let stacked_a;
        let is_product = |linear: &Linear<E>| matches!(linear.map, Map::Product { .. });
        let products = self.linears.iter().zip(weights).filter(|(linear, _)| is_product(linear));
        let mut terms: Vec<_> = products.map(|(linear, weight)| (self.columns(linear, dy, n), *weight)).collect();
        if self.stacked_scale(pass).is_some() {
            stacked_a = self.stacked_a(pass);
            let a = Matrix::new(&stacked_a, self.lora_rank, self.in_features);
            terms.push((Matrix::new(d_lora, n, self.lora_rank), a.into()));
        } else {
            self.add_lora_input_gradients(pass, d_lora, n, &mut rest);
        }
        gemm(pass.level, &terms, 1.0, MatrixMut::new(dx, n, self.in_features), Store::Set);
        if let Some(rest) = rest {
            dx.iter_mut().zip(rest).for_each(|(to, from)| *to = O::from_f32(to.to_f32() + from));
        }
    }

    /// Gradients of trained weights and biases, and of LoRA, from the input `x [n, in]`, LoRA's hidden values and their gradient.
    pub fn products_backward(
        &self,
        back: &mut BackwardPass<'_, E>,
        x: &[E],
        dy: &[E],
        lora_hidden: &[E],
        d_lora: &[E],
    ) {
        let n = x.len() / self.in_features;
        for linear in &self.linears {
            if let Some(slot) = linear.bias.as_ref().and_then(Vector::slot) {
                bias_gradient(back.pass.level, dy, self.row_columns(linear), back.gradients.sum(slot));
            }
            if let Map::Product { weight: LinearWeight::Trained(slot), .. } = &linear.map {
                let (target, store) = back.gradients.target(*slot);
                let target = MatrixMut::new(target, linear.out_features, self.in_features);
                let terms = [(self.columns(linear, dy, n).t(), Matrix::new(x, n, self.in_features))];
                gemm(back.pass.level, &terms, 1.0, target, store);
            }
        }
        self.lora_b_backward(back, dy, lora_hidden);
        self.lora_a_backward(back, x, d_lora);
    }

    /// Gradients of all `B`s.
    fn lora_b_backward(&self, back: &mut BackwardPass<'_, E>, dy: &[E], hidden: &[E]) {
        let (n, rank) = (dy.len() / self.out_features, self.lora_rank);
        for (linear, lora) in self.lora_sites() {
            let hidden = Matrix::strided(&hidden[lora.offset..], n, lora.rank, rank);
            // Transposed, [r, out]: kernels waste less on few rows than on few columns.
            let mut d_b = vec![0f32; lora.rank * linear.out_features];
            let target = MatrixMut::new(&mut d_b, lora.rank, linear.out_features);
            gemm(back.pass.level, &[(hidden.t(), self.columns(linear, dy, n))], 1.0, target, Store::Set);
            let (target, store) = back.gradients.target(lora.b);
            for (j, row) in target.chunks_exact_mut(lora.rank).enumerate() {
                for (i, to) in row.iter_mut().enumerate() {
                    *to = if store == Store::Add { *to } else { 0.0 } + d_b[i * linear.out_features + j];
                }
            }
        }
    }

    /// Gradients of all `A`s.
    fn lora_a_backward(&self, back: &mut BackwardPass<'_, E>, x: &[E], d_lora: &[E]) {
        let (pass, d, rank) = (back.pass, self.in_features, self.lora_rank);
        let n = x.len() / d;
        if self.stacked_scale(pass).is_some() {
            let mut d_a = vec![0f32; rank * d];
            let terms = [(Matrix::new(d_lora, n, rank).t(), Matrix::new(x, n, d))];
            gemm(pass.level, &terms, 1.0, MatrixMut::new(&mut d_a, rank, d), Store::Set);
            for (_, lora) in self.lora_sites() {
                let (target, store) = back.gradients.target(lora.a);
                MatrixMut::new(target, lora.rank, d).put(&d_a[lora.offset * d..][..lora.rank * d], store);
            }
            return;
        }
        for (_, lora) in self.lora_sites() {
            let d_lora = Matrix::strided(&d_lora[lora.offset..], n, lora.rank, rank);
            let dropped = dropped(lora, pass, x, d);
            let x = Matrix::new(dropped.as_deref().unwrap_or(x), n, d);
            let (target, store) = back.gradients.target(lora.a);
            gemm(pass.level, &[(d_lora.t(), x)], 1.0, MatrixMut::new(target, lora.rank, d), store);
        }
    }

    /// Adds to `sum [n, in]` what each LoRA site sends to the input, `dropout(d_lora A)`.
    fn add_lora_input_gradients(&self, pass: &Pass<'_, E>, d_lora: &[E], n: usize, sum: &mut Option<Vec<f32>>) {
        let d = self.in_features;
        for (_, lora) in self.lora_sites() {
            let d_lora = Matrix::strided(&d_lora[lora.offset..], n, lora.rank, self.lora_rank);
            let mut found = vec![0f32; n * d];
            gemm(pass.level, &[(d_lora, lora.a(pass, d))], 1.0, MatrixMut::new(&mut found, n, d), Store::Set);
            match lora.drops(pass) {
                None => add(sum, found),
                Some((p, streams)) => {
                    let sum = sum.get_or_insert_with(|| vec![0f32; n * d]);
                    let drops = Drops { p, seq_ends: pass.seq_ends, streams: &streams };
                    dropout_add(pass.level, &found, d, &drops, sum);
                }
            }
        }
    }

    /// The linears that LoRA adapts.
    fn lora_sites(&self) -> impl Iterator<Item = (&Linear<E>, &Lora)> {
        self.linears.iter().filter_map(|linear| match &linear.map {
            Map::Product { lora: Some(lora), .. } => Some((linear, lora)),
            _ => None,
        })
    }

    /// The scale of all LoRA sites, where one product with their stacked `A`s serves all: it is the same for all, and
    /// nothing is dropped in this pass.
    fn stacked_scale(&self, pass: &Pass<'_, E>) -> Option<f32> {
        let drops = self.has_dropout && pass.dropout.is_some();
        self.lora_scale.filter(|_| !drops)
    }

    /// The `A`s of all LoRA sites below each other, `[R, in]`.
    fn stacked_a(&self, pass: &Pass<'_, E>) -> Vec<E> {
        self.lora_sites().flat_map(|(_, lora)| pass.trained[lora.a].rounded().iter().copied()).collect()
    }

    fn row_columns(&self, linear: &Linear<E>) -> RowColumns {
        RowColumns { row: self.out_features, first: linear.offset, count: linear.out_features }
    }

    /// The columns of a linear in `[n, out]`.
    fn columns<'a>(&self, linear: &Linear<E>, y: &'a [E], n: usize) -> Matrix<'a, E> {
        Matrix::strided(&y[linear.offset..], n, linear.out_features, self.out_features)
    }
}

/// The input of a LoRA site with its dropped numbers, if any are.
fn dropped<E: Storage>(lora: &Lora, pass: &Pass<'_, E>, x: &[E], width: usize) -> Option<Vec<E>> {
    let (p, streams) = lora.drops(pass)?;
    let mut found = vec![E::default(); x.len()];
    let drops = Drops { p, seq_ends: pass.seq_ends, streams: &streams };
    dropout(pass.level, x, width, &drops, &mut found);
    Some(found)
}

fn add(sum: &mut Option<Vec<f32>>, found: Vec<f32>) {
    match sum {
        Some(sum) => sum.iter_mut().zip(found).for_each(|(to, from)| *to += from),
        None => *sum = Some(found),
    }
}
