//! The ranks of a run: processes that train and answer one model together. The first one goes through the study as it would
//! alone, and says what all do next; the others do that and nothing else ([`crate::follow`]). What one of them cannot do, all
//! leave, and the first one tells why.

use std::ops::Deref;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tunebench_exchange::{Exchange, FIRST, Fault, greet};
use tunebench_kernels::SimdLevel;
use tunebench_spec::hash;

use crate::context::StudyContext;
use crate::error::StudyError;
use crate::file_content;
use crate::model_key::ModelKey;

/// What all ranks do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// To look what the run folder now allows, and whether that is what the first rank found, which this names.
    Round { found: String },
    /// To train a model as far as the round says; `identity` is that of its training.
    Train { model: ModelKey, identity: String },
    /// To have the model of this identity answer.
    Answer { model: ModelKey, identity: String },
    /// To end.
    End,
}

/// What a rank says of what it was to do.
#[derive(Debug, Serialize, Deserialize)]
enum Said {
    Done,
    /// The user ends the run.
    Stopped,
    Failed(String),
}

/// The ranks of a run, as one of them sees them.
pub struct Ranks<'e> {
    exchange: &'e mut dyn Exchange,
}

impl<'e> Deref for Ranks<'e> {
    type Target = dyn Exchange + 'e;

    fn deref(&self) -> &Self::Target {
        self.exchange
    }
}

impl<'e> Ranks<'e> {
    pub fn new(exchange: &'e mut dyn Exchange) -> Self {
        Self { exchange }
    }

    pub fn exchange(&mut self) -> &mut dyn Exchange {
        self.exchange
    }

    /// Refuses ranks that are not of one program, or have another study, part of it or kind of machine.
    ///
    /// # Errors
    /// The same on all ranks: the first one that differs, and in what.
    pub fn greet(&mut self, context: &StudyContext, only: &[String]) -> Result<(), StudyError> {
        if self.is_alone() {
            return Ok(());
        }
        let lines = self.agree(lines(context, only))?;
        Ok(greet(self.exchange, &lines)?)
    }

    /// Says what all do next; for the first rank.
    ///
    /// # Errors
    /// When another rank has ended.
    pub fn lead(&mut self, order: &Order) -> Result<(), StudyError> {
        self.exchange.share(FIRST, serde_json::to_vec(order)?)?;
        Ok(())
    }

    /// Waits for what all do next; for the other ranks.
    ///
    /// # Errors
    /// When another rank has ended.
    pub fn follow(&mut self) -> Result<Order, StudyError> {
        Ok(serde_json::from_slice(&self.exchange.share(FIRST, Vec::new())?)?)
    }

    /// What this rank has come to, when all ranks have come to something.
    ///
    /// # Errors
    /// This rank's, or else that of the first one that has one: so all ranks fail when one does.
    pub fn agree<T>(&mut self, own: Result<T, StudyError>) -> Result<T, StudyError> {
        let said = match &own {
            Ok(_) => Said::Done,
            Err(StudyError::Stopped) => Said::Stopped,
            Err(error) => Said::Failed(error.to_string()),
        };
        let all = self.exchange.gather(&serde_json::to_vec(&said)?)?;
        let own = own?;
        for (rank, said) in all.iter().enumerate() {
            match serde_json::from_slice(said)? {
                Said::Done => {}
                Said::Stopped => return Err(StudyError::Stopped),
                Said::Failed(error) => return Err(StudyError::OfRank { rank, error }),
            }
        }
        Ok(own)
    }

    /// Whether it is so on every rank.
    ///
    /// # Errors
    /// As [`Ranks::agree`].
    pub fn is_all(&mut self, own: Result<bool, StudyError>) -> Result<bool, StudyError> {
        let own = self.agree(own)?;
        Ok(self.exchange.gather(&[u8::from(own)])?.iter().all(|said| said[..] == [1]))
    }

