//! Watches a run folder: `cargo run -p tunebench-watch --example watch -- DIR [--once]`.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let shown = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [folder] => tunebench_watch::run(Path::new(folder)),
        [folder, "--once"] => tunebench_watch::snapshot(Path::new(folder)).map(|lines| {
            // A closed pipe has read enough.
            let _ = std::io::stdout().write_all(lines.as_bytes());
        }),
        _ => {
            eprintln!("usage: watch DIR [--once]");
            return ExitCode::FAILURE;
        }
    };
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
