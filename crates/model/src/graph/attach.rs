//! Values with a gradient of our own: the one way that hand-written derivatives enter candle's autograd.
//!
//! candle's fused operations (`softmax_last_dim`, `rms_norm`, `rope`) have no backward and cut gradients without
//! an error, and its `matmul` forms the gradients of both factors, frozen or not. Here a value is computed by any
//! means, outside autograd, and attached to the tensors it came from by a function from its gradient to theirs.

use std::sync::{Mutex, PoisonError};

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, Layout, MetalStorage, Storage};
use candle_core::{Result, Shape, Tensor, bail};

/// From the gradient of the value to those of the `N` inputs; none for an input that needs none.
type Backward<const N: usize> = dyn Fn(&Tensor) -> Result<[Option<Tensor>; N]> + Send + Sync;

struct Attached<const N: usize> {
    /// Until candle has copied it into a tensor of its own graph.
    value: Mutex<Option<Tensor>>,
    backward: Box<Backward<N>>,
}

/// Whether a gradient will be asked of `x`.
pub(crate) fn is_tracked(x: &Tensor) -> bool {
    x.track_op()
}

/// `value`, computed from `x`, with a gradient to `x`.
///
/// # Shapes
/// `value` any; `backward` takes that shape and yields that of `x`.
pub(crate) fn attach1(
    x: &Tensor,
    value: Tensor,
    backward: impl Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static,
) -> Result<Tensor> {
    if !is_tracked(x) {
        return Ok(value);
    }
    x.apply_op1(Attached { value: Mutex::new(Some(value)), backward: Box::new(move |g| Ok([Some(backward(g)?)])) })
}

/// `value`, computed from two tensors, with gradients to them.
pub(crate) fn attach2(
    [x, y]: [&Tensor; 2],
    value: Tensor,
    backward: impl Fn(&Tensor) -> Result<[Option<Tensor>; 2]> + Send + Sync + 'static,
) -> Result<Tensor> {
    if !is_tracked(x) && !is_tracked(y) {
        return Ok(value);
    }
    x.apply_op2(y, Attached { value: Mutex::new(Some(value)), backward: Box::new(backward) })
}

/// `value`, computed from three tensors, with gradients to them.
pub(crate) fn attach3(
    [x, y, z]: [&Tensor; 3],
    value: Tensor,
    backward: impl Fn(&Tensor) -> Result<[Option<Tensor>; 3]> + Send + Sync + 'static,
) -> Result<Tensor> {
    if ![x, y, z].into_iter().any(is_tracked) {
        return Ok(value);
    }
    x.apply_op3(y, z, Attached { value: Mutex::new(Some(value)), backward: Box::new(backward) })
}

/// A scalar whose gradient to `output` is `gradient`: call `backward` on it to carry on from a known gradient.
pub(crate) fn seeded(output: &Tensor, gradient: Tensor) -> Result<Tensor> {
    let zero = Tensor::zeros((), output.dtype(), output.device())?;
    attach1(output, zero, move |_| Ok(gradient.clone()))
}

impl<const N: usize> Attached<N> {
    fn cpu(&self) -> Result<(CpuStorage, Shape)> {
        let value = self.taken()?;
        let (storage, layout) = value.storage_and_layout();
        match &*storage {
            Storage::Cpu(s) => Ok((s.try_clone(layout)?, shape(layout)?)),
            _ => bail!("the value is not on the device of its inputs"),
        }
    }

    fn cuda(&self) -> Result<(CudaStorage, Shape)> {
        let value = self.taken()?;
        let (storage, layout) = value.storage_and_layout();
        match &*storage {
            Storage::Cuda(s) => Ok((s.try_clone(layout)?, shape(layout)?)),
            _ => bail!("the value is not on the device of its inputs"),
        }
    }

    fn metal(&self) -> Result<(MetalStorage, Shape)> {
        let value = self.taken()?;
        let (storage, layout) = value.storage_and_layout();
        match &*storage {
            Storage::Metal(s) => Ok((s.try_clone(layout)?, shape(layout)?)),
            _ => bail!("the value is not on the device of its inputs"),
        }
    }

    fn taken(&self) -> Result<Tensor> {
        let value = self.value.lock().unwrap_or_else(PoisonError::into_inner).take();
        value.map_or_else(|| bail!("an attached value is read once"), Ok)
    }
}

/// The clone of a storage has the storage's layout, so only a whole, row-major value is what it seems.
fn shape(layout: &Layout) -> Result<Shape> {
    if layout.contiguous_offsets() != Some((0, layout.shape().elem_count())) {
        bail!("only a contiguous value can be attached, not {layout:?}");
    }
    Ok(layout.shape().clone())
}

macro_rules! custom_op {
    ($op:ident, $n:literal, [$($s:ident $l:ident $x:ident),*], $gradients:ty, |$g:ident| $unpack:expr) => {
        impl $op for Attached<$n> {
            fn name(&self) -> &'static str {
                "attached"
            }

            fn cpu_fwd(&self, $($s: &CpuStorage, $l: &Layout),*) -> Result<(CpuStorage, Shape)> {
                let _ = ($($s, $l),*);
                self.cpu()
            }

            fn cuda_fwd(&self, $($s: &CudaStorage, $l: &Layout),*) -> Result<(CudaStorage, Shape)> {
                let _ = ($($s, $l),*);
                self.cuda()
            }

            fn metal_fwd(&self, $($s: &MetalStorage, $l: &Layout),*) -> Result<(MetalStorage, Shape)> {
                let _ = ($($s, $l),*);
                self.metal()
            }

            fn bwd(&self, $($x: &Tensor,)* _value: &Tensor, gradient: &Tensor) -> Result<$gradients> {
                let _ = ($($x),*);
                let $g = (self.backward)(gradient)?;
                Ok($unpack)
            }
        }
    };
}

custom_op!(CustomOp1, 1, [s1 l1 x1], Option<Tensor>, |g| {
    let [g] = g;
    g
});
custom_op!(CustomOp2, 2, [s1 l1 x1, s2 l2 x2], (Option<Tensor>, Option<Tensor>), |g| g.into());
custom_op!(CustomOp3, 3, [s1 l1 x1, s2 l2 x2, s3 l3 x3], (Option<Tensor>, Option<Tensor>, Option<Tensor>), |g| g.into());
