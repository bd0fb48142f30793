//! Tries a machine's MPI: every operation with parts of many sizes, and how long they take.
//!
//! ```text
//! cargo build -p tunebench-exchange --example ranks
//! mpirun -n 2 target/debug/examples/ranks
//! ```

use std::process::ExitCode;
use std::time::Instant;

use tunebench_exchange::{Error, Exchange, from_environment, greet};

#[allow(dead_code)] // the crate's tests have a main of their own
fn main() -> ExitCode {
    run("try")
}

/// What is done: `try`, or something that goes wrong on rank 1.
pub fn run(what: &str) -> ExitCode {
    let mut exchange = match from_environment() {
        Ok(exchange) => exchange,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let is_it = exchange.rank() == 1;
    let done = match what {
        "differ" => greet(exchange.as_mut(), if is_it { "seed: 1\nlevel: avx2" } else { "seed: 1\nlevel: avx512" }),
        "out of step" if is_it => exchange.barrier(),
        "out of step" => exchange.broadcast(0, &mut [0]),
        "fail" if is_it => Err(Error::Ended { rank: 1, message: "the disk is full".into() }),
        "panic" if is_it => panic!("a fault of the program"),
        "leave" if is_it => std::process::exit(0),
        "return" if is_it => return ExitCode::SUCCESS,
        "die" if is_it => die(),
        "wait" if is_it => {
            std::thread::sleep(std::time::Duration::from_secs(60));
            Ok(())
        }
        "try" => check(exchange.as_mut(), 45_000_000),
        _ => exchange.barrier(),
    };
    if let Err(error) = done {
        exchange.abort(&error.to_string());
        return ExitCode::FAILURE;
    }
    let (rank, size) = (exchange.rank(), exchange.size());
    if let Err(error) = exchange.finish() {
        eprintln!("error: {error}");
        return ExitCode::FAILURE;
    }
    println!("rank {rank} of {size}: all is well");
    ExitCode::SUCCESS
}

/// As a machine that is switched off.
fn die() -> Result<(), Error> {
    let own = std::process::id().to_string();
    let _ = std::process::Command::new("kill").args(["-9", &own]).status();
    Ok(())
}

/// Every operation, with empty parts, odd ones, and some of about `most` bytes.
///
/// # Errors
/// When an operation fails.
///
/// # Panics
/// When other bytes come than were sent.
pub fn check(exchange: &mut dyn Exchange, most: usize) -> Result<(), Error> {
    let (rank, size) = (exchange.rank(), exchange.size());
    greet(exchange, "what: the same\nall: of it")?;
    for scale in [0, 1, 7, 1000, most] {
        // What goes from one to another; nothing from or to some.
        let count = |from: usize, to: usize| if (from + 2 * to) % 3 == 2 { 0 } else { scale * (from + to + 1) / size };
        let byte = |from: usize, to: usize, i: usize| (i * 31 + from * 7 + to * 3 + scale) as u8;
        let make = |from: usize, to: usize| (0..count(from, to)).map(move |i| byte(from, to, i));
        let sent: Vec<u8> = (0..size).flat_map(|to| make(rank, to)).collect();
        let expected: Vec<u8> = (0..size).flat_map(|from| make(from, rank)).collect();
        let counts = |of: &dyn Fn(usize) -> usize| (0..size).map(of).collect::<Vec<_>>();
        let mut received = vec![0; expected.len()];
        let begin = Instant::now();
        let (out, back) = (counts(&|to| count(rank, to)), counts(&|from| count(from, rank)));
        exchange.all_to_all(&sent, &out, &mut received, &back)?;
        let seconds = begin.elapsed().as_secs_f64();
        assert!(received == expected, "all to all, {scale}");

        let own: Vec<u8> = make(rank, 0).collect();
        let expected: Vec<u8> = (0..size).flat_map(|from| make(from, 0)).collect();
        let mut all = vec![0; expected.len()];
        exchange.all_gather(&own, &mut all, &counts(&|from| count(from, 0)))?;
        assert!(all == expected, "gather, {scale}");
        assert!(exchange.gather(&own)?.concat() == expected, "gather of unknown lengths, {scale}");

        let root = size - 1;
        let expected: Vec<u8> = (0..scale).map(|i| byte(root, 0, i)).collect();
        let mut bytes = if rank == root { expected.clone() } else { vec![0; scale] };
        exchange.broadcast(root, &mut bytes)?;
        assert!(bytes == expected, "broadcast, {scale}");
        let told = if rank == root { expected.clone() } else { vec![9; 3] };
        assert!(exchange.share(root, told)? == expected, "broadcast of unknown length, {scale}");
        if rank == 0 && scale > 1_000_000 {
            println!("{} MB to and from each in {:.1} ms", sent.len() / 1_000_000, 1e3 * seconds);
        }
    }
    exchange.barrier()
}
