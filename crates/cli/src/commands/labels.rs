//! `tunebench labels`: the tokens an arm learns from, before a step is made.

use anyhow::{Context as _, Result};
use tunebench_dataset::labels;
use tunebench_spec::study::Arm;

use super::{print, printable};
use crate::args::{Labels, Shared};
use crate::run::data;
use crate::run::models::BaseModel;
use crate::run::plan::{self, ArmPlan};
use crate::run::setup::Setup;

pub fn run(args: &Labels, shared: &Shared) -> Result<()> {
    let setup = Setup::open(&args.file, shared)?;
    let plans = plan::plan(&setup)?.whole()?;
    if let Some(name) = &args.arm {
        setup.study.arm(name).with_context(|| {
            let known: Vec<&str> = setup.study.arms.iter().map(|a| a.name.as_str()).collect();
            format!("no arm `{name}`; there are: {}", known.join(", "))
        })?;
    }
    let wanted = |arm: &Arm| args.arm.as_ref().is_none_or(|name| *name == arm.name);
    for plan in plans.iter().filter(|p| wanted(p.arm)) {
        show(&setup, plan, args.show).with_context(|| format!("arm `{}`", plan.arm.name))?;
    }
    Ok(())
}

fn show(setup: &Setup, plan: &ArmPlan<'_>, show: usize) -> Result<()> {
    let model = BaseModel::open(setup, setup.study.root_model(plan.arm))?;
    let encoder = model.encoder(setup, plan.template(setup))?;
    let found = data::examples(setup, &plan.arm.dataset)?;
    let settings = (&plan.recipe).into();
    let (_, stats) = data::tokenize(&encoder, settings, &found.examples);
    let share = 100.0 * stats.label_tokens as f64 / stats.tokens.max(1) as f64;
    print(&format!(
        "\n{}\n  {} examples, {} tokens, {} of them labels ({share:.1} %); {} cut at max_length {}, {} tokens lost\n",
        printable(&plan.arm.name),
        stats.examples,
        stats.tokens,
        stats.label_tokens,
        stats.truncated,
        plan.recipe.max_length,
        stats.lost_tokens
    ))?;
    for skips in [&found.skips, &stats.skips].into_iter().filter(|s| s.total() > 0) {
        print(&format!("  {}\n", printable(&skips.to_string())))?;
    }
    for example in found.examples.iter().take(show) {
        let dump = match labels::dump(&encoder, settings, example) {
            Ok(dump) => dump,
            Err(reason) => {
                print(&format!("  {}\n", printable(&format!("{}: {reason}", example.id))))?;
                continue;
            }
        };
        print(&format!("  {} (learnt tokens in brackets)\n", printable(&example.id)))?;
        let text: String =
            dump.tokens.iter().map(|t| if t.is_label { format!("[{}]", t.text) } else { t.text.clone() }).collect();
        print(&format!("{}\n", printable(&text)))?;
        for warning in &dump.warnings {
            print(&format!("  warning: {}\n", printable(&warning.to_string())))?;
        }
    }
    Ok(())
}
