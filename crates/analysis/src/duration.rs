//! Durations as people say them: seconds, minutes or hours, by their size.

const MINUTE: f64 = 60.0;
const HOUR: f64 = 3600.0;

/// `1.4 s`, `3.2 min` or `5.1 h`; under a second, milliseconds.
pub fn words(seconds: f64) -> String {
    let (value, unit) = match seconds.abs() {
        size if size < 0.9995 => (seconds * 1000.0, "ms"),
        size if size < 99.95 => (seconds, "s"),
        size if size < 99.95 * MINUTE => (seconds / MINUTE, "min"),
        _ => (seconds / HOUR, "h"),
    };
    let decimals = if unit == "ms" { 0 } else { 1 };
    format!("{value:.decimals$} {unit}")
}
