//! Batches that were not begun: what is wrong with them is learnt from, or told of the requests it names.

use serde_json::json;

use super::{GoesOn, Run};
use crate::batch::journal::{Plan, Submission};
use crate::batch::provider::Fault;
use crate::reply::{ErrorBody, shorten};
use crate::server::Failure;

/// Faults of a batch that are shown.
const SHOWN_FAULTS: usize = 5;

impl Run<'_> {
    /// A batch that was not begun, and costs nothing: what is wrong with it is learnt from, or told of the lines it names.
    pub(super) fn drop_invalid(&mut self, submission: &Submission, batch: &str, faults: &[Fault]) -> GoesOn {
        let Plan { token, requests, .. } = &submission.plan;
        let reason = format!("batch {batch} was not begun: {}", describe(faults, submission));
        self.journal.dropped(token, &reason)?;
        if faults
            .iter()
            .any(|fault| fault.code.contains("token_limit") || fault.message.contains("nqueued token limit"))
        {
            self.server.remark(reason.clone());
            self.is_full = self.open_submissions().iter().any(|other| other.batch.is_some());
            return match requests.len() {
                _ if self.is_full => Ok(true),
                n if n > 1 => {
                    self.halve(n, &reason);
                    Ok(true)
                }
                _ => Err(self.refused(reason)),
            };
        }
        self.failed_submissions += 1;
        let may_try = self.failed_submissions <= self.server.options.rounds;
        let request = requests.iter().find_map(|sent| self.wanted.get(sent.name.as_str())).map(|wanted| wanted.request);
        let mut learns = false;
        for fault in faults.iter().filter(|fault| !fault.param.is_empty()) {
            let body = json!({ "error": { "message": fault.message, "param": fault.param, "code": fault.code } });
            learns |= request.is_some_and(|request| self.learn(token, request, &ErrorBody::read(&body.to_string())));
        }
        if learns && may_try {
            self.server.remark(reason);
            return Ok(true);
        }
        let named: Vec<(&str, &str)> = faults
            .iter()
            .filter_map(|fault| {
                Some((requests.get(fault.line?.checked_sub(1)?)?.name.as_str(), fault.message.as_str()))
            })
            .collect();
        if named.is_empty() || !may_try {
            return Err(self.refused(reason));
        }
        self.server.remark(reason);
        for (name, message) in named {
            let failure = Failure::Request(format!("the batch was not begun because of it: {}", shorten(message)));
            if self.wanted.contains_key(name) && !self.tell(name, Err(failure)) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The faults of a batch, with the requests that they are in.
fn describe(faults: &[Fault], submission: &Submission) -> String {
    if faults.is_empty() {
        return "the server does not say why".into();
    }
    let shown = faults.iter().take(SHOWN_FAULTS).map(|fault| {
        let sent = fault.line.and_then(|line| submission.plan.requests.get(line.checked_sub(1)?));
        let place = match (fault.line, sent) {
            (Some(line), Some(sent)) => format!(" (line {line}, request {})", sent.name),
            (Some(line), None) => format!(" (line {line})"),
            _ => String::new(),
        };
        let said = if fault.message.is_empty() { &fault.code } else { &fault.message };
        format!("{}{place}", shorten(said))
    });
    let mut text = shown.collect::<Vec<_>>().join("; ");
    if faults.len() > SHOWN_FAULTS {
        text.push_str(&format!("; and {} more", faults.len() - SHOWN_FAULTS));
    }
    text
}
