//! Which type each tensor of a file gets: llama.cpp's own choice for each kind of file (`llama-quant.cpp`).

use tunebench_spec::Decoder;
use tunebench_spec::decoder::{Part, Weight};
use tunebench_spec::names::Role;

use crate::formats::gguf::block_type::BlockType;

/// What the numbers of a GGUF file are stored as. Norms, biases and learned positions are f32 in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GgufType {
    F32,
    F16,
    BF16,
    /// 8 bits for each number, a scale for 32 of them.
    Q8_0,
    /// Some 4.8 bits for each number: 4-bit blocks, 6-bit ones where errors cost most.
    #[allow(non_camel_case_types, reason = "as llama.cpp spells it")]
    Q4_K_M,
}

impl GgufType {
    pub const ALL: [Self; 5] = [Self::F32, Self::F16, Self::BF16, Self::Q8_0, Self::Q4_K_M];

    /// As llama.cpp spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::Q8_0 => "Q8_0",
            Self::Q4_K_M => "Q4_K_M",
        }
    }

    /// llama.cpp's number for such a file, `general.file_type`.
    pub(super) fn file_type(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q8_0 => 7,
            Self::Q4_K_M => 15,
            Self::BF16 => 32,
        }
    }

    /// Root mean square of the error that it may make of one tensor, relative to that of the tensor's numbers: several times
    /// what is found for normally distributed ones.
    pub fn relative_error(self) -> f64 {
        match self {
            Self::F32 => 1e-6,
            Self::F16 => 2e-3,
            Self::BF16 => 6e-3,
            Self::Q8_0 => 0.02,
            Self::Q4_K_M => 0.2,
        }
    }

    /// The type of one weight: its wish, or what fits the length of its rows.
    pub(super) fn of(self, shape: &Decoder, weight: &Weight) -> &'static BlockType {
        let wish = self.wish(shape, weight);
        let row = weight.shape.last().copied().unwrap_or_default() as u64;
        let fits = |name: &str| BlockType::named(name).filter(|block| row.is_multiple_of(block.elements));
        let fallback = match wish {
            "Q4_K" => "Q5_0",
            "Q5_K" => "Q5_1",
            "Q6_K" => "Q8_0",
            other => other,
        };
        let found = [wish, fallback, "F16"].into_iter().find_map(fits);
        found.or_else(|| BlockType::named("F32")).expect("F32 is in the table")
    }

    fn wish(self, shape: &Decoder, weight: &Weight) -> &'static str {
        let is_matrix = weight.shape.len() > 1 && weight.part == Part::Weight;
        if !is_matrix || weight.role.is_norm() || weight.role == Role::PositionEmbedding {
            return "F32";
        }
        match self {
            Self::F32 | Self::F16 | Self::BF16 | Self::Q8_0 => self.name(),
            Self::Q4_K_M => mixed(shape, weight),
        }
    }
}

/// Q4_K_M: the head, and every third layer's values and down projections, and those of the first and last eighth, have 6 bits.
fn mixed(shape: &Decoder, weight: &Weight) -> &'static str {
    let (layer, layers) = (weight.layer.unwrap_or(0), shape.num_hidden_layers);
    let first = layers / 8;
    let is_sensitive = layer < first || layer >= 7 * layers / 8 || (layer - first) % 3 == 2;
    match weight.role {
        // What the head multiplies with; of a tied model that is the embedding.
        Role::Head => "Q6_K",
        Role::Embedding if shape.tie_word_embeddings => "Q6_K",
        Role::QueryKeyValue => "Q5_K",
        Role::Value | Role::Down if is_sensitive => "Q6_K",
        _ => "Q4_K",
    }
}
