//! What happens inside the cluster. Several submissions share it, so that waiting for one is not waiting for all.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tunebench_submit::simulation::{self, Cluster};
use tunebench_submit::slurm::{self, Options, State, Status};
use tunebench_submit::{Error, Resources, Stage, Submission};

const MIB: u64 = 1 << 20;

pub fn run(shared: &Path) {
    let long = OutOfTime::begin(shared);
    it_takes_what_a_simulation_says(shared);
    a_node_dies(shared);
    a_stage_is_refused(shared);
    a_killed_submission_knows_its_jobs(shared);
    a_cancelled_task_stays_so(shared);
    long.end();
}

/// Eight pieces of two seconds, and one that starts from them, while one of the four CPUs is taken.
fn it_takes_what_a_simulation_says(shared: &Path) {
    let pieces: String = (0..8).map(|number| format!("p{number} - 20\n")).collect();
    let study = Study::new(shared, "simulated", &(pieces + "last p0 20\n"), &[8, 1]);
    let mut submission = study.submission.clone();
    submission.stages.iter_mut().for_each(|stage| stage.needs.seconds = 2.0);
    submission.join.seconds = 0.0;
    let cluster = Cluster::from_toml(
        "name = 'test'\n[[node]]\nname = 'n'\ncount = 1\ndevices = 2\nmemory = 8000000000\n\
         [[node]]\nname = 'n, one taken'\ncount = 1\ndevices = 1\nmemory = 8000000000\n",
    );
    let schedule = simulation::run(&cluster.unwrap(), &simulation::stages(&submission).unwrap()).unwrap();
    assert_eq!(schedule.makespan, 3.0 * 2.0 + 2.0);

    study.submit();
    study.wait_for_the_join();
    let events = study.events();
    let took = events.last().unwrap().time - events[0].time;
    let mut at_once = 0;
    let running = events.iter().scan(0, |running, event| {
        *running += if event.what == "start" { 1 } else { -1 };
        Some(*running)
    });
    running.for_each(|running| at_once = at_once.max(running));
    assert_eq!(at_once, 3, "{events:?}");
    // Four rounds of tasks and the join begin by Slurm's clock of a second.
    assert!((7.9..=8.0 + 5.0 * 2.0).contains(&took), "{took} s: {events:?}");
    eprintln!("simulated: {} s, took {took:.1} s with what Slurm takes to start tasks", schedule.makespan);
}

/// Three pieces, two that start from them; the node on which the first runs loses its power.
fn a_node_dies(shared: &Path) {
    let study = Study::new(shared, "a run's \"1\" 100%", "a - 15\nb - 15\nc - 15\nd a 5\ne b 5\n", &[3, 2]);
    let submitted = study.submit();
    assert_eq!(submitted.len(), 3);

    wait("the first piece runs", || study.events().iter().any(|event| event.is("start", "a")));
    let status = study.status();
    assert!(matches!(status.jobs[0].tasks[0].state, State::Running), "{status}");
    let task = &status.jobs[1].tasks[1];
    assert_eq!((&task.state, task.reason.as_deref()), (&State::Pending, Some("Dependency")), "{status}");
    match slurm::submit(&study.submission, &study.options) {
        Err(Error::Queued { jobs, .. }) => {
            assert_eq!(jobs, submitted.iter().map(u64::to_string).collect::<Vec<_>>().join(" "))
        }
        other => panic!("{other:?}"),
    }

    let node = study.events().iter().find(|event| event.is("start", "a")).unwrap().host.clone();
    shell(&format!("kill -9 $(cat /run/cluster/{node}.pid); scontrol update nodename={node} state=down reason=test"));
    study.wait_for_the_join();

    let events = study.events();
    let starts: Vec<&Event> = events.iter().filter(|event| event.is("start", "a")).collect();
    assert_eq!(starts.len(), 2, "{events:?}");
    assert_ne!(starts[1].host, node);
    let at = |what: &str, piece: &str| {
        let found: Vec<f64> = events.iter().filter(|event| event.is(what, piece)).map(|event| event.time).collect();
        assert!(what == "start" || found.len() == 1, "{what} {piece}: {events:?}");
        found[0]
    };
    let (first, second) = (["a", "b", "c"], ["d", "e"]);
    let end = first.map(|piece| at("done", piece)).into_iter().fold(0.0, f64::max);
    assert!(second.iter().all(|piece| at("start", piece) > end), "{events:?}");
    assert!(second.iter().all(|piece| at("done", piece) < at("join", "all")), "{events:?}");
    let status = study.status();
    let log = fs::read_to_string(&status.jobs[0].tasks[0].log).unwrap();
    assert!(log.contains("ended with status 0"), "{log}");
    assert!(status.jobs[2].tasks[0].log.exists());
    eprintln!("a node dies: its pieces are done by the other, stages keep their order\n{status}");
}

