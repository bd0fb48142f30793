//! A decoder in llama.cpp's words: the metadata under its architecture's prefix, and the tensors that are no weights.
//!
//! What has no key here is no part of what is written; whoever writes a file opens it again and compares the decoders.

use tunebench_spec::Decoder;
use tunebench_spec::decoder::{Positions, RopeScaling, Rotary, Window, Yarn};

use super::container::Meta;
use crate::families::{Gguf, GgufWindow};
use crate::formats::gguf::shape::epsilon;
use crate::rotary::rotation;

/// Divisors of the rotary frequencies by the name of their tensor.
pub(super) type Factors = Vec<(&'static str, Vec<f32>)>;

/// The metadata of a decoder, with the architecture's name in front of each key; and tensors of rotary factors.
pub(super) fn of(shape: &Decoder, gguf: Gguf, context: usize) -> (Vec<(String, Meta)>, Factors) {
    let (attention, architecture) = (&shape.attention, gguf.architecture);
    let u32 = |value: usize| Meta::U32(value as u32);
    let f32 = |value: f64| Meta::F32(value as f32);
    let window = attention.window.as_ref().filter(|_| gguf.window != GgufWindow::Unsaid);
    let flags = |window: &Window| {
        let has_window = (0..shape.num_hidden_layers).map(|layer| !window.full_layers.contains(&layer));
        Meta::I32s(has_window.map(i32::from).collect())
    };
    let mut entries = vec![
        ("vocab_size", u32(shape.vocab_size)),
        ("context_length", u32(context)),
        ("embedding_length", u32(shape.hidden_size)),
        ("block_count", u32(shape.num_hidden_layers)),
        ("feed_forward_length", u32(shape.mlp.intermediate_size)),
        ("attention.head_count", u32(attention.heads)),
        ("attention.head_count_kv", u32(attention.kv_heads)),
        ("attention.key_length", u32(attention.head_dim)),
        ("attention.value_length", u32(attention.head_dim)),
        (epsilon(shape.norm.kind), f32(shape.norm.eps)),
    ];
    let optional = [
        ("attn_logit_softcapping", attention.softcap.map(f32)),
        ("final_logit_softcapping", shape.logit_softcap.map(f32)),
        ("attention.sliding_window", window.map(|window| u32(window.size))),
        ("attention.sliding_window_pattern", window.filter(|_| gguf.window == GgufWindow::Computed).map(flags)),
        ("use_parallel_residual", (architecture == "gptneox").then(|| Meta::Bool(is_parallel(shape)))),
    ];
    entries.extend(optional.into_iter().filter_map(|(key, value)| Some((key, value?))));
    let mut factors = Vec::new();
    if let Positions::Rotary(rotary) = &shape.positions {
        entries.push(("rope.dimension_count", u32(shape.rotary_dim())));
        entries.push(("rope.freq_base", f32(rotary.theta)));
        entries.extend(rotary.local_theta.map(|theta| ("rope.freq_base_swa", f32(theta))));
        let (scaling, of_rope) = scaling(shape, rotary);
        entries.extend(scaling);
        factors = of_rope;
    }
    (entries.into_iter().map(|(key, value)| (format!("{architecture}.{key}"), value)).collect(), factors)
}

fn is_parallel(shape: &Decoder) -> bool {
    shape.norm_placement == tunebench_spec::decoder::NormPlacement::Parallel
}

fn scaling(shape: &Decoder, rotary: &Rotary) -> (Vec<(&'static str, Meta)>, Factors) {
    let f32 = |value: f64| Meta::F32(value as f32);
    let kind = |name: &str| ("rope.scaling.type", Meta::Text(name.into()));
    let original = |length: usize| ("rope.scaling.original_context_length", Meta::U32(length as u32));
    match &rotary.scaling {
        // Up to the positions that the model has, dynamic scaling changes nothing.
        None | Some(RopeScaling::Dynamic { .. }) => (vec![], vec![]),
        Some(RopeScaling::Linear { factor }) => (vec![kind("linear"), ("rope.scaling.factor", f32(*factor))], vec![]),
        Some(RopeScaling::Llama3 { original_max_position_embeddings, .. }) => {
            let frequencies = |rotary: &Rotary| {
                let positions = Positions::Rotary(rotary.clone());
                rotation(&Decoder { positions, ..shape.clone() }).map(|rotation| rotation.frequencies)
            };
            let plain = frequencies(&Rotary { scaling: None, ..rotary.clone() });
            let divisors = plain
                .zip(frequencies(rotary))
                .map(|(plain, scaled)| plain.iter().zip(scaled).map(|(plain, scaled)| plain / scaled).collect());
            let factors = divisors.map(|divisors| ("rope_freqs.weight", divisors));
            (vec![original(*original_max_position_embeddings)], factors.into_iter().collect())
        }
        Some(RopeScaling::Yarn(Yarn { factor, original_max_position_embeddings, beta_fast, beta_slow, .. })) => {
            let mut entries =
                vec![kind("yarn"), ("rope.scaling.factor", f32(*factor)), original(*original_max_position_embeddings)];
            entries.extend(beta_fast.map(|beta| ("rope.scaling.yarn_beta_fast", f32(beta))));
            entries.extend(beta_slow.map(|beta| ("rope.scaling.yarn_beta_slow", f32(beta))));
            (entries, vec![])
        }
        Some(RopeScaling::Longrope(longrope)) => {
            let single = |factors: &[f64]| factors.iter().map(|factor| *factor as f32).collect();
            let attention = rotation(shape).map_or(1.0, |rotation| rotation.factor);
            let entries = vec![
                original(longrope.original_max_position_embeddings),
                ("rope.scaling.attn_factor", Meta::F32(attention)),
            ];
            let factors = vec![
                ("rope_factors_long.weight", single(&longrope.long_factor)),
                ("rope_factors_short.weight", single(&longrope.short_factor)),
            ];
            (entries, factors)
        }
    }
}
