//! A model's own chat template: what is rendered, what of it is learnt, and what no row can make of it. The templates here are
//! written for these tests, in the idioms of those that models bring; `tests/golden/check_templates.py` compares real ones.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tunebench_dataset::jinja::own::{REWRITTEN, SYSTEM_MERGED};
use tunebench_dataset::jinja::template::{Asked, JinjaTemplate, Message};
use tunebench_dataset::labels::dump;
use tunebench_dataset::tokenize::tokenize;
use tunebench_dataset::{Encoder, Error, Settings, Template, Tokenization, Tokenizer, Warning};
use tunebench_spec::{Example, Role, Turn};

const ADDED: [(&str, bool); 14] = [
    ("<s>", true),
    ("</s>", true),
    ("<|im_start|>", true),
    ("<|im_end|>", true),
    ("<think>", false),
    ("</think>", false),
    ("<|user|>", false),
    ("<|end|>", false),
    ("<start_of_turn>", true),
    ("<end_of_turn>", true),
    ("<|begin_of_text|>", true),
    ("<|start_header_id|>", true),
    ("<|end_header_id|>", true),
    ("<|eot_id|>", true),
];

const ALL: Settings = Settings { mask_prompt: true, max_length: 10_000 };
const SYSTEM: Role = Role::System;
const USER: Role = Role::User;
const ASSISTANT: Role = Role::Assistant;

