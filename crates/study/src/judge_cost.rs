//! What judging takes, said before the first request: requests, tokens and money.

use serde::Serialize;
use tunebench_chat::{Usage, models};
use tunebench_judge::Prices;
use tunebench_spec::study::ChatSettings;
use tunebench_spec::{ChatMessage, ChatRequest, Example, JudgeStep};

use crate::error::StudyError;
use crate::judges::OpenJudge;

/// Tokens of a usual reply: a mark and a sentence or two.
const USUAL_REPLY: u64 = 150;
/// Most tokens of a reply to a request that names no limit.
const LONGEST_REPLY: u64 = 16_384;

/// Prompt and reply tokens of many requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Tokens {
    pub prompt: f64,
    pub completion: f64,
}

impl Tokens {
    /// US dollars at so many a million.
    pub fn usd(self, per_million_prompt: f64, per_million_completion: f64) -> f64 {
        (self.prompt * per_million_prompt + self.completion * per_million_completion) / 1e6
    }
}

/// What one judge takes, if each answer takes it one request.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct JudgingForecast {
    pub judge: String,
    /// The model that it asks; empty of a judge that asks nobody.
    pub model: String,
    pub judgements: u64,
    pub requests: u64,
    /// About: a token for each Chinese character and for each four bytes of other text, answers half as long as they may
    /// be, and short replies. A model that reasons writes more.
    pub about: Tokens,
    /// At most: a token for each byte, and answers and replies as long as they may be.
    pub at_most: Tokens,
    /// By the server's batch API.
    pub batch: bool,
    /// None where no price is known, or nobody is asked.
    pub usd_about: Option<f64>,
    pub usd_at_most: Option<f64>,
    /// By the limit of requests per minute that the study states, if it states one.
    pub seconds_at_least: Option<f64>,
}

/// What this judge takes with these items, for answers of at most so many tokens by so many models of so many arms.
///
/// # Errors
/// When only one of two prices is given.
pub fn forecast(
    judge: &OpenJudge,
    items: &[Example],
    max_new_tokens: usize,
    arms: u64,
    models: u64,
) -> Result<JudgingForecast, StudyError> {
    // A word is a token or two, a Chinese character about one.
    let (usual, longest) = ("word ".repeat(max_new_tokens / 2), "word ".repeat(max_new_tokens));
    let mut sum = Sum::default();
    items.iter().for_each(|item| sum.add(judge, item, &usual, &longest));
    sum.forecast(judge, arms, models as f64)
}

/// What this judge takes with answers that are there, of so many arms; what is kept of earlier replies costs nothing again.
///
/// # Errors
/// As [`forecast`].
pub fn of_answers(judge: &OpenJudge, answers: &[(&Example, &str)], arms: u64) -> Result<JudgingForecast, StudyError> {
    let mut sum = Sum::default();
    answers.iter().for_each(|(item, answer)| sum.add(judge, item, answer, answer));
    sum.forecast(judge, arms, 1.0)
}

/// What one judgement of each answer takes.
#[derive(Default)]
struct Sum {
    model: String,
    answers: u64,
    requests: u64,
    about: Tokens,
    at_most: Tokens,
}

impl Sum {
    fn add(&mut self, judge: &OpenJudge, item: &Example, usual: &str, longest: &str) {
        self.answers += 1;
        let Ok(JudgeStep::Ask { request }) = judge.first_step(item, usual) else { return };
        self.requests += 1;
        self.about.prompt += prompt_tokens(&request);
        self.about.completion += USUAL_REPLY.min(reply_limit(&request)) as f64;
        if let Ok(JudgeStep::Ask { request }) = judge.first_step(item, longest) {
            let bytes = |message: &ChatMessage| (message.role.len() + message.content.len() + 8) as f64;
            self.at_most.prompt += request.messages.iter().map(bytes).sum::<f64>();
            self.at_most.completion += reply_limit(&request) as f64;
        }
        self.model = request.model;
    }

    /// `times`: how many models gave each answer.
    fn forecast(self, judge: &OpenJudge, arms: u64, times: f64) -> Result<JudgingForecast, StudyError> {
        let (chat, settings) = (judge.chat(), &judge.settings);
        let drawn = settings.share.unwrap_or(1.0)
            * (1.0 + f64::from(settings.repeats.saturating_sub(1)) * settings.repeat_share.unwrap_or(1.0));
        // Against each rival in both orders; of all pairs, one request serves two arms.
        let others = arms.saturating_sub(1) as f64;
        let (rows, asked) = match (judge.compares(), settings.baseline.is_some()) {
            (false, _) => (1.0, 1.0),
            (true, true) => (2.0, 2.0),
            (true, false) => (2.0 * others, others),
        };
        let asked = asked * times * drawn;
        let of = |tokens: Tokens| Tokens { prompt: tokens.prompt * asked, completion: tokens.completion * asked };
        let (about, at_most) = (of(self.about), of(self.at_most));
        let requests = (self.requests as f64 * asked).round() as u64;
        let prices = if requests == 0 { None } else { prices(&self.model, &chat)? };
        let usd = |tokens: Tokens| prices.map(|[prompt, completion]| tokens.usd(prompt, completion));
        let per_minute = chat.requests_per_minute.filter(|_| requests > 0);
        Ok(JudgingForecast {
            judge: judge.name().to_owned(),
            judgements: (self.answers as f64 * rows * times * drawn).round() as u64,
            requests,
            usd_about: usd(about),
            usd_at_most: usd(at_most),
            about,
            at_most,
            batch: chat.batch,
            seconds_at_least: per_minute.map(|limit| requests as f64 * 60.0 / f64::from(limit.max(1))),
            model: self.model,
        })
    }
}

/// What is known of a model that a judge asks and that the user should know: that it is gone, or soon will be.
pub fn remark(model: &str, chat: &ChatSettings) -> Option<String> {
    models::find(model, &chat.base_url)?.remark(models::Date::today())
}

/// US dollars per million prompt and completion tokens of requests that are not unusually long: the study's, else what is known
/// of the model.
fn prices(model: &str, chat: &ChatSettings) -> Result<Option<[f64; 2]>, StudyError> {
    let prices = Prices::of(chat)?;
    // Of so few tokens that no price for long prompts counts.
    let of_a_thousand = |usage| prices.cost_usd(model, usage, chat.batch).map(|usd| usd * 1000.0);
    let prompt = of_a_thousand(Usage { prompt: 1000, completion: 0 });
    let completion = of_a_thousand(Usage { prompt: 0, completion: 1000 });
    Ok(prompt.zip(completion).map(|(prompt, completion)| [prompt, completion]))
}

fn prompt_tokens(request: &ChatRequest) -> f64 {
    request.messages.iter().map(|message| 4.0 + tokens_about(&message.content)).sum()
}

/// A token for each Chinese character, and for each four bytes of other text.
fn tokens_about(text: &str) -> f64 {
    let (wide, other) = text.chars().fold((0, 0), |(wide, other), c| match c {
        '\u{2e80}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{ff00}'..='\u{ffef}' => {
            (wide + 1, other)
        }
        c => (wide, other + c.len_utf8()),
    });
    f64::from(wide) + other as f64 / 4.0
}

fn reply_limit(request: &ChatRequest) -> u64 {
    request.max_tokens.map_or(LONGEST_REPLY, u64::from)
}
