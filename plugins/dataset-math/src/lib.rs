//! School mathematics with worked answers: BELLE's school_math and GSM8K, for training or as questions to answer.

mod number;

use serde_json::{Map, Value};
use tunebench_plugin_api::prelude::*;

/// What a study may set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    pub purpose: Purpose,
}

/// What the problems are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Question and worked answer, to learn from. Asked as evaluation items, which the host does without the answer,
    /// they have the final number as reference like those of [`Purpose::Eval`], except where the answer has none.
    #[default]
    Train,
    /// The question alone, with the final number as reference.
    Eval,
}

/// The dataset.
pub struct MathProblems {
    records: Records<Source>,
    options: Options,
}

impl Dataset for MathProblems {
    const NAME: &'static str = "math";
    const DESCRIPTION: &'static str = "BELLE school_math and GSM8K: problems with worked answers";
    type Options = Options;

    fn open(source: Source, options: Options) -> Result<Self> {
        Ok(Self { records: Records::new(source), options })
    }

    fn next(&mut self) -> Result<Option<Row>> {
        let record = self.records.next()?;
        Ok(record.map(|r| r.into_row(|place, value| example(place, value, self.options.purpose))))
    }

    fn position(&self) -> Position {
        self.records.position()
    }

    fn seek(&mut self, position: &Position) -> Result<()> {
        self.records.seek(position)
    }
}

/// A problem as both schemas give it.
struct Problem {
    question: String,
    answer: String,
    /// The final number of the answer.
    result: Option<String>,
}

fn example(id: &str, row: &Value, purpose: Purpose) -> std::result::Result<Example, String> {
    let Value::Object(fields) = row else { return Err("not a JSON object".into()) };
    let problem = match (fields.contains_key("question"), fields.contains_key("instruction")) {
        (true, _) => gsm8k(fields)?,
        (false, true) => school_math(fields)?,
        (false, false) => return Err("neither `question` nor `instruction`".into()),
    };
    let mut turns = vec![Turn::new(Role::User, problem.question)];
    match purpose {
        Purpose::Train => turns.push(Turn::new(Role::Assistant, problem.answer)),
        // A judge could not tell a right answer from a wrong one.
        Purpose::Eval if problem.result.is_none() => return Err("no number in the answer to compare with".into()),
        Purpose::Eval => {}
    }
    Ok(Example { id: id.into(), turns, category: Some("math".into()), reference: problem.result, rubric: None })
}

/// `{question, answer}`; the answer has `<<48/2=24>>` marks for a calculator, and ends with `#### 72`.
fn gsm8k(fields: &Map<String, Value>) -> std::result::Result<Problem, String> {
    let answer = without_calculator_marks(text(fields, "answer")?);
    let Some((_, last)) = answer.rsplit_once("####") else { return Err("no `####` before a final number".into()) };
    let Some(result) = number::last(last) else { return Err("no number behind `####`".into()) };
    Ok(Problem { question: text(fields, "question")?.into(), result: Some(result), answer })
}

/// `{instruction, input, output}`; the last number of the answer is its result.
fn school_math(fields: &Map<String, Value>) -> std::result::Result<Problem, String> {
    let input = match fields.get("input") {
        None | Some(Value::Null) => "",
        Some(Value::String(input)) => input,
        Some(_) => return Err("`input` is not text".into()),
    };
    let answer = text(fields, "output")?;
    Ok(Problem {
        question: [text(fields, "instruction")?, input].concat(),
        answer: answer.into(),
        result: number::last(answer),
    })
}

/// The text without `<<…>>`; a mark that is not closed stays.
fn without_calculator_marks(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, mark)) = rest.split_once("<<") {
        let Some((_, after)) = mark.split_once(">>") else { break };
        clean.push_str(before);
        rest = after;
    }
    clean + rest
}

/// A text field that says something.
fn text<'a>(fields: &'a Map<String, Value>, key: &str) -> std::result::Result<&'a str, String> {
    match fields.get(key) {
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(text),
        None | Some(Value::Null | Value::String(_)) => Err(format!("`{key}` is missing or empty")),
        Some(_) => Err(format!("`{key}` is not text")),
    }
}

export_plugin!(dataset: MathProblems);
