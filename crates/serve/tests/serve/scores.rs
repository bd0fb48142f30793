//! Log-probabilities of prompts: those that the engine gives when it is asked for each token.

use serde_json::{Value, json};
use tunebench_model::Tuning;
use tunebench_model::backend::{FAST, Parts};
use tunebench_testkit::byte_level;

use crate::support::Running;

/// One prefill of each beginning of a prompt, and the softmax of what comes after it.
fn scored(tokens: &[u32]) -> Vec<Vec<f64>> {
    let (shape, weights) = byte_level::babbling();
    let model = FAST.generator(Parts { shape: &shape, weights, tuning: Tuning::none() }).unwrap();
    let of = |n: usize| {
        let (mut rows, mut scores) = (model.rows(), vec![]);
        rows.prefill(&[(&tokens[..n]).into()], &mut scores).unwrap();
        let total: f64 = scores.iter().map(|score| f64::from(*score).exp()).sum();
        scores.iter().map(|score| (f64::from(*score).exp() / total).ln()).collect()
    };
    (1..tokens.len()).map(of).collect()
}

fn numbers(value: &Value) -> Vec<Option<f64>> {
    value.as_array().unwrap().iter().map(Value::as_f64).collect()
}

#[test]
fn echo_tells_the_engines_own_log_probabilities() {
    let server = Running::babbling();
    let prompts: [&[u32]; 4] = [&[260, 5, 9, 200, 77, 256, 31, 8], &[3, 4], &[7], &[1; 300]];
    let body = json!({ "model": "babbling", "prompt": prompts, "max_tokens": 0, "echo": true, "logprobs": 3 });
    let found = server.complete(&body);
    assert_eq!(found["usage"], json!({ "prompt_tokens": 311, "completion_tokens": 0, "total_tokens": 311 }));
    for (i, prompt) in prompts.iter().enumerate() {
        let (choice, want) = (&found["choices"][i], scored(prompt));
        assert_eq!(choice["finish_reason"], "length");
        let logprobs = numbers(&choice["logprobs"]["token_logprobs"]);
        assert_eq!((logprobs.len(), logprobs[0]), (prompt.len(), None), "the first has nothing before it");
        let tops = choice["logprobs"]["top_logprobs"].as_array().unwrap();
        assert!(tops[0].is_null());
        for n in 1..prompt.len() {
            let (found, want) = (logprobs[n].unwrap(), &want[n - 1]);
            // bf16's rounding apart, should the kernels take another way for another length.
            assert!((found - want[prompt[n] as usize]).abs() < 1e-3, "{i} {n}: {found} {}", want[prompt[n] as usize]);
            let best = want.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let top = tops[n].as_object().unwrap().values().filter_map(Value::as_f64).fold(f64::NEG_INFINITY, f64::max);
            assert!((top - best).abs() < 1e-3, "{top} {best}");
            assert!(tops[n].as_object().unwrap().contains_key(choice["logprobs"]["tokens"][n].as_str().unwrap()));
        }
    }
}

#[test]
fn an_answer_behind_a_scored_prompt_is_the_same_and_a_token_that_ends_it_is_told() {
    let server = Running::babbling();
    let prompt: Vec<u32> = (0..40).collect();
    let body = |echo: bool| json!({ "model": "babbling", "prompt": prompt, "max_tokens": 30, "echo": echo, "logprobs": 1, "temperature": 0.9, "seed": 4 });
    let (plain, echoed) = (server.complete(&body(false)), server.complete(&body(true)));
    let values = |body: &Value| numbers(&body["choices"][0]["logprobs"]["token_logprobs"]);
    assert_eq!(values(&plain), values(&echoed)[40..]);
    let said = plain["choices"][0]["text"].as_str().unwrap();
    assert!(echoed["choices"][0]["text"].as_str().unwrap().ends_with(said));
    // Every prompt with one token more: lm-evaluation-harness cuts the last of the list, whatever it is.
    for first in 0..60 {
        let body = json!({ "model": "babbling", "prompt": [[first, 9, 7]], "max_tokens": 1, "echo": true, "logprobs": 1, "temperature": 0 });
        let found = server.complete(&body);
        assert_eq!(values(&found).len(), 4);
    }
}
