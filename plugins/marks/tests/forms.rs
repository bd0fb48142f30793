//! Every form of a mark that was ever seen or thought of, with what it is or that it is none.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use marks::{Options, Scale, read};

#[test]
fn every_form_is_read_or_refused_as_the_table_says() {
    let (mut right, mut refused, mut wrong) = (0, 0, Vec::new());
    for (number, line) in include_str!("forms.tsv").lines().enumerate() {
        if line.starts_with('#') {
            continue;
        }
        let mut fields = line.split('\t');
        let (expected, reply) = (fields.next().unwrap(), unescaped(fields.next().unwrap()));
        let settings = fields.next().unwrap_or_default();
        let (answer, nonce) = (unescaped(after(settings, "answer=")), after(settings, "nonce="));
        let scale = match after(settings, "scale=").split_once("..") {
            Some((low, high)) => Scale { low: low.parse().unwrap(), high: high.parse().unwrap() },
            None => Scale::default(),
        };
        let options =
            Options { scale, answers: &[&answer], nonces: &[nonce], cut_off: settings == "cut", asked_alone: false };
        let found = read(&reply, &options);
        let wanted: Option<f64> = expected.parse().ok();
        assert_eq!(wanted.is_none(), expected == "refused", "line {}: {expected}", number + 1);
        match (&found, wanted) {
            (Ok(found), Some(wanted)) if (found - wanted).abs() < 1e-9 => right += 1,
            (Err(_), None) => refused += 1,
            _ => wrong.push(format!("line {}: {reply:?}: {found:?}, not {expected}", number + 1)),
        }
    }
    println!(
        "{} forms: {right} read, {refused} refused, {} otherwise than they should",
        right + refused + wrong.len(),
        wrong.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(right >= 300 && refused >= 300, "the table has shrunk");
}

fn after<'a>(settings: &'a str, name: &str) -> &'a str {
    settings.strip_prefix(name).unwrap_or_default()
}

fn unescaped(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    let escapes = [("\\n", "\n"), ("\\t", "\t"), ("\\\\", "\\"), ("\\u{200b}", "\u{200b}")];
    while !rest.is_empty() {
        if let Some((escape, plain)) = escapes.iter().find(|(escape, _)| rest.starts_with(escape)) {
            (out, rest) = (out + plain, &rest[escape.len()..]);
        } else {
            let next = rest.chars().next().unwrap();
            out.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    out
}
