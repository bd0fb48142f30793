//! `tunebench labels`: the tokens an arm learns from, before a step is made.

use anyhow::{Result, bail};
use tunebench_study::{ArmLabels, ExampleLabels};

use crate::args::{Labels, Shared};
use crate::output::{Terminal, print, printable};
use crate::plugin_files;
use crate::signals::Signals;

pub fn run(args: &Labels, shared: &Shared, signals: &Signals) -> Result<()> {
    let study = plugin_files::open_study(&args.file, shared)?;
    let (mut faults, mut terminal) = (Vec::new(), Terminal::new(signals.clone()));
    study.labels(args.arm.as_deref(), args.show, &mut terminal, &mut |arm: ArmLabels| -> Result<()> {
        faults.extend(arm.faults.iter().map(|fault| printable(&format!("{}: {fault}", arm.arm))));
        show(&arm)
    })?;
    if faults.is_empty() { Ok(()) } else { bail!("{}", faults.join("; ")) }
}

fn show(arm: &ArmLabels) -> Result<()> {
    let stats = &arm.stats;
    let share = 100.0 * stats.label_tokens as f64 / stats.tokens.max(1) as f64;
    print(&format!(
        "\n{}, by template {}\n  {} examples, {} tokens, {} of them labels ({share:.1} %); {} cut at max_length {}, {} tokens lost\n",
        printable(&arm.arm),
        printable(&arm.template),
        stats.examples,
        stats.tokens,
        stats.label_tokens,
        stats.truncated,
        arm.max_length,
        stats.lost_tokens
    ))?;
    print(&format!("  the end of an answer is learnt from {} of {} examples\n", stats.with_end, stats.examples))?;
    for remark in &arm.of_source {
        print(&format!("  {}\n", printable(remark)))?;
    }
    for remark in &arm.remarks {
        print(&format!("  warning: {}\n", printable(remark)))?;
    }
    for skips in [&arm.row_skips, &stats.skips].into_iter().filter(|s| s.total() > 0) {
        print(&format!("  {}\n", printable(&skips.to_string())))?;
    }
    arm.examples.iter().try_for_each(show_example)
}

fn show_example(example: &ExampleLabels) -> Result<()> {
    let dump = match &example.labels {
        Ok(dump) => dump,
        Err(reason) => return print(&format!("  {}\n", printable(&format!("{}: {reason}", example.id)))),
    };
    print(&format!("  {} (learnt tokens in brackets)\n", printable(&example.id)))?;
    let groups = dump.groups().into_iter();
    let text: String = groups.map(|g| if g.is_label { format!("[{}]", g.text) } else { g.text }).collect();
    print(&format!("{}\n", printable(&text)))?;
    dump.warnings.iter().try_for_each(|warning| print(&format!("  warning: {}\n", printable(&warning.to_string()))))
}
