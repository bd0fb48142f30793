//! Reads a file as a dataset would, and says how long that took: `cargo run -p tunebench-rows --example read -- FILE`.

use std::fs::File;
use std::path::Path;
use std::time::Instant;

use tunebench_rows::{Columns, RowFile};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for path in std::env::args().skip(1) {
        let name = Path::new(&path).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (begin, mut offset) = (Instant::now(), 0);
        let mut rows = RowFile::open(&name, File::open(&path)?, &Columns::default())?;
        loop {
            let bytes = rows.read_at(offset, 1 << 20)?;
            if bytes.is_empty() {
                break;
            }
            offset += bytes.len() as u64;
        }
        let seconds = begin.elapsed().as_secs_f64();
        println!("{name}: {offset} bytes of JSON in {seconds:.1} s");
        rows.remarks().iter().for_each(|remark| println!("  {remark}"));
    }
    // Of Linux alone: the most memory that was held at once.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().filter(|line| line.starts_with("VmHWM")).for_each(|line| println!("{line}"));
    Ok(())
}
