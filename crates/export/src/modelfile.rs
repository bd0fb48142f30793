//! Ollama's `Modelfile` beside a GGUF file: the template that the model was trained with, in Go's words, and where it stops.

use tunebench_model::Tokenizer;

use crate::About;

/// Templates of ours as Ollama has them: a system text, a question and its answer, once for each turn. What stands behind the
/// answer is left out of the last one, which is asked for. `{eos}` is the tokenizer's end. What begins a text is put there by
/// llama.cpp, as the GGUF file says; where a template begins each turn with it, `{first}` and `{next}` are its places.
const TEMPLATES: [(&str, &str); 9] = [
    (
        "belle",
        "{{ if .System }}{{ .System }}\n\n{{ end }}{{ if .Prompt }}Human: \n{{ .Prompt }}\n\nAssistant: \n{{ end }}{{ .Response }}{eos}",
    ),
    (
        "alpaca",
        "{{ if .System }}{{ .System }}\n\n{{ end }}{{ if .Prompt }}Below is an instruction that describes a task. Write a response \
         that appropriately completes the request.\n\n### Instruction:\n{{ .Prompt }}\n\n### Response:{{ end }}{{ .Response }}{eos}",
    ),
    ("plain", "{{ if .System }}{{ .System }}\n{{ end }}{{ if .Prompt }}{{ .Prompt }}\n{{ end }}{{ .Response }}{eos}"),
    ("text", "{{ if .System }}{{ .System }}\n{{ end }}{{ if .Prompt }}{{ .Prompt }}\n{{ end }}{{ .Response }}\n"),
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
        "{first}[INST] {{ if .System }}<<SYS>>\n{{ .System }}\n<</SYS>>\n\n{{ end }}{{ .Prompt }} [/INST]\
         {{ if .Response }} {{ .Response }} {eos}{next}{{ end }}",
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

/// The words with which Alpaca's second prompt is told from its first.
const ALPACA_INPUT: &str = "### Input:";

/// The text of a `Modelfile` for the GGUF file of this name; and what it does not say, a sentence each.
pub fn text(file: &str, tokenizer: &Tokenizer, about: &About<'_>) -> (String, Vec<String>) {
    let name = about.record.template.as_str();
    let mut text = format!("FROM ./{file}\n");
    let mut said = Vec::new();
    match TEMPLATES.iter().find(|(known, _)| *known == name) {
        Some((_, template)) => {
            text += &format!("TEMPLATE \"\"\"{}\"\"\"\n", with_tokens(template, tokenizer));
            said.extend(unsaid(name, template, tokenizer, about.chat_template));
        }
        None => said.push(format!(
            "the Modelfile has no TEMPLATE for `{name}`: Ollama makes one of the chat template in the GGUF file where it knows that"
        )),
    }
    if let Some((_, system)) = SYSTEMS.iter().find(|(known, _)| *known == name) {
        text += &format!("SYSTEM \"\"\"{system}\"\"\"\n");
    }
    for stop in tokenizer.eos.iter().filter_map(|id| tokenizer.inner.id_to_token(*id)) {
        // Ollama takes all between the outer quotes as it is.
        text += &format!("PARAMETER stop \"{stop}\"\n");
    }
    (text, said)
}

/// A template with the tokenizer's own tokens at their places.
fn with_tokens(template: &str, tokenizer: &Tokenizer) -> String {
    let word = |id: Option<u32>| id.and_then(|id| tokenizer.inner.id_to_token(id)).unwrap_or_default();
    let (bos, eos) = (word(tokenizer.bos), word(tokenizer.eos.first().copied()));
    // The first turn has it already where llama.cpp puts it in front of a text.
    let (first, next) = if tokenizer.prepends_bos() { ("", bos.as_str()) } else { (bos.as_str(), "") };
    template.replace("{first}", first).replace("{next}", next).replace("{eos}", &eos)
}

/// What the arm was trained with and a template of Ollama's cannot say.
fn unsaid(name: &str, template: &str, tokenizer: &Tokenizer, jinja: Option<&str>) -> Vec<String> {
    let mut said = Vec::new();
    if name == "alpaca" {
        said.push(format!(
            "Alpaca has other words in front of a question with `{ALPACA_INPUT}`, which Ollama's templates cannot tell: the \
             Modelfile has those of a question without"
        ));
    }
    let begins = |bos: &String| {
        let own = format!("{{{{ '{bos}' }}}}");
        jinja.is_some_and(|jinja| jinja.starts_with("{{ bos_token }}") || jinja.starts_with(&own))
    };
    let bos = tokenizer.bos.and_then(|id| tokenizer.inner.id_to_token(id)).filter(begins);
    if let Some(bos) = bos.filter(|_| !template.contains("{first}") && !tokenizer.prepends_bos()) {
        said.push(format!(
            "Ollama puts no `{bos}` in front of a conversation, as this tokenizer does not, and the arm's template does"
        ));
    }
    said
}
