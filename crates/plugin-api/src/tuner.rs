//! The tuner contract: a plan for every weight, and the maths of an adapted site over opaque handles.

use std::cell::RefCell;
use std::ops::{Add, Div, Mul, Neg, Sub};

use abi_stable::std_types::{RSlice, RStr};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::abi::{AbiOps_TO, Handle, OpsRef};
use crate::{Dim, Error, Model, Result, Site, TunePlan, VirtualTokens};

/// Decides what is trained, and how an adapted weight computes.
///
/// `forward`, `merge`, `init` and `virtual_tokens` are recorded: they run once per site when a study is planned, must
/// be pure, and must not depend on values.
pub trait Tuner: Sized + Send + Sync + 'static {
    /// The name studies use.
    const NAME: &'static str;
    /// One line for lists.
    const DESCRIPTION: &'static str;
    /// Operations by name and version without which this tuner cannot work. A host that lacks one says so when it loads
    /// the plugin. Those that have a method on [`Tensor`] or [`Ops`] need no mention.
    const REQUIRES: &'static [(&'static str, u32)] = &[];
    /// What a study may set. Derive `Deserialize` with `deny_unknown_fields`, so that a typo is an error.
    type Options: DeserializeOwned;

    /// # Errors
    /// When the options make no sense.
    fn new(options: Self::Options) -> Result<Self>;

    /// What happens to every weight of `model`.
    ///
    /// # Errors
    /// When the model cannot be tuned this way.
    fn plan(&self, model: &Model) -> Result<TunePlan>;

    /// The output of an adapted linear weight for `x [t, in]`: `[t, out]`. Not called for plans that adapt nothing.
    ///
    /// # Errors
    /// When the maths cannot be written for this site. A wrong shape needs no check: the first fault of an
    /// operation is reported with the site, the operation and the shapes.
    fn forward<'o>(&self, ops: &'o Ops<'o>, site: &Site, x: Tensor<'o>) -> Result<Tensor<'o>> {
        let _ = (ops, x);
        Err(Error::new(format!("this tuner adapts `{}` but does not implement `forward`", site.weight.name)))
    }

    /// The weight `[out, in]` with the adaptation folded in; `None` when that cannot be.
    ///
    /// # Errors
    /// As [`Tuner::forward`].
    fn merge<'o>(&self, ops: &'o Ops<'o>, site: &Site) -> Result<Option<Tensor<'o>>> {
        let _ = (ops, site);
        Ok(None)
    }

    /// The initial value of a parameter whose init is [`crate::Init::Computed`].
    ///
    /// # Errors
    /// As [`Tuner::forward`].
    fn init<'o>(&self, ops: &'o Ops<'o>, site: &Site, param: &str) -> Result<Tensor<'o>> {
        let _ = (ops, site);
        Err(Error::new(format!("parameter `{param}` is to be computed but this tuner does not implement `init`")))
    }

    /// The value of the virtual tokens that the plan has: `[count, hidden_size]` for embeddings, or
    /// `[count, layers * 2 * kv_width]` for keys and values. There is no input and no weight to read, only parameters.
    /// Since API 1.1.
    ///
    /// # Errors
    /// As [`Tuner::forward`].
    fn virtual_tokens<'o>(&self, ops: &'o Ops<'o>, tokens: &VirtualTokens) -> Result<Tensor<'o>> {
        let _ = ops;
        let count = tokens.count;
        Err(Error::new(format!("this tuner plans {count} virtual tokens but does not implement `virtual_tokens`")))
    }
}

/// The host's operations while a site is recorded. The first fault is kept and reported when the recording ends;
/// values after it have no meaning.
pub struct Ops<'o> {
    host: &'o (dyn HostOps + 'o),
    fault: RefCell<Option<Error>>,
}

/// A value of the recording: an opaque handle with operators. Element-wise operators broadcast as NumPy does.
#[derive(Clone, Copy)]
pub struct Tensor<'o> {
    ops: &'o Ops<'o>,
    handle: Handle,
}