/// A task whose warning comes in the middle of its work: two minutes of time, of which two are the warning.
struct OutOfTime(Study);

impl OutOfTime {
    fn begin(shared: &Path) -> Self {
        let mut study = Study::new(shared, "long", "long - 330\n", &[1]);
        study.options.extra.push("--time=2".into());
        study.submit();
        Self(study)
    }

    fn end(self) {
        // Slurm looks at times each half minute.
        wait("the task is told that its time is up", || self.0.events().iter().any(|event| event.is("stop", "long")));
        self.0.wait_for_the_join();
        let events = self.0.events();
        let restarts: Vec<u32> =
            events.iter().filter(|event| event.is("start", "long")).map(|event| event.restarts).collect();
        assert!(restarts.len() >= 2 && restarts.is_sorted() && restarts[0] < restarts[1], "{events:?}");
        let steps = fs::read_to_string(self.0.submission.out.join("steps/long")).unwrap();
        assert_eq!(steps.lines().count(), 330, "no step is lost or done twice");
        eprintln!("out of time: stopped, requeued by its script, and went on where it was");
    }
}

/// The second stage asks for more than any node has.
fn a_stage_is_refused(shared: &Path) {
    let mut study = Study::new(shared, "refused", "x - 5\n", &[1, 1]);
    study.submission.stages[1].needs.memory = 1 << 50;
    let error = slurm::submit(&study.submission, &study.options).unwrap_err().to_string();
    assert!(error.starts_with("stage `depth-1` was not taken: `sbatch` failed: "), "{error}");
    assert!(error.ends_with(") are cancelled") && error.contains("the jobs before it ("), "{error}");
    assert!(study.status().jobs.is_empty());
    study.submission.stages.pop();
    study.submit();
    study.wait_for_the_join();
    eprintln!("refused: {error}");
}

/// Killed when it has submitted two jobs of three, and written down one.
fn a_killed_submission_knows_its_jobs(shared: &Path) {
    if !cfg!(debug_assertions) {
        return; // only debug builds can be killed at a write
    }
    let study = killed(shared);
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "studies_on_a_cluster"])
        // Three scripts, no job, the first, the second.
        .env("TUNEBENCH_KILL_AT_WRITE", "6:before")
        .env(KILLED, "1")
        .status();
    assert!(!status.unwrap().success());
    let known: Vec<u64> = study.status().jobs.iter().map(|job| job.job.id).collect();
    let [first] = known[..] else { panic!("{known:?}") };
    match slurm::submit(&study.submission, &study.options) {
        Err(Error::Queued { jobs, .. }) => assert_eq!(jobs, first.to_string()),
        other => panic!("{other:?}"),
    }
    shell(&format!("scancel {} {first}", first + 1));
    wait("they are cancelled", || {
        study.status().jobs.iter().flat_map(|job| &job.tasks).all(|task| !task.state.is_open())
    });
    eprintln!("killed while it submitted: what it had written down is known, and in the way of another");
}

