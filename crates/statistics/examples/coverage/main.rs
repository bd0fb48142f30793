//! Shows by simulation that tests reject, and intervals cover, as often as they say: prints a table in Markdown.

mod cells;
mod judges;
mod report;

use std::time::Instant;

fn main() -> Result<(), tunebench_statistics::Error> {
    let start = Instant::now();
    let args: Vec<String> = std::env::args().skip(1).collect();
    // A number as the argument: simulations of each cell.
    let simulations = args.first().and_then(|text| text.parse().ok()).unwrap_or(cells::SIMULATIONS);
    // `judges` after it: their tables alone.
    let text = match args.get(1).map(String::as_str) {
        Some("judges") => report::judges_alone(simulations)?,
        _ => report::report(simulations)?,
    };
    print!("{text}");
    eprintln!("{:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}
