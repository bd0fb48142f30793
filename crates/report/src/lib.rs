//! A study's results as one HTML file: it opens offline, fetches nothing, and is made to be sent to who decides.
//!
//! [`of_run`] fills plain data from the folder of a run. [`write`] takes it ([`Report`]) and an iterator of answers, item by item ([`ItemAnswers`]); so many answers
//! are never in memory at once. Markup comes from templates that escape (maud), pictures are inline SVG by the same way
//! with plotters' axes and coordinates, and a policy in the page lets nothing run or load but its own style and script.

mod answers;
mod check;
pub mod data;
mod draw;
mod error;
mod from_run;
mod html;
mod numbers;
mod page;
mod words;

use std::io::{self, Write};
use std::path::Path;

use maud::Markup;

pub use data::{ItemAnswers, Report};
pub use error::Error;
pub use from_run::of_run;

/// Writes the page. Nothing is written before the report was checked and drawn; answers are checked as they come.
///
/// # Errors
/// A number that is not finite, an interval that does not hold its mean, a row of another length than its table, a name
/// that the report's lists do not have once; or `out` took no more.
pub fn write(report: &Report, answers: impl Iterator<Item = ItemAnswers>, out: &mut dyn Write) -> Result<(), Error> {
    check::check(report)?;
    let page = page::view::Page::new(report);
    let body = page::body(&page)?;
    send(out, page::begin(report.language))?;
    send_markup(out, page::head(report))?;
    send_markup(out, body)?;
    let mut packer = answers::Packer::new(report, page.arms.iter().map(|arm| arm.name.as_str()).collect());
    for item in answers {
        send_markup(out, packer.pack(&item)?)?;
        send(out, "\n")?;
    }
    send_markup(out, packer.index()?)?;
    send_markup(out, page::end(&page, packer.counts))?;
    out.flush()?;
    Ok(())
}

/// Writes the page to a file, which is there whole or, where something fails, as it was before.
///
/// # Errors
/// As [`write`], and when the file cannot be written.
pub fn write_file(report: &Report, answers: impl Iterator<Item = ItemAnswers>, path: &Path) -> Result<(), Error> {
    let mut refused = None;
    let written = tunebench_files::write_file(path, |out| {
        write(report, answers, out).map_err(|error| match error {
            Error::Write(error) => error,
            error => io::Error::other(refused.insert(error).to_string()),
        })
    });
    match refused {
        Some(error) => Err(error),
        None => Ok(written?),
    }
}

fn send_markup(out: &mut dyn Write, markup: Markup) -> Result<(), Error> {
    // HTML has no NUL, not even escaped. It is no part of any markup, so this changes texts only.
    let text = markup.into_string();
    let text = if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text };
    send(out, &text)
}

fn send(out: &mut dyn Write, text: &str) -> Result<(), Error> {
    Ok(out.write_all(text.as_bytes())?)
}
