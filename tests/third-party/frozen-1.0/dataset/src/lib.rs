//! One question and its answer a line, as it was written for version 1.0.0 of the contract.

#![forbid(unsafe_code)]

use tunebench_plugin_api::prelude::*;

#[derive(Default, Deserialize)]
#[serde(crate = "tunebench_plugin_api::serde", default, deny_unknown_fields)]
struct Options {}

struct Questions(Records<Source>);

impl Dataset for Questions {
    const NAME: &'static str = "frozen-questions";
    const DESCRIPTION: &'static str = "questions and answers of plugin-api 1.0.0";
    type Options = Options;

    fn open(source: Source, _: Options) -> Result<Self> {
        Ok(Self(Records::new(source)))
    }

    fn next(&mut self) -> Result<Option<Row>> {
        let Some(record) = self.0.next()? else { return Ok(None) };
        Ok(Some(record.into_row(|place, value| {
            let (question, answer) = (value["q"].as_str().ok_or("no q")?, value["a"].as_str().ok_or("no a")?);
            let turns = vec![Turn::new(Role::User, question), Turn::new(Role::Assistant, answer)];
            Ok(Example {
                id: place.to_owned(),
                turns,
                category: None,
                reference: Some(answer.to_owned()),
                rubric: None,
            })
        })))
    }

    fn position(&self) -> Position {
        self.0.position()
    }

    fn seek(&mut self, position: &Position) -> Result<()> {
        self.0.seek(position)
    }
}

export_plugin!(dataset: Questions);
