//! Keys are found however they are written, and nothing else is taken for one.
#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use tunebench_chat::Redactor;
use tunebench_spec::random::Stream;

const KEY: &str = "sk-proj-Ab9/+x_Q7=zz-TUV01wxyzKL";

fn redact(key: &str, text: &str) -> String {
    Redactor::new([key.to_owned()]).redact(text)
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn escaped(text: &str, escape: impl Fn(u32) -> String) -> String {
    text.chars().map(|c| escape(u32::from(c))).collect()
}

/// All spellings of a text, by name.
fn spellings(key: &str) -> Vec<(&'static str, String)> {
    let json_slash = key.replace('/', "\\/");
    vec![
        ("plain", key.to_owned()),
        ("slash", json_slash),
        ("json", escaped(key, |c| format!("\\u{c:04x}"))),
        ("JSON", escaped(key, |c| format!("\\u{c:04X}"))),
        ("json in json", escaped(key, |c| format!("\\\\u{c:04x}"))),
        ("one escape", key.replace('-', "\\u002d")),
        ("python", escaped(key, |c| format!("\\x{c:02x}"))),
        ("percent", escaped(key, |c| format!("%{c:02X}"))),
        ("some percent", key.replace('/', "%2f").replace('+', "%2B").replace('=', "%3D")),
        ("percent twice", key.replace('/', "%252f").replace('+', "%252B").replace('=', "%253D")),
        ("html", escaped(key, |c| format!("&#{c};"))),
        ("html hex", escaped(key, |c| format!("&#x{c:x};"))),
        ("hex", hex(key)),
        ("HEX", hex(key).to_uppercase()),
        ("base64", STANDARD.encode(key)),
        ("base64 url", URL_SAFE_NO_PAD.encode(key)),
        ("base64 in json", STANDARD.encode(key).replace('/', "\\/")),
        ("base64 in address", STANDARD.encode(key).replace('=', "%3D").replace('+', "%2B").replace('/', "%2F")),
        ("basic", STANDARD.encode(format!("user:{key}"))),
        ("basic 2", STANDARD.encode(format!("me:{key}\n"))),
        ("basic 3", URL_SAFE.encode(format!(":{key}@host"))),
        ("basic 4", STANDARD_NO_PAD.encode(format!("Authorization: Bearer {key}, and more"))),
    ]
}

#[test]
fn every_spelling_is_blanked() {
    for (name, spelling) in spellings(KEY) {
        let text = format!("{{\"error\":\"wrong key «{spelling}», try again\"}}");
        let out = redact(KEY, &text);
        assert!(out.starts_with("{\"error\":\"wrong key «") && out.ends_with("», try again\"}"), "{name}: {out}");
        assert!(out.contains("[key]"), "{name}: {out}");
        // Of base64 some digits around it belong to what is beside the key as well.
        let rest = out.len() - "{\"error\":\"wrong key «[key]», try again\"}".len();
        let beside = if name.starts_with("basic") { 60 } else { 4 };
        assert!(rest <= beside, "{name}: {out}");
        assert_eq!(redact(KEY, &out), out, "{name}: the same again");
    }
}

#[test]
fn runs_of_eight_are_blanked_and_masks_stay() {
    for (text, expected) in [
        ("key sk-proj-Ab9/+x_Q7 is wrong", "key [key] is wrong"),
        ("…TUV01wxyzKL", "…[key]"),
        ("wrong: Q7=zz-TU", "wrong: [key]"),
        ("wrong: Q7=zz-T", "wrong: Q7=zz-T"),
        ("wrong: sk-pro***yzKL", "wrong: sk-pro***yzKL"),
        ("SK-PROJ-AB9/+X_Q7", "SK-PROJ-AB9/+X_Q7"),
        ("sk-proj-Ab9/+x_Q7=zz-TUV01wxyzKLsk-proj-Ab9/+x_Q7=zz-TUV01wxyzKL", "[key]"),
        ("得分sk-proj-Ab9/+x_Q7=zz-TUV01wxyzKL：8", "得分[key]：8"),
        ("nothing here: 8/10", "nothing here: 8/10"),
        ("", ""),
    ] {
        assert_eq!(redact(KEY, text), expected);
    }
}

#[test]
fn any_run_of_a_random_key_is_blanked_anywhere() {
    let mut stream = Stream::named(1, "keys");
    let letters: Vec<char> = ('!'..='~').collect();
    for _ in 0..300 {
        let length = 8 + stream.below(100) as usize;
        let key: String = (0..length).map(|_| letters[stream.below(letters.len() as u64) as usize]).collect();
        let redactor = Redactor::new(["other-secret-of-mine".to_owned(), key.clone()]);
        let from = stream.below(length as u64 - 7) as usize;
        let run = &key[from..from + 8 + stream.below((length - from) as u64 - 7) as usize];
        for (name, spelling) in
            spellings(run).into_iter().filter(|(name, _)| !name.starts_with("bas") || run.len() > 11)
        {
            let out = redactor.redact(&format!("a {spelling} b"));
            assert!(out.contains("[key]"), "{name}: {run} of {key}: {out}");
        }
        assert_eq!(redactor.redact("x other-secret-of-mine y"), "x [key] y");
    }
}

#[test]
fn short_keys_take_no_marks_and_no_words_away() {
    for (key, text, expected) in [
        ("", "8/10", "8/10"),
        ("8", "8/10", "8/10"),
        ("abc", "abc", "abc"),
        ("none", "it is none; nonesuch", "it is [key]; nonesuch"),
        ("EMPTY", "key EMPTY is wrong", "key [key] is wrong"),
        ("lm-studio", "a good student in the studios", "a good student in the [key]s"),
        ("lm-studio", "lm-studio", "[key]"),
        (" padded-key-1 ", "xpadded-key-1x", "x[key]x"),
        ("schlüsselwort", "das schlüsselwort", "das [key]"),
    ] {
        assert_eq!(redact(key, text), expected, "{key}");
    }
}

#[test]
fn large_texts_are_quick_and_whole() {
    let redactor = Redactor::new([KEY.to_owned()]);
    let text = "The score is \\u0038 of 10 %20 &amp; more. ".repeat(25_000);
    let start = std::time::Instant::now();
    assert_eq!(redactor.redact(&text), text);
    assert!(redactor.redact(&[&text, KEY, &text].concat()) == [&text, "[key]", &text].concat());
    assert!(redactor.redact(&KEY[..7].repeat(150_000)).len() > 1 << 19);
    assert!(start.elapsed().as_secs() < 30);
    assert!(!format!("{redactor:?}").contains("sk-"));
}
