//! A limit as servers enforce it, to the letter: what is too much is refused and counted, and what is left is stated.

use std::sync::Mutex;

/// How what came is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// Windows one after another, each of which begins with nothing.
    FixedWindow,
    /// Whatever came within the last window.
    SlidingWindow,
    /// A bucket that fills evenly, and holds a window's worth.
    Bucket,
}

/// In whose words limits are stated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// `x-ratelimit-limit-requests`, durations as Go writes them.
    OpenAi,
    /// `anthropic-ratelimit-requests-limit`; resets in seconds here, as it knows no date.
    Anthropic,
    /// `ratelimit-limit`, without a window.
    Plain,
    /// `RateLimit` and `RateLimit-Policy`.
    Standard,
    /// Nothing is stated.
    Silent,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub is_admitted: bool,
    pub headers: Vec<(String, String)>,
    /// Seconds until as much would be admitted.
    pub wait: f64,
}

/// Limits of requests and, perhaps, of tokens, over a window of seconds.
pub struct RateLimited {
    counting: Counting,
    spelling: Spelling,
    window: f64,
    requests: Mutex<Account>,
    tokens: Option<Mutex<Account>>,
    counts: Mutex<(usize, usize)>,
}

struct Account {
    limit: f64,
    /// Times and amounts of what was admitted.
    admitted: Vec<(f64, f64)>,
    /// Of a bucket: what is in it, and since when.
    bucket: (f64, f64),
}

impl RateLimited {
    pub fn new(counting: Counting, spelling: Spelling, window: f64, requests: f64, tokens: Option<f64>) -> Self {
        let account = |limit| Mutex::new(Account { limit, admitted: Vec::new(), bucket: (limit, 0.0) });
        let tokens = tokens.map(account);
        Self { counting, spelling, window, requests: account(requests), tokens, counts: Mutex::new((0, 0)) }
    }

    /// A request that takes so many tokens comes, `now` seconds after the start.
    pub fn arrive(&self, now: f64, tokens: f64) -> Verdict {
        let mut requests = self.requests.lock().unwrap();
        let mut of_tokens = self.tokens.as_ref().map(|account| account.lock().unwrap());
        let mut wait = requests.wait(self, now, 1.0);
        if let Some(account) = &mut of_tokens {
            wait = wait.max(account.wait(self, now, tokens));
        }
        let is_admitted = wait <= 0.0;
        if is_admitted {
            requests.take(now, 1.0);
            if let Some(account) = &mut of_tokens {
                account.take(now, tokens);
            }
        }
        let mut counts = self.counts.lock().unwrap();
        if is_admitted {
            counts.0 += 1
        } else {
            counts.1 += 1
        }
        let mut headers = self.state("requests", &mut requests, now);
        if let Some(account) = &mut of_tokens {
            headers.extend(self.state("tokens", account, now));
        }
        Verdict { is_admitted, headers, wait }
    }

    pub fn admitted(&self) -> usize {
        self.counts.lock().unwrap().0
    }

    /// Requests that came too early.
    pub fn violations(&self) -> usize {
        self.counts.lock().unwrap().1
    }

    fn state(&self, kind: &str, account: &mut Account, now: f64) -> Vec<(String, String)> {
        let remaining = (account.limit - account.used(self, now)).max(0.0).floor();
        let reset = account.reset(self, now);
        let (limit, window) = (account.limit, self.window);
        let pair = |name: String, value: String| (name, value);
        match self.spelling {
            Spelling::Silent => Vec::new(),
            Spelling::OpenAi => vec![
                pair(format!("x-ratelimit-limit-{kind}"), limit.to_string()),
                pair(format!("x-ratelimit-remaining-{kind}"), remaining.to_string()),
                pair(format!("x-ratelimit-reset-{kind}"), format!("{}ms", (reset * 1000.0).ceil())),
            ],
            Spelling::Anthropic => vec![
                pair(format!("anthropic-ratelimit-{kind}-limit"), limit.to_string()),
                pair(format!("anthropic-ratelimit-{kind}-remaining"), remaining.to_string()),
                pair(format!("anthropic-ratelimit-{kind}-reset"), reset.ceil().to_string()),
            ],
            Spelling::Plain if kind == "requests" => vec![
                pair("ratelimit-limit".into(), limit.to_string()),
                pair("ratelimit-remaining".into(), remaining.to_string()),
                pair("ratelimit-reset".into(), reset.ceil().to_string()),
            ],
            Spelling::Standard if kind == "requests" => vec![
                pair("ratelimit".into(), format!("\"default\";r={remaining};t={}", reset.ceil())),
                pair("ratelimit-policy".into(), format!("\"default\";q={limit};w={window}")),
            ],
            Spelling::Plain | Spelling::Standard => Vec::new(),
        }
    }
}

impl Account {
    /// What counts now.
    fn used(&mut self, server: &RateLimited, now: f64) -> f64 {
        let since = match server.counting {
            Counting::Bucket => {
                let (level, at) = self.bucket;
                let level = (level + (now - at).max(0.0) * self.limit / server.window).min(self.limit);
                self.bucket = (level, at.max(now));
                return self.limit - level;
            }
            Counting::FixedWindow => (now / server.window).floor() * server.window,
            Counting::SlidingWindow => now - server.window,
        };
        let counts = |time: f64| if server.counting == Counting::SlidingWindow { time > since } else { time >= since };
        self.admitted.iter().filter(|(time, _)| counts(*time)).map(|(_, amount)| amount).sum()
    }

    fn wait(&mut self, server: &RateLimited, now: f64, amount: f64) -> f64 {
        let over = self.used(server, now) + amount - self.limit;
        // Sums of what trickles into a bucket are a little wrong.
        if over <= 1e-6 {
            return 0.0;
        }
        match server.counting {
            Counting::Bucket => over * server.window / self.limit,
            Counting::FixedWindow => self.reset(server, now).max(1e-3),
            Counting::SlidingWindow => {
                let mut left = over;
                let counted = self.admitted.iter().filter(|(time, _)| *time > now - server.window);
                let last = counted.take_while(|(_, amount)| {
                    let is_needed = left > 1e-6;
                    left -= amount;
                    is_needed
                });
                last.last().map_or(server.window, |(time, _)| time + server.window - now).max(1e-3)
            }
        }
    }

    fn take(&mut self, now: f64, amount: f64) {
        self.admitted.push((now, amount));
        self.bucket.0 -= amount;
    }

    /// Seconds until nothing counts any more.
    fn reset(&mut self, server: &RateLimited, now: f64) -> f64 {
        match server.counting {
            Counting::Bucket => self.used(server, now) * server.window / self.limit,
            Counting::FixedWindow => (now / server.window).floor() * server.window + server.window - now,
            Counting::SlidingWindow => {
                self.admitted.last().map_or(0.0, |(time, _)| (time + server.window - now).max(0.0))
            }
        }
    }
}
