//! Whether all ranks are to do the same.

use crate::error::Error;
use crate::exchange::Exchange;

/// Compares what the ranks say of themselves, lines of `name: value`: what they are and what they are to do. Whatever the
/// bytes of a result depend on belongs there.
///
/// # Errors
/// [`Error::Differs`], the same on all ranks, names the first rank that differs from rank 0 and in what; as every
/// operation.
pub fn greet(exchange: &mut dyn Exchange, lines: &str) -> Result<(), Error> {
    let all = exchange.gather(lines.as_bytes())?;
    let texts: Vec<_> = all.iter().map(|bytes| String::from_utf8_lossy(bytes)).collect();
    let Some((first, others)) = texts.split_first() else { return Ok(()) };
    for (rank, text) in (1..).zip(others) {
        let (mut expected, mut found) = (first.lines(), text.lines());
        loop {
            let (there, here) = (expected.next(), found.next());
            match there.or(here) {
                None => break,
                Some(_) if there == here => {}
                Some(line) => {
                    let what = line.split_once(": ").map_or(line, |(name, _)| name).to_owned();
                    let value = |line: Option<&str>| {
                        line.map_or("none", |line| line.split_once(": ").map_or(line, |(_, value)| value)).to_owned()
                    };
                    return Err(Error::Differs { rank, what, found: value(here), expected: value(there) });
                }
            }
        }
    }
    Ok(())
}