/// The two calls that everything else is made of. A trait object keeps the lifetime of [`Ops`] simple.
pub(crate) trait HostOps {
    fn has_op(&self, name: &str, version: u32) -> bool;
    fn call(&self, name: &str, version: u32, inputs: &[Handle], attributes: &str) -> Result<Handle>;
}

impl HostOps for OpsRef<'_> {
    fn has_op(&self, name: &str, version: u32) -> bool {
        AbiOps_TO::has_op(self, RStr::from(name), version)
    }

    fn call(&self, name: &str, version: u32, inputs: &[Handle], attributes: &str) -> Result<Handle> {
        let result =
            AbiOps_TO::call(self, RStr::from(name), version, RSlice::from_slice(inputs), RStr::from(attributes));
        result.into_result().map_err(Error::from)
    }
}

/// What a value is called after a fault; no recording has it.
const NOTHING: Handle = Handle(u64::MAX);

impl<'o> Ops<'o> {
    pub(crate) fn new(host: &'o (dyn HostOps + 'o)) -> Self {
        Self { host, fault: RefCell::new(None) }
    }

    pub(crate) fn fault(&self) -> Option<Error> {
        self.fault.borrow_mut().take()
    }

    pub(crate) fn wrap(&'o self, handle: Handle) -> Tensor<'o> {
        Tensor { ops: self, handle }
    }

    /// The host's own product with the frozen base weight: `x [t, in] -> [t, out]`. Works for quantised bases.
    pub fn base(&'o self, x: Tensor<'o>) -> Tensor<'o> {
        self.call("base", 1, &[x], &json!({}))
    }

    /// The frozen base weight, `[out, in]`.
    pub fn weight(&'o self) -> Tensor<'o> {
        self.call("weight", 1, &[], &json!({}))
    }

    /// A parameter that the plan gave this site.
    pub fn param(&'o self, name: &str) -> Tensor<'o> {
        self.call("param", 1, &[], &json!({ "name": name }))
    }

    /// Whether the host knows an operation in this version.
    pub fn has_op(&self, name: &str, version: u32) -> bool {
        self.host.has_op(name, version)
    }

    /// Any operation by name: how later operations are reached without a new plugin-api.
    pub fn call(&'o self, name: &str, version: u32, inputs: &[Tensor<'o>], attributes: &Value) -> Tensor<'o> {
        if self.fault.borrow().is_some() {
            return self.wrap(NOTHING);
        }
        let handles: Vec<Handle> = inputs.iter().map(|t| t.handle).collect();
        match self.host.call(name, version, &handles, &attributes.to_string()) {
            Ok(handle) => self.wrap(handle),
            Err(error) => {
                *self.fault.borrow_mut() = Some(error);
                self.wrap(NOTHING)
            }
        }
    }
}

impl<'o> Tensor<'o> {
    pub(crate) fn handle(self) -> Handle {
        self.handle
    }

    /// `self [m, k] x other [k, n] -> [m, n]`.
    pub fn matmul(self, other: impl Into<Self>) -> Self {
        self.ops.call("matmul", 1, &[self, other.into()], &json!({}))
    }

    /// The two axes swapped.
    pub fn t(self) -> Self {
        self.ops.call("transpose", 1, &[self], &json!({}))
    }

    /// Sum along an axis, which keeps length 1.
    pub fn sum(self, axis: usize) -> Self {
        self.ops.call("sum", 1, &[self], &json!({ "axis": axis }))
    }

    /// Mean along an axis, which keeps length 1.
    pub fn mean(self, axis: usize) -> Self {
        self.ops.call("mean", 1, &[self], &json!({ "axis": axis }))
    }

    /// Euclidean norm along an axis, which keeps length 1.
    pub fn norm(self, axis: usize) -> Self {
        self.ops.call("norm", 1, &[self], &json!({ "axis": axis }))
    }

    /// Another shape of as many elements.
    pub fn reshape(self, shape: &[Dim]) -> Self {
        let shape: Vec<Value> = shape
            .iter()
            .map(|dim| match dim {
                Dim::Fixed(n) => json!(n),
                Dim::Tokens => json!("tokens"),
            })
            .collect();
        self.ops.call("reshape", 1, &[self], &json!({ "shape": shape }))
    }