/// Set in the process that is to be killed.
pub const KILLED: &str = "TUNEBENCH_TEST_KILLED";

pub fn submit_and_be_killed(shared: &Path) {
    killed(shared).submit();
}

fn killed(shared: &Path) -> Study {
    Study::new(shared, "killed", "z - 100\n", &[2, 1])
}

/// A program that is cancelled says that it would go on, as one that is out of time does; but it may not.
fn a_cancelled_task_stays_so(shared: &Path) {
    let study = Study::new(shared, "cancelled", "y - 100\n", &[1]);
    let jobs = study.submit();
    wait("the piece runs", || study.events().iter().any(|event| event.is("start", "y")));
    shell(&format!("scancel {} {}", jobs[1], jobs[0]));
    wait("the jobs are cancelled", || {
        study.status().jobs.iter().flat_map(|job| &job.tasks).all(|task| !task.state.is_open())
    });
    let status = study.status();
    assert_eq!(status.jobs[0].tasks[0].state, State::Ended("CANCELLED".into()), "{status}");
    let log = fs::read_to_string(&status.jobs[0].tasks[0].log).unwrap();
    assert!(log.contains("ended with status 143") && !log.contains("could not be requeued"), "{log}");
    eprintln!("cancelled: it saved its work, and was not requeued");
}

/// A study file and a submission of it.
struct Study {
    submission: Submission,
    options: Options,
}

impl Study {
    /// In a folder of its own; stages of this many tasks.
    fn new(shared: &Path, name: &str, pieces: &str, stages: &[u32]) -> Self {
        let folder = shared.join(name);
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("the study.toml");
        fs::write(&file, pieces).unwrap();
        let needs = Resources { cpus: 1, memory: 64 * MIB, seconds: 10.0 };
        let stage = |(depth, tasks): (usize, &u32)| Stage { name: format!("depth-{depth}"), tasks: *tasks, needs };
        let submission = Submission {
            study: name.to_owned(),
            program: Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/worker.sh"),
            file,
            out: folder.join("out"),
            arguments: vec!["--engine".into(), "fast".into(), "it's".into()],
            stages: stages.iter().enumerate().map(stage).collect(),
            join: needs,
        };
        Self { submission, options: Options { partition: Some("all".into()), ..Options::default() } }
    }

    /// The numbers of its jobs.
    fn submit(&self) -> Vec<u64> {
        let submitted = slurm::submit(&self.submission, &self.options).unwrap();
        submitted.jobs.iter().map(|job| job.id).collect()
    }

    fn status(&self) -> Status {
        slurm::status(&self.submission.out).unwrap()
    }

    fn wait_for_the_join(&self) {
        let report: PathBuf = self.submission.out.join("report");
        wait("the study is joined", || report.exists());
    }

    fn events(&self) -> Vec<Event> {
        let text = fs::read_to_string(self.submission.out.join("events")).unwrap_or_default();
        text.lines().map(Event::parse).collect()
    }
}

/// A line of what the worker tells.
#[derive(Debug)]
struct Event {
    time: f64,
    what: String,
    piece: String,
    host: String,
    restarts: u32,
}

impl Event {
    fn parse(line: &str) -> Self {
        let words: Vec<&str> = line.split(' ').collect();
        let [time, what, piece, host, restarts] = words[..] else { panic!("{line}") };
        let (time, restarts) = (time.parse().unwrap(), restarts.parse().unwrap());
        Self { time, what: what.into(), piece: piece.into(), host: host.into(), restarts }
    }

    fn is(&self, what: &str, piece: &str) -> bool {
        self.what == what && self.piece == piece
    }
}

/// Waits until something is so; a minute is far more than any of it takes.
fn wait(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}: not within a minute");
        sleep(Duration::from_millis(50));
    }
}

fn shell(script: &str) {
    assert!(Command::new("bash").args(["-c", script]).status().unwrap().success(), "{script}");
}
