//! `tunebench plan`: parameters, steps, memory, time and money of a study, and what is to be said before any of it is paid for.

use anyhow::{Context as _, Result};
use serde_json::json;
use tunebench_forecast::{arms_table, cluster_tables, judging_tables, power_table, time_table};
use tunebench_kernels::machine::threads;
use tunebench_submit::simulation::Cluster;

use crate::args::{Plan, Shared};
use crate::output::{OutputFormat, Terminal, print, print_tables};
use crate::plugin_files;
use crate::signals::Signals;

pub fn run(args: &Plan, shared: &Shared, signals: &Signals) -> Result<()> {
    let study = plugin_files::open_study(&args.file, shared)?;
    let name = &study.definition().study.name;
    let arms = study.plan()?;
    if args.probe {
        study.probe(&mut Terminal::default())?;
    }
    // A study may be planned without the data that it would be run with; what is known all the same is shown.
    let (forecast, fault) = match study.forecast(&mut Terminal::new(signals.clone())) {
        Ok(forecast) => (Some(forecast), None),
        Err(error) => (None, Some(error)),
    };
    if args.json {
        let because = fault.as_ref().map(ToString::to_string);
        let plan = json!({ "arms": arms, "forecast": forecast, "not_forecast_because": because });
        print(&format!("{}\n", serde_json::to_string_pretty(&plan)?))?;
    } else {
        let mut tables = vec![arms_table(name, &arms)];
        if let Some(forecast) = &forecast {
            tables.push(time_table(forecast));
            tables.extend(judging_tables(forecast));
            match power_table(args.seen.as_deref(), args.margin, name, forecast) {
                Ok(table) => tables.extend(table),
                Err(error) if args.seen.is_some() => return Err(error.into()),
                // A study too small for statistics can be run all the same.
                Err(error) => tables[0].notes.push(format!("What its scores could show is not said: {error}")),
            }
        }
        if let Some(file) = args.on.as_ref().filter(|_| forecast.is_some()) {
            let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
            let cluster = Cluster::from_toml(&text).with_context(|| file.display().to_string())?;
            let stages = study.stages(&[], &mut Terminal::new(signals.clone()))?;
            tables.extend(cluster_tables(&stages, &cluster, u32::try_from(threads::products()).unwrap_or(1))?);
        }
        if let Some(absent) = fault.as_ref().filter(|error| error.is_absence()) {
            let on = args.on.as_ref().map_or("", |_| ", here or on the cluster");
            tables[0].notes.push(format!("Time is not predicted{on}: {absent}"));
        }
        print_tables(&tables, OutputFormat::Text)?;
    }
    match fault.filter(|error| !error.is_absence()) {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}
