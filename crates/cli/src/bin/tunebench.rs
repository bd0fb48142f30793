//! The executable `tunebench`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tunebench_cli::main()
}
