//! `tunebench chat`: a trained arm answers, one question a line.

use std::io::{BufRead as _, IsTerminal as _};

use anyhow::Result;
use tunebench_model::backend::Backend;
use tunebench_study::Chat;

use crate::args::Chat as ChatArgs;
use crate::output::{print, printable, status};

pub fn run(args: &ChatArgs, backend: &'static dyn Backend) -> Result<()> {
    let chat = Chat::open(&args.dir, &args.arm, backend, args.max_new_tokens, args.temperature)?;
    if std::io::stdin().is_terminal() {
        status("Each line is a question of its own; end with Ctrl-D.");
    }
    for (key, line) in (0..).zip(std::io::stdin().lock().lines()) {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        match chat.ask(&line, key)? {
            Ok(answer) => print(&format!("{}\n", printable(&answer)))?,
            Err(reason) => status(reason.to_string()),
        }
    }
    Ok(())
}
