//! How many threads compute. Both pools read it once, when first needed, and Rust can only set it safely for another
//! process; so a program starts itself again with it given.

use std::io;
use std::process::{Command, ExitCode};

/// How many threads candle gives to element-wise work.
pub const ELEMENTS: &str = "CANDLE_NUM_THREADS";
/// How many it gives to products, and how many our kernels have. Unset, candle reads /proc/cpuinfo before each product.
pub const PRODUCTS: &str = "RAYON_NUM_THREADS";
/// How many heaps glibc keeps.
const HEAPS: &str = "MALLOC_ARENA_MAX";

/// Whether this process was started with both given.
pub fn are_given() -> bool {
    [ELEMENTS, PRODUCTS].iter().all(|name| std::env::var_os(name).is_some())
}

/// Becomes a process of the same program and arguments with `products` threads. candle's own pool is kept at one,
/// unless another number is given: it waits by spinning, so that with two threads and anything else running on the
/// machine a step takes up to six times as long. glibc's heaps are kept at one too: what a thread gives back to a heap of
/// its own no other can use, so that each arm of a study would leave memory behind.
///
/// # Errors
/// When the program cannot be found or started again.
pub fn run_again(products: usize) -> io::Result<ExitCode> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1)).env(PRODUCTS, products.to_string());
    for name in [ELEMENTS, HEAPS] {
        if std::env::var_os(name).is_none() {
            command.env(name, "1");
        }
    }
    become_process(command)
}

#[cfg(unix)]
fn become_process(mut command: Command) -> io::Result<ExitCode> {
    use std::os::unix::process::CommandExt as _;
    Err(command.exec()) // returns only when it failed
}

#[cfg(not(unix))]
fn become_process(mut command: Command) -> io::Result<ExitCode> {
    let code = command.status()?.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
