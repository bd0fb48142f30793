//! `tunebench chat`: a trained arm answers, one question a line.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use anyhow::Result;
use tunebench_dataset::{Encoder, Tokenizer};
use tunebench_generate::{Model, Prompt, Sampling, Settings, answer};
use tunebench_spec::{Engine, Role, Turn};

use super::{print, printable};
use crate::args::Chat;
use crate::progress::say;
use crate::run::trained::{self, Trained};

pub fn run(args: &Chat, engine: Engine) -> Result<()> {
    let Trained { file, weights, tuning, tokenizer } = trained::find(&args.dir, &args.arm)?;
    let model = Model::new(engine, &file.shape, weights, tuning)?;
    let tokenizer = Tokenizer::new(tokenizer.inner, tokenizer.bos, tokenizer.eos)?;
    let encoder = Encoder::new(&file.template, tokenizer)?;
    let settings = Settings {
        max_new_tokens: args.max_new_tokens,
        sampling: Sampling::new(args.temperature, file.record.seed),
        stop_tokens: encoder.stop_tokens().to_vec(),
    };
    let interactive = std::io::stdin().is_terminal();
    if interactive {
        say("Each line is a question of its own; end with Ctrl-D.");
    }
    for (key, line) in std::io::stdin().lock().lines().enumerate() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let prompt = match encoder.prompt(&[Turn { role: Role::User, content: line }]) {
            Ok(prompt) if prompt.tokens.len() < model.positions() => prompt,
            Ok(_) => {
                say("that is longer than the model can read");
                continue;
            }
            Err(reason) => {
                say(reason.to_string());
                continue;
            }
        };
        let prompt = Prompt { tokens: prompt.tokens, key: key as u64 };
        answer(&model, &[&prompt], &settings, 1, &mut |_, found| {
            print(&format!("{}\n", printable(encoder.tokenizer().decode(&found.tokens)?.trim())))
        })?;
        std::io::stdout().flush()?;
    }
    Ok(())
}
