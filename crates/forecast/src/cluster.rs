//! A study's stages on a cluster: as jobs with what each needs, and as tables of what a described cluster would take for them.

use tunebench_analysis::duration::words as duration;
use tunebench_analysis::{Cell, Table};
use tunebench_study::work_ahead::SMALL;
use tunebench_study::{StageAhead, TaskAhead};
use tunebench_submit::simulation::{self, Cluster, SimulatedStage, Task, Work};
use tunebench_submit::{Error, Resources, Stage};

/// What a join needs where no judge is a model of this machine.
const JOIN: Resources = Resources { cpus: 1, memory: 2 << 30, seconds: 1800.0 };

/// Stages as jobs: each task has what the largest of its stage needs, and memory for the largest of all. `cores` are those of the machine that times were forecast
/// for; a task has as many, or one where its model is so small that more do not help.
pub fn job_stages(stages: &[StageAhead], cores: u32) -> (Vec<Stage>, Resources) {
    let count = |task: &TaskAhead| cpus(task, cores);
    // A task takes any model that is open, so that one of a later stage may be taken by a task of an earlier one.
    let memory = stages.iter().flat_map(|stage| &stage.tasks).map(|task| task.memory).max().unwrap_or(0);
    let jobs = stages.iter().enumerate().filter(|(_, stage)| !stage.tasks.is_empty()).map(|(number, stage)| {
        let needs = Resources {
            cpus: stage.tasks.iter().map(count).max().unwrap_or(1),
            memory,
            seconds: stage.tasks.iter().filter_map(|task| task.seconds).fold(0.0, f64::max),
        };
        let tasks = u32::try_from(stage.tasks.len()).unwrap_or(u32::MAX);
        Stage { name: format!("stage-{}", number + 1), tasks, needs }
    });
    (jobs.collect(), JOIN)
}

fn cpus(task: &TaskAhead, cores: u32) -> u32 {
    if task.parameters < SMALL { 1 } else { cores.max(1) }
}

/// What a study takes on a described cluster: a row a stage, with what is assumed in the notes. A node that states a rate
/// (`flops` with `utilisation`, or `tokens_per_second`) takes a training's operations by it; another the time forecast for this
/// machine, by its `speed`. `cores` as in [`job_stages`].
///
/// # Errors
/// When a task fits no node, or no time comes out.
pub fn cluster_tables(stages: &[StageAhead], cluster: &Cluster, cores: u32) -> Result<Vec<Table>, Error> {
    let by_rate = cluster.nodes.iter().all(|node| node.flops.is_some() || node.tokens_per_second.is_some());
    let mut simulated: Vec<SimulatedStage> = Vec::new();
    for (number, stage) in stages.iter().enumerate().filter(|(_, stage)| !stage.tasks.is_empty()) {
        let tasks = stage.tasks.iter().map(|task| simulated_task(task, cluster, cores, by_rate));
        simulated
            .push(SimulatedStage { name: format!("stage {}", number + 1), tasks: tasks.collect::<Result<_, _>>()? });
    }
    let schedule = simulation::run(cluster, &simulated)?;
    let columns =
        [("stage", 0), ("tasks", 0), ("begins", 0), ("ends", 0), ("ends with", 0), ("waited for room", 0), ("idle", 0)];
    let mut table = Table::new(format!("On {}", cluster.name), &columns);
    for (stage, times) in simulated.iter().zip(&schedule.stages) {
        table.rows.push(vec![
            Cell::from(times.name.as_str()),
            (stage.tasks.len() as u64).into(),
            duration(times.begin).into(),
            duration(times.end).into(),
            times.last.as_str().into(),
            duration(times.waited).into(),
            duration(times.idle).into(),
        ]);
    }
    table.notes.push(format!(
        "The whole study takes {} there, {:.0} % of the devices' time used; it costs {:.2} by use, {:.2} for all nodes from beginning to \
         end. Judging and joining come after it.",
        duration(schedule.makespan),
        schedule.used * 100.0,
        schedule.cost_used,
        schedule.cost_held
    ));
    table.notes.push(match by_rate {
        true => "Trainings are reckoned from operations, 6 a parameter and token, 4 where it is frozen, by the nodes' rates; nothing is \
                 exchanged while something is computed. Losses and answers are not in it: a rate of training says nothing of them."
            .to_owned(),
        false => format!(
            "Times are those forecast for this machine with {cores} threads, by the nodes' `speed`; answers are as long as they may be."
        ),
    });
    Ok(vec![table])
}