    /// Refuses ranks of which one could not prepare what the others could.
    ///
    /// # Errors
    /// The same on all ranks.
    pub fn compare_failures(&mut self, failures: &[StudyError]) -> Result<(), StudyError> {
        let failures: Vec<String> = failures.iter().map(ToString::to_string).collect();
        let shown = if failures.is_empty() { "nothing".to_owned() } else { failures.join("; ").replace('\n', " ") };
        Ok(greet(self.exchange, &format!("list of what cannot be prepared: {shown}"))?)
    }

    /// What the first rank finds, on all of them; the others do not look.
    ///
    /// # Errors
    /// What the first one could not find.
    pub fn told_by_first<T: Serialize + DeserializeOwned>(
        &mut self,
        find: impl FnOnce() -> Result<T, StudyError>,
    ) -> Result<T, StudyError> {
        self.exchange.told_by_first(find)?.map_err(|fault| match fault {
            Fault::Own(error) => error,
            Fault::Heard(error) => StudyError::OfRank { rank: FIRST, error },
        })
    }
}

/// What a rank is and is to do, as ranks compare it.
fn lines(context: &StudyContext, only: &[String]) -> Result<String, StudyError> {
    let lines = [
        ("version of tunebench", env!("CARGO_PKG_VERSION").to_owned()),
        ("program file", file_content::program().unwrap_or("unknown").to_owned()),
        ("CPU level", SimdLevel::chosen().map_err(tunebench_model::Error::from)?.name().to_owned()),
        ("engine", context.backend.name().to_owned()),
        ("study", hash::of_bytes(context.study.to_toml()?.as_bytes())),
        ("choice of arms", hash::of_json(&only)?),
    ];
    Ok(lines.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tunebench_exchange::threads;

    /// What each of three ranks comes to.
    fn each<T: Send>(does: impl Fn(&mut Ranks<'_>) -> T + Sync) -> Vec<T> {
        std::thread::scope(|scope| {
            let begun: Vec<_> = threads(3)
                .into_iter()
                .map(|mut exchange| {
                    let does = &does;
                    scope.spawn(move || {
                        let found = does(&mut Ranks::new(&mut exchange));
                        Box::new(exchange).finish().unwrap();
                        found
                    })
                })
                .collect();
            begun.into_iter().map(|rank| rank.join().unwrap()).collect()
        })
    }

    #[test]
    fn what_one_cannot_do_all_leave() {
        let failing = |at: usize, error: fn() -> StudyError| {
            each(move |ranks| {
                let own = if ranks.rank() == at { Err(error()) } else { Ok(ranks.rank()) };
                ranks.agree(own).map_err(|error| error.to_string())
            })
        };
        let said = failing(1, || StudyError::Invalid("no disk".into()));
        let others = "rank 1: no disk".to_owned();
        assert_eq!(said, [Err(others.clone()), Err("no disk".into()), Err(others)]);
        let said = failing(2, || StudyError::Stopped);
        assert!(said.iter().all(|said| said.as_ref().is_err_and(|error| error.starts_with("stopped"))), "{said:?}");
        assert_eq!(failing(7, || StudyError::Stopped), [Ok(0), Ok(1), Ok(2)]);
    }

    #[test]
    fn all_hear_what_the_first_says_and_finds() {
        let order = Order::Train { model: ModelKey::single("a", 1), identity: "b".into() };
        let heard = each(|ranks| {
            if ranks.is_first() { ranks.lead(&order).map(|()| order.clone()) } else { ranks.follow() }.unwrap()
        });
        assert!(heard.iter().all(|heard| *heard == order), "{heard:?}");
        let told = each(|ranks| {
            let rank = ranks.rank();
            ranks.told_by_first(|| Ok(vec![rank; 2])).unwrap()
        });
        assert_eq!(told, [[0, 0]; 3]);
        let told = each(|ranks| {
            ranks.told_by_first(|| Err::<u8, _>(StudyError::Invalid("torn".into()))).unwrap_err().to_string()
        });
        assert_eq!(told, ["torn", "rank 0: torn", "rank 0: torn"]);
    }
}
