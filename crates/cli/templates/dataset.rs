//! Questions with answers, one JSON object a line, as a tunebench dataset: the start of one of your own.

use tunebench_plugin_api::prelude::*;
use tunebench_plugin_api::serde_json::Value;

/// What a study may set: `options = { purpose = "eval" }`.
#[derive(Default, Deserialize)]
#[serde(crate = "tunebench_plugin_api::serde", default, deny_unknown_fields)]
pub struct Options {
    purpose: Purpose,
}

/// What the rows are for.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(crate = "tunebench_plugin_api::serde", rename_all = "lowercase")]
enum Purpose {
    /// Question and answer, to learn from.
    #[default]
    Train,
    /// The question alone, with the answer as reference for a judge.
    Eval,
}

/// The dataset. `Records` reads JSON Lines or a JSON array row by row and knows its position.
pub struct Questions {
    records: Records<Source>,
    purpose: Purpose,
}

impl Dataset for Questions {
    const NAME: &'static str = "my-plugin";
    const DESCRIPTION: &'static str = "Questions with answers, one JSON object a line";
    type Options = Options;

    fn open(source: Source, options: Options) -> Result<Self> {
        Ok(Self {
            records: Records::new(source),
            purpose: options.purpose,
        })
    }

    fn next(&mut self) -> Result<Option<Row>> {
        let record = self.records.next()?;
        Ok(record.map(|r| r.into_row(|place, row| example(place, row, self.purpose))))
    }

    fn position(&self) -> Position {
        self.records.position()
    }

    fn seek(&mut self, position: &Position) -> Result<()> {
        self.records.seek(position)
    }
}

/// The example of a row, or why it cannot be used; `place` is `train.jsonl:17`.
fn example(place: &str, row: &Value, purpose: Purpose) -> std::result::Result<Example, String> {
    let (question, answer) = (text(row, "question")?, text(row, "answer")?);
    let mut turns = vec![Turn::new(Role::User, question)];
    let mut reference = None;
    match purpose {
        Purpose::Train => turns.push(Turn::new(Role::Assistant, answer)),
        Purpose::Eval => reference = Some(answer.to_owned()),
    }
    let category = row["category"].as_str().map(str::to_owned);
    Ok(Example {
        id: place.into(),
        turns,
        category,
        reference,
        rubric: None,
    })
}

/// A text field that says something.
fn text<'a>(row: &'a Value, key: &str) -> std::result::Result<&'a str, String> {
    let text = row[key].as_str().filter(|text| !text.trim().is_empty());
    text.ok_or_else(|| format!("`{key}` is missing or empty"))
}

export_plugin!(dataset: Questions);

#[cfg(test)]
mod tests {
    use tunebench_plugin_api::serde_json::json;
    use tunebench_plugin_api::testing::read_rows;

    use super::*;

    const FILE: (&str, &str) = (
        "sums.jsonl",
        "{\"question\": \"2+1?\", \"answer\": \"3\"}\n\n{\"question\": \"2+2?\"}\nnonsense\n",
    );

    #[test]
    fn rows_are_examples_or_skips_with_a_reason() {
        let rows = read_rows::<Questions>(&[FILE], json!({})).unwrap();
        let [
            Row::Example(sum),
            Row::Skip { place, reason },
            Row::Skip { .. },
        ] = &rows[..]
        else {
            panic!("{rows:?}");
        };
        assert_eq!((sum.question(), sum.turns.len()), ("2+1?", 2));
        assert_eq!(
            (place.as_str(), reason.as_str()),
            ("sums.jsonl:3", "`answer` is missing or empty")
        );
    }

    #[test]
    fn an_evaluation_keeps_the_answer_from_the_model() {
        let rows = read_rows::<Questions>(&[FILE], json!({ "purpose": "eval" })).unwrap();
        let Row::Example(sum) = &rows[0] else {
            panic!("{rows:?}")
        };
        assert_eq!((sum.turns.len(), sum.reference.as_deref()), (1, Some("3")));
    }
}
