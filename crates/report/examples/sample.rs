//! Writes a report of made-up results, to look at: `cargo run -p tunebench-report --example sample -- out.html [zh]`.

#![allow(clippy::unwrap_used)] // the made-up study has what is unwrapped

use std::error::Error;
use std::fs::File;
use std::io::BufWriter;

use tunebench_report::data::Language;

#[path = "../tests/fixture/mod.rs"]
mod fixture;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("name the file to write")?;
    let (mut report, answers) = fixture::study(90);
    if arguments.next().as_deref() == Some("zh") {
        report.language = Language::Zh;
    }
    tunebench_report::write(&report, answers.into_iter(), &mut BufWriter::new(File::create(path)?))?;
    Ok(())
}
