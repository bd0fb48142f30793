//! Patterns to deterministic automata: Thompson's construction, then subsets (Aho, Sethi, Ullman, "Compilers", 3.7).

use std::collections::{BTreeMap, BTreeSet};

use crate::pattern::Pattern;

/// More states than any schema needs that a person would write.
const MOST_STATES: usize = 20_000;

/// Steps of its making, about a second: a schema may come from anywhere.
const MOST_WORK: usize = 200_000_000;

/// A state that no way leads out of.
const DEAD: u32 = u32::MAX;

/// Reads bytes; every state can still come to an accepting one.
#[derive(Debug)]
pub(crate) struct Automaton {
    /// Of each state, where each byte leads.
    next: Vec<[u32; 256]>,
    is_accepting: Vec<bool>,
}

/// An automaton that may be in several states at once.
#[derive(Default)]
struct Thompson {
    /// Of each state, the ranges of bytes that lead on.
    bytes: Vec<Vec<(u8, u8, usize)>>,
    /// Of each state, where nothing leads.
    free: Vec<Vec<usize>>,
}

impl Automaton {
    /// # Errors
    /// When it would be too large.
    pub(crate) fn new(pattern: &Pattern) -> Result<Self, String> {
        let mut thompson = Thompson::default();
        let (start, end) = (thompson.state(), thompson.state());
        thompson.add(pattern, start, end);
        let mut found = Self { next: Vec::new(), is_accepting: Vec::new() };
        let first = thompson.closure([start]);
        let mut numbers = BTreeMap::from([(first.clone(), 0)]);
        let (mut waiting, mut work) = (vec![first], 0);
        while let Some(states) = waiting.pop() {
            // States are numbered when they are first seen, and filled in whatever order they are looked at.
            let number = numbers[&states];
            let mut next = [DEAD; 256];
            work += states.len() * next.len();
            if work > MOST_WORK {
                return Err("it is too large".to_owned());
            }
            for byte in 0..=u8::MAX {
                let reached = thompson.step(&states, byte);
                if reached.is_empty() {
                    continue;
                }
                let to = match numbers.get(&reached) {
                    Some(to) => *to,
                    None => {
                        let to = numbers.len();
                        if to >= MOST_STATES {
                            return Err("it is too large".to_owned());
                        }
                        numbers.insert(reached.clone(), to);
                        waiting.push(reached);
                        to
                    }
                };
                next[usize::from(byte)] = u32::try_from(to).unwrap_or(DEAD);
            }
            if found.next.len() < numbers.len() {
                found.next.resize(numbers.len(), [DEAD; 256]);
                found.is_accepting.resize(numbers.len(), false);
            }
            found.next[number] = next;
            found.is_accepting[number] = states.contains(&end);
        }
        Ok(found)
    }

    /// Number of states; the first is 0.
    pub(crate) fn len(&self) -> usize {
        self.next.len()
    }

    /// Where bytes lead from a state, unless they cannot stand there.
    pub(crate) fn read(&self, state: usize, bytes: &[u8]) -> Option<usize> {
        bytes.iter().try_fold(state, |state, byte| {
            let next = self.next.get(state)?[usize::from(*byte)];
            (next != DEAD).then_some(next as usize)
        })
    }

    /// Whether the text may end here.
    pub(crate) fn is_accepting(&self, state: usize) -> bool {
        self.is_accepting.get(state).copied().unwrap_or(false)
    }
}

impl Thompson {
    fn state(&mut self) -> usize {
        self.bytes.push(Vec::new());
        self.free.push(Vec::new());
        self.bytes.len() - 1
    }

    /// Lets `pattern` lead from one state to another.
    fn add(&mut self, pattern: &Pattern, from: usize, to: usize) {
        match pattern {
            Pattern::Literal(bytes) => {
                let mut at = from;
                for byte in bytes {
                    let next = self.state();
                    self.bytes[at].push((*byte, *byte, next));
                    at = next;
                }
                self.free[at].push(to);
            }
            Pattern::Byte(ranges) => self.bytes[from].extend(ranges.iter().map(|(low, high)| (*low, *high, to))),
            Pattern::Sequence(parts) => {
                let mut at = from;
                for part in parts {
                    let next = self.state();
                    self.add(part, at, next);
                    at = next;
                }
                self.free[at].push(to);
            }
            Pattern::Any(parts) => parts.iter().for_each(|part| {
                // A state of its own, so that one that repeats does not leak into the others.
                let begin = self.state();
                self.free[from].push(begin);
                self.add(part, begin, to);
            }),
            Pattern::Optional(part) => {
                let begin = self.state();
                self.free[from].extend([begin, to]);
                self.add(part, begin, to);
            }
            Pattern::Repeat(part) => {
                let again = self.state();
                let behind = self.state();
                self.free[from].push(again);
                self.free[again].push(to);
                self.add(part, again, behind);
                self.free[behind].push(again);
            }
        }
    }

    /// All states that these lead to without a byte, these included.
    fn closure(&self, states: impl IntoIterator<Item = usize>) -> BTreeSet<usize> {
        let mut waiting: Vec<usize> = states.into_iter().collect();
        let mut all = BTreeSet::new();
        while let Some(state) = waiting.pop() {
            if all.insert(state) {
                waiting.extend(&self.free[state]);
            }
        }
        all
    }

    fn step(&self, states: &BTreeSet<usize>, byte: u8) -> BTreeSet<usize> {
        let ways = states.iter().flat_map(|state| &self.bytes[*state]);
        self.closure(ways.filter(|(low, high, _)| (*low..=*high).contains(&byte)).map(|(.., to)| *to))
    }
}
