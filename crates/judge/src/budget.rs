//! Prices and the budget: what a reply cost, and whether one more request may be sent.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tunebench_spec::ChatRequest;
use tunebench_spec::study::ChatSettings;

use crate::JudgeError;
use tunebench_chat::{ChatError, Usage};

/// US dollars per token.
#[derive(Clone, Copy)]
pub(crate) struct Prices {
    prompt: f64,
    completion: f64,
}

impl Prices {
    pub(crate) fn cost(self, usage: Usage) -> f64 {
        usage.prompt as f64 * self.prompt + usage.completion as f64 * self.completion
    }
}

/// The prices of the settings: both or none.
pub(crate) fn prices(settings: &ChatSettings) -> Result<Option<Prices>, JudgeError> {
    let amounts = [
        ("usd_per_million_prompt_tokens", settings.usd_per_million_prompt_tokens),
        ("usd_per_million_completion_tokens", settings.usd_per_million_completion_tokens),
        ("budget_usd", settings.budget_usd),
    ];
    for (field, amount) in amounts {
        if amount.is_some_and(|v| !(v.is_finite() && v >= 0.0)) {
            return Err(ChatError::Settings { field, reason: "must be 0 or more".into() }.into());
        }
    }
    match (settings.usd_per_million_prompt_tokens, settings.usd_per_million_completion_tokens, settings.budget_usd) {
        (Some(prompt), Some(completion), _) => Ok(Some(Prices { prompt: prompt / 1e6, completion: completion / 1e6 })),
        (None, None, None) => Ok(None),
        _ => {
            let reason = "needs both usd_per_million_prompt_tokens and usd_per_million_completion_tokens".into();
            Err(ChatError::Settings { field: "a price or budget_usd", reason }.into())
        }
    }
}

/// US dollars that a request costs at most: every byte of it a token, and a reply as long as it may be. None without prices.
///
/// # Errors
/// [`JudgeError::Settings`] when only one price is given, or one is none.
pub fn dearest_usd(request: &ChatRequest, settings: &ChatSettings) -> Result<Option<f64>, JudgeError> {
    Ok(prices(settings)?.map(|prices| prices.cost(Usage::ceiling(request))))
}

/// What is spent and promised. A request is let through only when even its dearest outcome stays within the limit.
pub(crate) struct Budget {
    prices: Option<Prices>,
    limit: Option<f64>,
    state: Mutex<State>,
    settled: Condvar,
}

struct State {
    spent: f64,
    reserved: f64,
    open: u32,
}

impl Budget {
    /// `spent`: US dollars paid for the replies already in the store.
    pub(crate) fn new(prices: Option<Prices>, limit: Option<f64>, spent: f64) -> Self {
        let state = State { spent, reserved: 0.0, open: 0 };
        Self { prices, limit, state: Mutex::new(state), settled: Condvar::new() }
    }

    /// US dollars spent on the store's replies, old and new; none without prices.
    pub(crate) fn spent(&self) -> Option<f64> {
        self.prices.map(|_| self.lock().spent)
    }

    /// Sets `ceiling` aside, waiting for requests in flight when only they stand in the way.
    ///
    /// # Errors
    /// [`JudgeError::Budget`] when the limit could be passed.
    pub(crate) fn reserve(&self, ceiling: Usage) -> Result<Reservation<'_>, JudgeError> {
        let amount = self.prices.map_or(0.0, |p| p.cost(ceiling));
        let limit = self.limit.unwrap_or(f64::INFINITY);
        let mut state = self.lock();
        while state.spent + state.reserved + amount > limit {
            if state.open == 0 {
                return Err(JudgeError::Budget { budget_usd: limit, spent_usd: state.spent, next_usd: amount });
            }
            state = self.settled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.reserved += amount;
        state.open += 1;
        Ok(Reservation { budget: self, amount, paid: 0.0 })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Money set aside for one request; dropped unpaid it is free again.
pub(crate) struct Reservation<'a> {
    budget: &'a Budget,
    amount: f64,
    paid: f64,
}

impl Reservation<'_> {
    /// A reply came and used this much.
    pub(crate) fn pay(mut self, usage: Usage) {
        self.paid = self.budget.prices.map_or(0.0, |p| p.cost(usage));
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut state = self.budget.lock();
        state.open -= 1;
        // Exactly nothing when nothing is open: sums of differences would leave a rest.
        state.reserved = if state.open == 0 { 0.0 } else { state.reserved - self.amount };
        state.spent += self.paid;
        drop(state);
        self.budget.settled.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRICES: Prices = Prices { prompt: 1.0, completion: 2.0 };

    #[test]
    fn a_request_waits_for_those_in_flight_before_it_is_refused() {
        let budget = Budget::new(Some(PRICES), Some(10.0), 1.0);
        let first = budget.reserve(Usage { prompt: 4, completion: 2 }).unwrap(); // at most 8
        std::thread::scope(|scope| {
            let second = scope.spawn(|| budget.reserve(Usage { prompt: 0, completion: 3 }).map(drop)); // at most 6
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert!(!second.is_finished(), "1 + 8 + 6 is more than 10");
            first.pay(Usage { prompt: 2, completion: 0 });
            assert_eq!(second.join().unwrap(), Ok(()), "1 + 2 + 6 is not");
        });
        assert_eq!(budget.spent(), Some(3.0));
        let refusal = budget.reserve(Usage { prompt: 8, completion: 0 }).map(drop).unwrap_err();
        assert_eq!(refusal, JudgeError::Budget { budget_usd: 10.0, spent_usd: 3.0, next_usd: 8.0 });
    }

    #[test]
    fn prices_come_in_pairs() {
        let with = |prompt, completion, budget| ChatSettings {
            usd_per_million_prompt_tokens: prompt,
            usd_per_million_completion_tokens: completion,
            budget_usd: budget,
            ..ChatSettings::default()
        };
        let ok = |settings: &ChatSettings| prices(settings).is_ok();
        assert!(ok(&with(None, None, None)));
        assert!(ok(&with(Some(0.5), Some(1.5), Some(3.0))));
        for (prompt, completion, budget) in [
            (Some(0.5), None, None),
            (None, Some(0.5), None),
            (None, None, Some(1.0)),
            (Some(-1.0), Some(1.0), None),
            (Some(1.0), Some(f64::NAN), None),
            (Some(1.0), Some(1.0), Some(f64::INFINITY)),
        ] {
            assert!(!ok(&with(prompt, completion, budget)), "{prompt:?} {completion:?} {budget:?}");
        }
    }
}
