//! What judging takes, and what it would take with other models.

use tunebench_analysis::duration::words as duration;
use tunebench_analysis::{Cell, Table};
use tunebench_chat::models;
use tunebench_study::{JudgingForecast, StudyForecast};

/// What the judges of a study take, and what each model of the table of prices would cost in the place of the first that asks
/// one; none where nobody is asked.
pub fn judging_tables(forecast: &StudyForecast) -> Vec<Table> {
    let asking: Vec<&JudgingForecast> = forecast.judging.iter().filter(|judge| judge.requests > 0).collect();
    let Some(first) = asking.first() else { return Vec::new() };
    vec![judges(&asking), other_models(first)]
}

fn judges(asking: &[&JudgingForecast]) -> Table {
    let columns = [
        ("judge", 0),
        ("model", 0),
        ("judgements", 0),
        ("requests", 0),
        ("prompt tokens", 0),
        ("reply tokens", 0),
        ("USD about", 2),
        ("USD at most", 2),
        ("time at least", 0),
    ];
    let mut table = Table::new("Judging", &columns);
    let row = |judge: &&JudgingForecast| -> Vec<Cell> {
        vec![
            judge.judge.as_str().into(),
            judge.model.as_str().into(),
            judge.judgements.into(),
            judge.requests.into(),
            (judge.about.prompt.round() as u64).into(),
            (judge.about.completion.round() as u64).into(),
            judge.usd_about.into(),
            judge.usd_at_most.into(),
            judge.seconds_at_least.map(duration).into(),
        ]
    };
    table.rows = asking.iter().map(row).collect();
    table.notes.push(
        "About: a token for each Chinese character and for each four bytes of other text, answers half as long as they may be, \
         and replies of 150 tokens, which a model that reasons passes by far. At most: a token for each byte, answers and \
         replies as long as they may be. Each answer takes one request; a reply that cannot be read takes a second."
            .to_owned(),
    );
    for judge in asking.iter().filter(|judge| judge.usd_about.is_none()) {
        table.notes.push(format!(
            "{}: the price of `{}` is not known; give usd_per_million_prompt_tokens and usd_per_million_completion_tokens in \
             [eval.chat], or nothing if it is free.",
            judge.judge, judge.model
        ));
    }
    table
}

/// Every model whose price is known, the cheapest first.
fn other_models(judge: &JudgingForecast) -> Table {
    let columns =
        [("model", 0), ("provider", 0), ("USD about", 2), ("in a batch", 2), ("USD at most", 2), ("retires", 0)];
    let title = format!("The same judging by {}, with each model whose price is known", judge.judge);
    let mut table = Table::new(title, &columns);
    let mut priced: Vec<(f64, Vec<Cell>)> = Vec::new();
    for model in models::all() {
        let (Some(prompt), Some(completion)) =
            (model.usd_per_million_prompt_tokens, model.usd_per_million_completion_tokens)
        else {
            continue;
        };
        let about = judge.about.usd(prompt, completion);
        let batch = model.batch_discount.map(|discount| about * (1.0 - discount));
        let is_over = |date: &models::Date| date.days_after(models::Date::today()) <= 0;
        let retires = model.retires.map(|date| format!("{}{date}", if is_over(&date) { "retired " } else { "" }));
        priced.push((
            about,
            vec![
                model.id.as_str().into(),
                model.provider.as_str().into(),
                about.into(),
                batch.into(),
                judge.at_most.usd(prompt, completion).into(),
                retires.into(),
            ],
        ));
    }
    priced.sort_by(|a, b| a.0.total_cmp(&b.0));
    table.rows = priced.into_iter().map(|(_, row)| row).collect();
    let day = models::as_of().map_or_else(String::new, |date| format!(" on {date}"));
    table.notes.push(format!("Prices as known{day}; look at the provider's page before a large run."));
    table
}
