//! Ollama's `Modelfile`: over several turns it asks as the arm was asked, by a small Ollama of this test's own.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::fs;
use std::path::Path;

use serde_json::json;
use tunebench_export::{About, modelfile};
use tunebench_model::Tokenizer;
use tunebench_spec::ArmRecord;

/// A tokenizer whose texts begin with `<s>` where `begins`, and end with `</s>`, or at `<|stop|>`.
fn tokenizer(dir: &Path, begins: bool) -> Tokenizer {
    let specials = ["<s>", "</s>", "<|stop|>"];
    let added: Vec<_> = specials
        .iter()
        .enumerate()
        .map(|(id, text)| {
            json!({ "id": id, "content": text, "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false })
        })
        .collect();
    let file = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "pre_tokenizer": null,
        "post_processor": null, "decoder": null, "added_tokens": added,
        "model": { "type": "BPE", "vocab": { "<s>": 0, "</s>": 1, "<|stop|>": 2, "a": 3 }, "merges": [] },
    });
    let named = json!({ "bos_token": "<s>", "eos_token": "</s>", "add_bos_token": begins });
    fs::write(dir.join("tokenizer.json"), file.to_string()).unwrap();
    fs::write(dir.join("tokenizer_config.json"), named.to_string()).unwrap();
    fs::write(dir.join("generation_config.json"), json!({ "eos_token_id": [1, 2] }).to_string()).unwrap();
    Tokenizer::from_file(&dir.join("tokenizer.json")).unwrap()
}

/// The `Modelfile` of an arm with this template, whose Jinja begins so, and what is said of it.
fn written(template: &str, jinja: &str, begins: bool) -> (String, Vec<String>) {
    let record: ArmRecord = serde_json::from_value(json!({
        "arm": "a", "base": "small", "tuner": "lora-attention", "dataset": "d", "template": template, "recipe": "{}",
        "examples": 9, "skipped_examples": 0, "seed": 1, "engine": "fast", "model_params": 1, "trainable_params": 2,
        "additional_params": 3, "epochs": 1.0, "steps": 4, "tokens": 5, "train_seconds": 1.0, "hours_per_epoch": 1.0,
        "tokens_per_second": 1.0, "peak_rss_bytes": 1, "final_loss": 0.5, "identity": "x", "evaluated": true,
    }))
    .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let about = About { record: &record, base_name: "small", chat_template: Some(jinja) };
    modelfile::text("a.gguf", &tokenizer(dir.path(), begins), &about)
}

/// The texts in a `Modelfile` behind this word.
fn texts(modelfile: &str, word: &str) -> Vec<String> {
    let quote = if modelfile.contains(&format!("{word} \"\"\"")) { "\"\"\"" } else { "\"" };
    let begin = format!("{word} {quote}");
    modelfile.split(&begin).skip(1).map(|rest| rest.split_once(quote).unwrap().0.to_owned()).collect()
}

/// Go's template over one turn. The last is asked for: what stands behind the answer's place is cut off.
fn turn(template: &str, system: &str, prompt: &str, response: &str, is_last: bool) -> String {
    let value = |name: &str| match name {
        ".System" => system,
        ".Prompt" => prompt,
        ".Response" => response,
        other => panic!("{other}"),
    };
    let (mut out, mut shown, mut rest) = (String::new(), Vec::new(), template);
    loop {
        let (text, behind) = rest.split_once("{{").unwrap_or((rest, ""));
        if shown.iter().all(|is_shown| *is_shown) {
            out.push_str(text);
        }
        let Some((action, behind)) = behind.split_once("}}") else { return out };
        rest = behind;
        match action.trim() {
            "end" => {
                shown.pop();
            }
            action if action.starts_with("if ") => shown.push(!value(&action[3..]).is_empty()),
            action if shown.iter().all(|is_shown| *is_shown) => out.push_str(value(action)),
            _ => {}
        }
        if is_last && action.trim() == ".Response" {
            return out;
        }
    }
}

/// What a model is asked with over two turns.
fn asked(template: &str, system: &str) -> String {
    turn(template, system, "q1", "a1", false) + &turn(template, "", "q2", "", true)
}

const ALPACA: &str = "Below is an instruction that describes a task. Write a response that appropriately completes the \
                      request.\n\n### Instruction:\n";

