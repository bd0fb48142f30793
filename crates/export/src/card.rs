//! The README of an export: a model card as the Hugging Face hub reads it.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde_json::Value;
use tunebench_files::write_file;
use tunebench_model::Source;

use crate::{About, Error};

const README: &str = "README.md";

/// Keys of a card that say what a model may be used for.
const LICENSE: [&str; 3] = ["license", "license_name", "license_link"];

/// Writes `README.md`: what it is, what it comes from, and how it was trained. `library` is whom it is for, `form` what it is
/// in a few words.
///
/// # Errors
/// When the file cannot be written.
pub fn write(dir: &Path, about: &About<'_>, base: Option<&Source>, library: &str, form: &str) -> Result<(), Error> {
    let of_base = base.and_then(Source::folder).and_then(|folder| fs::read_to_string(folder.join(README)).ok());
    let text = text(about, &license(&of_base.unwrap_or_default()), library, form);
    Ok(write_file(&dir.join(README), |out| out.write_all(text.as_bytes()))?)
}

/// What a card says of its license, as it says it: a line, or several where there is a list.
fn license(card: &str) -> String {
    let mut lines = card.trim_start_matches('\u{feff}').lines().map(str::trim_end);
    if lines.next() != Some("---") {
        return String::new();
    }
    let matter: Vec<&str> = lines.clone().take_while(|line| *line != "---").collect();
    if matter.len() == lines.count() {
        // It does not end, so it is none.
        return String::new();
    }
    let (mut found, mut is_license) = (String::new(), false);
    for text in matter {
        if !text.starts_with([' ', '\t', '-']) {
            is_license = text.split_once(':').is_some_and(|(key, _)| LICENSE.contains(&key.trim()));
        }
        if is_license {
            line(&mut found, format_args!("{text}"));
        }
    }
    found
}

fn text(about: &About<'_>, license: &str, library: &str, form: &str) -> String {
    let record = about.record;
    let mut text = String::from("---\n");
    text.push_str(license);
    // The hub knows models by owner and name; a path on this machine would lead nowhere.
    let base = about.base_name;
    if base.split('/').count() == 2 && !base.starts_with(['/', '.']) && !Path::new(base).exists() {
        line(&mut text, format_args!("base_model: {}", quoted(base)));
    }
    line(&mut text, format_args!("library_name: {library}"));
    line(&mut text, format_args!("pipeline_tag: text-generation"));
    line(&mut text, format_args!("tags:\n- tunebench\n- {}", quoted(&record.tuner)));
    line(&mut text, format_args!("---\n\n# {}\n", one_line(&record.arm)));
    line(&mut text, format_args!("An arm of a study by tunebench, as {form}.\n"));
    line(&mut text, format_args!("| | |\n|---|---|"));
    let known = |name: &str| !name.is_empty();
    let of = [
        ("starts from", record.base.clone()),
        ("whose files are those of", base.to_owned()),
        ("tuner", record.tuner.clone()),
        ("its options", if record.options == "{}" { String::new() } else { record.options.clone() }),
        ("dataset", record.dataset.clone()),
        ("template", record.template.clone()),
        ("seed", record.seed.to_string()),
        ("examples", shown(record.examples)),
        ("steps", shown(record.steps)),
        ("epochs", if record.epochs > 0.0 { format!("{:.2}", record.epochs) } else { String::new() }),
        ("parameters", record.model_params.to_string()),
        ("of which trained", shown(record.trainable_params)),
        ("added", shown(record.additional_params)),
        (
            "mean loss of the last tenth of the steps",
            record.final_loss.map(|loss| format!("{loss:.4}")).unwrap_or_default(),
        ),
    ];
    for (name, value) in of.iter().filter(|(_, value)| known(value)) {
        line(&mut text, format_args!("| {name} | {} |", cell(value)));
    }
    let recipe: Value = serde_json::from_str(&record.recipe).unwrap_or_default();
    let recipe = recipe.as_object().into_iter().flatten();
    let mut rows: Vec<String> = recipe
        .map(|(name, entry)| {
            format!("| {name} | {} | {} |", cell(&bare(&entry["value"])), cell(&bare(&entry["origin"])))
        })
        .collect();
    rows.sort();
    if !rows.is_empty() {
        line(
            &mut text,
            format_args!("\n## Recipe\n\n| setting | value | stated by |\n|---|---|---|\n{}", rows.join("\n")),
        );
    }
    text
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{line}");
}

fn shown(count: u64) -> String {
    if count > 0 { count.to_string() } else { String::new() }
}

fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Text in a table's cell.
fn cell(text: &str) -> String {
    one_line(text).replace('|', "\\|")
}

/// Text in YAML, which JSON is a part of.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
