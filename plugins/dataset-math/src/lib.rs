//! School mathematics with worked answers: BELLE's school_math and GSM8K, for training or as questions to answer.
//!
//! The reference is the final number as it stands in the answer, in one width ([`numbers`]), so that a judge which reads
//! numbers reads the same one in both. A problem is a question and an answer: rows that say more than that to a model, or
//! are marked not to be learnt, are refused, and fields that are not used are told.

use fields::{Fault, Fields, Notes, check_learnt, tools};
use numbers::final_number;
use serde_json::Value;
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
    notes: Notes,
}

impl Dataset for MathProblems {
    const NAME: &'static str = "math";
    const DESCRIPTION: &'static str = "BELLE school_math and GSM8K: problems with worked answers";
    type Options = Options;

    fn open(source: Source, options: Options) -> Result<Self> {
        Ok(Self { records: Records::new(source), options, notes: Notes::default() })
    }

    fn next(&mut self) -> Result<Option<Row>> {
        let (purpose, notes) = (self.options.purpose, &mut self.notes);
        let record = self.records.next()?;
        Ok(record.map(|r| r.into_row(|place, value| example(place, value, purpose, notes))))
    }

    fn position(&self) -> Position {
        self.records.position()
    }

    fn seek(&mut self, position: &Position) -> Result<()> {
        self.notes = Notes::default();
        self.records.seek(position)
    }

    fn remarks(&self) -> Vec<String> {
        self.notes.remarks()
    }
}

/// What a model would be told beside the question.
const CONTEXT: [&str; 3] = ["system", "system_prompt", "history"];

/// A problem as both schemas give it.
struct Problem {
    question: String,
    answer: String,
    /// The final number of the answer.
    result: Option<String>,
}

fn example(id: &str, row: &Value, purpose: Purpose, notes: &mut Notes) -> std::result::Result<Example, Fault> {
    let Value::Object(map) = row else { return Err("not a JSON object".into()) };
    let fields = Fields::new(map);
    check_whole(&fields)?;
    let problem = match (fields.names("question"), fields.names("instruction")) {
        (true, _) => gsm8k(&fields)?,
        (false, true) => school_math(&fields)?,
        (false, false) => return Err("neither `question` nor `instruction`".into()),
    };
    let mut turns = vec![Turn::new(Role::User, problem.question)];
    match purpose {
        Purpose::Train => turns.push(Turn::new(Role::Assistant, problem.answer)),
        // A judge could not tell a right answer from a wrong one.
        Purpose::Eval if problem.result.is_none() => return Err("no number in the answer to compare with".into()),
        Purpose::Eval => {}
    }
    let mut noted = Notes::default();
    noted.add_unused(fields.unused());
    notes.add_row(&noted);
    Ok(Example { id: id.into(), turns, category: Some("math".into()), reference: problem.result, rubric: None })
}

/// Refuses what a row says to a model beside its question, and a row that is not to be learnt.
fn check_whole(fields: &Fields<'_>) -> std::result::Result<(), Fault> {
    if let Some(key) = tools(fields) {
        return Err(format!(
            "has `{key}`, and problems are learnt without tools; the dataset `belle` can leave them out"
        ));
    }
    if let Some(key) = CONTEXT.into_iter().find(|key| fields.stated(key).is_some()) {
        return Err(format!("has `{key}`, and a problem is one question; the dataset `belle` learns conversations"));
    }
    check_learnt(fields)
}

/// `{question, answer}`; the answer has `<<48/2=24>>` marks for a calculator, and ends with `#### 72`.
fn gsm8k(fields: &Fields<'_>) -> std::result::Result<Problem, Fault> {
    let answer = without_calculator_marks(fields.required("answer")?);
    let Some((_, last)) = answer.rsplit_once("####") else { return Err("no `####` before a final number".into()) };
    if final_number(last).is_none() {
        return Err("no number behind `####`".into());
    }
    Ok(Problem { question: fields.required("question")?.into(), result: result(&answer), answer })
}

/// `{instruction, input, output}`.
fn school_math(fields: &Fields<'_>) -> std::result::Result<Problem, Fault> {
    let answer = fields.required("output")?;
    Ok(Problem {
        question: [fields.required("instruction")?, fields.text("input")?].concat(),
        answer: answer.into(),
        result: result(answer),
    })
}

fn result(answer: &str) -> Option<String> {
    final_number(answer).map(|number| number.text)
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

export_plugin!(dataset: MathProblems);