    /// Rounded to `f32`, `f16` or `bf16`.
    pub fn cast(self, dtype: &str) -> Self {
        self.ops.call("cast", 1, &[self], &json!({ "dtype": dtype }))
    }

    /// Each element zeroed with probability `p` while training, the rest scaled by `1/(1-p)`; the host draws.
    pub fn dropout(self, p: f64) -> Self {
        if p == 0.0 {
            return self;
        }
        self.ops.call("dropout", 1, &[self], &json!({ "p": p }))
    }

    /// The value, without a gradient through it.
    pub fn detach(self) -> Self {
        self.unary("detach")
    }

    /// `x Φ(x)`, by the error function as PyTorch's default.
    pub fn gelu(self) -> Self {
        self.unary("gelu")
    }

    /// `x sigmoid(x)`.
    pub fn silu(self) -> Self {
        self.unary("silu")
    }

    /// `max(x, 0)`.
    pub fn relu(self) -> Self {
        self.unary("relu")
    }

    /// `1 / (1 + exp(-x))`.
    pub fn sigmoid(self) -> Self {
        self.unary("sigmoid")
    }

    /// Hyperbolic tangent.
    pub fn tanh(self) -> Self {
        self.unary("tanh")
    }

    /// Exponential.
    pub fn exp(self) -> Self {
        self.unary("exp")
    }

    /// Square root.
    pub fn sqrt(self) -> Self {
        self.unary("sqrt")
    }

    fn unary(self, name: &str) -> Self {
        self.ops.call(name, 1, &[self], &json!({}))
    }

    fn scale(self, by: f64) -> Self {
        self.ops.call("scale", 1, &[self], &json!({ "by": by }))
    }

    fn offset(self, by: f64) -> Self {
        self.ops.call("offset", 1, &[self], &json!({ "by": by }))
    }
}

impl<'o> From<&Tensor<'o>> for Tensor<'o> {
    fn from(tensor: &Tensor<'o>) -> Self {
        *tensor
    }
}

/// One operator with its operands by value and by reference, as for Rust's numbers.
macro_rules! operator {
    ($trait:ident, $method:ident, ($($left:ty, $right:ty);+), |$l:ident, $r:ident| $value:expr) => {
        $(impl<'o> $trait<$right> for $left {
            type Output = Tensor<'o>;

            fn $method(self, other: $right) -> Tensor<'o> {
                let ($l, $r) = (self, other);
                $value
            }
        })+
    };
    ($trait:ident, $method:ident, $name:literal, |$a:ident, $by:ident| $after:expr,
     |$c:ident, $b:ident| $before:expr) => {
        operator!($trait, $method,
            (Tensor<'o>, Tensor<'o>; Tensor<'o>, &Tensor<'o>; &Tensor<'o>, Tensor<'o>; &Tensor<'o>, &Tensor<'o>),
            |l, r| l.ops.call($name, 1, &[l.into(), r.into()], &json!({})));
        operator!($trait, $method, (Tensor<'o>, f64; &Tensor<'o>, f64), |$a, $by| $after);
        operator!($trait, $method, (f64, Tensor<'o>; f64, &Tensor<'o>), |$c, $b| $before);
    };
}

operator!(Add, add, "add", |a, by| a.offset(by), |by, a| a.offset(by));
operator!(Sub, sub, "sub", |a, by| a.offset(-by), |by, a| a.scale(-1.0).offset(by));
operator!(Mul, mul, "mul", |a, by| a.scale(by), |by, a| a.scale(by));
// There is no constant to divide: it is made of the divisor.
operator!(Div, div, "div", |a, by| a.scale(1.0 / by), |by, a| a.scale(0.0).offset(by) / a);

impl<'o> Neg for Tensor<'o> {
    type Output = Self;

    fn neg(self) -> Self {
        self.scale(-1.0)
    }
}

impl<'o> Neg for &Tensor<'o> {
    type Output = Tensor<'o>;

    fn neg(self) -> Tensor<'o> {
        self.scale(-1.0)
    }
}
