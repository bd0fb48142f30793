//! Text and numbers for the terminal: nothing from outside steers it, and everything has a width.

pub use tunebench_spec::escape::line as clean;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Columns of a terminal that the text takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// The text, or its beginning and `…`, in at most so many columns.
pub fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut left = columns.saturating_sub(1);
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if wide > left {
            break;
        }
        left -= wide;
        out.push(c);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

/// The text cut, and filled with spaces, to so many columns.
pub fn padded(text: &str, columns: usize) -> String {
    let mut out = cut(text, columns);
    out.extend(std::iter::repeat_n(' ', columns.saturating_sub(width(&out))));
    out
}

/// 42 s, 3 min 05 s, 2 h 10 min, 3 d 04 h.
pub fn duration(seconds: f64) -> String {
    let whole = if seconds.is_finite() { seconds.max(0.0).round() as u64 } else { return "?".into() };
    let (days, hours, minutes) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60);
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{minutes} min {:02} s", whole % 60),
        3600..86_400 => format!("{hours} h {minutes:02} min"),
        _ => format!("{days} d {hours:02} h"),
    }
}

/// The same in at most seven columns: 42s, 3m05s, 2h10m, 3d04h.
pub fn short_duration(seconds: f64) -> String {
    duration(seconds).replace(" min", "m").replace(' ', "")
}

/// 950, 1.2k, 34k, 5.6M.
pub fn count(number: f64) -> String {
    match number.abs() {
        n if !n.is_finite() => "?".into(),
        n if n < 999.5 => format!("{number:.0}"),
        n if n < 9_950.0 => format!("{:.1}k", number / 1e3),
        n if n < 999_500.0 => format!("{:.0}k", number / 1e3),
        _ => format!("{:.1}M", number / 1e6),
    }
}

/// 250 MiB, 1.5 GiB.
pub fn bytes(bytes: u64) -> String {
    let (mib, gib) = (f64::from(1 << 20), f64::from(1 << 30));
    match bytes as f64 {
        bytes if bytes < gib => format!("{:.0} MiB", bytes / mib),
        bytes => format!("{:.1} GiB", bytes / gib),
    }
}

/// A loss in at most six columns.
pub fn loss(nats: f64) -> String {
    match nats.abs() {
        n if n < 100.0 => format!("{nats:.3}"),
        n if n < 1e5 => format!("{nats:.0}"),
        n if n.is_finite() => format!("{nats:.0e}"),
        _ => format!("{nats}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_steers_nothing() {
        assert_eq!(clean("a\u{1b}[31mb\r\n\u{202e}c\u{9b}"), "a\\u{1b}[31mb\\r\\n\\u{202e}c\\u{9b}");
        assert_eq!(clean("学习率 = 2e-4 é"), "学习率 = 2e-4 é");
    }

    #[test]
    fn text_is_cut_by_columns_not_by_characters() {
        for (text, columns, want) in [
            ("lora", 4, "lora"),
            ("lora", 3, "lo…"),
            ("学习率", 6, "学习率"),
            ("学习率", 5, "学习…"),
            ("学习率", 4, "学…"),
            ("a", 0, ""),
        ] {
            assert_eq!(cut(text, columns), want);
        }
        assert_eq!((padded("学", 4), padded("abcdef", 4)), ("学  ".into(), "abc…".into()));
    }

    #[test]
    fn numbers_are_short() {
        let durations = [
            (0.4, "0 s"),
            (59.6, "1 min 00 s"),
            (185.0, "3 min 05 s"),
            (7800.0, "2 h 10 min"),
            (273_600.0, "3 d 04 h"),
        ];
        for (seconds, want) in durations {
            assert_eq!(duration(seconds), want);
            assert!(width(&short_duration(seconds)) <= 7, "{}", short_duration(seconds));
        }
        assert_eq!((duration(f64::NAN), duration(-3.0)), ("?".into(), "0 s".into()));
        for (number, want) in
            [(0.0, "0"), (999.6, "1.0k"), (9_960.0, "10k"), (34_200.0, "34k"), (5.6e6, "5.6M"), (f64::INFINITY, "?")]
        {
            assert_eq!(count(number), want);
        }
        for (nats, want) in [
            (2.0, "2.000"),
            (-0.5, "-0.500"),
            (123.4, "123"),
            (1.5e9, "2e9"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(loss(nats), want);
        }
        assert_eq!((bytes(262_144_000), bytes(1_610_612_736)), ("250 MiB".into(), "1.5 GiB".into()));
    }
}
