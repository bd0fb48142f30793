//! Nested subsets: the first N examples of an order that only the seed decides.
//!
//! Every row has a hash of (seed, its number in the source); examples are ordered by it. So a smaller set is the
//! beginning of a larger one, whatever the sizes, and adding a row at the end moves no other row past another.
//!
//! The source is read twice. The first pass keeps hash, number and position of the examples chosen so far, some 100
//! bytes each, and no text. The second goes to those positions, in file order, and hands the examples on one by one.

use std::collections::BinaryHeap;

use tunebench_spec::random::Stream;
use tunebench_spec::{Example, Row};

use crate::error::{Error, RowsError};
use crate::skips::Skips;

/// A stream of rows that can go back to a place: a dataset plugin, as the caller wraps it.
pub trait Rows {
    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// When the source cannot be read.
    fn next(&mut self) -> Result<Option<Row>, RowsError>;

    /// The place of the row that [`Rows::next`] would give now.
    fn position(&self) -> Vec<u8>;

    /// Goes to a place given before.
    ///
    /// # Errors
    /// When there is no such place any more.
    fn seek(&mut self, position: &[u8]) -> Result<(), RowsError>;
}

/// How many examples a study wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    All,
    First(u64),
}

impl From<Option<u64>> for Wanted {
    /// As in a study file, where an absent number means all.
    fn from(examples: Option<u64>) -> Self {
        examples.map_or(Self::All, Self::First)
    }
}

/// Which rows were chosen.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Smallest hash first.
    chosen: Vec<Chosen>,
    /// Examples in the whole source.
    pub usable: u64,
    /// Rows of the whole source that are no examples.
    pub skips: Skips,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Chosen {
    // In this order, which is that of the comparison. Numbers are unique, so positions are never compared.
    hash: u64,
    row: u64,
    position: Box<[u8]>,
}

/// Reads all of `rows`, which stand at their start, and chooses examples by `seed`.
///
/// # Errors
/// When the source cannot be read, has no example, or has fewer than wanted.
pub fn select(rows: &mut dyn Rows, seed: u64, wanted: Wanted) -> Result<Selection, Error> {
    let limit = match wanted {
        Wanted::All => u64::MAX,
        Wanted::First(0) => return Err(Error::NoneWanted),
        Wanted::First(count) => count,
    };
    let mut heap: BinaryHeap<Chosen> = BinaryHeap::new();
    let mut skips = Skips::default();
    let mut usable = 0;
    for row in 0.. {
        let position = rows.position();
        match rows.next().map_err(Error::Rows)? {
            None => break,
            Some(Row::Skip { place, reason }) => skips.add(&place, &reason),
            Some(Row::Example(_)) => {
                usable += 1;
                let hash = Stream::new(seed, &[row]).next_u64();
                if usable <= limit {
                    heap.push(Chosen { hash, row, position: position.into() });
                } else if let Some(mut last) = heap.peek_mut()
                    && (hash, row) < (last.hash, last.row)
                {
                    *last = Chosen { hash, row, position: position.into() };
                }
            }
        }
    }
    if usable == 0 {
        return Err(Error::Empty { skips });
    }
    if let Wanted::First(wanted) = wanted
        && usable < wanted
    {
        return Err(Error::TooFew { wanted, usable, skips });
    }
    Ok(Selection { chosen: heap.into_sorted_vec(), usable, skips })
}

impl Selection {
    /// Number of chosen examples, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a selection is never empty")]
    pub fn len(&self) -> usize {
        self.chosen.len()
    }

    /// Hands every chosen example to `take` together with its rank in the seeded order (from 0). They come in file
    /// order, so that the source is read forwards.
    ///
    /// # Errors
    /// When the source cannot be read or has changed, or what `take` reports.
    pub fn visit<E: From<Error>>(
        &self,
        rows: &mut dyn Rows,
        mut take: impl FnMut(usize, Example) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut ranks: Vec<usize> = (0..self.chosen.len()).collect();
        ranks.sort_unstable_by_key(|rank| self.chosen[*rank].row);
        let mut here = None; // the row that `next` would give, once known
        for rank in ranks {
            let chosen = &self.chosen[rank];
            if here != Some(chosen.row) {
                rows.seek(&chosen.position).map_err(Error::Rows)?;
            }
            let Some(Row::Example(example)) = rows.next().map_err(Error::Rows)? else {
                return Err(Error::Changed { row: chosen.row + 1 }.into());
            };
            here = Some(chosen.row + 1);
            take(rank, example)?;
        }
        Ok(())
    }

    /// All chosen examples in the seeded order.
    ///
    /// # Errors
    /// When the source cannot be read or has changed.
    pub fn load(&self, rows: &mut dyn Rows) -> Result<Vec<Example>, Error> {
        let mut examples = Vec::with_capacity(self.len());
        self.visit::<Error>(rows, |rank, example| {
            examples.push((rank, example));
            Ok(())
        })?;
        examples.sort_unstable_by_key(|(rank, _)| *rank);
        Ok(examples.into_iter().map(|(_, example)| example).collect())
    }
}
