//! Stages on a cluster, event by event.

use std::collections::VecDeque;
use std::fmt;

use crate::error::Error;
use crate::simulation::cluster::{Cluster, Node};
use crate::simulation::work::{SimulatedStage, Task};

/// What would happen, in seconds from the first task that may start.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// In the order in which they start.
    pub runs: Vec<Run>,
    pub stages: Vec<StageTimes>,
    /// When the last task ends.
    pub makespan: f64,
    /// The part of all devices' time, up to then, that tasks had.
    pub used: f64,
    /// All nodes for as long as it takes.
    pub cost_held: f64,
    /// Devices while tasks have them, each a part of its node.
    pub cost_used: f64,
}

/// A task on a node, from a start to its end or until its time is up.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    pub stage: usize,
    /// Its number in the stage.
    pub task: usize,
    /// The node's kind, by its place in the cluster.
    pub kind: usize,
    /// The kind's name and the node's number, as `a100 0`.
    pub node: String,
    /// When it could have started, had there been room.
    pub ready: f64,
    pub start: f64,
    pub end: f64,
    /// Whether its work is done then.
    pub is_last: bool,
}

/// A stage in a schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct StageTimes {
    pub name: String,
    pub begin: f64,
    pub end: f64,
    /// The task that the next stage waits for.
    pub last: String,
    /// How long the tasks waited for room, added up.
    pub waited: f64,
    /// Time of devices that had nothing to do, since a task that might have had them belongs to a later stage.
    pub idle: f64,
}

/// A node with what is free on it.
struct Place {
    kind: usize,
    name: String,
    devices: u32,
    memory: u64,
}

/// A task that waits, in the order of the queue.
struct Waiting {
    task: usize,
    ready: f64,
    /// Of its work, 1 at first.
    left: f64,
}

struct Running {
    task: usize,
    place: usize,
    end: f64,
    left: f64,
}

/// More pieces than anybody lets a task be cut into.
const MOST_PIECES: f64 = 1e4;

/// Runs the stages as Slurm runs the arrays of [`slurm::submit`](crate::slurm::submit) in an empty queue.
///
/// # Errors
/// [`Error::Value`] for a task that fits no node, or whose time is not known on one that it fits.
pub fn run(cluster: &Cluster, stages: &[SimulatedStage]) -> Result<Schedule, Error> {
    cluster.check()?;
    let mut places = places(cluster);
    let all_devices: f64 = places.iter().map(|place| f64::from(place.devices)).sum();
    let mut schedule =
        Schedule { runs: Vec::new(), stages: Vec::new(), makespan: 0.0, used: 0.0, cost_held: 0.0, cost_used: 0.0 };
    let mut busy = 0.0;
    for (number, stage) in stages.iter().enumerate() {
        let (begin, before) = (schedule.makespan, schedule.runs.len());
        one_stage(cluster, &mut places, number, stage, begin, &mut schedule.runs)?;
        let runs = &schedule.runs[before..];
        let device_time = |run: &Run| f64::from(stage.tasks[run.task].devices) * (run.end - run.start);
        let last = runs.iter().max_by(|a, b| a.end.total_cmp(&b.end));
        let (end, name) = last.map_or((begin, ""), |run| (run.end, stage.tasks[run.task].name.as_str()));
        let stage_busy: f64 = runs.iter().map(device_time).sum();
        for run in runs {
            let node = &cluster.nodes[run.kind];
            schedule.cost_used += device_time(run) / 3600.0 * node.cost_per_hour / f64::from(node.devices);
        }
        schedule.stages.push(StageTimes {
            name: stage.name.clone(),
            begin,
            end,
            last: name.to_owned(),
            waited: runs.iter().map(|run| run.start - run.ready).sum(),
            idle: all_devices * (end - begin) - stage_busy,
        });
        busy += stage_busy;
        schedule.makespan = end;
    }
    if schedule.makespan > 0.0 {
        schedule.used = busy / (all_devices * schedule.makespan);
    }
    let per_hour: f64 = cluster.nodes.iter().map(|node| f64::from(node.count) * node.cost_per_hour).sum();
    schedule.cost_held = per_hour * schedule.makespan / 3600.0;
    Ok(schedule)
}

