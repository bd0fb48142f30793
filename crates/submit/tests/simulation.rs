//! The order of the jobs, time for time, and what a cluster may not be.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use expect_test::expect;
use tunebench_submit::simulation::{Cluster, Limits, Node, Schedule, SimulatedStage, Task, Work, run, stages};
use tunebench_submit::{Resources, Stage, Submission};

const GB: u64 = 1_000_000_000;

fn node(name: &str, count: u32, devices: u32, gigabytes: u64) -> Node {
    Node {
        name: name.into(),
        count,
        devices,
        memory: gigabytes * GB,
        speed: 1.0,
        flops: None,
        utilisation: None,
        tokens_per_second: None,
        bandwidth: None,
        cost_per_hour: 0.0,
    }
}

fn cluster(nodes: Vec<Node>) -> Cluster {
    Cluster { name: "test".into(), nodes, limits: Limits { requeue_seconds: 10.0, ..Limits::default() } }
}

/// Tasks of so many seconds, devices and gigabytes each.
fn stage(name: &str, tasks: &[(f64, u32, u64)]) -> SimulatedStage {
    let task = |(number, (seconds, devices, gigabytes)): (usize, &(f64, u32, u64))| Task {
        name: format!("{name}{number}"),
        work: Work::Seconds(*seconds),
        devices: *devices,
        memory: gigabytes * GB,
    };
    SimulatedStage { name: name.into(), tasks: tasks.iter().enumerate().map(task).collect() }
}

/// `TASK@NODE START-END`, a `+` where it is cut.
fn runs(cluster: &Cluster, stages: &[SimulatedStage]) -> (Schedule, String) {
    let schedule = run(cluster, stages).unwrap();
    let line = |run: &tunebench_submit::simulation::Run| {
        let more = if run.is_last { "" } else { "+" };
        format!("{}@{} {}-{}{more}", stages[run.stage].tasks[run.task].name, run.node, run.start, run.end)
    };
    let lines: Vec<String> = schedule.runs.iter().map(line).collect();
    (schedule, lines.join(", "))
}

#[test]
fn stages_wait_for_each_other_and_tasks_for_room() {
    let cluster = cluster(vec![node("n", 2, 2, 10)]);
    let same = |seconds| (seconds, 1, 1);
    // Four places: the fifth waits for the first that ends, the next stage for the last.
    let work = [stage("a", &[same(3.0), same(5.0), same(5.0), same(5.0), same(4.0)]), stage("b", &[same(1.0)])];
    let (schedule, text) = runs(&cluster, &work);
    assert_eq!(text, "a0@n 0 0-3, a1@n 0 0-5, a2@n 1 0-5, a3@n 1 0-5, a4@n 0 3-7, b0@n 0 7-8");
    assert_eq!((schedule.makespan, schedule.stages[0].last.as_str(), schedule.stages[0].waited), (8.0, "a4", 3.0));
    assert_eq!(schedule.stages.iter().map(|stage| stage.idle).collect::<Vec<_>>(), [28.0 - 22.0, 3.0]);
    assert!((schedule.used - 23.0 / 32.0).abs() < 1e-12);

    // Memory fills a node as devices do, and who does not fit keeps those behind it waiting.
    let work = [stage("m", &[(2.0, 1, 6), (3.0, 1, 6), (1.0, 2, 9), (1.0, 1, 1)])];
    assert_eq!(runs(&cluster, &work).1, "m0@n 0 0-2, m1@n 1 0-3, m2@n 0 2-3, m3@n 1 2-3");
}

#[test]
fn a_task_out_of_time_goes_on_after_a_pause() {
    let mut cluster = cluster(vec![node("n", 1, 1, 10)]);
    // A task is stopped two minutes early.
    cluster.limits.seconds = Some(140.0);
    // While it pauses, the one behind it has the place; and then it is before the third.
    let work = [stage("t", &[(30.0, 1, 1), (15.0, 1, 1), (1.0, 1, 1)])];
    let (schedule, text) = runs(&cluster, &work);
    assert_eq!(text, "t0@n 0 0-20+, t1@n 0 20-35, t0@n 0 35-45, t2@n 0 45-46");
    assert_eq!(schedule.runs[2].ready, 30.0);
    cluster.limits = Limits { at_once: Some(1), ..Limits::default() };
    cluster.nodes[0].devices = 8;
    cluster.nodes[0].cost_per_hour = 3600.0 * 8.0;
    let (schedule, text) = runs(&cluster, &work);
    assert_eq!(text, "t0@n 0 0-30, t1@n 0 30-45, t2@n 0 45-46");
    assert_eq!((schedule.cost_held, schedule.cost_used), (46.0 * 8.0, 46.0));
}

