//! What a study could show.

use std::path::Path;

use tunebench_analysis::power::{Design, Source, power};
use tunebench_analysis::{Result, Table};
use tunebench_study::StudyForecast;

/// What a study of this name could show, where it is evaluated at all: from the scores of the run folder `seen`, else of its
/// usual one, else by a guess that is stated. `margin` is the difference that is to be shown.
///
/// # Errors
/// When `seen` was asked for and says nothing, or the study is too small for statistics.
pub fn power_table(seen: Option<&Path>, margin: f64, study: &str, forecast: &StudyForecast) -> Result<Option<Table>> {
    let Some(items) = &forecast.items else { return Ok(None) };
    let design = Design { items: items.scorable, categories: items.categories, seeds: 1, repeats: items.repeats };
    let usual = Path::new("runs").join(study);
    let source = match seen {
        Some(dir) => Source::Seen(dir),
        None if usual.join("judgements.parquet").exists() => Source::Seen(&usual),
        None => Source::Guess,
    };
    match power(source, &design, margin) {
        Ok(table) => Ok(Some(table)),
        // What was asked for must not become a guess; what was only found may.
        Err(error) if seen.is_some() => Err(error),
        Err(error) => {
            let mut table = power(Source::Guess, &design, margin)?;
            table.notes.push(format!("{} says nothing of it: {error}", usual.display()));
            Ok(Some(table))
        }
    }
}
