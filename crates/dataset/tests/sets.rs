//! Many examples: set aside in bounded memory in the order that they have in memory, and their tokens in a file.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::convert::Infallible;
use std::fs;
use std::path::Path;

use tunebench_dataset::holdout::{Apart, HoldOut};
use tunebench_dataset::{
    Examples, Source, Spool, TokenSet, TokenStats, TokenWriter, Tokenized, Wanted, select::read, select_apart,
};
use tunebench_spec::random::Stream;
use tunebench_spec::{Example, Role, Row, Turn};

/// Rows of very different lengths, every seventh unusable.
fn rows(count: usize, longest: u64) -> impl Iterator<Item = Result<Row, Infallible>> {
    (0..count).map(move |index| {
        let text = "文".repeat(Stream::new(5, &[index as u64]).below(longest) as usize);
        Ok(match index % 7 {
            6 => Row::Skip { place: format!("m:{index}"), reason: "fault".into() },
            _ => Row::Example(Example {
                id: format!("m:{index}"),
                turns: vec![Turn::new(Role::User, format!("{index} {text}")), Turn::new(Role::Assistant, "a")],
                category: None,
                reference: None,
                rubric: None,
            }),
        })
    })
}

fn spooled(count: usize, longest: u64, wanted: Wanted, apart: &Apart, folder: &Path) -> (Source, Spool) {
    let mut spool = Spool::new(wanted, folder);
    let source = read(rows(count, longest), 3, apart, |rank, example| {
        spool.add(rank, &example).unwrap();
        Ok(())
    });
    (source.unwrap(), spool)
}

/// Of few rows that stay in memory, and of 60 MB of them, which do not.
#[test]
fn what_is_set_aside_comes_back_as_if_it_had_been_kept_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let share = Apart::Share(HoldOut::new(1, 0.1, 5).unwrap());
    let cases = [
        (50, 9, Wanted::All, &Apart::Nothing),
        (3000, 40, Wanted::First(1), &Apart::Nothing),
        (3000, 40, Wanted::First(700), &share),
        (9000, 4000, Wanted::First(6500), &share),
        (9000, 4000, Wanted::All, &Apart::Nothing),
    ];
    for (count, longest, wanted, apart) in cases {
        let (source, spool) = spooled(count, longest, wanted, apart, folder.path());
        let selection = select_apart(rows(count, longest), 3, wanted, apart).unwrap();
        assert_eq!(source, selection.source);
        let expected = selection.first(wanted).unwrap();
        assert_eq!(spool.count(), expected.len() as u64);
        assert!(spool.examples(u64::MAX).unwrap() == expected, "{count} {wanted:?}");
        for first in [0, 1, expected.len() as u64 / 3] {
            assert!(spool.examples(first).unwrap() == expected[..first as usize], "{count} {wanted:?} {first}");
        }
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "what is set aside has no name and leaves none");
}

#[test]
fn a_folder_that_cannot_be_written_to_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let mut spool = Spool::new(Wanted::All, &file);
    let rows = rows(9000, 4000).map(|row| Ok::<_, String>(row.unwrap()));
    let error = read(rows, 3, &Apart::Nothing, |rank, example| spool.add(rank, &example).map_err(|e| e.to_string()));
    let error = error.unwrap_err();
    assert!(error.contains(file.to_str().unwrap()), "{error}");
}

/// Examples with ids up to `largest`, some without tokens or labels.
fn tokenized(count: usize, largest: u64) -> Vec<Tokenized> {
    let example = |index: usize| {
        let mut stream = Stream::new(8, &[index as u64]);
        let length = stream.below(70) as usize;
        let tokens = (0..length).map(|_| stream.below(largest + 1) as u32).collect();
        let is_label = (0..length).map(|_| !index.is_multiple_of(5) && stream.below(2) == 1).collect();
        Tokenized { tokens, is_label }
    };
    (0..count).map(example).collect()
}

fn written(examples: &[Tokenized], largest: u64) -> Vec<u8> {
    let mut writer = TokenWriter::new(Vec::new(), largest as usize + 1).unwrap();
    examples.iter().for_each(|example| writer.push(example).unwrap());
    let label_tokens = examples.iter().map(|example| example.n_labels() as u64).sum();
    writer.finish(&TokenStats { examples: examples.len() as u64, label_tokens, ..TokenStats::default() }).unwrap()
}

#[test]
fn tokens_are_read_as_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    for (count, largest) in
        [(0, 9), (1, 65_535), (64, 65_536), (1000, 3), (20_000, 49_000), (9000, u64::from(u32::MAX))]
    {
        let examples = tokenized(count, largest);
        let bytes = written(&examples, largest);
        fs::write(&path, &bytes).unwrap();
        let sets = [TokenSet::open(&path).unwrap(), TokenSet::from_bytes(bytes.clone()).unwrap()];
        for set in sets {
            assert_eq!((set.count(), set.n_bytes()), (count, bytes.len() as u64));
            assert_eq!(set.has_labels(), examples.has_labels());
            assert_eq!(set.longest(), examples.iter().map(|example| example.tokens.len()).max().unwrap_or(0));
            for (index, example) in examples.iter().enumerate() {
                assert_eq!((set.length(index), &set.read(index).unwrap()), (example.tokens.len(), example));
            }
            assert!(set.read(count).unwrap_err().to_string().contains("no example"));
            assert_eq!(set.facts.stats.examples, count as u64);
        }
    }
}

/// The identity of a set is part of the name of every arm that learnt from it: it never changes.
#[test]
fn a_set_is_named_by_its_tokens_and_labels() {
    let one = vec![Tokenized { tokens: vec![1, 2, 70_000], is_label: vec![false, true, true] }];
    let bytes = [3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0x70, 0x11, 1, 0, 0, 1, 1];
    let identity =
        |examples: &[Tokenized], largest| TokenSet::from_bytes(written(examples, largest)).unwrap().facts.identity;
    assert_eq!(identity(&one, 70_000), tunebench_spec::hash::of_bytes(&bytes));
    assert_eq!(identity(&[], 9), tunebench_spec::hash::of_bytes(&[]));
    // How wide tokens are written is no part of it.
    let few = tokenized(30, 100);
    assert_eq!(identity(&few, 100), identity(&few, 100_000));
}

/// Cut anywhere, or with any byte changed, it is refused when it is opened.
#[test]
fn a_damaged_set_is_refused() {
    let (long, bytes) = (written(&tokenized(30_000, 900), 900), written(&tokenized(40, 900), 900));
    let refused = |bytes: &[u8], what: &str| {
        let error = TokenSet::from_bytes(bytes.to_vec()).map(|set| set.count()).expect_err(what).to_string();
        assert!(error.contains("damaged: ") && error.contains("made again"), "{what}: {error}");
    };
    for length in (0..bytes.len()).chain([bytes.len() - 1]) {
        refused(&bytes[..length], &format!("cut to {length} bytes"));
    }
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        refused(&changed, &format!("byte {at} changed"));
    }
    assert!(long.len() > 2 << 20);
    for at in [1 << 20, (1 << 20) - 1, long.len() / 2, long.len() - 40] {
        let mut changed = long.clone();
        changed[at] ^= 1;
        refused(&changed, &format!("byte {at} of the long one changed"));
    }
    refused(&[&bytes[..], b"x"].concat(), "a byte more");
}
