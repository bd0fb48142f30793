//! What the machine can do at best: how fast memory is read, and what the multiply-add instruction of each level
//! reaches. Whatever reads each weight once, or multiplies by it, is held against these.

use anyhow::{Result, ensure};
use half::bf16;
use serde_json::{Value, json};
use tunebench_kernels::SimdLevel;
use tunebench_kernels::gemm::peak;
use tunebench_kernels::machine::bandwidth::read_bandwidth;
use tunebench_spec::Decoder;
use tunebench_spec::decoder::{Part, Weight};
use tunebench_spec::names::Role;

use crate::figures::median;

/// Options of `floors`.
#[derive(clap::Args)]
pub struct Args {
    /// Rounds over all floors; medians are printed.
    #[arg(long, default_value_t = 3)]
    repeats: usize,
}

/// A kind of number, and the operations per second that a level reaches with it.
type Kind = (&'static str, fn(SimdLevel) -> f64);

const KINDS: [Kind; 2] = [("f32", peak::<f32>), ("bf16", peak::<bf16>)];

/// A line for memory, read at the level in force, and one for each level of this CPU and kind of number.
pub fn measure(args: &Args) -> Result<Vec<Value>> {
    ensure!(args.repeats > 0, "--repeats must be at least 1");
    let chosen = SimdLevel::chosen()?;
    let peaks: Vec<(SimdLevel, Kind)> =
        SimdLevel::available().flat_map(|level| KINDS.map(|kind| (level, kind))).collect();
    let mut bandwidths = Vec::new();
    let mut speeds = vec![Vec::new(); peaks.len()];
    for _ in 0..args.repeats {
        bandwidths.push(read_bandwidth(chosen));
        for ((level, (_, peak)), speeds) in peaks.iter().zip(&mut speeds) {
            speeds.push(peak(*level));
        }
    }
    let mut lines = vec![json!({ "floor": "memory", "bytes_per_s": median(bandwidths), "level": chosen.name() })];
    for ((level, (kind, _)), speeds) in peaks.into_iter().zip(speeds) {
        let (level, speed) = (level.name(), median(speeds));
        lines.push(json!({ "floor": "arithmetic", "kind": kind, "flop_per_s": speed, "level": level }));
    }
    Ok(lines)
}

/// Weights that every token is multiplied by: the linear maps, the head among them, which is the embedding where they
/// are tied.
pub fn multiplied_weights(shape: &Decoder) -> u64 {
    let is_multiplied = |weight: &Weight| {
        weight.part == Part::Weight
            && (weight.role.is_linear() || weight.role == Role::Embedding && shape.tie_word_embeddings)
    };
    shape.weights().iter().filter(|weight| is_multiplied(weight)).map(Weight::len).sum()
}

/// Operations of the products that a training step cannot do without, for a token of an example of `tokens`:
/// `of_weights`, those of what is trained beside the weights (two forward, four backward), and those of attention, whose
/// queries meet the keys that they see in two products forward and four backward (Dao et al. 2022, without what is
/// computed again).
pub fn step_flop_per_token(shape: &Decoder, of_weights: u64, trained_beside: u64, tokens: usize) -> f64 {
    let seen = |layer| {
        let window = shape.attention.window_of(layer).unwrap_or(tokens);
        (1..=tokens).map(|keys| keys.min(window)).sum::<usize>() as f64 / tokens as f64
    };
    let product = 2.0 * shape.attention.q_width() as f64;
    let attention: f64 = (0..shape.num_hidden_layers).map(|layer| 6.0 * product * seen(layer)).sum();
    (of_weights + 6 * trained_beside) as f64 + attention
}

#[cfg(test)]
mod tests {
    use tunebench_spec::decoder::Dims;

    use super::*;

    #[test]
    fn a_token_is_multiplied_by_every_linear_map_once() {
        let dims = Dims {
            vocab_size: 100,
            hidden_size: 8,
            intermediate_size: 16,
            num_hidden_layers: 2,
            heads: 2,
            kv_heads: 1,
            head_dim: 4,
        };
        let layer = 8 * 8 + 2 * 8 * 4 + 8 * 8 + 3 * 8 * 16;
        for is_tied in [false, true] {
            let shape = Decoder { tie_word_embeddings: is_tied, ..Decoder::llama(dims) };
            assert_eq!(multiplied_weights(&shape), 2 * layer + 100 * 8);
            // Three tokens see one, two and three keys.
            let attention = 2 * 6 * 2 * 8 * 2;
            let products = 4 * (2 * layer + 100 * 8) + 6 * 10 + attention;
            assert_eq!(step_flop_per_token(&shape, 4 * multiplied_weights(&shape), 10, 3), products as f64);
        }
    }
}
