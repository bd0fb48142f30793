//! A study under Kubernetes: one Indexed Job (`batch/v1`) whose pods share a volume.
//!
//! Jobs know no dependencies, and a study needs none: a worker that is not told to end after one model stays until nothing
//! is left, claiming whatever opens. So one Job has as many pods as the largest stage has tasks, and its first index, whose
//! worker ends when all work is done, joins the frames and makes the report.
//!
//! All pods are alike, so each asks for the most that any stage needs. A pod that is lost, evicted, or stopped with work left
//! is replaced, and counts as no failure of its index.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::error::Error;
use crate::shell;
use crate::submission::{Resources, STOPPED, Submission, utf8};

/// What a cluster wants to know beside the study.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The container image that holds the program, and a `/bin/sh`.
    pub image: String,
    /// The PersistentVolumeClaim that all pods mount; of access mode ReadWriteMany where they are on several nodes.
    pub claim: String,
    /// Where it is mounted; the study file and the run folder lie under it.
    pub mount: PathBuf,
    /// The current one of `kubectl`'s context, when not given.
    pub namespace: Option<String>,
    /// A secret whose keys become variables, as the API keys of judges.
    pub secret: Option<String>,
    /// Extended resources of a pod, as `nvidia.com/gpu` and how many.
    pub devices: Vec<(String, u32)>,
    /// Labels that a node must have.
    pub node_labels: Vec<(String, String)>,
    /// What the forecast memory is multiplied by.
    pub memory_factor: f64,
    /// How often a pod of an index may fail before the index does.
    pub retries: u32,
}

impl Options {
    /// The least that is to be said.
    pub fn new(image: impl Into<String>, claim: impl Into<String>, mount: impl Into<PathBuf>) -> Self {
        Self {
            image: image.into(),
            claim: claim.into(),
            mount: mount.into(),
            namespace: None,
            secret: None,
            devices: Vec::new(),
            node_labels: Vec::new(),
            memory_factor: 1.25,
            retries: 3,
        }
    }

    fn check(&self) -> Result<(), Error> {
        let words = [("image", &self.image), ("claim", &self.claim)].into_iter();
        let words = words.chain(self.namespace.iter().map(|value| ("namespace", value)));
        let words = words.chain(self.secret.iter().map(|value| ("secret", value)));
        for (what, value) in words.chain(self.devices.iter().map(|(name, _)| ("device", name))) {
            if value.is_empty() || value.chars().any(|c| c.is_control() || c.is_whitespace()) {
                return Err(Error::value(format!("{what} {value:?}"), "is no name"));
            }
        }
        if !self.memory_factor.is_finite() || self.memory_factor < 1.0 {
            let fault = "leaves less than what is forecast; 1 or more is meant";
            return Err(Error::value(format!("the memory's factor {}", self.memory_factor), fault));
        }
        if self.mount.is_absolute() {
            Ok(())
        } else {
            Err(Error::value(format!("mount {:?}", self.mount), "is no absolute path"))
        }
    }
}

/// How long a pod that is to end may take to save its work, in seconds.
const GRACE: u32 = 120;

