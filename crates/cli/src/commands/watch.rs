//! `tunebench watch`: a running study in the terminal, or once as plain lines.

use std::io::IsTerminal as _;

use anyhow::Result;

use crate::args::Watch;
use crate::output::print;

pub fn run(args: &Watch) -> Result<()> {
    if args.once || !std::io::stdout().is_terminal() {
        return print(&tunebench_watch::snapshot(&args.dir)?);
    }
    Ok(tunebench_watch::run(&args.dir)?)
}
