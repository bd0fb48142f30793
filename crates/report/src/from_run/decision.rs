//! What a study says, in both languages.

use tunebench_analysis::decision::Decision as Found;

use crate::data::{Decision, Text};

/// The decision of one judge's scores.
pub fn decision(found: &Found) -> Decision {
    let (english, chinese) = (&found.english, &found.chinese);
    let both = |en: &String, zh: &String| Text::new(en.as_str(), zh.as_str());
    // A sentence without its counterpart stands in both.
    let n_reasons = english.reasons.len().max(chinese.reasons.len());
    let reason = |sentences: &[String], i: usize| sentences.get(i).cloned().unwrap_or_default();
    Decision {
        headline: both(&english.headline, &chinese.headline),
        certainty: both(&english.certainty, &chinese.certainty),
        reasons: (0..n_reasons).map(|i| Text::new(reason(&english.reasons, i), reason(&chinese.reasons, i))).collect(),
    }
}
