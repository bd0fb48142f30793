//! Waits and limits over real connections, in a time that runs faster than the wall's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tunebench_chat::{Chat, ChatServer, Clock, Failure};
use tunebench_scripted_server::{Counting, RateLimited, Response, Server, Spelling};
use tunebench_spec::study::ChatSettings;

use super::{chat, retrying, send};

/// Milliseconds between the server's first request and its last.
fn span(server: &Server) -> u128 {
    let seen = server.seen();
    (seen.last().unwrap().at - seen[0].at).as_millis()
}

#[test]
fn what_a_server_asks_for_is_waited_out() {
    // A second is a millisecond here.
    const SKEWED: &[(&str, &str)] =
        &[("date", "Fri, 31 Dec 2100 23:59:00 GMT"), ("retry-after", "Fri, 31 Dec 2100 23:59:50 GMT")];
    type Pairs = &'static [(&'static str, &'static str)];
    let cases: Vec<(u16, &str, Pairs, u128)> = vec![
        (429, "", &[("retry-after", "60")], 60),
        (429, "", &[("retry-after-ms", "60000"), ("retry-after", "1")], 60),
        (429, "", SKEWED, 50),
        (503, "", SKEWED, 50),
        (429, "Please try again in 1m10s.", &[], 70),
        (503, "", &[("retry-after", "60")], 60),
        (429, "slow down", &[], 1),
    ];
    for (status, body, headers, at_least) in cases {
        let (body, headers) = (body.to_owned(), headers.to_vec());
        let shown = format!("{status} {body} {headers:?}");
        let server = Server::start(move |before, _| match before {
            0 => Response::new(status, body.clone()).with_headers(&headers),
            _ => Response::reply("1"),
        });
        send(&chat(&retrying(&server, 1)), "x").unwrap();
        assert_eq!(server.count(), 2, "{shown}");
        assert!(span(&server) >= at_least, "{shown}: {} ms", span(&server));
    }
}

#[test]
fn a_limit_without_a_hint_is_waited_out_for_a_minute_whatever_the_retries() {
    let server = Server::start(|_, _| Response::new(429, "slow down"));
    let Err(Failure::Server(reason)) = send(&chat(&retrying(&server, 0)), "x") else { panic!("no failure") };
    assert!(reason.contains("HTTP 429: slow down"), "{reason}");
    assert!(span(&server) >= 31, "{} ms", span(&server)); // 1 + 2 + 4 + 8 + 16 s at least
    assert!((3..=8).contains(&server.count()), "{} requests", server.count());
}

#[test]
fn no_more_are_in_flight_than_the_settings_allow() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (for_now, for_most) = (now.clone(), most.clone());
    let server = Server::start(move |_, _| {
        for_most.fetch_max(1 + for_now.fetch_add(1, Ordering::SeqCst), Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(5));
        for_now.fetch_sub(1, Ordering::SeqCst);
        Response::reply("1")
    });
    let settings = ChatSettings { concurrency: 4, requests_per_minute: None, ..retrying(&server, 2) };
    let chat = chat(&settings);
    assert_eq!(all(&chat, 12, 60), 60);
    let most = most.load(Ordering::SeqCst);
    assert!((2..=4).contains(&most), "{most} at once");
}

#[test]
fn a_limited_server_is_asked_until_every_request_has_its_reply() {
    for (counting, spelling) in [
        (Counting::FixedWindow, Spelling::OpenAi),
        (Counting::SlidingWindow, Spelling::Standard),
        (Counting::Bucket, Spelling::Anthropic),
    ] {
        // 50 a second and more; whether a busy machine is ever early is for the simulation to say.
        let clock = Clock::faster(20.0);
        let limited = RateLimited::new(counting, spelling, 60.0, 200.0, None);
        let server = Server::start(move |_, _| {
            let verdict = limited.arrive(clock.now(), 110.0);
            let wait = format!("{}", (verdict.wait * 1000.0).ceil());
            let headers: Vec<(&str, &str)> = verdict.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            match verdict.is_admitted {
                true => Response::reply("1").with_headers(&headers),
                false => {
                    Response::new(429, "").with_headers(&headers).with_headers(&[("retry-after-ms", wait.as_str())])
                }
            }
        });
        let settings = ChatSettings { concurrency: 16, requests_per_minute: None, ..retrying(&server, 5) };
        let chat = Chat::with_clock(&settings, clock).unwrap();
        assert_eq!(all(&chat, 16, 60), 60, "{counting:?}");
        assert_eq!(chat.limits_per_minute()[0], Some(200.0));
    }
}

#[test]
fn a_stop_wakes_all_who_wait() {
    let server = Server::start(|_, _| Response::new(429, "").with_headers(&[("retry-after", "100")]));
    let settings = ChatSettings { concurrency: 4, ..retrying(&server, 5) };
    let chat = Chat::with_clock(&settings, Clock::new()).unwrap();
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..4)
            .map(|i| {
                scope.spawn({
                    let chat = &chat;
                    move || send(chat, &format!("{i}"))
                })
            })
            .collect();
        while server.count() == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        chat.stop(tunebench_chat::ChatError::Ended("enough".into()));
        for thread in waiting {
            assert!(matches!(thread.join().unwrap(), Err(Failure::Stopped(_))));
        }
    });
}

/// Sends so many requests by so many threads; how many were answered.
fn all(chat: &Chat, threads: usize, requests: usize) -> usize {
    let (next, answered) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    if i >= requests {
                        return;
                    }
                    send(chat, &format!("{i}")).unwrap();
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    answered.load(Ordering::Relaxed)
}
