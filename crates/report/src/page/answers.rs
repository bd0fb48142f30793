//! The place where answers are searched and read; the script fills it.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::view::Page;
use crate::answers::Counts;
use crate::html::{Heading, table};
use crate::numbers::grouped;
use crate::words;

/// Filters, an empty list, an empty dialog.
pub fn explorer(page: &Page) -> Markup {
    let headings = [
        Heading::words(page.say(&words::ITEM)),
        Heading::words(page.say(&words::CATEGORY)),
        Heading::words(page.say(&words::QUESTION)),
        Heading::numbers(page.say(&words::SCORE)),
        Heading::numbers(page.say(&words::SPREAD)),
    ];
    let scale = page.report.scale;
    html! {
        p.note.print { (page.say(&words::PRINT_NOTE)) }
        @for note in &page.report.answer_notes { p.note { (page.text(note)) } }
        div #explorer.screen hidden data-words=(script_words()) {
            form #filters role="search" {
                label.grow { (page.say(&words::SEARCH)) input #f-text type="search" autocomplete="off" spellcheck="false"; }
                label { (page.say(&words::CATEGORY)) select #f-category {} }
                label { (page.say(&words::SCORE_OF)) select #f-arm {} }
                label { (page.say(&words::FROM)) input #f-low type="number" step="any" min=(scale.low) max=(scale.high); }
                label { (page.say(&words::TO)) input #f-high type="number" step="any" min=(scale.low) max=(scale.high); }
                label.check { input #f-disagree type="checkbox"; (page.say(&words::DISAGREE)) }
                label.check { input #f-unscored type="checkbox"; (page.say(&words::UNSCORED)) }
                button type="reset" { (page.say(&words::CLEAR)) }
            }
            p #found role="status" {}
            div #items { (table(page.report.language, &words::ANSWERS.with(&[]), &headings, &[])) }
            div.pager {
                button #page-previous type="button" { (page.say(&words::PREVIOUS)) }
                span #page-range {}
                button #page-next type="button" { (page.say(&words::NEXT)) }
            }
            dialog #item aria-labelledby="item-title" {}
        }
    }
}

/// How much there is, where the script finds it: known only when all answers have gone by.
pub fn counts(page: &Page, counts: Counts) -> Markup {
    let counts = [counts.items, counts.answers, counts.judgements].map(grouped);
    let note = words::ANSWERS_NOTE.with(&counts.each_ref().map(String::as_str));
    html! { p #counts.note.screen { (page.text(&note)) } }
}

/// The script's phrases as JSON: strings by language by key.
fn script_words() -> String {
    let words: BTreeMap<&str, [&str; 2]> = words::SCRIPT.iter().map(|(key, word)| (*key, [word.en, word.zh])).collect();
    serde_json::json!(words).to_string()
}
