//! The README of an export: a model card as the Hugging Face hub reads it.

use std::fmt::Write;
use std::path::Path;

use serde_json::Value;
use tunebench_files::write_file;

use crate::{About, Error};

/// Writes `README.md`: what it is, what it comes from, and how it was trained. `library` is whom it is for, `form` what it is
/// in a few words.
///
/// # Errors
/// When the file cannot be written.
pub fn write(dir: &Path, about: &About<'_>, library: &str, form: &str) -> Result<(), Error> {
    let text = text(about, library, form);
    Ok(write_file(&dir.join("README.md"), |out| out.write_all(text.as_bytes()))?)
}

fn text(about: &About<'_>, library: &str, form: &str) -> String {
    let record = about.record;
    let mut text = String::from("---\n");
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
