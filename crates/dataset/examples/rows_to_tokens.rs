//! What the largest source takes: `rows_to_tokens rows.jsonl tokenizer.json out.tokens` brings rows as `belle_rows` writes them
//! into their seeded order, tokenizes them, opens the file and reads all examples in another order. It says how long each
//! part took and the most memory that was resident so far.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter};
use std::path::Path;
use std::time::Instant;

use serde::Deserialize;
use tunebench_dataset::select::read;
use tunebench_dataset::{
    Apart, Encoder, Examples, Settings, Spool, TokenSet, TokenWriter, Tokenization, Tokenizer, Wanted,
};
use tunebench_spec::random::Stream;
use tunebench_spec::{Example, Role, Row, Turn};

#[derive(Deserialize)]
struct BelleRow {
    instruction: String,
    input: String,
    output: String,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn row(line: &str, number: usize) -> Result<Row, Failure> {
    let BelleRow { instruction, input, output } = serde_json::from_str(line)?;
    let turns = vec![Turn::new(Role::User, instruction + &input), Turn::new(Role::Assistant, output)];
    let id = format!("rows.jsonl:{number}");
    Ok(Row::Example(Example { id, turns, category: None, reference: None, rubric: None }))
}

/// As Linux counts it; nothing elsewhere.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or_else(String::new, |line| format!(", peak {}", line.trim()))
}

fn main() -> Result<(), Failure> {
    let [rows, tokenizer, out] = &std::env::args().skip(1).collect::<Vec<_>>()[..] else {
        return Err("say a file of rows, a tokenizer.json with `</s>`, and where the tokens go".into());
    };
    let inner = tokenizers::Tokenizer::from_file(tokenizer)?;
    let end = inner.token_to_id("</s>").ok_or("the tokenizer has no `</s>`")?;
    let encoder = Encoder::new("belle", Tokenizer::new(inner, None, vec![end])?)?;
    println!("ready{}", peak());

    let begin = Instant::now();
    let folder = Path::new(out).parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut spool = Spool::new(Wanted::All, folder);
    let lines = BufReader::with_capacity(1 << 20, File::open(rows)?).lines().zip(1..);
    let lines = lines.map(|(line, number)| row(&line?, number));
    let source = read(lines, 1, &Apart::Nothing, |rank, example| Ok::<_, Failure>(spool.add(rank, &example)?))?;
    println!("{} rows read and set aside in {:.1} s{}", source.usable, begin.elapsed().as_secs_f64(), peak());

    let begin = Instant::now();
    let mut tokenization = Tokenization::new(&encoder, Settings { mask_prompt: true, max_length: 512 });
    let file = BufWriter::with_capacity(1 << 20, File::create(out)?);
    let mut writer = TokenWriter::new(file, encoder.tokenizer().size())?;
    for batch in spool.batches(u64::MAX) {
        let batch = batch?;
        let examples: Vec<Example> = (0..batch.len()).map(|index| batch.example(index)).collect::<Result<_, _>>()?;
        tokenization.add_all(&examples).flatten().try_for_each(|tokenized| writer.push(&tokenized))?;
    }
    writer.finish(tokenization.stats())?;
    let (tokens, seconds) = (tokenization.stats().tokens, begin.elapsed().as_secs_f64());
    println!("{tokens} tokens in {seconds:.1} s, {:.2} million a second{}", tokens as f64 / seconds / 1e6, peak());
    drop(spool);

    let begin = Instant::now();
    let set = TokenSet::open(Path::new(out))?;
    println!("{} MB opened and checked in {:.1} s{}", set.n_bytes() / 1_000_000, begin.elapsed().as_secs_f64(), peak());
    let begin = Instant::now();
    let mut order: Vec<u32> = (0..set.count() as u32).collect();
    Stream::new(1, &[1]).shuffle(&mut order);
    let mut read = 0;
    for index in order {
        read += set.read(index as usize)?.tokens.len();
    }
    println!("{read} tokens read one example at a time in {:.1} s{}", begin.elapsed().as_secs_f64(), peak());
    Ok(())
}
