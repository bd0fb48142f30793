//! Finding the number that a worked answer ends with.

/// The last number in a text, without thousands separators: `-1080.5` of `… is -1,080.5.`
pub fn last(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut found = None;
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let end = end_of_number(bytes, at);
        let start = if is_sign(bytes, at) { at - 1 } else { at };
        found = Some(text[start..end].replace(',', ""));
        at = end;
    }
    found
}

/// Where the number that begins at `start` ends: digits, groups of `,` and three digits, a fraction.
fn end_of_number(bytes: &[u8], start: usize) -> usize {
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut end = start + digits(start);
    while bytes.get(end) == Some(&b',') && digits(end + 1) == 3 {
        end += 4;
    }
    if bytes.get(end) == Some(&b'.') && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
    }
    end
}

/// Whether the number at `start` has a minus sign rather than one of subtraction: `5-3` ends with 3, `= -3` with -3.
fn is_sign(bytes: &[u8], start: usize) -> bool {
    let minus = start.checked_sub(1).is_some_and(|i| bytes[i] == b'-');
    let operand = start.checked_sub(2).is_some_and(|i| bytes[i].is_ascii_alphanumeric() || bytes[i] == b')');
    minus && !operand
}

#[cfg(test)]
mod tests {
    use super::last;

    #[test]
    fn last_numbers() {
        let cases = [
            ("", None),
            ("无", None),
            (" 72", Some("72")),
            ("7 and 1,080.", Some("1080")),
            ("2,520,000.50元", Some("2520000.50")),
            ("3,4", Some("4")),
            ("1,2345", Some("2345")),
            ("x = -5", Some("-5")),
            ("48-24", Some("24")),
            ("(1)-2", Some("2")),
            ("-3", Some("-3")),
            ("$-3.", Some("-3")),
            ("是25%。", Some("25")),
            ("版本1.2.3", Some("3")),
        ];
        for (text, want) in cases {
            assert_eq!(last(text).as_deref(), want, "{text:?}");
        }
    }
}