/// The manifest, for `kubectl apply -f`.
///
/// # Errors
/// [`Error::Value`] for what no manifest can say, and for paths outside the volume.
pub fn manifest(submission: &Submission, options: &Options) -> Result<String, Error> {
    submission.check()?;
    options.check()?;
    for (what, path) in [("the study file", &submission.file), ("the run folder", &submission.out)] {
        if !path.starts_with(&options.mount) {
            let fault = format!("is not in the volume, which is mounted at {}", options.mount.display());
            return Err(Error::value(format!("{what} {}", path.display()), fault));
        }
    }
    let pods = submission.stages.iter().map(|stage| stage.tasks).max().unwrap_or(1);
    let needs = most_needed(submission);
    let memory = needs.mebibytes(options.memory_factor);
    let mut quantities = format!("cpu: {}\n              memory: {memory}Mi", text(&needs.cpus.to_string()));
    for (name, count) in &options.devices {
        let _ = write!(quantities, "\n              {}: {}", text(name), text(&count.to_string()));
    }
    let namespace = options.namespace.as_ref().map(|name| format!("\n  namespace: {}", text(name))).unwrap_or_default();
    let secret = options
        .secret
        .as_ref()
        .map(|name| format!("\n          envFrom:\n            - secretRef:\n                name: {}", text(name)));
    let mut selector = String::new();
    for (number, (name, value)) in options.node_labels.iter().enumerate() {
        selector += if number == 0 { "\n      nodeSelector:" } else { "" };
        let _ = write!(selector, "\n        {}: {}", text(name), text(value));
    }
    let script: String = script(submission)?.lines().map(|line| format!("\n              {line}")).collect();
    Ok(format!(
        r#"# Made by `tunebench submit`: {pods} pods that work on one run folder until nothing is left. The pod of index 0 then joins
# the frames and makes the report. `kubectl apply -f` starts it; needs Kubernetes 1.29 or later.
apiVersion: batch/v1
kind: Job
metadata:
  name: {name}{namespace}
spec:
  completionMode: Indexed
  completions: {pods}
  parallelism: {pods}
  backoffLimitPerIndex: {retries}
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
          values: [{STOPPED}]
  template:
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: {GRACE}{selector}
      containers:
        - name: worker
          image: {image}{secret}
          env:
            - name: RAYON_NUM_THREADS
              value: {threads}
          command:
            - /bin/sh
            - -c
            - |{script}
          resources:
            requests:
              {quantities}
            limits:
              {quantities}
          volumeMounts:
            - name: study
              mountPath: {mount}
      volumes:
        - name: study
          persistentVolumeClaim:
            claimName: {claim}
"#,
        name = text(&job_name(&submission.study)),
        retries = options.retries,
        image = text(&options.image),
        secret = secret.unwrap_or_default(),
        threads = text(&needs.cpus.to_string()),
        mount = text(utf8("mount", &options.mount)?),
        claim = text(&options.claim),
    ))
}

/// What a pod runs. TERM comes to the shell alone, as the container's first process.
fn script(submission: &Submission) -> Result<String, Error> {
    let (worker, join, report) = (submission.worker()?, submission.join()?, submission.report()?);
    let commands = [worker, join, report].map(|words| shell::command(&words));
    if commands.iter().any(|command| command.chars().any(char::is_control)) {
        return Err(Error::value(
            "the command",
            "a path or an argument holds a control character, which no manifest keeps",
        ));
    }
    let [worker, join, report] = commands;
    Ok(format!(
        r#"{run}trap stop TERM
run {worker}
worked=$status
# What there is of a study is joined also where an arm has failed (1).
if [ "$JOB_COMPLETION_INDEX" = 0 ] && [ "$worked" -le 1 ]; then
  run {join}
  [ "$status" = 0 ] && run {report}
  [ "$worked" = 0 ] || status=$worked
fi
exit "$status"
"#,
        run = shell::RUN,
    ))
}

/// The most of each that any part needs.
fn most_needed(submission: &Submission) -> Resources {
    submission.stages.iter().map(|stage| stage.needs).fold(submission.join, |a, b| Resources {
        cpus: a.cpus.max(b.cpus),
        memory: a.memory.max(b.memory),
        seconds: a.seconds.max(b.seconds),
    })
}

/// A study's name as RFC 1123 allows one: lower-case letters, digits and dashes, 63 at most, of which the pods' own suffix
/// takes some.
fn job_name(study: &str) -> String {
    let words = study.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let name: String = words.flat_map(|word| ["-", word]).flat_map(str::chars).take(40).collect();
    format!("tunebench{}", name.to_ascii_lowercase().trim_end_matches('-'))
}

/// A scalar: JSON's strings are YAML's, double quoted.
fn text(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}
