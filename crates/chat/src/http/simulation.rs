//! [`Pace`] against servers that enforce their limits to the letter, in time that is only reckoned.

use std::time::SystemTime;

use tunebench_scripted_server::{Counting, RateLimited, Spelling};
use tunebench_spec::random::Stream;

use super::headers::Headers;
use super::pace::{Need, Outcome, Pace, Ticket};
use super::stated::{self, Stated};

/// Seconds between the leaving of a request, its arrival and the response's.
struct Latency {
    arrival: (f64, f64),
    answer: (f64, f64),
}

const USUAL: Latency = Latency { arrival: (0.01, 0.3), answer: (0.5, 5.0) };

enum Event {
    Arrives { tokens: f64, ticket: Ticket },
    Returns { tokens: f64, ticket: Ticket, outcome: Outcome, stated: Vec<Stated> },
}

struct Client {
    pace: Pace,
    requests: usize,
    /// Tokens that a request is taken for until the first is back, and the fewest and most that one has.
    expected: f64,
    tokens: (f64, f64),
    /// Whether a refusal says how long to wait.
    hints: bool,
    latency: Latency,
    /// Headers that the server adds to every response.
    more: &'static [(&'static str, &'static str)],
}

impl Client {
    fn new(pace: Pace) -> Self {
        Self { pace, requests: 2000, expected: 0.0, tokens: (0.0, 0.0), hints: true, latency: USUAL, more: &[] }
    }

    /// Sends all requests, each again until it is let in. Seconds until the last had left, and the tokens let in.
    fn run(mut self, server: &RateLimited) -> (f64, f64) {
        let mut random = Stream::named(5, "simulation");
        let mut between = |(low, high): (f64, f64)| low + (high - low) * random.uniform();
        let mut waiting: Vec<f64> = (0..self.requests).map(|_| between(self.tokens)).collect();
        let mut events: Vec<(f64, Event)> = Vec::new();
        let (mut now, mut last, mut admitted_tokens) = (0.0, 0.0, 0.0);
        while !waiting.is_empty() || !events.is_empty() {
            let need = Need { input_tokens: self.expected, output_tokens: 0.0 };
            let departs = if waiting.is_empty() { f64::INFINITY } else { self.pace.earliest(now, need).max(now) };
            let next = events.iter().enumerate().min_by(|a, b| a.1.0.total_cmp(&b.1.0)).map(|(i, event)| (i, event.0));
            if next.is_none_or(|(_, time)| departs <= time) {
                assert!(departs.is_finite(), "nothing is in flight, and nothing may leave");
                now = departs;
                last = now;
                let ticket = self.pace.depart(now, need);
                let tokens = waiting.pop().unwrap();
                events.push((now + between(self.latency.arrival), Event::Arrives { tokens, ticket }));
                continue;
            }
            let (index, time) = next.unwrap();
            now = time;
            match events.swap_remove(index).1 {
                Event::Arrives { tokens, ticket } => {
                    let verdict = server.arrive(now, tokens);
                    let more = self.more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
                    let headers: Headers = verdict.headers.into_iter().chain(more).collect();
                    let stated = stated::read(&headers, SystemTime::now());
                    let (outcome, delay) = if verdict.is_admitted {
                        admitted_tokens += tokens;
                        let used = Need { input_tokens: tokens, output_tokens: 0.0 };
                        (Outcome::Answered(Some(used)), between(self.latency.answer))
                    } else {
                        let wait = self.hints.then_some(verdict.wait);
                        (Outcome::Overloaded { wait, for_all: true }, between(self.latency.arrival))
                    };
                    events.push((now + delay, Event::Returns { tokens, ticket, outcome, stated }));
                }
                Event::Returns { tokens, ticket, outcome, stated } => {
                    if matches!(outcome, Outcome::Overloaded { .. }) {
                        waiting.push(tokens);
                    } else {
                        self.expected = self.tokens.1;
                    }
                    self.pace.finish(now, &ticket, outcome, &stated);
                }
            }
        }
        (last, admitted_tokens)
    }
}

const COUNTINGS: [Counting; 3] = [Counting::FixedWindow, Counting::SlidingWindow, Counting::Bucket];

#[test]
fn two_thousand_requests_stay_within_the_limit_and_use_nine_tenths_of_it() {
    let spellings = [Spelling::OpenAi, Spelling::Anthropic, Spelling::Plain, Spelling::Standard];
    for counting in COUNTINGS {
        for spelling in spellings {
            for limit in [60.0, 500.0] {
                let server = RateLimited::new(counting, spelling, 60.0, limit, None);
                let (seconds, _) = Client::new(Pace::new(100, None, None)).run(&server);
                let share = 2000.0 / (limit * seconds / 60.0);
                println!("{counting:?}, {spelling:?}, {limit}: {share:.3} in {seconds:.0} s");
                assert_eq!((server.violations(), server.admitted()), (0, 2000), "{counting:?}, {spelling:?}, {limit}");
                assert!((0.9..=1.1).contains(&share), "{counting:?}, {spelling:?}, {limit}: {share} of the limit");
            }
        }
    }
}

#[test]
fn the_limit_of_the_settings_holds_where_none_is_stated() {
    for counting in COUNTINGS {
        let server = RateLimited::new(counting, Spelling::Silent, 60.0, 300.0, None);
        let (seconds, _) = Client::new(Pace::new(100, Some(300.0), None)).run(&server);
        assert_eq!(server.violations(), 0, "{counting:?}");
        assert!(2000.0 / (300.0 * seconds / 60.0) >= 0.9, "{counting:?}: {seconds} s");
    }
}

