//! What is submitted, as text; and what is refused before anything is.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use expect_test::expect;
use tunebench_submit::slurm::{Options, scripts};
use tunebench_submit::{Resources, Stage, Submission};

const GIB: u64 = 1 << 30;

type Change = fn(&mut Submission, &mut Options);

fn submission() -> Submission {
    let stage = |name: &str, tasks, cpus, memory, seconds| Stage {
        name: name.into(),
        tasks,
        needs: Resources { cpus, memory, seconds },
    };
    Submission {
        study: "paper".into(),
        program: "/opt/tunebench".into(),
        file: "/scratch/me/my studies/it's.toml".into(),
        out: "/scratch/me/run 1".into(),
        arguments: vec!["--engine".into(), "fast".into()],
        stages: vec![stage("base arms", 4, 16, 40 * GIB, 3.0 * 3600.0), stage("children", 2, 8, 10 * GIB, 60.0)],
        join: Resources { cpus: 2, memory: GIB, seconds: 600.0 },
    }
}

fn said(change: impl Fn(&mut Submission, &mut Options)) -> String {
    let (mut submission, mut options) = (submission(), Options::default());
    change(&mut submission, &mut options);
    match scripts(&submission, &options) {
        Ok(scripts) => scripts.into_iter().map(|script| script.text).collect(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_script_for_each_stage() {
    let scripts = scripts(&submission(), &Options::default()).unwrap();
    let names: Vec<_> = scripts.iter().map(|script| (script.name.as_str(), script.tasks)).collect();
    assert_eq!(names, [("0-base_arms.sbatch", Some(4)), ("1-children.sbatch", Some(2)), ("join.sbatch", None)]);
    expect![[r##"
        #!/bin/bash
        # Study paper: stage 1 of 2, tasks 0-3. Made by `tunebench submit`.
        #SBATCH --job-name=paper-base_arms
        #SBATCH --array=0-3
        #SBATCH --nodes=1
        #SBATCH --ntasks=1
        #SBATCH --cpus-per-task=16
        #SBATCH --mem=51200M
        #SBATCH --time=0-04:32:00
        #SBATCH --requeue
        #SBATCH --open-mode=append
        #SBATCH --signal=B:USR1@120
        #SBATCH --output="/scratch/me/run 1/work/slurm/%x-%A_%a.log"

        set -u
        export RAYON_NUM_THREADS="$SLURM_CPUS_PER_TASK"

        # 120 s before the time is up Slurm sends USR1 to this shell alone, which asks the program to end. When Slurm itself ends
        # a task it sends TERM to all of its processes: the program has its own then, and a second would end it before it has saved.
        warned= child=
        stop() {
          warned=yes
          [ -z "$child" ] || kill -TERM "$child" 2>/dev/null
        }
        run() {
          "$@" &
          child=$!
          [ -z "$warned" ] || kill -TERM "$child" 2>/dev/null
          # A signal ends `wait` too, with a status of its own.
          while wait "$child"; status=$?; kill -0 "$child" 2>/dev/null; do :; done
          wait "$child" 2>/dev/null
          again=$?
          # A shell that has forgotten the child says 127.
          [ "$again" = 127 ] || status=$again
          child=
        }
        trap stop USR1
        trap : TERM

        echo "$(date '+%F %T') on $(hostname): start ${SLURM_RESTART_COUNT:-0}"
        run /opt/tunebench study '/scratch/me/my studies/it'\''s.toml' --out '/scratch/me/run 1' --worker --models 1 --leave-judging --engine fast
        echo "$(date '+%F %T') ended with status $status"

        # Stopped with work left (143), or out of time: once more, unless Slurm has done so, or a user has cancelled the task.
        task="${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
        if [ "$status" = 143 ] || { [ -n "$warned" ] && [ "$status" != 0 ]; }; then
          if [ "${SLURM_RESTART_COUNT:-0}" -ge 20 ]; then
            echo "requeued 20 times already; submit the study again to go on"
          elif [ "$(squeue --noheader --jobs="$task" --states=RUNNING --format=%T)" = RUNNING ]; then
            trap '' TERM
            scontrol requeue "$task" || echo "could not be requeued; submit the study again to go on"
          fi
        fi
        exit "$status"
    "##]].assert_eq(&scripts[0].text);
    let join: Vec<&str> =
        scripts[2].text.lines().filter(|line| line.contains("opt/tunebench") || line.contains("task=")).collect();
    expect![[r##"
        #SBATCH --cpus-per-task=2
        run /opt/tunebench study '/scratch/me/my studies/it'\''s.toml' --out '/scratch/me/run 1' --join --engine fast
        [ "$status" = 0 ] && run /opt/tunebench report '/scratch/me/run 1'
        task="$SLURM_JOB_ID""##]]
    .assert_eq(&join.join("\n"));
}

#[test]
fn what_the_cluster_wants_to_know() {
    let text = said(|submission, options| {
        submission.study = "中文 study/1".into();
        submission.out = "/a \"b\" 100% x".into();
        options.partition = Some("gpu".into());
        options.account = Some("my \"group\"".into());
        options.constraint = Some("a100&ib".into());
        options.extra = vec!["--gres=gpu:a100:1".into(), "--mail-type=END".into()];
        options.at_once = Some(2);
        options.time_limit = Some(2.0 * 3600.0);
    });
    let head: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).collect();
    expect![[r##"
        #!/bin/bash
        # Study 中文_study_1: stage 1 of 2, tasks 0-3%2. Made by `tunebench submit`.
        #SBATCH --job-name="中文_study_1-base_arms"
        #SBATCH --array=0-3%2
        #SBATCH --partition=gpu
        #SBATCH --account="my \"group\""
        #SBATCH --constraint="a100&ib"
        #SBATCH --nodes=1
        #SBATCH --ntasks=1
        #SBATCH --cpus-per-task=16
        #SBATCH --mem=51200M
        #SBATCH --time=0-02:00:00
        #SBATCH --requeue
        #SBATCH --open-mode=append
        #SBATCH --signal=B:USR1@120
        #SBATCH --output="/a \"b\" 100%% x/work/slurm/%x-%A_%a.log"
        #SBATCH --gres=gpu:a100:1
        #SBATCH --mail-type=END"##]]
    .assert_eq(&head.join("\n"));
}

#[test]
fn a_task_longer_than_the_partition_allows_is_requeued_often_enough() {
    let limited = |hours: f64| {
        said(move |submission, options| {
            submission.stages[0].needs.seconds = hours * 3600.0;
            options.time_limit = Some(3600.0 + 120.0);
        })
    };
    assert!(limited(2.0).contains("-ge 20 ]"));
    // 100 hours with half as much again: 150 pieces.
    assert!(limited(100.0).contains("-ge 300 ]"));
    assert!(limited(100.0).contains("--time=0-01:02:00"));
}

#[test]
fn what_no_script_can_say() {
    let cases: &[(Change, &str)] = &[
        (
            |s, _| s.out = "run".into(),
            "the run folder `run`: a job starts in a folder of its own; give an absolute path",
        ),
        (
            |s, _| s.out = "/a\\b".into(),
            r#"the run folder "/a\\b": Slurm cannot name logs in it, for a backslash or a control character; take another folder"#,
        ),
        (|s, _| s.arguments = vec!["a\0".into()], r#""a\0": holds a NUL, which no command line can"#),
        (|s, _| s.stages.clear(), "study `paper`: has no work to submit; run it with `tunebench study`"),
        (|s, _| s.stages[1].tasks = 0, "stage `children`: has no tasks; leave it out"),
        (|s, _| s.stages[0].needs.cpus = 0, "stage `base arms`: asks for no CPU"),
        (|s, _| s.join.memory = 0, "stage `join`: asks for no memory, which Slurm reads as all of a node's"),
        (|s, _| s.join.seconds = f64::NAN, "stage `join`: its time is no number of seconds"),
        (|_, o| o.time_factor = 0.5, "the time's factor 0.5: leaves less than what is forecast; 1 or more is meant"),
        (
            |_, o| o.time_limit = Some(100.0),
            "the time limit 100 s: leaves no time to work: a task is stopped 120 s before its end; at least 240 s are meant",
        ),
        (|_, o| o.at_once = Some(0), "tasks at once: 0 of them would never begin"),
        (|_, o| o.partition = Some("a\nb".into()), r#"partition "a\nb": is no name"#),
        (
            |_, o| o.extra = vec!["--x\nrm -rf /".into()],
            r#""--x\nrm -rf /": is no option of sbatch on one line, as --gres=gpu:1"#,
        ),
        (|_, o| o.extra = vec!["gpu".into()], r#""gpu": is no option of sbatch on one line, as --gres=gpu:1"#),
    ];
    for (change, want) in cases {
        assert_eq!(said(change), *want);
    }
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt as _;
        let path = std::path::Path::new(std::ffi::OsStr::from_bytes(b"/a\xff"));
        let text = said(|submission, _| submission.file = path.into());
        assert_eq!(text, r#"the study file "/a\xFF": is not UTF-8, so that no script can name it; rename it"#);
    }
}
