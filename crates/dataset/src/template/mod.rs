//! How a conversation is written, by the templates that have a name: a table of what stands around its turns.
//!
//! `␤` is a line end, `BOS` and `EOS` are the tokenizer's own. What is learnt of an answer stands in brackets.
//!
//! | name | a question and its answer | system turn | as |
//! |---|---|---|---|
//! | `belle` | `Human: ␤q␤␤Assistant: ␤[a EOS]` | a paragraph in front (BELLE has none) | BELLE's training code: turns follow each other with nothing between, and no BOS |
//! | `alpaca` | `Below is an instruction … request.␤␤### Instruction:␤q␤␤### Response:[a EOS]` | a paragraph in front (Alpaca has none) | Stanford's `train.py` |
//! | `chatml` | `<\|im_start\|>user␤q<\|im_end\|>␤<\|im_start\|>assistant␤[a<\|im_end\|>]␤` | a turn of its own | ChatML; no system turn that the row does not have |
//! | `qwen` | as `chatml` | a turn; `You are Qwen, …` where there is none | Qwen2.5's template |
//! | `llama2` | `BOS[INST] q [/INST][ a EOS]`, BOS before each question | `<<SYS>>␤s␤<</SYS>>␤␤` inside the question | Llama 2 Chat's template |
//! | `llama3` | `<\|begin_of_text\|><\|start_header_id\|>user<\|end_header_id\|>␤␤q<\|eot_id\|>…[a<\|eot_id\|>]` | a turn of its own | Llama 3's template (3.1's adds dates: that is `model`) |
//! | `gemma` | `BOS<start_of_turn>user␤q<end_of_turn>␤<start_of_turn>model␤[a<end_of_turn>]␤` | a paragraph inside the question | Gemma 2's and 3's template |
//! | `plain` | `q␤[a EOS]` | a line in front | nobody |
//! | `text` | `[q␤a EOS]`, all of it learnt | a line in front | pre-training |
//! | `model` | the model's own template: [`crate::jinja`] | as that says | |
//!
//! `alpaca` has two prompts. A row with an input takes the second, where its dataset joins instruction and input as
//! Alpaca's prompt does: `options = { separator = "\n\n### Input:\n" }`. Where a question holds that text, the words in front
//! are `…, paired with an input that provides further context. …`.
//!
//! Only `llama2`, `llama3` and `gemma` write a BOS, because theirs do. Where the tokenizer of the model puts one and the
//! template does not, that is told; `add_bos_token = true` puts it.

mod as_jinja;
mod parts;
mod table;

pub use parts::Template;
pub(crate) use parts::{Part, System};
