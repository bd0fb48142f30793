//! What a study may set.

use marks::asking::{Asking, Unknown};
use marks::{Language, Scale};
use serde::Deserialize;
use tunebench_plugin_api::{Error, Result};

/// How the model is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Question, reference and answer between marks that the answer cannot have.
    #[default]
    Delimited,
    /// As BELLE's evaluation page: to repeat the paper.
    Belle,
}

/// How a mark is made of a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scoring {
    /// The mark that the model writes.
    #[default]
    Sampled,
    /// The expected mark over the probabilities of the digits 0 to 9 that it could have written.
    Logprobs,
}

/// Options of the judge; those of the chat model are beside them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Options {
    #[serde(flatten)]
    pub asking: Asking,
    pub form: Form,
    pub scoring: Scoring,
    /// Asks for a JSON object; a server that knows no structured output replies in words, which are read, too. On for
    /// the delimited form with sampled marks, and no option of others.
    pub structured: Option<bool>,
    /// The language of the built-in rubrics and of our words; that of the question's script if not set.
    pub language: Option<Language>,
    /// The worst and the best mark; 0 and 1 if not set. A rubric that speaks of points should speak of this scale.
    pub scale: Option<[f64; 2]>,
    /// The instruction for items that bring none.
    pub rubric: Option<String>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

const NAMES: [&str; 6] = ["form", "scoring", "structured", "language", "scale", "rubric"];

impl Options {
    /// # Errors
    /// When a name is unknown, a value makes no sense, or two exclude each other.
    pub fn check(&self) -> Result<()> {
        self.unknown.refuse(&NAMES)?;
        self.asking.check()?;
        let is_scale = |[low, high]: [f64; 2]| low.is_finite() && high.is_finite() && low < high;
        let belle = self.form == Form::Belle;
        let logprobs = self.scoring == Scoring::Logprobs;
        let faults = [
            (
                self.rubric.as_ref().is_some_and(|r| r.trim().is_empty()),
                "`rubric` is empty; leave it out for the built-in ones",
            ),
            (self.scale.is_some_and(|scale| !is_scale(scale)), "`scale` must be [worst, best], the worst being less"),
            (belle && logprobs, "form = \"belle\" asks for a line in words; leave out scoring = \"logprobs\""),
            (belle && self.structured == Some(true), "form = \"belle\" asks for no JSON; leave out `structured`"),
            (belle && self.language == Some(Language::En), "form = \"belle\" is Chinese; leave out `language`"),
            (belle && self.scale.is_some(), "form = \"belle\" has the scale from 0 to 1; leave out `scale`"),
            (
                logprobs && self.structured == Some(true),
                "scoring = \"logprobs\" asks for one digit; leave out `structured`",
            ),
            (logprobs && self.scale.is_some(), "scoring = \"logprobs\" has the digits 0 to 9; leave out `scale`"),
        ];
        match faults.iter().find(|fault| fault.0) {
            Some((_, fault)) => Err(Error::new(*fault)),
            None => Ok(()),
        }
    }

    /// Whether a JSON object is asked for.
    pub fn is_structured(&self) -> bool {
        self.form == Form::Delimited && self.scoring == Scoring::Sampled && self.structured.unwrap_or(true)
    }

    /// The scale on which marks are given.
    pub fn scale(&self) -> Scale {
        self.scale.map_or_else(Scale::default, |[low, high]| Scale { low, high })
    }
}
