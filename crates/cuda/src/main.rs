//! `tunebench-cuda`: tunebench linked with candle's CUDA, in which `--engine cuda` computes. It is an executable of its own, because
//! it does not start where there is no driver.

use std::process::ExitCode;

fn main() -> ExitCode {
    tunebench_cli::main()
}
