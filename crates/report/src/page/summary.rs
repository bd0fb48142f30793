//! The beginning and the end: decision, warnings, how to run it again.

use maud::{Markup, html};

use super::view::Page;
use crate::words;

/// What who reads nothing else should read.
pub fn header(page: &Page) -> Markup {
    let report = page.report;
    let decision = &report.decision;
    html! {
        header {
            div.top {
                p.study { (page.say(&words::REPORT_OF)) " " strong { bdi { (report.study) } } }
                button #language type="button" { (page.say(&words::SWITCH)) }
            }
            h1 { (page.text(&decision.headline)) }
            @if decision.certainty != Default::default() { p.certainty { (page.text(&decision.certainty)) } }
            @if !decision.reasons.is_empty() {
                ul.reasons { @for reason in &decision.reasons { li { (page.text(reason)) } } }
            }
            p.made {
                @for part in [&report.made, &report.machine] {
                    @if !part.is_empty() { span { bdi { (part) } } " " }
                }
            }
            noscript { p.warning { (page.say(&words::NO_SCRIPT)) } }
        }
    }
}

/// What weakens the numbers.
pub fn warnings(page: &Page) -> Markup {
    let warnings = &page.report.warnings;
    html! {
        @if !warnings.is_empty() {
            aside.warning aria-labelledby="warnings-h" {
                h2 #warnings-h { (page.say(&words::WARNINGS)) }
                ul { @for warning in warnings { li { (page.text(warning)) } } }
            }
        }
    }
}

/// The commands that make all this again.
pub fn again(page: &Page) -> Option<Markup> {
    let commands = &page.report.commands;
    (!commands.is_empty()).then(|| {
        html! { pre tabindex="0" { @for command in commands { code { (command) } "\n" } } }
    })
}
