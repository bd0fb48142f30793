//! The request's text, in the form of BELLE's evaluation page: same parts, same order, same marks.

use tunebench_plugin_api::Example;

use crate::rubric;

/// What the judge model reads. The answer stands in quotation marks, as it came.
///
/// The reference is left out where the category has no one right answer, as BELLE does, and where there is none.
pub fn prompt(item: &Example, rubric: &str, answer: &str) -> String {
    let question = item.question();
    let open = rubric::is_open(item.category.as_deref().unwrap_or_default());
    match item.reference.as_deref().filter(|reference| !open && !reference.trim().is_empty()) {
        Some(reference) => {
            format!(
                "{rubric} {question} 标准回答:{reference}  模型回答：' {answer}'。请针对模型回答给出得分，顺便给出理由："
            )
        }
        None => format!("{rubric} {question}  模型回答： '{answer}'。请针对模型回答给出得分，顺便给出理由："),
    }
}