fn simulated_task(task: &TaskAhead, cluster: &Cluster, cores: u32, by_rate: bool) -> Result<Task, Error> {
    if !by_rate {
        let seconds = task.seconds.ok_or_else(|| Error::Value {
            what: format!("task `{}`", task.name),
            fault: "its time on this machine cannot be said".into(),
        })?;
        let (devices, memory) = (cpus(task, cores), task.memory);
        return Ok(Task { name: task.name.clone(), work: Work::Seconds(seconds), devices, memory });
    }
    // As few devices as have room for it, a power of two; a node's memory is that of all its devices.
    let fits = |devices: u32| {
        cluster.nodes.iter().any(|node| {
            devices <= node.devices && task.memory <= node.memory / u64::from(node.devices) * u64::from(devices)
        })
    };
    let most = cluster.nodes.iter().map(|node| node.devices).max().unwrap_or(1);
    let devices = (0..32).map(|power| 1 << power).take_while(|devices| *devices <= most).find(|devices| fits(*devices));
    let devices = devices.unwrap_or(most);
    let (trained, frozen) = (task.trained as f64, task.parameters.saturating_sub(task.trained) as f64);
    let tokens = task.tokens as f64;
    let others = f64::from(devices - 1) / f64::from(devices);
    Ok(Task {
        name: task.name.clone(),
        work: Work::Training {
            flops: tokens * (6.0 * trained + 4.0 * frozen),
            tokens,
            steps: task.steps as f64,
            // Gradients in f32 to their owners, weights in bf16 back.
            bytes_per_step: others * 6.0 * trained,
        },
        devices,
        memory: task.memory,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(name: &str, seconds: f64, parameters: u64) -> TaskAhead {
        TaskAhead {
            name: name.to_owned(),
            seconds: Some(seconds),
            answering_seconds: 0.0,
            memory: 1 << 30,
            parameters,
            trained: parameters,
            tokens: 1_000_000,
            steps: 100,
        }
    }

    fn stages() -> Vec<StageAhead> {
        vec![
            StageAhead { tasks: vec![task("a", 60.0, 1_000), task("b", 120.0, 1_000)] },
            StageAhead { tasks: vec![task("c", 30.0, SMALL)] },
        ]
    }

    #[test]
    fn each_task_has_what_the_largest_of_its_stage_needs() {
        let (jobs, _) = job_stages(&stages(), 8);
        let shown: Vec<_> = jobs.iter().map(|s| (s.name.as_str(), s.tasks, s.needs.cpus, s.needs.seconds)).collect();
        assert_eq!(shown, [("stage-1", 2, 1, 120.0), ("stage-2", 1, 8, 30.0)]);
    }

    #[test]
    fn times_add_up_on_a_cluster_of_this_machines_kind() {
        let cluster = "name = \"two\"\n[[node]]\nname = \"n\"\ncount = 2\ndevices = 8\nmemory = 4000000000\n";
        let table = &cluster_tables(&stages(), &Cluster::from_toml(cluster).unwrap(), 8).unwrap()[0];
        let text = table.to_text();
        // The longest of the first, then the second.
        assert!(text.contains("takes 150.0 s there") || text.contains("takes 2.5 min there"), "{text}");
        let half = cluster.replace("devices = 8", "devices = 8\nspeed = 0.5");
        let text = cluster_tables(&stages(), &Cluster::from_toml(&half).unwrap(), 8).unwrap()[0].to_text();
        assert!(text.contains("takes 300.0 s there") || text.contains("takes 5.0 min there"), "{text}");
    }

    #[test]
    fn trainings_are_reckoned_by_a_stated_rate() {
        let cluster = "name = \"cards\"\n[[node]]\nname = \"n\"\ncount = 1\ndevices = 2\nmemory = 4000000000\nflops = 1e9\n\
                       utilisation = 0.5\n";
        let table = &cluster_tables(&stages(), &Cluster::from_toml(cluster).unwrap(), 8).unwrap()[0];
        // 6 operations for each of 1,000 parameters and a million tokens at half of 1e9 a second: 12 s, side by side; the third has
        // 10,000 times as many parameters.
        let text = table.to_text();
        assert!(text.contains("12.0 s"), "{text}");
        assert!(text.contains("Losses and answers are not in it"), "{text}");
    }
}