/// Adds the runs of a stage that begins when nothing runs any more.
fn one_stage(
    cluster: &Cluster,
    places: &mut [Place],
    number: usize,
    stage: &SimulatedStage,
    begin: f64,
    runs: &mut Vec<Run>,
) -> Result<(), Error> {
    for task in &stage.tasks {
        check_fits(cluster, task)?;
    }
    let limits = &cluster.limits;
    let at_once = limits.at_once.map_or(usize::MAX, |most| most as usize);
    let mut queue: VecDeque<Waiting> =
        (0..stage.tasks.len()).map(|task| Waiting { task, ready: begin, left: 1.0 }).collect();
    let mut running: Vec<Running> = Vec::new();
    let mut now = begin;
    loop {
        // First come, first served: whoever finds no room keeps those behind it waiting. Who waits for a time does not.
        let mut index = 0;
        while index < queue.len() && running.len() < at_once {
            let waiting = &queue[index];
            let task = &stage.tasks[waiting.task];
            if waiting.ready > now {
                index += 1;
                continue;
            }
            let fits = |place: &Place| place.devices >= task.devices && place.memory >= task.memory;
            let Some(place) = places.iter().position(fits) else { break };
            let whole = task.seconds(&cluster.nodes[places[place].kind])?;
            let wanted = whole * waiting.left;
            let given = limits.seconds.map_or(wanted, |most| wanted.min(most));
            if whole / given > MOST_PIECES {
                let fault = format!("takes {whole:.0} s, in pieces of {given:.0} s; the limit is too short for it");
                return Err(Error::value(format!("task `{}`", task.name), fault));
            }
            let left = if given < wanted { waiting.left - given / whole } else { 0.0 };
            places[place].devices -= task.devices;
            places[place].memory -= task.memory;
            running.push(Running { task: waiting.task, place, end: now + given, left });
            runs.push(Run {
                stage: number,
                task: waiting.task,
                kind: places[place].kind,
                node: places[place].name.clone(),
                ready: waiting.ready,
                start: now,
                end: now + given,
                is_last: left <= 0.0,
            });
            queue.remove(index);
        }
        let ends = running.iter().map(|run| run.end);
        let readies = queue.iter().map(|waiting| waiting.ready).filter(|ready| *ready > now);
        let Some(next) = ends.chain(readies).min_by(f64::total_cmp) else { return Ok(()) };
        now = next;
        let (ended, going): (Vec<_>, Vec<_>) = running.into_iter().partition(|run| run.end <= now);
        running = going;
        for run in ended {
            let task = &stage.tasks[run.task];
            places[run.place].devices += task.devices;
            places[run.place].memory += task.memory;
            if run.left > 0.0 {
                // It keeps its place in the queue.
                let at = queue.iter().position(|waiting| waiting.task > run.task).unwrap_or(queue.len());
                queue.insert(at, Waiting { task: run.task, ready: now + limits.requeue_seconds, left: run.left });
            }
        }
    }
}

fn places(cluster: &Cluster) -> Vec<Place> {
    let mut places = Vec::new();
    for (kind, node) in cluster.nodes.iter().enumerate() {
        let one = |number| Place {
            kind,
            name: format!("{} {number}", node.name),
            devices: node.devices,
            memory: node.memory,
        };
        places.extend((0..node.count).map(one));
    }
    places
}

/// Whether any node, empty, has room for a task.
fn check_fits(cluster: &Cluster, task: &Task) -> Result<(), Error> {
    if cluster.nodes.iter().any(|node| node.devices >= task.devices && node.memory >= task.memory) {
        return Ok(());
    }
    let most = |of: fn(&Node) -> u64| cluster.nodes.iter().map(of).max().unwrap_or(0);
    let fault = format!(
        "needs {} devices and {:.1} GB, and no node of `{}` has that: at most {} devices, {:.1} GB",
        task.devices,
        gigabytes(task.memory),
        cluster.name,
        most(|node| u64::from(node.devices)),
        gigabytes(most(|node| node.memory)),
    );
    Err(Error::value(format!("task `{}`", task.name), fault))
}

#[expect(clippy::cast_precision_loss, reason = "for reading")]
fn gigabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}

/// A line for each stage, and what it comes to.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = |seconds: f64| seconds / 3600.0;
        for stage in &self.stages {
            writeln!(
                f,
                "{:<16} {:>8.2} h to {:>8.2} h; ends with {}; waited {:.2} h for room, devices idle {:.2} h",
                stage.name,
                hours(stage.begin),
                hours(stage.end),
                stage.last,
                hours(stage.waited),
                hours(stage.idle)
            )?;
        }
        writeln!(
            f,
            "{:.2} h in all, {:.0} % of the devices' time used; costs {:.2} by use, {:.2} for the nodes held",
            hours(self.makespan),
            self.used * 100.0,
            self.cost_used,
            self.cost_held
        )
    }
}
