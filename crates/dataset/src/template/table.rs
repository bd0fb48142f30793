//! The named templates.

use crate::error::Error;
use crate::template::parts::Part::{Bos, Eos, Text, Token};
use crate::template::parts::{BARE, Frame, Part, System, Template};

/// What a template has that says nothing of it.
const NOTHING: Template = Template {
    name: "",
    first: &[],
    system: System::Turn(BARE),
    default_system: None,
    user: BARE,
    user_holding: None,
    assistant: BARE,
    between: &[],
    last: &[],
    trim: false,
    learns_all: false,
};

/// A turn of ChatML.
const fn chatml(before: &'static [Part]) -> Frame {
    Frame { before, start: "", end: &[Token("<|im_end|>")], after: &[Text("\n")] }
}

const CHATML: Template = Template {
    system: System::Turn(chatml(&[Token("<|im_start|>"), Text("system\n")])),
    user: chatml(&[Token("<|im_start|>"), Text("user\n")]),
    assistant: chatml(&[Token("<|im_start|>"), Text("assistant\n")]),
    ..NOTHING
};

/// A turn of LLaMA 3.
const fn llama3(before: &'static [Part]) -> Frame {
    Frame { before, start: "", end: &[Token("<|eot_id|>")], after: &[] }
}

/// A turn of Gemma.
const fn gemma(before: &'static [Part]) -> Frame {
    Frame { before, start: "", end: &[Token("<end_of_turn>")], after: &[Text("\n")] }
}

static TEMPLATES: [Template; 9] = [
    // It has no system turn; ours is a paragraph of its own.
    Template {
        name: "belle",
        system: System::Turn(Frame { after: &[Text("\n\n")], ..BARE }),
        user: Frame { before: &[Text("Human: \n")], after: &[Text("\n\nAssistant: \n")], ..BARE },
        assistant: Frame { end: &[Eos], ..BARE },
        ..NOTHING
    },
    Template {
        name: "alpaca",
        system: System::Turn(Frame { after: &[Text("\n\n")], ..BARE }),
        user: Frame {
            before: &[Text(concat!(
                "Below is an instruction that describes a task. ",
                "Write a response that appropriately completes the request.\n\n### Instruction:\n"
            ))],
            after: &[Text("\n\n### Response:")],
            ..BARE
        },
        user_holding: Some((
            "\n\n### Input:\n",
            Frame {
                before: &[Text(concat!(
                    "Below is an instruction that describes a task, paired with an input that provides further context. ",
                    "Write a response that appropriately completes the request.\n\n### Instruction:\n"
                ))],
                after: &[Text("\n\n### Response:")],
                ..BARE
            },
        )),
        assistant: Frame { end: &[Eos], ..BARE },
        ..NOTHING
    },
    Template { name: "chatml", ..CHATML },
    Template {
        name: "qwen",
        default_system: Some("You are Qwen, created by Alibaba Cloud. You are a helpful assistant."),
        ..CHATML
    },
    Template {
        name: "llama2",
        system: System::InUser { before: "<<SYS>>\n", after: "\n<</SYS>>\n\n" },
        user: Frame { before: &[Bos, Text("[INST] ")], after: &[Text(" [/INST]")], ..BARE },
        assistant: Frame { start: " ", end: &[Text(" "), Eos], ..BARE },
        trim: true,
        ..NOTHING
    },
    Template {
        name: "llama3",
        first: &[Token("<|begin_of_text|>")],
        system: System::Turn(llama3(&[
            Token("<|start_header_id|>"),
            Text("system"),
            Token("<|end_header_id|>"),
            Text("\n\n"),
        ])),
        user: llama3(&[Token("<|start_header_id|>"), Text("user"), Token("<|end_header_id|>"), Text("\n\n")]),
        assistant: llama3(&[Token("<|start_header_id|>"), Text("assistant"), Token("<|end_header_id|>"), Text("\n\n")]),
        trim: true,
        ..NOTHING
    },
    Template {
        name: "gemma",
        first: &[Bos],
        system: System::InUser { before: "", after: "\n\n" },
        user: gemma(&[Token("<start_of_turn>"), Text("user\n")]),
        assistant: gemma(&[Token("<start_of_turn>"), Text("model\n")]),
        trim: true,
        ..NOTHING
    },
    Template {
        name: "plain",
        system: System::Turn(Frame { after: &[Text("\n")], ..BARE }),
        user: Frame { after: &[Text("\n")], ..BARE },
        assistant: Frame { end: &[Eos], ..BARE },
        ..NOTHING
    },
    // For pre-training: the contents alone.
    Template { name: "text", between: &[Text("\n")], last: &[Eos], learns_all: true, ..NOTHING },
];

impl Template {
    /// The names of all templates.
    pub fn names() -> impl Iterator<Item = &'static str> {
        TEMPLATES.iter().map(|t| t.name)
    }

    /// The template of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn named(name: &str) -> Result<&'static Self, Error> {
        TEMPLATES.iter().find(|t| t.name == name).ok_or_else(|| Error::UnknownTemplate {
            name: name.into(),
            known: Self::names().chain(["model"]).collect::<Vec<_>>().join(", "),
        })
    }
}
