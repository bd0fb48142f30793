//! Token ids that both sides of a comparison read: a file of u32, little-endian, one after the other.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, ensure};
use tunebench_spec::random::Stream;

/// Seed of everything drawn here.
pub const SEED: u64 = 1;
/// Separates these draws from others of the same seed.
const PURPOSE: u64 = 0x62_656e_6368;

/// The first `count` tokens, drawn from the whole vocabulary.
pub fn draw(vocab: usize, count: usize) -> Vec<u32> {
    let mut stream = Stream::new(SEED, &[PURPOSE]);
    (0..count).map(|_| stream.below(vocab as u64) as u32).collect()
}

/// The first `count` tokens of the files' text by the tokenizer of the model in `folder`; the files begin again when they
/// are too short.
pub fn of_text(folder: &Path, files: &[PathBuf], count: usize) -> Result<Vec<u32>> {
    let tokenizer = tunebench_model::open(folder)?.tokenizer()?;
    let mut tokens = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let encoding = tokenizer.inner.encode_fast(text, false);
        tokens.extend_from_slice(encoding.map_err(|error| anyhow!("{}: {error}", file.display()))?.get_ids());
    }
    ensure!(!tokens.is_empty(), "the files have no text");
    Ok(tokens.into_iter().cycle().take(count).collect())
}

/// The first `count` tokens of a file, or the same tokens drawn when there is no file.
pub fn read_or_draw(file: Option<&Path>, vocab: usize, count: usize) -> Result<Vec<u32>> {
    let Some(path) = file else { return Ok(draw(vocab, count)) };
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let (words, _) = bytes.as_chunks::<4>();
    ensure!(words.len() >= count, "{}: {} tokens, but {count} are needed", path.display(), words.len());
    Ok(words[..count].iter().map(|word| u32::from_le_bytes(*word)).collect())
}

/// Writes tokens as [`read_or_draw`] reads them.
pub fn write(path: &Path, tokens: &[u32]) -> Result<()> {
    let bytes: Vec<u8> = tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
    std::fs::write(path, bytes).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_what_would_be_drawn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        write(&path, &draw(1000, 100)).unwrap();
        assert_eq!(read_or_draw(Some(&path), 1000, 90).unwrap(), read_or_draw(None, 1000, 90).unwrap());
        assert!(draw(7, 100).iter().all(|token| *token < 7));
        let error = read_or_draw(Some(&path), 1000, 101).unwrap_err().to_string();
        assert!(error.contains("100 tokens, but 101 are needed"), "{error}");
    }
}
