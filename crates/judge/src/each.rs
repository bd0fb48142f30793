//! One request at a time, from several threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use tunebench_chat::{ChatServer, Usage};

use crate::session::{Session, not_asked};
use crate::store::{Accept, Claim, Name, RequestKey, StoredReply};
use crate::task::Task;
use crate::walk::{Concluded, End};

/// Makes every judgement and tells `each` of it, on this thread, in any order.
pub(crate) fn run(session: &Session<'_>, tasks: &[Task<'_>], nobody: &str, each: &mut dyn FnMut(usize, Concluded)) {
    let here = || std::thread::available_parallelism().map_or(1, usize::from);
    let threads = session.server.map_or_else(here, ChatServer::concurrency).clamp(1, tasks.len().max(1));
    let asker = Asker { session, nobody };
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..threads {
            let (sender, next, asker) = (sender.clone(), &next, &asker);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(task) = tasks.get(index) else { return };
                    if sender.send((index, asker.judge(task))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender); // so that the loop ends with the last thread
        receiver.into_iter().for_each(|(index, concluded)| each(index, concluded));
    });
}

struct Asker<'a> {
    session: &'a Session<'a>,
    /// Why nobody can be asked, where there is no server.
    nobody: &'a str,
}

impl Asker<'_> {
    fn judge(&self, task: &Task<'_>) -> Concluded {
        let old = self.session.outdated(task);
        let accept = self.session.accept(old.as_ref());
        let concluded = self.session.walk(task, |name, key| self.reply(name, key, accept));
        or_old(concluded, old)
    }

    /// The reply to a request, from the store or the server.
    fn reply(&self, name: Name, key: RequestKey, accept: Accept) -> Result<StoredReply, String> {
        let session = self.session;
        let slot = match session.store.claim(name, accept).map_err(|error| session.stop(error))? {
            Claim::Known(stored) => return Ok(stored),
            Claim::Yours(slot) => slot,
        };
        if let Some(reason) = session.stopped() {
            return Err(not_asked(&reason));
        }
        let Some(server) = session.server else { return Err(not_asked(&self.nobody)) };
        let ceiling = Usage::ceiling(&key.request);
        let reserved = session.budget.reserve(&key.request.model, ceiling);
        let reservation = reserved.map_err(|error| session.stop(error))?;
        session.asks();
        match server.send(&key.request, &name.to_string()) {
            Ok(response) => session.keep(slot, key, response, reservation),
            Err(failure) => Err(session.fail(slot, key, failure, reservation)),
        }
    }
}

/// A judgement that was to be made anew and could not stays what it was, and says so.
pub(crate) fn or_old(new: Concluded, old: Option<Concluded>) -> Concluded {
    match old {
        Some(mut old) if new.end == End::Unanswered => {
            old.judgement.reason = format!("{}; asked again: {}", old.judgement.reason, new.judgement.reason);
            old
        }
        _ => new,
    }
}
