//! Ranks that are threads: every operation, and what becomes of the others when one fails.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::time::{Duration, Instant};

use tunebench_exchange::{Alone, Error, Exchange, greet, threads};

#[path = "../examples/ranks.rs"]
mod program;

/// What each of so many ranks comes to.
fn each<T: Send>(size: usize, f: impl Fn(&mut dyn Exchange) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let running: Vec<_> = threads(size)
            .into_iter()
            .map(|mut rank| {
                let f = &f;
                scope.spawn(move || {
                    let found = f(&mut rank);
                    Box::new(rank).finish().ok();
                    found
                })
            })
            .collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn bytes_come_as_they_were_sent_among_any_number_of_ranks() {
    program::check(&mut Alone, 70_001).unwrap();
    for size in 1..=5 {
        for done in each(size, |exchange| program::check(exchange, 70_001)) {
            done.unwrap();
        }
    }
}

#[test]
fn ranks_that_differ_are_refused_on_all_of_them_by_name() {
    let cases: [([&str; 3], Option<&str>); 4] = [
        (["a: 1\nb: 2"; 3], None),
        (["a: 1\nb: 2", "a: 1\nb: 2", "a: 1\nb: 3"], Some("rank 2 has another b than rank 0: 3, there 2")),
        (["a: 1", "a: 1\nb: 2", "a: 4"], Some("rank 1 has another b than rank 0: 2, there none")),
        (
            ["level: avx2", "level: avx512", "level: amx"],
            Some("rank 1 has another level than rank 0: avx512, there avx2"),
        ),
    ];
    for (lines, expected) in cases {
        let greeted = each(3, |exchange| {
            let own = lines[exchange.rank()];
            greet(exchange, own)
        });
        for found in greeted {
            let found = found.err().map(|error| error.to_string());
            assert_eq!(found.is_some(), expected.is_some(), "{found:?}");
            assert!(found.is_none_or(|found| found.starts_with(expected.unwrap())), "{lines:?}");
        }
    }
}

#[test]
fn a_rank_that_fails_leaves_or_panics_ends_the_others() {
    type Fail = fn(&mut dyn Exchange);
    let ways: [(Fail, &str); 3] = [
        (|exchange| exchange.abort("the disk is full"), "rank 1 has ended: the disk is full"),
        (|_| {}, "rank 1 has ended: it left before the others"),
        (|_| panic!("on purpose"), "rank 1 has ended: it panicked"),
    ];
    for (fail, expected) in ways {
        let begin = Instant::now();
        let found: Vec<Option<Error>> = std::thread::scope(|scope| {
            let rank = |mut rank: tunebench_exchange::Threads| {
                scope.spawn(move || {
                    rank.barrier().unwrap();
                    if rank.rank() == 1 {
                        fail(&mut rank);
                        return None;
                    }
                    Some(rank.all_gather(&[1], &mut [0; 3], &[1; 3]).unwrap_err())
                })
            };
            let running: Vec<_> = threads(3).into_iter().map(rank).collect();
            running.into_iter().map(|thread| thread.join().ok().flatten()).collect()
        });
        let said: Vec<_> = found.into_iter().flatten().map(|error| error.to_string()).collect();
        assert_eq!(said, [expected; 2]);
        assert!(begin.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn ranks_out_of_step_say_so() {
    let found = each(2, |exchange| match exchange.rank() {
        0 => exchange.barrier(),
        _ => exchange.broadcast(0, &mut [0; 4]),
    });
    for (rank, error) in found.into_iter().enumerate() {
        let said = error.unwrap_err().to_string();
        assert!(said.starts_with(&format!("rank {rank} ")) && said.contains("the same work"), "{said}");
    }
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    let sizes = |exchange: &mut dyn Exchange| exchange.all_gather(&[1, 2], &mut [0; 4], &[1, 3]);
    assert!(each(2, sizes).into_iter().all(|found| matches!(found, Err(Error::Counts { .. }))));
    let error = Alone.all_to_all(&[1, 2], &[1], &mut [0; 2], &[2]).unwrap_err();
    assert!(matches!(error, Error::Counts { .. }), "{error}");
}
