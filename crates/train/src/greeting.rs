//! What the bytes of a training depend on, compared among its ranks before anything is computed.

use tunebench_exchange::greet as compare;
use tunebench_kernels::SimdLevel;
use tunebench_model::backend::REFERENCE;
use tunebench_spec::hash;

use crate::Error;
use crate::job::Job;
use crate::ranks::Ranks;

/// Refuses ranks that are given other jobs, or that round differently.
///
/// # Errors
/// Names the first rank that differs, and in what.
pub(crate) fn greet(job: &Job<'_>, ranks: &mut Ranks<'_>) -> Result<(), Error> {
    if ranks.is_alone() {
        return Ok(());
    }
    let mut lines = vec![
        line("version of tunebench", env!("CARGO_PKG_VERSION")),
        line("CPU level", SimdLevel::chosen().map_err(tunebench_model::Error::from)?.name()),
        line("engine", job.backend.name()),
        line("arm", job.arm),
        line("candidate", job.candidate),
        line("seed", job.seed),
        line("last step", job.until.map_or_else(|| "none".into(), |step| step.to_string())),
        line("model", hash::of_json(job.shape).map_err(Error::Compared)?),
        line("plan", hash::of_json(job.tuning.recorded()).map_err(Error::Compared)?),
    ];
    if job.backend.name() == REFERENCE.name() {
        // Its products choose instructions by themselves, whatever level is forced.
        lines.push(line("CPU", SimdLevel::best().name()));
    }
    let recipe = serde_json::to_value(job.recipe).map_err(Error::Compared)?;
    lines.extend(recipe.as_object().into_iter().flatten().map(|(name, value)| line(name, value)));
    let count = job.examples.count();
    let tokens: usize = (0..count).map(|index| job.examples.length(index)).sum();
    lines.extend([line("number of examples", count), line("number of tokens", tokens)]);
    lines.extend(job.held_out.iter().map(|set| line(set.set, set.set_hash)));
    Ok(compare(ranks.exchange(), &lines.join("\n"))?)
}

fn line(name: impl std::fmt::Display, value: impl std::fmt::Display) -> String {
    format!("{name}: {value}").replace('\n', " ")
}
