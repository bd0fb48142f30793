//! Files cut short and bytes changed: one clear error, never a panic, never memory that the file does not fill.

use std::fs;
use std::path::Path;

use tunebench_model::{Error, Tokenizer, open};
use tunebench_spec::random::Stream;

use crate::gguf_writer::Writer;
use crate::golden;

/// Everything that can be read.
fn read_all(path: &Path) -> Result<(), Error> {
    let source = open(path)?;
    source.weights()?;
    source.tokenizer().map(drop)
}

/// A folder of the tiny model and a GGUF file, each with the file in it that a test damages.
fn subjects(dir: &Path) -> [(std::path::PathBuf, std::path::PathBuf); 2] {
    let (folder, gguf) = (dir.join("folder"), dir.join("mixed.gguf"));
    fs::create_dir(&folder).unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(golden("tiny").join(name), folder.join(name)).unwrap();
    }
    fs::copy(golden("gguf/mixed.gguf"), &gguf).unwrap();
    let weights = folder.join("model.safetensors");
    [(folder, weights), (gguf.clone(), gguf)]
}

#[test]
fn files_cut_short() {
    let dir = tempfile::tempdir().unwrap();
    for (model, file) in subjects(dir.path()) {
        let whole = fs::read(&file).unwrap();
        let n = whole.len();
        let cuts = [0, 1, 3, 4, 7, 8, 9, 15, 16, 23, 24, 25, 100, 1000, n / 4, n / 2, n - 1000, n - 33, n - 1];
        for cut in cuts {
            fs::write(&file, &whole[..cut]).unwrap();
            let error = open(&model).err().unwrap_or_else(|| panic!("accepted {cut} of {n} bytes"));
            assert!(matches!(error, Error::Corrupt { .. }), "{cut}: {error}");
            assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
        }
        fs::write(&file, &whole).unwrap();
        open(&model).and_then(|source| source.weights()).unwrap();
    }
}

/// A file that shrinks after it was opened.
#[test]
fn files_cut_short_while_open() {
    let dir = tempfile::tempdir().unwrap();
    for (model, file) in subjects(dir.path()) {
        let source = open(&model).unwrap();
        fs::write(&file, &fs::read(&file).unwrap()[..2000]).unwrap();
        assert!(matches!(source.weights(), Err(Error::Corrupt { .. })));
    }
}

#[test]
fn lengths_and_counts_that_lie() {
    const LARGE: [u64; 4] = [u64::MAX, i64::MAX as u64, 1 << 40, 1 << 26];
    let dir = tempfile::tempdir().unwrap();
    let [(folder, weights), (gguf, _)] = subjects(dir.path());
    let check = |model: &Path, file: &Path, at: usize| {
        let whole = fs::read(file).unwrap();
        for value in LARGE {
            let mut bytes = whole.clone();
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
            fs::write(file, &bytes).unwrap();
            assert!(open(model).is_err(), "{value} at {at} of {}", file.display());
        }
        fs::write(file, whole).unwrap();
    };
    // The header's length; then tensors, entries, and the length of the first key.
    check(&folder, &weights, 0);
    for at in [8, 16, 24] {
        check(&gguf, &gguf, at);
    }
    let bytes = fs::read(&gguf).unwrap();
    let after = |text: &str| bytes.windows(text.len()).position(|w| w == text.as_bytes()).unwrap() + text.len();
    // Key, type of list, type of items, then how many and the length of the first.
    let list = after("tokenizer.ggml.tokens") + 8;
    // Name, number of axes, two axes, type, offset.
    let info = after("blk.0.attn_q.weight");
    for at in [list, list + 8, info + 4, info + 12, info + 24] {
        check(&gguf, &gguf, at);
    }
    read_all(&gguf).unwrap();
}

/// Any byte of the headers changed to anything: an error or a model, never a panic.
#[test]
fn changed_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let [(folder, weights), (gguf, _)] = subjects(dir.path());
    let small = Writer::model(&["a", "b"]).write(dir.path());
    let mut random = Stream::named(1, "changed bytes");
    let mut refused = 0;
    for (model, file, header, tries) in
        [(&folder, &weights, 2500, 300), (&gguf, &gguf, 9000, 300), (&small, &small, 1400, 600)]
    {
        let whole = fs::read(file).unwrap();
        for _ in 0..tries {
            let mut bytes = whole.clone();
            let at = random.below(header) as usize;
            bytes[at] ^= 1 + random.below(255) as u8;
            fs::write(file, bytes).unwrap();
            refused += u32::from(read_all(model).is_err());
        }
        fs::write(file, whole).unwrap();
    }
    assert!(refused > 600, "only {refused} of 1200 were refused");
}

/// The same for a tokenizer, whose parser is not ours.
#[test]
fn changed_bytes_of_a_tokenizer() {
    let dir = tempfile::tempdir().unwrap();
    open(&golden("gguf/mixed.gguf")).unwrap().tokenizer().unwrap().save(dir.path()).unwrap();
    let file = dir.path().join("tokenizer.json");
    let whole = fs::read(&file).unwrap();
    let (mut random, mut refused) = (Stream::named(1, "changed bytes of a tokenizer"), 0);
    for _ in 0..1000 {
        let mut bytes = whole.clone();
        // A digit for a digit, a letter for a letter: the file stays JSON, and says something else.
        let at = random.below(whole.len() as u64) as usize;
        bytes[at] ^= 1 + random.below(7) as u8;
        fs::write(&file, bytes).unwrap();
        match Tokenizer::from_file(&file) {
            Ok(tokenizer) => drop(tokenizer.inner.encode("hello 12 <|im_end|>\n", true)),
            Err(_) => refused += 1,
        }
    }
    assert!((100..1000).contains(&refused), "{refused} of 1000 were refused");
}