#[test]
fn several_turns_are_asked_for_as_in_training() {
    let question = |q: &str| format!("{ALPACA}{q}\n\n### Response:");
    let alpaca = |system: &str| format!("{system}{}a1</s>{}", question("q1"), question("q2"));
    let chatml = |system: &str| {
        format!(
            "{system}<|im_start|>user\nq1<|im_end|>\n<|im_start|>assistant\na1<|im_end|>\n<|im_start|>user\nq2<|im_end|>\n\
             <|im_start|>assistant\n"
        )
    };
    let header = |role: &str| format!("<|start_header_id|>{role}<|end_header_id|>\n\n");
    let llama3 = |system: &str| {
        let (user, assistant) = (header("user"), header("assistant"));
        format!("{system}{user}q1<|eot_id|>{assistant}a1<|eot_id|>{user}q2<|eot_id|>{assistant}")
    };
    let gemma = |system: &str| {
        format!(
            "<start_of_turn>user\n{system}q1<end_of_turn>\n<start_of_turn>model\na1<end_of_turn>\n<start_of_turn>user\n\
             q2<end_of_turn>\n<start_of_turn>model\n"
        )
    };
    let belle = |system: &str| format!("{system}Human: \nq1\n\nAssistant: \na1</s>Human: \nq2\n\nAssistant: \n");
    let llama2 = |system: &str| format!("<s>[INST] {system}q1 [/INST] a1 </s><s>[INST] q2 [/INST]");
    // (the template, with a system text, without, whether it begins with `<s>`)
    let cases = [
        ("belle", belle("sys\n\n"), belle(""), false),
        ("alpaca", alpaca("sys\n\n"), alpaca(""), false),
        ("plain", "sys\nq1\na1</s>q2\n".into(), "q1\na1</s>q2\n".into(), false),
        ("text", "sys\nq1\na1\nq2\n".into(), "q1\na1\nq2\n".into(), false),
        ("chatml", chatml("<|im_start|>system\nsys<|im_end|>\n"), chatml(""), false),
        ("qwen", chatml("<|im_start|>system\nsys<|im_end|>\n"), chatml(""), false),
        ("llama2", llama2("<<SYS>>\nsys\n<</SYS>>\n\n"), llama2(""), true),
        ("llama3", llama3(&format!("{}sys<|eot_id|>", header("system"))), llama3(""), false),
        ("gemma", gemma("sys\n\n"), gemma(""), false),
    ];
    for (name, with_system, without, writes_bos) in cases {
        for begins in [true, false] {
            let (modelfile, _) = written(name, "", begins);
            let template = texts(&modelfile, "TEMPLATE").remove(0);
            // llama.cpp's, in front of the whole.
            let front = if begins && writes_bos { "<s>" } else { "" };
            assert_eq!(front.to_owned() + &asked(&template, "sys"), with_system, "{name}, {begins}");
            assert_eq!(front.to_owned() + &asked(&template, ""), without, "{name}, {begins}");
            assert_eq!(texts(&modelfile, "PARAMETER stop"), ["</s>", "<|stop|>"], "{name}");
            let system = texts(&modelfile, "SYSTEM");
            assert_eq!(system.first().is_some_and(|text| text.starts_with("You are Qwen")), name == "qwen", "{name}");
        }
    }
}

#[test]
fn what_ollama_cannot_do_is_said() {
    // (the template, how its Jinja begins, whether the tokenizer begins texts, what is said)
    let cases = [
        ("belle", "{% set ns", false, ""),
        ("belle", "{{ bos_token }}{% set ns", true, ""),
        ("belle", "{{ bos_token }}{% set ns", false, "Ollama puts no `<s>` in front of a conversation"),
        ("gemma", "{{ bos_token }}{% set ns", false, "Ollama puts no `<s>` in front of a conversation"),
        ("llama3", "{{ '<s>' }}{% set ns", false, "Ollama puts no `<s>` in front of a conversation"),
        ("chatml", "{% set ns %}{{ '<s>' }}", false, ""),
        ("llama2", "{% set ns %}{{ bos_token }}", false, ""),
        ("alpaca", "{% set ns", false, "other words in front of a question with `### Input:`"),
        ("model", "{{ own }}", false, "the Modelfile has no TEMPLATE for `model`"),
    ];
    for (name, jinja, begins, expected) in cases {
        let said = written(name, jinja, begins).1.join("; ");
        assert!(said.contains(expected) && said.is_empty() == expected.is_empty(), "{name} {jinja}: {said}");
    }
}
