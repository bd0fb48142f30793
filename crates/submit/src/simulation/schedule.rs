//! Stages on a cluster, event by event.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;

use crate::error::Error;
use crate::simulation::cluster::{Cluster, Node};
use crate::simulation::work::{SimulatedStage, Task};
use crate::slurm::WARNING;

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

/// A task that may start.
struct Waiting {
    ready: f64,
    /// Of its work, 1 at first.
    left: f64,
}

/// Something that happens to a task: its run ends, or its pause.
struct Event {
    time: f64,
    task: usize,
    /// Of its work.
    left: f64,
    /// Where it ran; none for a pause.
    place: Option<usize>,
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
    let at_once = cluster.limits.at_once.map_or(usize::MAX, |most| most as usize);
    // By number, which is their order.
    let mut queue: BTreeMap<usize, Waiting> =
        (0..stage.tasks.len()).map(|task| (task, Waiting { ready: begin, left: 1.0 })).collect();
    let mut events = BinaryHeap::new();
    let (mut now, mut running) = (begin, 0);
    loop {
        // First come, first served: whoever finds no room keeps those behind it waiting.
        while running < at_once {
            let Some(first) = queue.first_entry() else { break };
            let (id, task) = (*first.key(), &stage.tasks[*first.key()]);
            let fits = |place: &Place| place.devices >= task.devices && place.memory >= task.memory;
            let Some(found) = places.iter().position(fits) else { break };
            let (waiting, place) = (first.remove(), &mut places[found]);
            let (given, left) = piece(cluster, task, &cluster.nodes[place.kind], waiting.left)?;
            place.devices -= task.devices;
            place.memory -= task.memory;
            running += 1;
            let end = now + given;
            events.push(Event { time: end, task: id, left, place: Some(found) });
            let (kind, node, is_last) = (place.kind, place.name.clone(), left == 0.0);
            runs.push(Run { stage: number, task: id, kind, node, ready: waiting.ready, start: now, end, is_last });
        }
        let Some(next) = events.peek() else { return Ok(()) };
        now = next.time;
        while events.peek().is_some_and(|event| event.time <= now) {
            let Some(Event { task: id, left, place, .. }) = events.pop() else { break };
            let Some(place) = place else {
                queue.insert(id, Waiting { ready: now, left });
                continue;
            };
            places[place].devices += stage.tasks[id].devices;
            places[place].memory += stage.tasks[id].memory;
            running -= 1;
            if left > 0.0 {
                events.push(Event { time: now + cluster.limits.requeue_seconds, task: id, left, place: None });
            }
        }
    }
}

/// How long a task runs that has so much of its work left, and what is left then.
fn piece(cluster: &Cluster, task: &Task, node: &Node, left: f64) -> Result<(f64, f64), Error> {
    let whole = task.seconds(node)?;
    let wanted = whole * left;
    // It is stopped that long before its time is up.
    let most = cluster.limits.seconds.map_or(f64::INFINITY, |limit| limit - f64::from(WARNING));
    if wanted <= most {
        return Ok((wanted, 0.0));
    }
    if whole > most * MOST_PIECES {
        let fault = format!("takes {whole:.0} s, in pieces of {most:.0} s; the limit is too short for it");
        return Err(Error::value(format!("task `{}`", task.name), fault));
    }
    Ok((most, left - most / whole))
}

/// The earliest is the greatest, for the heap; at one time, that of the first task.
impl Ord for Event {
    fn cmp(&self, other: &Self) -> Ordering {
        other.time.total_cmp(&self.time).then(other.task.cmp(&self.task))
    }
}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Event {}

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
        for stage in &self.stages {
            let [begin, end, waited, idle] = [stage.begin, stage.end, stage.waited, stage.idle].map(duration);
            writeln!(
                f,
                "{:<16} from {begin} to {end}; ends with {}; tasks waited {waited} for room, devices idle {idle}",
                stage.name, stage.last
            )?;
        }
        let (all, used) = (duration(self.makespan), self.used * 100.0);
        let (by_use, held) = (self.cost_used, self.cost_held);
        writeln!(
            f,
            "{all} in all, {used:.0} % of the devices' time used; costs {by_use:.2} by use, {held:.2} for nodes held"
        )
    }
}

fn duration(seconds: f64) -> String {
    match seconds {
        0.0..60.0 => format!("{seconds:.0} s"),
        60.0..3600.0 => format!("{:.1} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}