#[test]
fn tokens_stay_within_their_limit_whatever_was_expected() {
    for counting in COUNTINGS {
        for (expected, name) in [(500.0, "about right"), (4000.0, "far too many")] {
            let server = RateLimited::new(counting, Spelling::OpenAi, 60.0, 1e6, Some(100_000.0));
            let client = Client {
                requests: 1500,
                expected,
                tokens: (100.0, 500.0),
                latency: Latency { arrival: (0.01, 0.3), answer: (0.5, 2.0) },
                ..Client::new(Pace::new(100, None, None))
            };
            let (seconds, tokens) = client.run(&server);
            let share = tokens / (100_000.0 * seconds / 60.0);
            println!("{counting:?}, {name}: {share:.3} in {seconds:.0} s");
            assert_eq!(server.violations(), 0, "{counting:?}, {name}");
            assert!(share >= 0.9, "{counting:?}, {name}: {share}");
        }
    }
}

#[test]
fn a_server_that_says_nothing_is_found_out_and_not_stormed() {
    for counting in COUNTINGS {
        for hints in [true, false] {
            let server = RateLimited::new(counting, Spelling::Silent, 60.0, 300.0, None);
            let (seconds, _) = Client { hints, ..Client::new(Pace::new(20, None, None)) }.run(&server);
            let share = 2000.0 / (300.0 * seconds / 60.0);
            println!("{counting:?}, hints {hints}: {share:.3}, {} refused", server.violations());
            assert_eq!(server.admitted(), 2000);
            assert!(share >= 0.7, "{counting:?}, hints {hints}: {share}");
            assert!(server.violations() < 400, "{counting:?}, hints {hints}: {}", server.violations());
        }
    }
}

#[test]
fn limits_of_other_windows_are_kept_too() {
    // A second's, and an hour's that nobody can spread over the run.
    let server = RateLimited::new(Counting::FixedWindow, Spelling::Standard, 1.0, 10.0, None);
    let quick = Latency { arrival: (0.001, 0.005), answer: (0.05, 0.2) };
    let (seconds, _) = Client { latency: quick, ..Client::new(Pace::new(100, None, None)) }.run(&server);
    assert_eq!(server.violations(), 0);
    assert!(2000.0 / (10.0 * seconds) >= 0.9, "{seconds} s");
    let server = RateLimited::new(Counting::FixedWindow, Spelling::Plain, 3600.0, 50_000.0, None);
    let (seconds, _) = Client::new(Pace::new(50, None, None)).run(&server);
    assert_eq!(server.violations(), 0);
    assert!(seconds < 300.0, "as fast as fifty at once are: {seconds} s");
}

#[test]
fn a_limit_a_day_does_not_hide_the_one_a_minute() {
    let more = &[
        ("x-ratelimit-limit-requests-day", "100000"),
        ("x-ratelimit-remaining-requests-day", "90000"),
        ("x-ratelimit-reset-requests-day", "3600"),
        ("ratelimit-limit", "1000000"),
    ];
    let server = RateLimited::new(Counting::SlidingWindow, Spelling::OpenAi, 60.0, 300.0, None);
    let (seconds, _) = Client { more, ..Client::new(Pace::new(100, None, None)) }.run(&server);
    assert_eq!(server.violations(), 0);
    assert!(2000.0 / (300.0 * seconds / 60.0) >= 0.9, "{seconds} s");
}

#[test]
fn how_many_at_once_doubles_then_is_halved_once_and_grows_by_one() {
    let mut pace = Pace::new(64, None, None);
    let overloaded = Outcome::Overloaded { wait: None, for_all: false };
    // Sends all that may be in flight, and lets the first so many of them come back as too much.
    let mut round = |too_many: usize| {
        let mut flight = Vec::new();
        while pace.earliest(0.0, Need::default()) <= 0.0 {
            flight.push(pace.depart(0.0, Need::default()));
        }
        for (i, ticket) in flight.iter().enumerate() {
            pace.finish(0.0, ticket, if i < too_many { overloaded } else { Outcome::Answered(None) }, &[]);
        }
        flight.len()
    };
    let start: Vec<usize> = (0..6).map(|_| round(0)).collect();
    assert_eq!(start, [1, 2, 4, 8, 16, 32]);
    assert_eq!(round(20), 64, "and no more than the settings allow");
    let after: Vec<usize> = (0..6).map(|_| round(0)).collect();
    assert!((32..=34).contains(&after[0]), "{after:?}");
    assert!(after.windows(2).all(|pair| (1..=2).contains(&(pair[1] - pair[0]))), "{after:?}");
    // Without a hint, and meant for all: one alone finds out how long it lasts.
    let ticket = pace.depart(0.0, Need::default());
    let stop = Outcome::Overloaded { wait: None, for_all: true };
    pace.finish(0.0, &ticket, stop, &[]);
    for hold in [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 32.0] {
        let free = pace.earliest(0.0, Need::default());
        assert_eq!(free, hold);
        let ticket = pace.depart(free, Need::default());
        assert_eq!(pace.earliest(free, Need::default()), f64::INFINITY, "one alone");
        // Time begins again, to have plain numbers.
        pace.finish(0.0, &ticket, stop, &[]);
    }
}
