//! The budget: what is spent and promised, and whether one more request may be sent.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tunebench_chat::Usage;

use crate::error::JudgeError;
use crate::prices::Prices;

/// Whose replies cost alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Account {
    pub url: String,
    /// As it was asked for.
    pub model: String,
    pub batch: bool,
}

/// What the stored replies of one account took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Past {
    pub billed: Usage,
    /// US dollars: what was known of the prices when they came, or what the table of models says.
    pub recorded_usd: f64,
}

impl Default for Past {
    fn default() -> Self {
        Self { billed: Usage { prompt: 0, completion: 0 }, recorded_usd: 0.0 }
    }
}

impl Past {
    pub(crate) fn add(&mut self, billed: Usage, recorded_usd: Option<f64>) {
        self.billed.prompt = self.billed.prompt.saturating_add(billed.prompt);
        self.billed.completion = self.billed.completion.saturating_add(billed.completion);
        self.recorded_usd += recorded_usd.unwrap_or(0.0);
    }
}

/// What may be spent, in US dollars.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    /// On all replies in the store.
    pub total: Option<f64>,
    /// On the replies of this run.
    pub run: Option<f64>,
}

/// What is spent and promised. A request is let through only when even its dearest outcome stays within the limits.
///
/// Where the study states prices, replies of the models that are asked in this run count at these, be they old or new; what other
/// judges paid into the same store counts as it was recorded.
pub(crate) struct Budget<'a> {
    url: &'a str,
    prices: &'a Prices,
    limits: Limits,
    state: Mutex<State>,
    settled: Condvar,
}

struct State {
    spent: f64,
    spent_in_run: f64,
    reserved: f64,
    open: u32,
    /// Whether the prices of all models asked so far are known; none before the first.
    is_priced: Option<bool>,
    /// Accounts whose models this run did not ask yet; `spent` holds what was recorded of them.
    past: BTreeMap<Account, Past>,
}

impl<'a> Budget<'a> {
    /// `past`: what the store holds already; `url`: the server that is asked.
    pub(crate) fn new(url: &'a str, prices: &'a Prices, limits: Limits, past: BTreeMap<Account, Past>) -> Self {
        let spent = past.values().map(|past| past.recorded_usd).sum();
        let state = State { spent, spent_in_run: 0.0, reserved: 0.0, open: 0, is_priced: None, past };
        Self { url, prices, limits, state: Mutex::new(state), settled: Condvar::new() }
    }

    /// What was spent where nothing was asked: nothing, or, without prices, nobody knows.
    pub(crate) fn nothing(&self) -> Option<f64> {
        self.prices.are_stated().then_some(0.0)
    }

    /// US dollars that this run spent.
    pub(crate) fn spent_in_run(&self) -> f64 {
        self.lock().spent_in_run
    }

    /// US dollars spent on the store's replies, old and new; none when the price of a model is not known.
    pub(crate) fn spent(&self) -> Option<f64> {
        let state = self.lock();
        (state.is_priced.unwrap_or(self.prices.are_stated())).then_some(state.spent)
    }

    /// US dollars for one reply of a model. From now on its old replies count at the same prices.
    pub(crate) fn cost(&self, model: &str, usage: Option<Usage>, batch: bool) -> Option<f64> {
        self.meet(&mut self.lock(), model, batch);
        self.prices.cost_usd(model, usage?, batch)
    }

    /// Sets the dearest outcome of a request aside, waiting for requests in flight when only they stand in the way.
    ///
    /// # Errors
    /// [`JudgeError::Budget`] or [`JudgeError::MaxCost`] when a limit could be passed, [`JudgeError::UnknownPrice`].
    pub(crate) fn reserve(&self, model: &str, ceiling: Usage) -> Result<Reservation<'_>, JudgeError> {
        let mut state = self.lock();
        loop {
            match self.set_aside(&mut state, model, false, ceiling) {
                Ok(amount) => return Ok(self.reservation(model, false, amount)),
                Err(error) if state.open == 0 => return Err(error),
                Err(_) => state = self.settled.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// As [`Budget::reserve`], for one request of a batch, and without waiting.
    ///
    /// # Errors
    /// As [`Budget::reserve`].
    pub(crate) fn reserve_in_batch(&self, model: &str, ceiling: Usage) -> Result<Reservation<'_>, JudgeError> {
        let amount = self.set_aside(&mut self.lock(), model, true, ceiling)?;
        Ok(self.reservation(model, true, amount))
    }

    /// For a request of a batch that is sent already: it is owed, whatever the limits say now.
    pub(crate) fn reserve_sent(&self, model: &str, ceiling: Usage) -> Reservation<'_> {
        let mut state = self.lock();
        self.meet(&mut state, model, true);
        let amount = self.prices.cost_usd(model, ceiling, true).unwrap_or(0.0);
        state.reserved += amount;
        state.open += 1;
        drop(state);
        self.reservation(model, true, amount)
    }

