//! What training a decoder takes, from its sizes: operations, bytes kept, bytes exchanged.

/// Sizes of a decoder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decoder {
    /// All parameters.
    pub parameters: f64,
    /// Of them the embedding's, which is looked up and multiplies nothing. The head's are not among them.
    pub embedding: f64,
    pub layers: f64,
    pub hidden: f64,
}

/// Which parameters move.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// All of them.
    Full,
    /// Those of adapters, so many, beside frozen ones.
    Lora { parameters: f64 },
}

/// Bytes of a parameter that is only read, in bf16.
const FROZEN: f64 = 2.0;
/// Bytes of one that moves: weight and gradient in bf16, the weight AdamW moves and its two moments in f32.
const MOVED: f64 = 2.0 + 2.0 + 4.0 + 4.0 + 4.0;

impl Decoder {
    /// Operations of training on a token in rows of `length` tokens.
    ///
    /// A product takes 2 operations a parameter forward, 2 for the gradient of its inputs and 2 for that of its weight, which
    /// frozen weights do not need. Attention takes 4 times the hidden size for each token seen, half of the row on average,
    /// in each layer, and twice that backward. Norms, activations and the softmax are below a hundredth and left out.
    pub fn flops_per_token(&self, method: Method, length: f64) -> f64 {
        let products = self.parameters - self.embedding;
        let attention = 3.0 * 4.0 * self.hidden * length / 2.0 * self.layers;
        let weights = match method {
            Method::Full => 6.0 * products,
            Method::Lora { parameters } => 4.0 * products + 6.0 * parameters,
        };
        weights + attention
    }

    /// Bytes of weights, gradients and moments, once. Activations are not among them.
    pub fn memory(&self, method: Method) -> f64 {
        match method {
            Method::Full => MOVED * self.parameters,
            Method::Lora { parameters } => FROZEN * self.parameters + MOVED * parameters,
        }
    }

    /// Bytes that each of `devices` sends in a step that has all of the model: each its own rows, gradients summed by a ring.
    pub fn replicated_bytes(&self, method: Method, devices: u32) -> f64 {
        let moved = match method {
            Method::Full => self.parameters,
            Method::Lora { parameters } => parameters,
        };
        2.0 * others(devices) * FROZEN * moved
    }

    /// Bytes that each of `devices` sends in a step when each keeps a part of the model (ZeRO-3, FSDP): weights are gathered
    /// forward and backward in each of the step's passes, gradients are summed once.
    pub fn sharded_bytes(&self, method: Method, devices: u32, passes: f64) -> f64 {
        let gathered = 2.0 * passes * self.parameters;
        let moved = self.replicated_bytes(method, devices) / 2.0;
        others(devices) * FROZEN * gathered + moved
    }
}

/// The part of a thing that is on other devices.
fn others(devices: u32) -> f64 {
    f64::from(devices.saturating_sub(1)) / f64::from(devices.max(1))
}
