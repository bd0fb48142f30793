//! `tunebench serve`: arms and base models of a run behind OpenAI's API.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tunebench_model::backend::Backend;
use tunebench_serve::{Options, ServedModel, Server};
use tunebench_study::{Servable, servable};

use crate::args::Serve;
use crate::output::{status, warn};
use crate::signals::Signals;

pub fn run(args: Serve, backend: &'static dyn Backend, signals: &Signals) -> Result<()> {
    let Serve { dir, arms, host, port, api_key_env, max_queue, seed, end_within } = args;
    let key = |name: String| std::env::var(&name).with_context(|| format!("the environment variable {name}"));
    let api_key = api_key_env.map(key).transpose()?;
    let end_within = Duration::from_secs(end_within);
    let server = Server::bind(Options { host, port, api_key, max_queue, seed, end_within })?;
    if server.is_open_to_others() {
        warn(
            "whoever reaches this machine may ask; give a key by --api-key-env, and keep plain HTTP off open networks",
        );
    }
    let models = servable(&dir, &arms)?.into_iter().map(|servable: Servable| ServedModel {
        id: servable.id.clone(),
        shape: servable.shape.clone(),
        quantised: servable.quantised.clone(),
        trained: servable.trained,
        open: Box::new(|| Ok(servable.open()?)),
    });
    let address = server.address();
    let server = server.load(models.collect(), backend)?;
    server.remark().into_iter().for_each(warn);
    server.models().for_each(|line| status(format!("  {line}")));
    status(format!("listening at http://{address}/v1; Ctrl-C ends it"));
    let ended = server.run(|| signals.received().is_some())?;
    match ended.broken_off {
        0 => status("ended"),
        count => warn(&format!("{count} connections were broken off after {} seconds", end_within.as_secs())),
    }
    Ok(())
}