    fn reservation(&self, model: &str, batch: bool, amount: f64) -> Reservation<'_> {
        Reservation { budget: self, model: model.to_owned(), batch, amount, paid: 0.0 }
    }

    fn set_aside(&self, state: &mut State, model: &str, batch: bool, ceiling: Usage) -> Result<f64, JudgeError> {
        self.meet(state, model, batch);
        let dearest = self.prices.cost_usd(model, ceiling, batch);
        let Limits { total, run } = self.limits;
        if dearest.is_none() && (total.is_some() || run.is_some()) {
            return Err(JudgeError::UnknownPrice { model: model.to_owned() });
        }
        let amount = dearest.unwrap_or(0.0);
        let passes = |spent: f64, limit: Option<f64>| limit.filter(|limit| spent + state.reserved + amount > *limit);
        if let Some(budget_usd) = passes(state.spent, total) {
            return Err(JudgeError::Budget { budget_usd, spent_usd: state.spent, next_usd: amount });
        }
        if let Some(max_usd) = passes(state.spent_in_run, run) {
            return Err(JudgeError::MaxCost { max_usd, spent_usd: state.spent_in_run, next_usd: amount });
        }
        state.reserved += amount;
        state.open += 1;
        Ok(amount)
    }

    /// Counts a model's old replies at the stated prices instead of those recorded.
    fn meet(&self, state: &mut State, model: &str, batch: bool) {
        let nothing = Usage { prompt: 0, completion: 0 };
        let is_priced = self.prices.cost_usd(model, nothing, batch).is_some();
        state.is_priced = Some(state.is_priced.unwrap_or(true) && is_priced);
        for batch in [false, true] {
            let account = Account { url: self.url.to_owned(), model: model.to_owned(), batch };
            let Some(past) = state.past.remove(&account) else { continue };
            let stated = self.prices.stated_usd(model, past.billed, batch);
            state.spent += stated.map_or(0.0, |usd| usd - past.recorded_usd);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Money set aside for one request; dropped unpaid it is free again.
pub(crate) struct Reservation<'a> {
    budget: &'a Budget<'a>,
    model: String,
    batch: bool,
    amount: f64,
    paid: f64,
}

impl Reservation<'_> {
    /// A reply came and used this much: US dollars, where the price is known.
    pub(crate) fn pay(mut self, usage: Usage) -> Option<f64> {
        let usd = self.budget.prices.cost_usd(&self.model, usage, self.batch);
        self.paid = usd.unwrap_or(0.0);
        usd
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut state = self.budget.lock();
        state.open -= 1;
        // Exactly nothing when nothing is open: sums of differences would leave a rest.
        state.reserved = if state.open == 0 { 0.0 } else { state.reserved - self.amount };
        state.spent += self.paid;
        state.spent_in_run += self.paid;
        drop(state);
        self.budget.settled.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prices::Price;

    fn prices() -> Prices {
        Prices::stated(Price { prompt: 1.0, completion: 2.0 })
    }

    fn usage(prompt: u64, completion: u64) -> Usage {
        Usage { prompt, completion }
    }

    fn past(rows: &[(&str, &str, bool, Usage, f64)]) -> BTreeMap<Account, Past> {
        let row = |(url, model, batch, billed, recorded_usd): &(&str, &str, bool, Usage, f64)| {
            let account = Account { url: (*url).into(), model: (*model).into(), batch: *batch };
            (account, Past { billed: *billed, recorded_usd: *recorded_usd })
        };
        rows.iter().map(row).collect()
    }

    #[test]
    fn a_request_waits_for_those_in_flight_before_it_is_refused() {
        let prices = prices();
        let limits = Limits { total: Some(10.0), run: None };
        let budget = Budget::new("u", &prices, limits, past(&[("elsewhere", "x", false, usage(9, 9), 1.0)]));
        let first = budget.reserve("m", usage(4, 2)).unwrap(); // at most 8
        std::thread::scope(|scope| {
            let second = scope.spawn(|| budget.reserve("m", usage(0, 3)).map(drop)); // at most 6
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert!(!second.is_finished(), "1 + 8 + 6 is more than 10");
            assert_eq!(first.pay(usage(2, 0)), Some(2.0));
            assert_eq!(second.join().unwrap(), Ok(()), "1 + 2 + 6 is not");
        });
        assert_eq!(budget.spent(), Some(3.0));
        let refusal = budget.reserve("m", usage(8, 0)).map(drop).unwrap_err();
        assert_eq!(refusal, JudgeError::Budget { budget_usd: 10.0, spent_usd: 3.0, next_usd: 8.0 });
    }

    #[test]
    fn old_replies_of_the_model_that_is_asked_count_at_the_stated_price_others_as_recorded() {
        let prices = prices();
        let rows = [
            ("u", "m", false, usage(1, 1), 100.0), // 3 USD at the stated price
            ("u", "m", true, usage(2, 0), 0.0),    // 1 USD: a batch at half the price
            ("u", "other", false, usage(1, 1), 0.5),
            ("elsewhere", "m", false, usage(1, 1), 0.25),
        ];
        let budget = Budget::new("u", &prices, Limits::default(), past(&rows));
        assert_eq!(budget.spent(), Some(100.75));
        assert_eq!(budget.cost("m", Some(usage(2, 1)), true), Some(2.0));
        assert_eq!(budget.spent(), Some(4.75));
        assert_eq!(budget.cost("m", None, false), None);
        assert_eq!(budget.spent(), Some(4.75), "once");
    }

    #[test]
    fn where_nothing_is_stated_the_table_of_models_counts() {
        let url = "https://api.openai.com/v1";
        let chat = tunebench_spec::study::ChatSettings { base_url: format!("{url}/"), ..Default::default() };
        let prices = Prices::of(&chat).unwrap();
        let model = tunebench_chat::models::DEFAULT_MODEL;
        let listed = tunebench_chat::models::find(model, url).unwrap().cost_usd(1000, 100, true);
        let budget = Budget::new(url, &prices, Limits::default(), past(&[(url, model, false, usage(1, 1), 0.5)]));
        assert_eq!(budget.spent(), None, "no price is known before a model is");
        let dearest = budget.reserve_in_batch(model, usage(1000, 100)).unwrap();
        assert_eq!((budget.spent(), dearest.amount), (Some(0.5), listed.unwrap()));
        assert_eq!(dearest.pay(usage(1000, 100)), listed);
        assert_eq!(budget.spent(), Some(0.5 + listed.unwrap()));
        assert_eq!(budget.cost("nobody knows it", Some(usage(1, 1)), false), None);
        assert_eq!(budget.spent(), None);
    }

    #[test]
    fn a_batch_is_cut_and_a_run_has_a_limit_of_its_own() {
        let prices = prices();
        let limits = Limits { total: Some(100.0), run: Some(4.0) };
        let budget = Budget::new("u", &prices, limits, past(&[("u", "m", false, usage(50, 0), 50.0)]));
        let held: Vec<_> = (0..9).map_while(|_| budget.reserve_in_batch("m", usage(0, 1)).ok()).collect();
        assert_eq!(held.len(), 4, "1 USD each");
        let refusal = budget.reserve_in_batch("m", usage(0, 1)).map(drop).unwrap_err();
        assert_eq!(refusal, JudgeError::MaxCost { max_usd: 4.0, spent_usd: 0.0, next_usd: 1.0 });
        drop(held);
        assert!(budget.reserve_in_batch("m", usage(0, 4)).is_ok());
    }

    #[test]
    fn without_a_price_nothing_is_asked_under_a_limit() {
        let prices = Prices::default();
        for limits in [Limits { total: Some(1.0), run: None }, Limits { total: None, run: Some(1.0) }] {
            let budget = Budget::new("u", &prices, limits, BTreeMap::new());
            let refusal = budget.reserve("m", usage(1, 1)).map(drop).unwrap_err();
            assert_eq!(refusal, JudgeError::UnknownPrice { model: "m".into() });
        }
        let budget = Budget::new("u", &prices, Limits::default(), BTreeMap::new());
        assert_eq!(budget.reserve("m", usage(1, 1)).unwrap().pay(usage(1, 1)), None);
        assert_eq!(budget.spent(), None);
    }
}
