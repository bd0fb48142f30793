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
/// With fewer heaps than threads, threads that tokenize wait for each other: with one, 400,000 rows take 73 s in place of 38 on
/// two cores.
const MOST_HEAPS: usize = 16;

/// Whether this process was started with both given.
pub fn are_given() -> bool {
    [ELEMENTS, PRODUCTS].iter().all(|name| std::env::var_os(name).is_some())
}

/// How many threads this process was given for products; one where that is not said.
pub fn products() -> usize {
    std::env::var(PRODUCTS).ok().and_then(|text| text.parse().ok()).filter(|count| *count > 0).unwrap_or(1)
}

/// Becomes a process of the same program and arguments with `products` threads. candle's own pool is kept at one,
/// unless another number is given: it waits by spinning, so that with two threads and anything else running on the
/// machine a step takes up to six times as long. glibc's heaps are kept to one for each thread that computes and two
/// for the others, where it would make eight for each core: what is given back to one heap no other can use, so that each arm
/// of a study would leave memory behind in all. `more` is given besides.
///
/// # Errors
/// When the program cannot be found or started again.
pub fn run_again(products: usize, more: &[(&'static str, String)]) -> io::Result<ExitCode> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1));
    for (name, value) in environment(products).into_iter().chain(more.iter().cloned()) {
        // What the user has set stays; how many threads there are was his choice already.
        if name == PRODUCTS || std::env::var_os(name).is_none() {
            command.env(name, value);
        }
    }
    become_process(command)
}

/// Threads for one of so many processes on this machine: its part of the cores, or those that a launcher bound it to where they
/// are fewer.
pub fn share(processes: usize) -> usize {
    let here = std::thread::available_parallelism().map_or(1, usize::from);
    let allowed = |process: &str| {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
        count(list.trim())
    };
    // A container leaves both the same.
    match (allowed(&parent().to_string()), allowed("self")) {
        (Some(all), Some(bound)) if bound < all => here.min((all / processes).max(1)),
        _ => (here / processes).max(1),
    }
}

#[cfg(unix)]
fn parent() -> u32 {
    std::os::unix::process::parent_id()
}

#[cfg(not(unix))]
fn parent() -> u32 {
    0
}

/// How many a list such as `0-3,8` has.
fn count(list: &str) -> Option<usize> {
    let range = |text: &str| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Some(last.parse::<usize>().ok()?.checked_sub(first.parse().ok()?)? + 1)
    };
    list.split(',').map(range).sum()
}

/// What a process with so many threads is given.
pub fn environment(products: usize) -> [(&'static str, String); 3] {
    [(PRODUCTS, products), (ELEMENTS, 1), (HEAPS, (products + 2).min(MOST_HEAPS))]
        .map(|(name, count)| (name, count.to_string()))
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
