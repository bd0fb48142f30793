//! The page: its frame here, a file for each kind of section.

mod answers;
mod results;
mod scores;
mod summary;
pub mod view;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use view::Page;

use crate::answers::Counts;
use crate::data::{Language, Report};
use crate::error::Error;
use crate::html::section;
use crate::words::{self, Word};

const STYLE: &str = include_str!("../page.css");
const SCRIPT: &str = include_str!("../page.js");
const ANSWERS_SCRIPT: &str = include_str!("../answers.js");

/// What stands before all markup. Constant text: the end tags that belong to it may be left out in HTML, so that answers
/// can follow one by one.
pub fn begin(language: Language) -> &'static str {
    match language {
        Language::En => "<!DOCTYPE html>\n<html lang=\"en\">\n",
        Language::Zh => "<!DOCTYPE html>\n<html lang=\"zh-Hans\">\n",
    }
}

/// The head, with the policy that lets nothing run or load but what stands in the page.
pub fn head(report: &Report) -> Markup {
    let policy = format!(
        "default-src 'none'; script-src {} {}; style-src {}; img-src data:; base-uri 'none'; form-action 'none'",
        hash(SCRIPT),
        hash(ANSWERS_SCRIPT),
        hash(STYLE)
    );
    html! {
        head {
            meta charset="utf-8";
            meta http-equiv="Content-Security-Policy" content=(policy);
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (report.study) " – tunebench" }
            // The only markup that is not escaped here and at the end: files of this crate.
            style { (PreEscaped(STYLE)) }
        }
    }
}

/// What people see, without the answers' data.
pub fn body(page: &Page) -> Result<Markup, Error> {
    let sections = [
        ("scores", words::SCORES, scores::scores(page)?),
        ("pairs", words::PAIRS, scores::pairs(page)),
        ("compared", words::COMPARED, results::compared(page)),
        ("judges", words::JUDGES, results::judges(page)),
        ("pareto", words::PARETO, results::pareto(page)?),
        ("categories", words::CATEGORIES, scores::categories(page)),
        ("forgetting", words::FORGETTING, results::forgetting(page)?),
        ("curves", words::CURVES, results::curves(page)?),
        ("candidates", words::CANDIDATES, results::candidates(page)),
        ("answers", words::ANSWERS, Some(answers::explorer(page))),
        ("numbers", words::NUMBERS, results::tables(page)),
        ("again", words::AGAIN, summary::again(page)),
    ];
    let sections: Vec<(&str, Word, Markup)> =
        sections.into_iter().filter_map(|(id, title, body)| body.map(|body| (id, title, body))).collect();
    Ok(html! {
        a.skip href="#scores" { (page.say(&words::SKIP)) }
        (summary::header(page))
        nav aria-label=(page.label(&words::CONTENTS)) {
            @for (id, title, _) in &sections { a href={ "#" (id) } { (page.say(title)) } " " }
        }
        main {
            (summary::warnings(page))
            @for (id, title, body) in &sections { (section(id, &page.say(title), body)) }
        }
    })
}

/// What follows the answers: how many there were, and the scripts.
pub fn end(page: &Page, counts: Counts) -> Markup {
    html! {
        (answers::counts(page, counts))
        script { (PreEscaped(SCRIPT)) }
        script { (PreEscaped(ANSWERS_SCRIPT)) }
    }
}

fn hash(source: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(source)))
}

#[cfg(test)]
mod tests {
    use maud::DOCTYPE;

    use super::*;

    #[test]
    fn sources_in_the_page_hold_nothing_that_ends_their_element_or_fetches() {
        for source in [STYLE, SCRIPT, ANSWERS_SCRIPT] {
            for banned in ["</", "<!--", "http:", "https:", "//", "@import", "url(", "innerHTML", "eval(", "\r"] {
                assert!(!source.contains(banned), "{banned}");
            }
        }
        let doctype = DOCTYPE.into_string();
        assert!(begin(Language::En).starts_with(&doctype) && begin(Language::Zh).starts_with(&doctype));
    }
}
