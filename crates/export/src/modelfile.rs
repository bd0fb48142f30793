//! Ollama's `Modelfile` beside a GGUF file: the template that the model was trained with, in Go's words, and where it stops.

use tunebench_model::Tokenizer;

use crate::About;

/// Templates of ours as Ollama has them: one system text, a question and its answer. What begins a text is put there by
/// llama.cpp, as the GGUF file says.
const TEMPLATES: [(&str, &str); 9] = [
    (
        "belle",
        "{{ if .System }}{{ .System }}\n\n{{ end }}{{ if .Prompt }}Human: \n{{ .Prompt }}\n\nAssistant: \n{{ end }}{{ .Response }}",
    ),
    (
        "alpaca",
        "{{ if .System }}{{ .System }}\n\n{{ end }}{{ if .Prompt }}Below is an instruction that describes a task. Write a response \
         that appropriately completes the request.\n\n### Instruction:\n{{ .Prompt }}\n\n### Response:{{ end }}{{ .Response }}",
    ),
    ("plain", "{{ if .System }}{{ .System }}\n{{ end }}{{ if .Prompt }}{{ .Prompt }}\n{{ end }}{{ .Response }}"),
    ("text", "{{ .System }}{{ .Prompt }}{{ .Response }}"),
    ("chatml", CHATML),
    ("qwen", CHATML),
    (
        "llama3",
        "{{ if .System }}<|start_header_id|>system<|end_header_id|>\n\n{{ .System }}<|eot_id|>{{ end }}{{ if .Prompt }}\
         <|start_header_id|>user<|end_header_id|>\n\n{{ .Prompt }}<|eot_id|>{{ end }}\
         <|start_header_id|>assistant<|end_header_id|>\n\n{{ .Response }}<|eot_id|>",
    ),
    (
        "llama2",
        "[INST] {{ if .System }}<<SYS>>\n{{ .System }}\n<</SYS>>\n\n{{ end }}{{ .Prompt }} [/INST]{{ if .Response }} {{ .Response }} \
         {{ end }}",
    ),
    (
        "gemma",
        "<start_of_turn>user\n{{ if .System }}{{ .System }}\n\n{{ end }}{{ .Prompt }}<end_of_turn>\n<start_of_turn>model\n\
         {{ .Response }}<end_of_turn>\n",
    ),
];

const CHATML: &str = "{{ if .System }}<|im_start|>system\n{{ .System }}<|im_end|>\n{{ end }}{{ if .Prompt }}<|im_start|>user\n\
                      {{ .Prompt }}<|im_end|>\n{{ end }}<|im_start|>assistant\n{{ .Response }}<|im_end|>\n";

/// What a template says where nobody gives a system text.
const SYSTEMS: [(&str, &str); 1] = [("qwen", "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.")];

/// The text of a `Modelfile` for the GGUF file of this name; and what it does not say, a sentence each.
pub fn text(file: &str, tokenizer: &Tokenizer, about: &About<'_>) -> (String, Vec<String>) {
    let name = about.record.template.as_str();
    let mut text = format!("FROM ./{file}\n");
    let mut said = Vec::new();
    match TEMPLATES.iter().find(|(known, _)| *known == name) {
        Some((_, template)) => text += &format!("TEMPLATE \"\"\"{template}\"\"\"\n"),
        None => said.push(format!(
            "the Modelfile has no TEMPLATE for `{name}`: Ollama makes one of the chat template in the GGUF file where it knows that"
        )),
    }
    if let Some((_, system)) = SYSTEMS.iter().find(|(known, _)| *known == name) {
        text += &format!("SYSTEM \"\"\"{system}\"\"\"\n");
    }
    for stop in tokenizer.eos.iter().filter_map(|id| tokenizer.inner.id_to_token(*id)) {
        text += &format!("PARAMETER stop \"{}\"\n", stop.replace('"', "\\\""));
    }
    (text, said)
}
