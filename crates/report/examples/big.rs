//! Writes a large report and says what that takes: 20 arms, 5 seeds, 1,000 items, 3 judges.
//! `cargo run -p tunebench-report --example big -- out.html`

use std::error::Error;
use std::fs::File;
use std::io::BufWriter;
use std::time::Instant;

use large::prose::{ARMS, ITEMS, JUDGES, SEEDS};

#[path = "../tests/large/mod.rs"]
mod large;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("name the file to write")?;
    let report = large::report();
    let started = Instant::now();
    tunebench_report::write(&report, large::answers(), &mut BufWriter::new(File::create(&path)?))?;
    let seconds = started.elapsed().as_secs_f64();
    let megabytes = std::fs::metadata(&path)?.len() as f64 / 1e6;
    let answers = ITEMS * ARMS * SEEDS as usize;
    println!("{answers} answers, {} judgements", answers * JUDGES);
    println!("{seconds:.2} s with making the data, {megabytes:.1} MB, peak memory {}", peak_memory()?);
    Ok(())
}

fn peak_memory() -> Result<String, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().to_owned())
}
