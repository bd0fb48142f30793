//! The manifest: as text, by Kubernetes' published schemas, and what its pods run.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::process::Command;

use expect_test::expect;
use tunebench_submit::kubernetes::{Options, manifest};
use tunebench_submit::{Resources, Stage, Submission};

const GIB: u64 = 1 << 30;

type Change = fn(&mut Submission, &mut Options);

fn submission() -> Submission {
    let stage = |name: &str, tasks, cpus, memory| Stage {
        name: name.into(),
        tasks,
        needs: Resources { cpus, memory, seconds: 3600.0 },
    };
    Submission {
        study: "Paper: 中文 1".into(),
        program: "/usr/local/bin/tunebench".into(),
        file: "/volume/my studies/paper.toml".into(),
        out: "/volume/run".into(),
        arguments: vec!["--engine".into(), "fast".into()],
        stages: vec![stage("base", 2, 8, 4 * GIB), stage("children", 6, 4, 20 * GIB)],
        join: Resources { cpus: 2, memory: GIB, seconds: 60.0 },
    }
}

fn options() -> Options {
    Options {
        namespace: Some("studies".into()),
        secret: Some("judge-keys".into()),
        devices: vec![("nvidia.com/gpu".into(), 1)],
        node_labels: vec![("pool".into(), "a100".into()), ("zone".into(), "1".into())],
        ..Options::new("registry.example/tunebench:1", "scratch", "/volume")
    }
}

#[test]
fn one_job_of_as_many_pods_as_may_work_at_once() {
    expect![[r##"
        # Made by `tunebench submit`: 6 pods that work on one run folder until nothing is left. The pod of index 0 then joins
        # the frames and makes the report. `kubectl apply -f` starts it; needs Kubernetes 1.29 or later.
        apiVersion: batch/v1
        kind: Job
        metadata:
          name: "tunebench-paper-1"
          namespace: "studies"
        spec:
          completionMode: Indexed
          completions: 6
          parallelism: 6
          backoffLimitPerIndex: 3
          podFailurePolicy:
            rules:
              # Evicted, preempted, or its node is gone: others take its work, and another pod its place.
              - action: Ignore
                onPodConditions:
                  - type: DisruptionTarget
                    status: "True"
              # Stopped with work left.
              - action: Ignore
                onExitCodes:
                  containerName: worker
                  operator: In
                  values: [143]
          template:
            spec:
              restartPolicy: Never
              terminationGracePeriodSeconds: 120
              nodeSelector:
                "pool": "a100"
                "zone": "1"
              containers:
                - name: worker
                  image: "registry.example/tunebench:1"
                  envFrom:
                    - secretRef:
                        name: "judge-keys"
                  env:
                    - name: RAYON_NUM_THREADS
                      value: "8"
                  command:
                    - /bin/sh
                    - -c
                    - |
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
                      trap stop TERM
                      run /usr/local/bin/tunebench study '/volume/my studies/paper.toml' --out /volume/run --worker --leave-judging --engine fast
                      worked=$status
                      # What there is of a study is joined also where an arm has failed (1).
                      if [ "$JOB_COMPLETION_INDEX" = 0 ] && [ "$worked" -le 1 ]; then
                        run /usr/local/bin/tunebench study '/volume/my studies/paper.toml' --out /volume/run --join --engine fast
                        [ "$status" = 0 ] && run /usr/local/bin/tunebench report /volume/run
                        [ "$worked" = 0 ] || status=$worked
                      fi
                      exit "$status"
                  resources:
                    requests:
                      cpu: "8"
                      memory: 25600Mi
                      "nvidia.com/gpu": "1"
                    limits:
                      cpu: "8"
                      memory: 25600Mi
                      "nvidia.com/gpu": "1"
                  volumeMounts:
                    - name: study
                      mountPath: "/volume"
              volumes:
                - name: study
                  persistentVolumeClaim:
                    claimName: "scratch"
    "##]].assert_eq(&manifest(&submission(), &options()).unwrap());
}

#[test]
fn published_schemas_take_it() {
    let installed = Command::new("kubernetes-validate").arg("--version").output().is_ok();
    if !installed {
        eprintln!(
            "skipped: no kubernetes-validate on PATH; `pip install kubernetes-validate` brings the published schemas"
        );
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (number, options) in [options(), Options::new("i", "c", "/volume")].iter().enumerate() {
        let path = folder.path().join(format!("{number}.yaml"));
        std::fs::write(&path, manifest(&submission(), options).unwrap()).unwrap();
        for version in ["1.29", "1.33"] {
            let output =
                Command::new("kubernetes-validate").args(["--strict", "-k", version]).arg(&path).output().unwrap();
            assert!(output.status.success(), "{version}: {output:?}");
        }
    }
}

#[test]
fn what_no_manifest_can_say() {
    let said = |change: Change| {
        let (mut submission, mut options) = (submission(), options());
        change(&mut submission, &mut options);
        manifest(&submission, &options).unwrap_err().to_string()
    };
    let cases: &[(Change, &str)] = &[
        (
            |s, _| s.out = "/elsewhere/run".into(),
            "the run folder /elsewhere/run: is not in the volume, which is mounted at /volume",
        ),
        (|_, o| o.image = "a b".into(), r#"image "a b": is no name"#),
        (|_, o| o.mount = "work".into(), r#"mount "work": is no absolute path"#),
        (
            |s, _| s.arguments.push("a\nb".into()),
            "the command: a path or an argument holds a control character, which no manifest keeps",
        ),
        (|s, _| s.stages[0].tasks = 0, "stage `base`: has no tasks; leave it out"),
    ];
    for (change, want) in cases {
        assert_eq!(said(*change), *want);
    }
}

/// The script of a pod, run by this machine's shell with a program that writes down its calls.
#[test]
fn the_first_pod_joins_and_a_stopped_one_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let program = path("program");
    let stopped = "trap 'sleep 0.1; exit 143' TERM; kill -TERM $PPID; sleep 5 & wait";
    let text = format!(
        "#!/bin/sh\necho \"$*\" >> {}\n[ -e {} ] && {{ {stopped}; }}\nexit 0\n",
        path("calls").display(),
        path("stop").display()
    );
    std::fs::write(&program, text).unwrap();
    assert!(Command::new("chmod").arg("+x").arg(&program).status().unwrap().success());
    let mut submission = submission();
    submission.program = program;
    let text = manifest(&submission, &options()).unwrap();
    let lines = text.lines().skip_while(|line| line.trim() != "- |").skip(1);
    let script: Vec<&str> = lines.map_while(|line| line.strip_prefix("              ")).collect();
    let script = script.join("\n");
    let run = |index: &str| {
        let status = Command::new("/bin/sh").args(["-c", &script]).env("JOB_COMPLETION_INDEX", index).status().unwrap();
        let calls = std::fs::read_to_string(path("calls")).unwrap_or_default();
        let _ = std::fs::remove_file(path("calls"));
        (status.code(), calls)
    };
    let study = |flags: &str| format!("study /volume/my studies/paper.toml --out /volume/run {flags} --engine fast\n");
    let worker = study("--worker --leave-judging");
    assert_eq!(run("1"), (Some(0), worker.clone()));
    assert_eq!(run("0"), (Some(0), worker.clone() + &study("--join") + "report /volume/run\n"));
    std::fs::write(path("stop"), "").unwrap();
    assert_eq!(run("0"), (Some(143), worker));
}
