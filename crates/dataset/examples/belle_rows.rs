//! Writes rows as BELLE's, made up of words of its own: `belle_rows 4000000 rows.jsonl`. The same rows each time.
//!
//! Words are one to four of 3,000 Chinese characters and come as often as words do (by Zipf's law), so that a tokenizer
//! has the work that it has with real text. A row has about 520 bytes, four million of them about 2 GB.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};

use serde_json::json;
use tunebench_spec::random::Stream;

const CHARACTERS: u64 = 3000;
const WORDS: u64 = 20_000;

/// The words, the most frequent first.
fn vocabulary() -> Vec<String> {
    let word = |number: u64| {
        let mut stream = Stream::new(0, &[1, number]);
        let length = [1, 2, 2, 2, 2, 3, 3, 4][stream.below(8) as usize];
        let character = |stream: &mut Stream| char::from_u32(0x4e00 + 7 * stream.below(CHARACTERS) as u32);
        (0..length).filter_map(|_| character(&mut stream)).collect()
    };
    (0..WORDS).map(word).collect()
}

/// Appends so many sentences.
fn sentences(text: &mut String, count: u64, words: &[String], stream: &mut Stream) {
    for sentence in 0..count {
        for _ in 0..3 + stream.below(9) {
            // Uniform in the logarithm of the rank.
            let rank = ((WORDS as f64).ln() * stream.uniform()).exp() as usize - 1;
            text.push_str(&words[rank.min(words.len() - 1)]);
        }
        match stream.below(40) {
            0 => _ = write!(text, " {} ", stream.below(2000)),
            1 => text.push_str(" Python "),
            2 => text.push_str("：\n"),
            _ => {}
        }
        text.push_str(if sentence + 1 == count { "。" } else { "，" });
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [count, path] = &std::env::args().skip(1).collect::<Vec<_>>()[..] else {
        return Err("say how many rows, and the file to write them into".into());
    };
    let (count, words) = (count.parse::<u64>()?, vocabulary());
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let (mut instruction, mut output) = (String::new(), String::new());
    for row in 0..count {
        let mut stream = Stream::new(0, &[2, row]);
        instruction.clear();
        output.clear();
        let asked = 1 + stream.below(3);
        sentences(&mut instruction, asked, &words, &mut stream);
        // Mostly short answers, some of which are very long.
        let answered = 2 + (6.0 * (0.7 * stream.normal()).exp()) as u64;
        sentences(&mut output, answered.min(80), &words, &mut stream);
        serde_json::to_writer(&mut out, &json!({ "instruction": instruction, "input": "", "output": output }))?;
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}
