//! One judgement on its way: the judge's steps, and what the replies between them tell.

use tunebench_spec::{ChatReply, JudgeStep, Judgement, JudgementStatus};

use crate::question::Judge;
use crate::store::{Name, RequestKey, StoredReply};
use crate::task::Task;

/// Requests for one answer and repeat; a judge that wants more is taken to be going in circles.
const MAX_REQUESTS: usize = 8;

/// What a walk wants next.
pub(crate) enum Next {
    Ask(Name, Box<RequestKey>),
    Over,
}

/// How a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Scored,
    /// The judge read the replies, and could not tell.
    Unscored,
    /// A reply came, and says nothing that a judge could read.
    Unusable,
    /// A request got no reply.
    Unanswered,
    /// The judge itself failed.
    Broken,
}

/// A judgement that is being made.
pub(crate) struct Walk<'t> {
    task: &'t Task<'t>,
    url: &'t str,
    replies: Vec<ChatReply>,
    /// Also those that could not be read.
    has_replies: bool,
    judgement: Judgement,
    end: Option<End>,
    /// Replies that an earlier run had paid for.
    replayed: u64,
    /// The earliest attempt among the replies.
    attempt: u32,
}

/// A judgement that is made.
#[derive(Clone, Debug)]
pub(crate) struct Concluded {
    pub judgement: Judgement,
    pub end: End,
    pub replayed: u64,
    /// The earliest attempt among its replies.
    pub attempt: u32,
}

impl<'t> Walk<'t> {
    /// `nothing`: US dollars that nothing costs, or none without prices.
    pub(crate) fn begin(task: &'t Task<'t>, judge: &str, url: &'t str, nothing: Option<f64>) -> Self {
        let judgement = Judgement { cost_usd: nothing, ..task.begin(judge) };
        Self {
            task,
            url,
            replies: Vec::new(),
            has_replies: false,
            judgement,
            end: None,
            replayed: 0,
            attempt: u32::MAX,
        }
    }

    /// Lets the judge step, until it asks for what it was not given yet, or is done.
    pub(crate) fn next(&mut self, judge: &dyn Judge) -> Next {
        if self.end.is_some() {
            return Next::Over;
        }
        let request = match judge.step(&self.task.question(), &self.replies) {
            Ok(JudgeStep::Ask { request }) => request,
            Ok(JudgeStep::Unscored { reason }) => return self.over(End::Unscored, reason),
            Ok(JudgeStep::Score { score, reason }) if (0.0..=1.0).contains(&score) => {
                self.judgement.score = Some(self.task.own_score(score));
                return self.over(End::Scored, reason);
            }
            Ok(JudgeStep::Score { score, reason }) => {
                let reason = format!("the judge gave {score}, which is not from 0 to 1: {reason}");
                return self.over(End::Unscored, reason);
            }
            Err(reason) => return self.over(End::Broken, format!("the judge itself failed: {reason}")),
        };
        if self.replies.len() == MAX_REQUESTS {
            return self.over(End::Unscored, format!("the judge has no score after {MAX_REQUESTS} replies"));
        }
        self.judgement.asked_model.clone_from(&request.model);
        let base_url = self.url.to_owned();
        let key = RequestKey { base_url, repeat: self.task.repeat, ask: self.replies.len() as u32, request };
        match key.name() {
            Ok(name) => {
                self.judgement.request_hash = name.to_string();
                Next::Ask(name, Box::new(key))
            }
            Err(reason) => self.over(End::Broken, reason),
        }
    }

    /// Gives the judge the reply to what it asked, which cost so many US dollars, if that is known.
    pub(crate) fn take(&mut self, stored: StoredReply, cost: Option<f64>) {
        let StoredReply { reply, seconds, adapted, batch, attempt, is_fresh } = stored;
        self.attempt = self.attempt.min(attempt);
        self.replayed += u64::from(!is_fresh);
        let judgement = &mut self.judgement;
        (judgement.adapted, judgement.batch) = (adapted, batch);
        judgement.seconds += seconds;
        let before = if self.has_replies { judgement.cost_usd } else { Some(0.0) };
        self.has_replies = true;
        // Of one reply without usage, or of a model without a price, the sum is not known.
        judgement.cost_usd = before.zip(cost).map(|(sum, cost)| sum + cost);
        match reply {
            Ok(reply) => {
                (judgement.model, judgement.fingerprint) = (reply.model, reply.fingerprint);
                judgement.reply.clone_from(&reply.chat.content);
                self.replies.push(reply.chat);
            }
            Err(unreadable) => {
                (judgement.model, judgement.fingerprint) = (String::new(), String::new());
                judgement.reply.clear();
                self.over(End::Unusable, unreadable.to_string());
            }
        }
    }

    /// The request gets no reply.
    pub(crate) fn fail(&mut self, reason: String) {
        self.over(End::Unanswered, reason);
    }

    fn over(&mut self, end: End, reason: String) -> Next {
        self.judgement.status = match end {
            End::Scored => JudgementStatus::Scored,
            End::Unscored => JudgementStatus::Unscored,
            End::Unusable | End::Unanswered | End::Broken => JudgementStatus::Failed,
        };
        self.judgement.reason = reason;
        self.end = Some(end);
        Next::Over
    }

    /// What came of it. A walk that was left on its way counts as unanswered.
    pub(crate) fn conclude(self) -> Concluded {
        let Self { judgement, end, replayed, attempt, .. } = self;
        Concluded { judgement, end: end.unwrap_or(End::Unanswered), replayed, attempt }
    }
}
