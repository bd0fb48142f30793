//! Numbers as a reader wants them: few digits, a unit that fits.

/// A score, three decimals.
pub fn score(value: f64) -> String {
    fixed(value, 3)
}

/// A difference of scores, always with its sign.
pub fn signed(value: f64) -> String {
    let text = fixed(value, 3);
    if text.starts_with('−') || text == "0.000" { text } else { format!("+{text}") }
}

/// A p value: what is below 0.001 is said so.
pub fn p_value(value: f64) -> String {
    if value < 0.001 { "< 0.001".to_owned() } else { fixed(value, 3) }
}

/// A time that is given in hours.
pub fn hours(value: f64) -> String {
    let seconds = value * 3600.0;
    match seconds {
        s if s < 99.5 => format!("{} s", significant(s)),
        s if s < 59.5 * 60.0 => format!("{} min", significant(s / 60.0)),
        _ => format!("{} h", significant(value)),
    }
}

/// Bytes, in GiB or MiB.
pub fn bytes(value: u64) -> String {
    let mebibytes = value as f64 / 1_048_576.0;
    if mebibytes < 999.5 {
        format!("{} MiB", significant(mebibytes))
    } else {
        format!("{} GiB", significant(mebibytes / 1024.0))
    }
}

/// A count of parameters.
pub fn count(value: f64) -> String {
    const UNITS: [(f64, &str); 3] = [(1e9, " B"), (1e6, " M"), (1e3, " k")];
    match UNITS.iter().find(|(size, _)| value >= size * 0.9995) {
        Some((size, unit)) => format!("{}{unit}", significant(value / size)),
        None => format!("{value:.0}"),
    }
}

/// Money.
pub fn usd(value: f64) -> String {
    if value != 0.0 && value.abs() < 0.005 { "< $0.01".to_owned() } else { format!("${value:.2}") }
}

/// A whole number with commas.
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many decimals, with a minus sign that is as wide as a plus.
pub fn fixed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(rest) if rest.chars().all(|c| c == '0' || c == '.') => rest.to_owned(),
        Some(rest) => format!("−{rest}"),
        None => text,
    }
}

/// About three digits.
fn significant(value: f64) -> String {
    let decimals = match value.abs() {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        v if v >= 0.9995 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let cases = [
            (hours(0.0), "0 s"),
            (hours(0.000_3), "1.08 s"),
            (hours(0.5), "30 min"),
            (hours(12.34), "12.3 h"),
            (bytes(0), "0 MiB"),
            (bytes(700 << 20), "700 MiB"),
            (bytes(3 << 30), "3 GiB"),
            (count(17_891_328.0), "17.9 M"),
            (count(999_999.0), "1 M"),
            (count(12.0), "12"),
            (usd(0.0), "$0.00"),
            (usd(0.001), "< $0.01"),
            (usd(1234.5), "$1234.50"),
            (signed(0.0204), "+0.020"),
            (signed(-0.0204), "−0.020"),
            (signed(-0.0001), "0.000"),
            (p_value(0.0), "< 0.001"),
            (p_value(0.25), "0.250"),
            (grouped(1_234_567), "1,234,567"),
            (grouped(12), "12"),
        ];
        for (found, want) in cases {
            assert_eq!(found, want);
        }
    }
}