#[test]
fn a_faster_node_takes_less_and_a_submission_is_simulated_as_it_is() {
    let mut fast = node("fast", 1, 4, 64);
    fast.speed = 2.0;
    let cluster = cluster(vec![fast, node("slow", 1, 4, 64)]);
    let needs = |seconds| Resources { cpus: 4, memory: 8 * GB, seconds };
    let submission = Submission {
        study: "s".into(),
        program: "/t".into(),
        file: "/f".into(),
        out: "/o".into(),
        arguments: vec![],
        stages: vec![Stage { name: "arms".into(), tasks: 3, needs: needs(100.0) }],
        join: needs(10.0),
    };
    let (schedule, text) = runs(&cluster, &stages(&submission).unwrap());
    assert_eq!(text, "arms 0@fast 0 0-50, arms 1@slow 0 0-100, arms 2@fast 0 50-100, join 0@fast 0 100-105");
    expect![[r#"
        arms             from 0 s to 1.7 min; ends with arms 2; tasks waited 50 s for room, devices idle 0 s
        join             from 1.7 min to 1.8 min; ends with join 0; tasks waited 0 s for room, devices idle 20 s
        1.8 min in all, 98 % of the devices' time used; costs 0.00 by use, 0.00 for nodes held
    "#]]
    .assert_eq(&schedule.to_string());
}

/// A hundred thousand tasks on a thousand nodes, each cut into pieces.
#[test]
fn many_tasks_are_reckoned() {
    let mut cluster = cluster(vec![node("n", 1000, 1, 10)]);
    cluster.limits.seconds = Some(220.0);
    let schedule = run(&cluster, &[stage("t", &vec![(350.0, 1, 1); 100_000])]).unwrap();
    assert_eq!(schedule.runs.len(), 400_000);
    assert!((schedule.makespan - 35_000.0).abs() < 500.0, "{}", schedule.makespan);
}

#[test]
fn what_cannot_be_reckoned() {
    let fits_not = run(&cluster(vec![node("n", 9, 4, 64)]), &[stage("big", &[(1.0, 8, 100)])]).unwrap_err();
    assert_eq!(
        fits_not.to_string(),
        "task `big0`: needs 8 devices and 100.0 GB, and no node of `test` has that: at most 4 devices, 64.0 GB"
    );
    let training = Task {
        name: "t".into(),
        work: Work::Training { flops: 1e15, tokens: 1e6, steps: 10.0, bytes_per_step: 1e6 },
        devices: 2,
        memory: GB,
    };
    let stage_of = |task: &Task| [SimulatedStage { name: "s".into(), tasks: vec![task.clone()] }];
    let mut one = cluster(vec![node("n", 1, 2, 64)]);
    let said = |cluster: &Cluster| run(cluster, &stage_of(&training)).unwrap_err().to_string();
    assert_eq!(
        said(&one),
        "task `t` on node `n`: the node states no rate: `flops` with `utilisation`, or `tokens_per_second`"
    );
    one.nodes[0].tokens_per_second = Some(1e3);
    assert_eq!(said(&one), "task `t` on node `n`: its devices exchange, and the node states no `bandwidth`");
    one.nodes[0].bandwidth = Some(1e6);
    assert_eq!(run(&one, &stage_of(&training)).unwrap().makespan, 500.0 + 10.0);
    one.limits.seconds = Some(120.01);
    assert_eq!(said(&one), "task `t`: takes 510 s, in pieces of 0 s; the limit is too short for it");
    one.limits.seconds = Some(120.0);
    let early =
        "cluster `test`: limits: seconds: leaves no time to work: a task is stopped 120 s before its time is up";
    assert_eq!(said(&one), early);

    let texts = [
        ("name = 1", "the cluster: TOML parse error"),
        ("name = 'c'\nnode = []", "cluster `c`: node: there is none"),
        (
            "name='c'\n[[node]]\nname='n'\ncount=4000000000\ndevices=1\nmemory=1",
            "cluster `c`: node: there are more than 1000000",
        ),
        (
            "name='c'\n[[node]]\nname='n'\ncount=0\ndevices=1\nmemory=1",
            "cluster `c`: node `n`: count, devices and memory: are all",
        ),
        (
            "name='c'\n[[node]]\nname='n'\ncount=1\ndevices=1\nmemory=1\nspeed=-1.0",
            "cluster `c`: node `n`: speed: -1 is not more",
        ),
        (
            "name='c'\n[[node]]\nname='n'\ncount=1\ndevices=1\nmemory=1\nflops=1e9",
            "cluster `c`: node `n`: rate: a rate is",
        ),
        (
            "name='c'\n[[node]]\nname='n'\ncount=1\ndevices=1\nmemory=1\nflops=1e9\nutilisation=1.5",
            "cluster `c`: node `n`: utilisation: is a part",
        ),
        ("name='c'\n[[node]]\nname='n'\ncount=1\ndevices=1\nmemory=1\nprice=2", "the cluster: TOML parse error"),
    ];
    for (text, want) in texts {
        let error = Cluster::from_toml(text).unwrap_err().to_string();
        assert!(error.starts_with(want), "{error}");
    }
}
