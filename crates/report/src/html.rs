//! Pieces that every part of the page uses: texts in two languages, tables, missing values.

use maud::{Markup, html};

use crate::data::{Language, Text};
use crate::words::Word;

/// A phrase of the page, in the language it opens in; the script puts in the other.
pub fn say(language: Language, word: &Word) -> Markup {
    text(language, &word.with(&[]))
}

/// A text of the study, isolated so that its direction changes nothing around it.
pub fn text(language: Language, text: &Text) -> Markup {
    let (en, zh) = (text.in_language(Language::En), text.in_language(Language::Zh));
    html! {
        @if en == zh { bdi { (en) } } @else { bdi data-en=(en) data-zh=(zh) { (text.in_language(language)) } }
    }
}

/// A name or other text of the study in one language.
pub fn name(name: &str) -> Markup {
    html! { bdi { (name) } }
}

/// A column's heading.
pub struct Heading {
    label: Markup,
    class: Option<&'static str>,
}

impl Heading {
    /// Of words.
    pub fn words(label: Markup) -> Self {
        Self { label, class: None }
    }

    /// Of numbers.
    pub fn numbers(label: Markup) -> Self {
        Self { label, class: Some("n") }
    }
}

/// A table whose columns the script can sort, in a box that scrolls by itself.
pub fn table(language: Language, caption: &Text, headings: &[Heading], rows: &[Markup]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(caption.in_language(language)) {
            table.sortable {
                caption { (text(language, caption)) }
                thead { tr { @for heading in headings {
                    th scope="col" class=[heading.class] { button type="button" { (heading.label) } }
                } } }
                tbody { @for row in rows { (row) } }
            }
        }
    }
}

/// A cell with a number; the script sorts by the value.
pub fn number(value: Option<f64>, shown: impl Fn(f64) -> String) -> Markup {
    html! {
        @match value {
            Some(value) => { td.n data-v=(value) { (shown(value)) } }
            None => { td.n.none { "–" } }
        }
    }
}

/// A section with its heading; `id` is of this crate.
pub fn section(id: &str, heading: &Markup, body: &Markup) -> Markup {
    html! {
        section id=(id) aria-labelledby={ (id) "-h" } { h2 id={ (id) "-h" } { (heading) } (body) }
    }
}
