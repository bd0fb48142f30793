//! What a model on disk says when it always takes the likeliest token, for comparing exports with other programs:
//! `greedy MODEL COUNT < PROMPTS` reads a prompt a line, a JSON text, and prints a line of JSON for each: the tokens of the
//! prompt, the at most `COUNT` tokens that follow up to one that ends an answer, and by how much the first was ahead of the
//! second at each, the end's too.

use std::io::{self, BufRead, Write};
use std::path::Path;

use serde_json::json;
use tunebench_model::backend::{Parts, REFERENCE};
use tunebench_model::{Tuning, open};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let (Some(path), Some(count)) = (args.next(), args.next()) else {
        return Err("greedy MODEL COUNT < PROMPTS".into());
    };
    let count: usize = count.parse()?;
    let source = open(Path::new(&path))?;
    let tokenizer = source.tokenizer()?;
    let model =
        REFERENCE.generator(Parts { shape: &source.shape, weights: source.weights()?, tuning: Tuning::none() })?;
    for line in io::stdin().lock().lines() {
        let text: String = serde_json::from_str(&line?)?;
        let prompt = tokenizer.inner.encode(text, true).map_err(|error| error.to_string())?.get_ids().to_vec();
        let (mut tokens, mut margins, mut logits) = (vec![], vec![], vec![]);
        let mut rows = model.rows();
        rows.prefill(&[prompt.as_slice().into()], &mut logits)?;
        for _ in 0..count {
            let (token, margin) = likeliest(&logits);
            margins.push(margin);
            if tokenizer.eos.contains(&token) {
                break;
            }
            tokens.push(token);
            rows.step(&[token], &mut logits)?;
        }
        writeln!(io::stdout(), "{}", json!({ "prompt": prompt, "tokens": tokens, "margins": margins }))?;
    }
    Ok(())
}

fn likeliest(logits: &[f32]) -> (u32, f32) {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b)));
    (order[0] as u32, order.get(1).map_or(0.0, |second| logits[order[0]] - logits[*second]))
}
