//! Examples put together into rows of a given length: none is cut, and rows are nearly full.

use std::cmp::Reverse;
use std::collections::BTreeSet;

/// Examples are matched among as many as fill this many rows. More fill rows better, by less than one in so many;
/// fewer leave an example nearer to where the epoch's order has it.
const WINDOW_ROWS: usize = 256;

/// Lists of examples, end to end: for millions of them, four bytes an example and a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Groups {
    examples: Vec<u32>,
    /// Where each list ends.
    ends: Vec<u32>,
}

impl Groups {
    /// Each example by itself.
    pub fn of_one(examples: Vec<u32>) -> Self {
        let ends = (1..=examples.len() as u32).collect();
        Self { examples, ends }
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// A list; an empty one where there is none.
    pub fn get(&self, index: usize) -> &[u32] {
        let Some(end) = self.ends.get(index) else { return &[] };
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.examples[start as usize..*end as usize]
    }

    fn push(&mut self, examples: impl IntoIterator<Item = u32>) {
        self.examples.extend(examples);
        self.ends.push(self.examples.len() as u32);
    }

    /// So many lists put together into each.
    pub fn chunks(mut self, size: usize) -> Self {
        self.ends = self.ends.chunks(size.max(1)).filter_map(|ends| ends.last().copied()).collect();
        self
    }

    /// Lists put together in their order, so that each has at most `most` tokens; one that has more stays by itself.
    pub fn by_tokens(mut self, length: impl Fn(u32) -> usize, most: usize) -> Self {
        let (mut ends, mut taken, mut start): (Vec<u32>, usize, usize) = (Vec::new(), 0, 0);
        for end in &self.ends {
            let more = self.examples[start..*end as usize].iter().map(|example| length(*example)).sum::<usize>();
            start = *end as usize;
            match ends.last_mut().filter(|_| taken + more <= most) {
                Some(last) => {
                    taken += more;
                    *last = *end;
                }
                None => {
                    taken = more;
                    ends.push(*end);
                }
            }
        }
        self.ends = ends;
        self
    }
}

/// Rows of at most `max_length` tokens, each a list of examples and every example of `order` in one of them. An example
/// that is longer is a row of its own.
///
/// Best-fit decreasing, window by window: from the longest example to the shortest, each goes where it leaves the least
/// room. A row takes the position of its longest example, so rows come in an order as random as that of the examples, and
/// rows of one example each in exactly that order.
pub(crate) fn rows(order: &[u32], length: impl Fn(u32) -> usize, max_length: usize) -> Groups {
    let length_at = |position: &usize| length(order[*position]);
    let most = max_length.saturating_mul(WINDOW_ROWS);
    let (mut rows, mut start) = (Groups::default(), 0);
    while start < order.len() {
        let mut taken: usize = 0;
        let fits = order[start..].iter().take_while(|example| {
            taken = taken.saturating_add(length(**example));
            taken <= most
        });
        let end = start + fits.count().max(1);
        for row in best_fit((start..end).collect(), length_at, max_length) {
            rows.push(row.into_iter().map(|position| order[position]));
        }
        start = end;
    }
    rows
}

fn best_fit(mut positions: Vec<usize>, length: impl Fn(&usize) -> usize, max_length: usize) -> Vec<Vec<usize>> {
    positions.sort_by_key(|position| (Reverse(length(position)), *position));
    let mut rows: Vec<Vec<usize>> = Vec::new();
    // Tokens that still fit, and the row they fit into.
    let mut rooms: BTreeSet<(usize, usize)> = BTreeSet::new();
    for position in positions {
        let length = length(&position);
        let room = match rooms.range((length, 0)..).next().copied() {
            Some((room, row)) => {
                rooms.remove(&(room, row));
                rows[row].push(position);
                (room - length, row)
            }
            None => {
                rows.push(vec![position]);
                (max_length.saturating_sub(length), rows.len() - 1)
            }
        };
        rooms.insert(room);
    }
    rows.sort_by_key(|row| row[0]);
    rows
}

/// As [`by_tokens`], where each item of a group takes as many tokens as the one of them that has most: padding.
pub(crate) fn by_padded_tokens<T>(
    items: impl IntoIterator<Item = T>,
    tokens: impl Fn(&T) -> usize,
    most: usize,
) -> Vec<Vec<T>> {
    let mut groups: Vec<Vec<T>> = Vec::new();
    let mut width = 0;
    for item in items {
        let own = tokens(&item);
        match groups.last_mut().filter(|group| (group.len() + 1) * own.max(width) <= most) {
            Some(group) => {
                width = own.max(width);
                group.push(item);
            }
            None => {
                width = own;
                groups.push(vec![item]);
            }
        }
    }
    groups
}

/// `items` in their order, in groups of at most `most` tokens; one that has more is a group of its own.
pub(crate) fn by_tokens<T>(
    items: impl IntoIterator<Item = T>,
    tokens: impl Fn(&T) -> usize,
    most: usize,
) -> Vec<Vec<T>> {
    let mut groups: Vec<Vec<T>> = Vec::new();
    let mut taken = 0;
    for item in items {
        let more = tokens(&item);
        match groups.last_mut().filter(|_| taken + more <= most) {
            Some(group) => {
                taken += more;
                group.push(item);
            }
            None => {
                taken = more;
                groups.push(vec![item]);
            }
        }
    }
    groups
}