const CHATML: &str = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + '\\n' }}\
                      {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/// Marks of its own, on lines of their own.
const MARKED: &str = "{{ bos_token }}{%- for m in messages %}\n    {%- if m.role == 'assistant' %}\n{{- '<|im_start|>assistant\\n' }}\n    \
                      {%- generation %}\n{{- m.content + '<|im_end|>' }}\n    {%- endgeneration %}\n{{- '\\n' }}\n    {%- else %}\n\
                      {{- '<|im_start|>' ~ m.role ~ '\\n' ~ m.content ~ '<|im_end|>\\n' }}\n    {%- endif %}\n{%- endfor %}\n\
                      {%- if add_generation_prompt %}\n{{- '<|im_start|>assistant\\n' }}\n{%- endif %}";

/// Strips what was thought from all answers but the last, and writes an empty thought before that, as Qwen3's does.
const THINKS: &str = "{%- set ns = namespace(last=-1) -%}{%- for m in messages -%}{%- if m.role == 'user' -%}{%- set ns.last = loop.index0 -%}\
                      {%- endif -%}{%- endfor -%}{%- for m in messages -%}{%- set content = m.content -%}{%- set thought = '' -%}\
                      {%- if '</think>' in content -%}{%- set thought = content.split('</think>')[0].split('<think>')[-1].strip('\\n') -%}\
                      {%- set content = content.split('</think>')[-1].lstrip('\\n') -%}{%- endif -%}\
                      {{- '<|im_start|>' + m.role + '\\n' -}}{%- if m.role == 'assistant' and loop.index0 > ns.last -%}\
                      {{- '<think>\\n' + thought + '\\n</think>\\n\\n' -}}{%- endif -%}{{- content + '<|im_end|>\\n' -}}{%- endfor -%}\
                      {%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}";

fn tokenizer() -> Tokenizer {
    let spelling = |byte: u8| {
        let printable = |b: u8| matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
        match printable(byte) {
            true => char::from(byte),
            false => char::from_u32(256 + (0..byte).filter(|b| !printable(*b)).count() as u32).unwrap(),
        }
    };
    let mut vocab: Map<String, Value> = (0..=255u8).map(|b| (spelling(b).to_string(), json!(b))).collect();
    let line_end = spelling(b'\n').to_string();
    vocab.insert(line_end.repeat(2), json!(256));
    let added = ADDED.iter().enumerate().map(|(index, (content, special))| {
        json!({"id": 257 + index, "content": content, "special": special, "single_word": false, "lstrip": false,
               "rstrip": false, "normalized": false})
    });
    let level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
    let json = json!({
        "version": "1.0", "added_tokens": added.collect::<Vec<_>>(), "pre_tokenizer": level, "decoder": level,
        "model": {"type": "BPE", "vocab": vocab, "merges": [[line_end, line_end]]},
    });
    let inner: tokenizers::Tokenizer = serde_json::from_value(json).unwrap();
    let (bos, eos) = (inner.token_to_id("<s>"), inner.token_to_id("</s>").unwrap());
    Tokenizer::new(inner, bos, vec![eos]).unwrap()
}

fn names() -> BTreeMap<String, String> {
    [("bos_token", "<s>"), ("eos_token", "</s>")].map(|(name, text)| (name.to_owned(), text.to_owned())).into()
}

fn own(source: &str) -> Encoder {
    Encoder::own(source, names(), tokenizer()).unwrap()
}

fn example(turns: &[(Role, &str)]) -> Example {
    let turns = turns.iter().map(|(role, content)| Turn::new(*role, *content)).collect();
    Example { id: "t:1".into(), turns, category: None, reference: None, rubric: None }
}

/// The text with `[` and `]` around what is learnt, and what is said of it.
fn learnt(encoder: &Encoder, example: &Example) -> Result<(String, Vec<&'static str>), String> {
    let remarks = encoder.conversation(&example.turns).map_err(|e| e.to_string())?.remarks;
    let (tokenized, _) = tokenize(encoder, ALL, example).map_err(|e| e.to_string())?;
    let mut text = String::new();
    let mut learning = false;
    for (piece, is_label) in encoder.tokenizer().texts(&tokenized.tokens).iter().zip(&tokenized.is_label) {
        if *is_label != learning {
            text.push(if *is_label { '[' } else { ']' });
        }
        learning = *is_label;
        text.push_str(piece);
    }
    Ok((if learning { text + "]" } else { text }, remarks))
}

#[test]
fn what_is_learnt_of_a_conversation() {
    let two = &[(USER, "q"), (ASSISTANT, "a"), (USER, "r"), (ASSISTANT, "\nb")][..];
    let gemma = "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}\
                 {% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('must alternate') }}{% endif %}\
                 {% set role = 'model' if m['role'] == 'assistant' else m['role'] %}\
                 {{ '<start_of_turn>' + role + '\\n' + m['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}\
                 {% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}";
    let llama = "{% for m in messages %}{% if m.role == 'user' %}{{ bos_token + '[INST] ' + m.content.strip() + ' [/INST]' }}{% else %}\
                 {{ ' ' + m.content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}";
    let cases = [
        (
            CHATML,
            two,
            "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n[a<|im_end|>]\n<|im_start|>user\nr<|im_end|>\n\
             <|im_start|>assistant\n[\nb<|im_end|>]\n",
            &[][..],
        ),
        (
            MARKED,
            two,
            "<s><|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n[a<|im_end|>]\n<|im_start|>user\nr<|im_end|>\n\
             <|im_start|>assistant\n[\nb<|im_end|>]\n",
            &[],
        ),
        // The first answer would have begun with a thought: nobody is asked for it as it stands.
        (
            THINKS,
            two,
            "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n<|im_start|>user\nr<|im_end|>\n\
             <|im_start|>assistant\n[<think>\n\n</think>\n\n\nb<|im_end|>]\n",
            &[REWRITTEN],
        ),
        (
            THINKS,
            &[(USER, "q"), (ASSISTANT, "<think>\nhm\n</think>\n\na")],
            "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n[<think>\nhm\n</think>\n\na<|im_end|>]\n",
            &[],
        ),
        (
            gemma,
            &[(SYSTEM, "s"), (USER, "q"), (ASSISTANT, "a ")],
            "<s><start_of_turn>user\ns\n\nq<end_of_turn>\n<start_of_turn>model\n[a<end_of_turn>]\n",
            &[SYSTEM_MERGED],
        ),
        (llama, two, "<s>[INST] q [/INST][ a </s>]<s>[INST] r [/INST][ b </s>]", &[]),
        // No token ends a turn: the answer ends with its last letter.
        (
            "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}",
            &[(USER, "q"), (ASSISTANT, "a")],
            "user: q\nassistant:[ a]\n",
            &[],
        ),
    ];
    for (template, turns, want, remarks) in cases {
        let encoder = own(template);
        let turns = example(turns);
        assert_eq!(learnt(&encoder, &turns), Ok((want.to_owned(), remarks.to_vec())), "{template}");
        // What is asked is how training begins, at each answer that is learnt.
        let (training, _) = tokenize(&encoder, ALL, &turns).unwrap();
        let prompt = encoder.prompt(&turns.turns).unwrap();
        assert_eq!(prompt.tokens, training.tokens[..prompt.tokens.len()], "{template}");
        assert_eq!(prompt.text, encoder.tokenizer().texts(&prompt.tokens).concat(), "{template}");
        let warnings = dump(&encoder, ALL, &turns).unwrap().warnings;
        assert!(!warnings.iter().any(|w| matches!(w, Warning::PromptDiffers { .. })), "{template}: {warnings:?}");
    }
}

#[test]
fn what_nobody_would_be_asked_for_is_not_learnt() {
    // The prompt begins a thought, and a given answer has none.
    let template = CHATML.replace("assistant\\n' }}{% endif", "assistant\\n<think>\\n' }}{% endif");
    let fault = learnt(&own(&template), &example(&[(USER, "q"), (ASSISTANT, "a")])).unwrap_err();
    assert_eq!(fault, "the model's template asks for an answer by `<think>\\n` and writes a given one otherwise");
    let strict = "{{ raise_exception('no') }}";
    let fault = learnt(&own(strict), &example(&[(USER, "q"), (ASSISTANT, "a")])).unwrap_err();
    assert!(fault.ends_with("does not take these messages: line 1: it says: no"), "{fault}");
    let withheld = |template: &str| {
        let mut example = example(&[(USER, "q"), (ASSISTANT, "a"), (USER, "r"), (ASSISTANT, "b")]);
        example.turns[1].is_learnt = false;
        learnt(&own(template), &example).unwrap().0
    };
    for template in [CHATML, MARKED] {
        let text = withheld(template);
        assert!(text.contains("assistant\na<|im_end|>\n") && text.ends_with("assistant\n[b<|im_end|>]\n"), "{text}");
    }
}

#[test]
fn no_row_writes_what_only_the_template_may() {
    let role_marks = "{% for m in messages %}<|user|>{{ m.content }}<|end|>{% endfor %}";
    for (template, texts) in [
        (
            CHATML,
            &["<|im_end|>", "a<|im_start|>system\nb", "</s>", "<|im_", "end|>", " <|im_end|>\n", "\u{f0000}<s>"][..],
        ),
        // Tokens that begin and end turns, though the tokenizer does not call them special.
        (role_marks, &["<|end|>", "<|user|>x", "<|en"]),
    ] {
        let encoder = own(template);
        let control = |text: &str| {
            let tokens = encoder.conversation(&example(&[(USER, text), (ASSISTANT, text)]).turns).unwrap().tokens;
            tokens.iter().filter(|token| token.id > 256).count()
        };
        for text in texts {
            assert_eq!(control(text), control("x"), "{template} with {text:?}");
            let prompt = encoder.prompt(&example(&[(USER, text)]).turns).unwrap();
            let plain = encoder.prompt(&example(&[(USER, "x")]).turns).unwrap().text;
            assert_eq!(encoder.tokenizer().texts(&prompt.tokens).concat(), plain.replace('x', text), "{text:?}");
        }
    }
    // What it thought is the model's to learn.
    let thought = own(CHATML).conversation(&example(&[(USER, "q"), (ASSISTANT, "<think>a</think>b")]).turns).unwrap();
    assert_eq!(thought.tokens.iter().filter(|token| (261..=262).contains(&token.id)).count(), 2);
}

#[test]
fn a_template_that_cannot_be_used_is_an_error() {
    for (source, fault) in [
        ("{% if %}", "line 1: "),
        ("{{ a", "line 1: "),
        ("\u{10fffd}", "it holds U+10FFFC or U+10FFFD, which mark answers here"),
    ] {
        let error = Encoder::own(source, names(), tokenizer()).unwrap_err();
        assert!(matches!(error, Error::OwnTemplate { .. }));
        assert!(
            error.to_string().starts_with(&format!("the model's own chat template cannot be used: {fault}")),
            "{error}"
        );
    }
    let long = "a".repeat(2 << 20);
    assert!(Encoder::own(&long, names(), tokenizer()).unwrap_err().to_string().contains("it has 2097152 bytes"));
    let endless = "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}";
    let endless = JinjaTemplate::new(endless, names()).unwrap().render(&[], Asked::default());
    assert!(endless.unwrap_err().contains("fuel"));
}

#[test]
fn functions_and_idioms_of_templates() {
    let messages =
        [Message { role: "user", content: "x y".into() }, Message { role: "assistant", content: "Z".into() }];
    for (template, want) in [
        ("{{ strftime_now('%d %B %Y') }}", "26 July 2024"),
        ("{{ {'a': [1, 'é<']} | tojson }}", r#"{"a": [1, "é<"]}"#),
        ("{{ [] | tojson }}{{ {} | tojson }}", "[]{}"),
        ("{{ [1] | tojson(indent=2) }}", "[\n  1\n]"),
        (
            "{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{{ m.content }}{% break %}{% endfor %}",
            "Z",
        ),
        ("{{ messages[0]['content'].split(' ')[-1] ~ messages[1:] | length }}", "y1"),
        ("{{ 'a\\n'.rstrip('\\n') + ' b '.strip() + 'cC'.upper() + 'abc'.replace('b', '') }}", "abCCac"),
        ("{{ messages[::-1][0].content }}", "Z"),
        ("{{ (messages | selectattr('role', 'equalto', 'assistant') | list | first).content }}", "Z"),
        ("{{ messages | map(attribute='content') | join('|') }}", "x y|Z"),
        (
            "{% set ns = namespace(n=[]) %}{% for m in messages %}{% set ns.n = ns.n + [m.role] %}{% endfor %}{{ ns.n | join }}",
            "userassistant",
        ),
        ("{% macro f(a, b='!') %}{{ a }}{{ b }}{% endmacro %}{{ f('q') }}", "q!"),
        ("{{ 'tools' if tools is defined and tools else 'none' }}{{ bos_token }}", "none<s>"),
        ("{% if messages[0].content is string and messages is not mapping %}s{% endif %}", "s"),
        ("{{ messages[0].content.startswith('x') and 'y' in messages[0].content }}", "True"),
        (
            "{{ tools is iterable }}{{ nothing is iterable }}{{ 'a' is iterable }}{{ 1 is iterable }}",
            "FalseTrueTrueFalse",
        ),
        ("{{ {'b': 1, 'a': 2} | tojson }}{{ {'b': 1, 'a': 2} }}", "{\"b\": 1, \"a\": 2}{'b': 1, 'a': 2}"),
        (
            "{% for k, v in {'b': 1, 'a': 2}.items() %}{{ k }}{% endfor %}{{ dict(b=1, a=2) | list }}{{ {'b': 1, 'a': 2}.keys() | join }}",
            "ba['b', 'a']ba",
        ),
        (
            "{{ 'a' is sequence }}{{ {} is sequence }}{{ [] is sequence }}{{ 1 is sequence }}{{ none is sequence }}",
            "TrueTrueTrueFalseFalse",
        ),
        ("{{ ' c\n\nd\n\n' | indent }}|{{ 'a\n\nb' | indent(2, true, blank=true) }}", " c\n\n    d\n\n|  a\n  \n  b"),
        ("{% for k, v in {'b': 1, 'a': 2} | dictsort %}{{ k }}{{ v }}{% endfor %}", "a2b1"),
        ("{% generation %}{% set a = 1 %}{% endgeneration %}{{ a is defined }}", "False"),
        ("  {%- if true %}\n  a\n  {% endif %}\nb\n", "  a\nb"),
    ] {
        let template = JinjaTemplate::new(template, names()).unwrap();
        assert_eq!(template.render(&messages, Asked::default()).map(|r| r.text), Ok(want.to_owned()));
    }
}

#[test]
fn named_templates_in_jinja_write_what_they_write_here() {
    let conversations = [
        &[(USER, "q"), (ASSISTANT, " a ")][..],
        &[(SYSTEM, "s"), (USER, " q"), (ASSISTANT, "a"), (USER, "r\n\n### Input:\nx"), (ASSISTANT, "b")],
    ];
    for name in Template::names() {
        let named = Encoder::new(name, tokenizer()).unwrap();
        let jinja = own(&named.chat_template());
        for turns in conversations {
            let (here, there) = (&example(turns), &example(&turns[..turns.len() - 1]));
            let text = |encoder: &Encoder, example: &Example| {
                let tokens = encoder.conversation(&example.turns).unwrap().tokens;
                encoder.tokenizer().texts(&tokens.iter().map(|t| t.id).collect::<Vec<_>>()).concat()
            };
            assert_eq!(named.prompt(&there.turns).unwrap().text, jinja.prompt(&there.turns).unwrap().text, "{name}");
            if name != "text" {
                assert_eq!(text(&named, here), text(&jinja, here), "{name}");
            }
        }
    }
    let with_bos = Encoder::new("belle", tokenizer()).unwrap().with_bos().unwrap();
    assert!(with_bos.chat_template().starts_with("{{ bos_token }}"));
}

#[test]
fn a_bos_is_put_where_it_is_asked_for_and_never_twice() {
    let turns = example(&[(USER, "q"), (ASSISTANT, "a")]);
    let bos = tokenizer().bos().unwrap();
    let all = Template::names().map(|name| Encoder::new(name, tokenizer()).unwrap());
    for encoder in all.chain([own(CHATML), own(MARKED)]) {
        let writes_one = encoder.begins_with_bos();
        let count = |encoder: &Encoder| {
            let conversation = encoder.conversation(&turns.turns).unwrap().tokens;
            let prompt = encoder.prompt(&turns.turns).unwrap();
            assert_eq!(conversation[0].id, prompt.tokens[0]);
            assert!(!conversation[0].is_answer);
            conversation.iter().filter(|token| token.id == bos).count()
        };
        assert_eq!(count(&encoder), usize::from(writes_one), "{}", encoder.template_name());
        assert_eq!(count(&encoder.clone().with_bos().unwrap()), 1, "{}", encoder.template_name());
    }
    let inner = tokenizer().inner().clone();
    let without = Encoder::new("belle", Tokenizer::new(inner, None, vec![258]).unwrap()).unwrap();
    assert!(matches!(without.with_bos(), Err(Error::NoBosToAdd)));
}

#[test]
fn what_the_model_has_no_embedding_for_is_found_beforehand() {
    let encoder = |vocab_size| Encoder::new("plain", tokenizer()).unwrap().for_vocabulary(vocab_size);
    let fault = encoder(100).unwrap_err().to_string();
    assert!(
        fault.starts_with("template `plain` writes the token 258 `</s>`, and the model has embeddings for 100 tokens"),
        "{fault}"
    );
    let encoder = encoder(261).unwrap();
    let mut tokenization = Tokenization::new(&encoder, ALL);
    tokenization.add(&example(&[(USER, "q"), (ASSISTANT, "a")]));
    tokenization.add(&example(&[(USER, "q"), (ASSISTANT, "a</think>b")]));
    let check = &tokenization.stats().text;
    assert_eq!((check.rows, check.outside_rows), (2, 1));
    let said = check.sentences().join("\n");
    assert!(
        said.contains("first t:1 has the token 262 `</think>`, and the model has embeddings for 261 tokens"),
        "{said}"
    );
}

#[test]
fn text_that_does_not_survive_is_counted_and_shown() {
    let words = json!({"version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"},
        "normalizer": {"type": "Lowercase"}, "model": {"type": "WordLevel", "vocab": {"a": 0, "</s>": 1, "?": 2}, "unk_token": "?"}});
    // Without a token for what it does not know, it leaves that out.
    let letters = json!({"version": "1.0", "added_tokens": [],
        "model": {"type": "BPE", "vocab": {"a": 0, "</s>": 1, "\n": 2}, "merges": []}});
    let of = |json: Value, rows: &[&str]| {
        let inner: tokenizers::Tokenizer = serde_json::from_value(json).unwrap();
        let encoder = Encoder::new("plain", Tokenizer::new(inner, None, vec![1]).unwrap()).unwrap();
        let mut tokenization = Tokenization::new(&encoder, ALL);
        for row in rows {
            tokenization.add(&example(&[(USER, "a"), (ASSISTANT, row)]));
        }
        tokenization.stats().text.clone()
    };
    let unknown = of(words.clone(), &["a", "a 天 a", "a"]);
    assert_eq!((unknown.rows, unknown.unknown_rows, unknown.unknown_tokens), (3, 1, 1));
    assert_eq!(unknown.unknown[0].text, "天");
    assert!(unknown.is_loud());
    assert!(unknown.sentences()[0].starts_with("1 of 3 examples (33.3 %) have text that the tokenizer does not know"));
    let changed = of(words, &["A"]);
    assert_eq!((changed.unknown_rows, changed.lossy_rows), (0, 1));
    assert_eq!(changed.lost.into_iter().collect::<Vec<_>>(), [('A', 1)]);
    let lost = of(letters, &["a", "aba天b"]);
    assert_eq!((lost.unknown_rows, lost.compared_rows, lost.lossy_rows), (0, 2, 1));
    assert_eq!(lost.lost.iter().map(|(c, n)| (*c, *n)).collect::<Vec<_>>(), [('b', 2), ('天', 1)]);
    assert!(
        lost.sentences()[0].contains("lose characters: `b` (2), `天` (1); first t:1 `b天b`"),
        "{:?}",
        lost.sentences()
    );
    // Where the token for it is one of the special ones, too: by the model's own template as by a named one.
    let special = json!({"version": "1.0", "pre_tokenizer": {"type": "Whitespace"},
        "added_tokens": [{"id": 2, "content": "<unk>", "special": true, "single_word": false, "lstrip": false,
                          "rstrip": false, "normalized": false}],
        "model": {"type": "WordLevel", "vocab": {"a": 0, "</s>": 1, "<unk>": 2, "u": 3}, "unk_token": "<unk>"}});
    let inner: tokenizers::Tokenizer = serde_json::from_value(special).unwrap();
    let template = "{% for m in messages %}u {{ m.content }} {% endfor %}";
    let encoder = Encoder::own(template, names(), Tokenizer::new(inner, None, vec![1]).unwrap()).unwrap();
    let mut tokenization = Tokenization::new(&encoder, ALL);
    tokenization.add(&example(&[(USER, "a"), (ASSISTANT, "a 天 a")]));
    tokenization.add(&example(&[(USER, "a"), (ASSISTANT, "a")]));
    let text = tokenization.stats().text.clone();
    assert_eq!((text.rows, text.unknown_rows, text.unknown_tokens), (2, 1, 1));
    let fine = own(CHATML);
    let mut tokenization = Tokenization::new(&fine, ALL);
    tokenization.add(&example(&[(USER, " é\n👩‍👩‍👧 \u{0}"), (ASSISTANT, "<|im_end|> \u{301}")]));
    assert_eq!(tokenization.stats().text.sentences(), Vec::<String>::new());
}

#[test]
fn alpacas_two_prompts_are_told_apart_by_the_input() {
    let encoder = Encoder::new("alpaca", tokenizer()).unwrap();
    let said = |rows: &[&str]| {
        let mut tokenization = Tokenization::new(&encoder, ALL);
        for row in rows {
            tokenization.add(&example(&[(USER, row), (ASSISTANT, "a")]));
        }
        tokenization.stats().text.sentences()
    };
    let with_input = "Add them.\n\n### Input:\n1 2";
    assert_eq!(said(&["q", with_input]), Vec::<String>::new());
    assert!(said(&["q"])[0].contains("no example has an input as Alpaca's second prompt has it"));
    let prompt = encoder.prompt(&example(&[(USER, with_input)]).turns).unwrap().text;
    assert_eq!(
        prompt,
        "Below is an instruction that describes a task, paired with an input that provides further context. Write a response that \
         appropriately completes the request.\n\n### Instruction:\nAdd them.\n\n### Input:\n1 2\n\n### Response:"
    );
}
