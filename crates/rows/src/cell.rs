//! A value of a Parquet column as JSON.

use parquet::basic::{ConvertedType, LogicalType};
use parquet::schema::types::Type;

use crate::row::push_text;

/// What a column's numbers or bytes mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    /// Never negative.
    Unsigned,
    /// Days since 1970.
    Date,
    /// A number with so many digits behind the point.
    Decimal(i32),
}

impl Kind {
    pub fn of(field: &Type) -> Self {
        let info = field.get_basic_info();
        match (info.converted_type(), info.logical_type_ref()) {
            (ConvertedType::DECIMAL, _) => Self::Decimal(field.get_scale()),
            (ConvertedType::DATE, _) | (_, Some(LogicalType::Date)) => Self::Date,
            (ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64, _) => {
                Self::Unsigned
            }
            _ => Self::Plain,
        }
    }

    pub fn int32(self, out: &mut Vec<u8>, value: i32) {
        match self {
            Self::Unsigned => push(out, value.cast_unsigned()),
            Self::Date => push_text(out, date(value).as_bytes()),
            _ => self.int64(out, value.into()),
        }
    }

    pub fn int64(self, out: &mut Vec<u8>, value: i64) {
        match self {
            Self::Unsigned => push(out, value.cast_unsigned()),
            Self::Decimal(scale) => push_text(out, decimal(&value.to_string(), scale).as_bytes()),
            Self::Plain | Self::Date => push(out, value),
        }
    }

    /// Text, where it is text; of anything else only how long it is, so that nobody takes it for text.
    pub fn bytes(self, out: &mut Vec<u8>, value: &[u8]) {
        match (self, std::str::from_utf8(value)) {
            (Self::Decimal(scale), _) if value.len() <= 16 => {
                let sign = if value.first().is_some_and(|byte| *byte >= 0x80) { 0xff } else { 0 };
                let mut wide = [sign; 16];
                wide[16 - value.len()..].copy_from_slice(value);
                push_text(out, decimal(&i128::from_be_bytes(wide).to_string(), scale).as_bytes());
            }
            (_, Ok(text)) => push_text(out, text.as_bytes()),
            (_, Err(_)) => out.extend_from_slice(format!("{{\"bytes\": {}}}", value.len()).as_bytes()),
        }
    }
}

fn push(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    out.extend_from_slice(value.to_string().as_bytes());
}

pub(crate) fn bool(out: &mut Vec<u8>, value: bool) {
    push(out, value);
}

pub(crate) fn float(out: &mut Vec<u8>, value: f32) {
    // As JSON has it: with a point, and null where it is no number.
    out.extend_from_slice(serde_json::to_string(&value).unwrap_or_else(|_| "null".into()).as_bytes());
}

pub(crate) fn double(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(serde_json::to_string(&value).unwrap_or_else(|_| "null".into()).as_bytes());
}

/// An old timestamp, as nanoseconds since 1970.
pub(crate) fn int96(out: &mut Vec<u8>, value: &[u32]) {
    const EPOCH: i128 = 2_440_588;
    const DAY: i128 = 86_400_000_000_000;
    let [low, high, day] = [0, 1, 2].map(|index| i128::from(value.get(index).copied().unwrap_or(0)));
    push(out, (day - EPOCH) * DAY + (high << 32) + low);
}

/// The digits of a number with its point put in.
fn decimal(digits: &str, scale: i32) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    let scale = usize::try_from(scale).unwrap_or(0).min(60);
    if scale == 0 {
        return format!("{sign}{digits}");
    }
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    format!("{sign}{whole}.{fraction}")
}

/// Days since 1970 as a date of the Gregorian calendar.
fn date(days: i32) -> String {
    // Years begin in March here, so that a leap day is a year's last; an era is 400 years.
    let days = i64::from(days) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_decimals() {
        for (days, want) in [(0, "1970-01-01"), (-1, "1969-12-31"), (19_782, "2024-02-29"), (11_016, "2000-02-29")] {
            assert_eq!(date(days), want);
        }
        for (digits, scale, want) in [("5", 2, "0.05"), ("-12345", 2, "-123.45"), ("7", 0, "7"), ("-1", 1, "-0.1")] {
            assert_eq!(decimal(digits, scale), want);
        }
    }
}
