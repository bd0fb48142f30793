//! What the measurements say: medians, ratios, and both as tables or as JSON.

use serde::{Deserialize, Serialize};

use super::case::Case;
use super::figures::{median, number, ratio, short, short_if_any, table};

/// A line of a training process.
#[derive(Clone, Debug, Deserialize)]
pub struct Trained {
    pub tokens_per_s: f64,
    /// 0 where the system does not say.
    pub peak_rss_mib: f64,
    /// Peak memory as `plan` predicts it; our side says it.
    pub planned_mib: Option<f64>,
    /// Of every step, warm-up included.
    pub losses: Vec<f64>,
    /// Operations that a token costs at least, of weights, and with those of attention and adapters; our side says it.
    pub flop_per_token: Option<f64>,
    pub step_flop_per_token: Option<f64>,
    /// What their weights and arithmetic are in; their side says it.
    pub dtype: Option<String>,
}

/// A line of a generating process.
#[derive(Clone, Debug, Deserialize)]
pub struct Answered {
    pub new_tokens_per_s: f64,
    pub peak_rss_mib: f64,
    /// Bytes of weights that each step reads; our side says it.
    pub weight_bytes: Option<f64>,
    /// As of a [`Trained`].
    pub dtype: Option<String>,
}

/// A line of our products, in Gflop/s.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Kernel {
    pub shape: String,
    #[serde(serialize_with = "short")]
    pub gflops: f64,
    #[serde(serialize_with = "short")]
    pub peak: f64,
    pub level: String,
}

/// What one thing at the boundary to plugins costs.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Crossing {
    pub what: String,
    pub unit: String,
    /// With the plugin on a thread of this process; in a process of its own, where that makes a difference.
    pub thread: f64,
    pub process: Option<f64>,
}

/// Training steps of one tuner on one batch: medians over the rounds. Of a side that was not run there is nothing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Training {
    pub tuner: String,
    pub batch: usize,
    pub seq: usize,
    /// What theirs computed in, as it chose or was told.
    pub dtype: Option<String>,
    /// Tokens per second.
    #[serde(serialize_with = "short")]
    pub ours: f64,
    #[serde(serialize_with = "short_if_any")]
    pub eager: Option<f64>,
    #[serde(serialize_with = "short_if_any")]
    pub compiled: Option<f64>,
    /// Ours over the faster of theirs.
    #[serde(serialize_with = "short_if_any")]
    pub ratio: Option<f64>,
    /// Our peak of resident memory over the smaller of theirs.
    #[serde(serialize_with = "short_if_any")]
    pub memory_ratio: Option<f64>,
    #[serde(serialize_with = "short")]
    pub ours_mib: f64,
    #[serde(serialize_with = "short_if_any")]
    pub planned_mib: Option<f64>,
    #[serde(serialize_with = "short_if_any")]
    pub theirs_mib: Option<f64>,
    /// Largest difference of a step's loss from theirs, nats per label.
    #[serde(serialize_with = "short_if_any")]
    pub eager_gap: Option<f64>,
    #[serde(serialize_with = "short_if_any")]
    pub compiled_gap: Option<f64>,
}

/// Generation: medians over the rounds, in new tokens per second.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Generation {
    pub dtype: Option<String>,
    #[serde(serialize_with = "short")]
    pub ours: f64,
    #[serde(serialize_with = "short_if_any")]
    pub theirs: Option<f64>,
    #[serde(serialize_with = "short_if_any")]
    pub ratio: Option<f64>,
    #[serde(serialize_with = "short")]
    pub ours_mib: f64,
    #[serde(serialize_with = "short_if_any")]
    pub theirs_mib: Option<f64>,
}

/// All that was measured.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub training: Vec<Training>,
    pub generation: Option<Generation>,
    pub kernels: Vec<Kernel>,
    pub boundary: Vec<Crossing>,
}

impl Training {
    pub fn new(tuner: &str, case: Case, ours: &[Trained], eager: &[Trained], compiled: &[Trained]) -> Self {
        let speed = |lines: &[Trained]| median(lines.iter().map(|line| line.tokens_per_s));
        let mib = |lines: &[Trained]| median(lines.iter().map(|line| line.peak_rss_mib));
        let gap = |theirs: &[Trained]| {
            ours.first().zip(theirs.first()).map(|(ours, theirs)| loss_gap(&ours.losses, &theirs.losses))
        };
        let theirs = [eager, compiled];
        let (ours_speed, ours_mib) = (speed(ours).unwrap_or(0.0), mib(ours).unwrap_or(0.0));
        let theirs_mib = theirs.into_iter().filter_map(mib).reduce(f64::min);
        Self {
            tuner: tuner.to_owned(),
            batch: case.batch,
            seq: case.seq,
            dtype: eager.first().and_then(|line| line.dtype.clone()),
            ours: ours_speed,
            eager: speed(eager),
            compiled: speed(compiled),
            ratio: ratio(ours_speed, theirs.into_iter().filter_map(speed).reduce(f64::max)),
            memory_ratio: ratio(ours_mib, theirs_mib),
            ours_mib,
            planned_mib: ours.first().and_then(|line| line.planned_mib),
            theirs_mib,
            eager_gap: gap(eager),
            compiled_gap: gap(compiled),
        }
    }
}

impl Generation {
    pub fn new(ours: &[Answered], theirs: &[Answered]) -> Self {
        let speed = |lines: &[Answered]| median(lines.iter().map(|line| line.new_tokens_per_s));
        let mib = |lines: &[Answered]| median(lines.iter().map(|line| line.peak_rss_mib));
        let (ours_speed, theirs_speed) = (speed(ours).unwrap_or(0.0), speed(theirs));
        Self {
            dtype: theirs.first().and_then(|line| line.dtype.clone()),
            ours: ours_speed,
            theirs: theirs_speed,
            ratio: ratio(ours_speed, theirs_speed),
            ours_mib: mib(ours).unwrap_or(0.0),
            theirs_mib: mib(theirs),
        }
    }
}

impl Report {
    /// As Markdown; parts that were not measured are left out.
    pub fn tables(&self) -> String {
        let mut tables = Vec::new();
        if !self.training.is_empty() {
            let columns = [
                "tuner",
                "batch",
                "ours",
                "eager",
                "compiled",
                "ratio",
                "MiB ours",
                "planned",
                "MiB theirs",
                "ratio",
                "gap eager",
                "compiled",
            ];
            let rows = self.training.iter().map(|t| {
                vec![
                    t.tuner.clone(),
                    format!("{}x{}", t.batch, t.seq),
                    number(Some(t.ours), 0),
                    number(t.eager, 0),
                    number(t.compiled, 0),
                    number(t.ratio, 2),
                    number(Some(t.ours_mib), 0),
                    number(t.planned_mib, 0),
                    number(t.theirs_mib, 0),
                    number(t.memory_ratio, 2),
                    number(t.eager_gap, 4),
                    number(t.compiled_gap, 4),
                ]
            });
            let theirs = theirs_in(self.training.iter().map(|row| row.dtype.as_deref()));
            tables.push(format!("Training, tokens/s{theirs}\n\n{}", table(&columns, rows.collect())));
        }
        if let Some(g) = &self.generation {
            let row = vec![
                number(Some(g.ours), 0),
                number(g.theirs, 0),
                number(g.ratio, 2),
                number(Some(g.ours_mib), 0),
                number(g.theirs_mib, 0),
            ];
            let columns = ["ours", "theirs", "ratio", "MiB ours", "MiB theirs"];
            let theirs = theirs_in([g.dtype.as_deref()].into_iter());
            tables.push(format!("Generation, new tokens/s{theirs}\n\n{}", table(&columns, vec![row])));
        }
        if !self.kernels.is_empty() {
            tables.push(format!("Kernels\n\n{}", kernels_table(&self.kernels)));
        }
        if !self.boundary.is_empty() {
            let row =
                |c: &Crossing| vec![c.what.clone(), c.unit.clone(), number(Some(c.thread), 3), number(c.process, 3)];
            let columns = ["what", "unit", "on a thread", "in a process"];
            tables.push(format!("Plugins\n\n{}", table(&columns, self.boundary.iter().map(row).collect())));
        }
        tables.join("\n")
    }
}

/// Products beside the peak of the instruction that each uses.
pub fn kernels_table(kernels: &[Kernel]) -> String {
    let row = |k: &Kernel| {
        let share = ratio(k.gflops, Some(k.peak));
        vec![k.shape.clone(), k.level.clone(), number(Some(k.gflops), 0), number(Some(k.peak), 0), number(share, 2)]
    };
    table(&["product", "level", "Gflop/s", "peak", "share"], kernels.iter().map(row).collect())
}

/// What a heading says of the numbers that the other side computed in; nothing where there is no other side.
fn theirs_in<'a>(dtypes: impl Iterator<Item = Option<&'a str>>) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in dtypes.flatten() {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() { String::new() } else { format!("; theirs in {}", names.join(" and ")) }
}

/// Largest difference, step by step.
fn loss_gap(ours: &[f64], theirs: &[f64]) -> f64 {
    let gap = |(ours, theirs): (&f64, &f64)| (ours - theirs).abs();
    ours.iter().zip(theirs).map(gap).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trained(tokens_per_s: f64, peak_rss_mib: f64, losses: &[f64]) -> Trained {
        let (planned_mib, dtype) = (Some(115.0), Some("amp".to_owned()));
        Trained {
            tokens_per_s,
            peak_rss_mib,
            planned_mib,
            losses: losses.to_vec(),
            flop_per_token: None,
            step_flop_per_token: None,
            dtype,
        }
    }

    fn row() -> Training {
        let ours = [trained(300.0, 100.0, &[4.0, 2.0]), trained(500.0, 120.0, &[4.0, 2.0])];
        let eager = [trained(90.0, 400.0, &[4.0, 2.5]), trained(110.0, 400.0, &[4.0, 2.5])];
        let compiled = [trained(200.0, 440.0, &[4.0, 2.25]), trained(200.0, 440.0, &[4.0, 2.5])];
        Training::new("ft", Case { batch: 4, seq: 256 }, &ours, &eager, &compiled)
    }

    fn crossing() -> Crossing {
        Crossing { what: "a row".into(), unit: "us".into(), thread: 2.5, process: None }
    }

    fn kernel() -> Kernel {
        Kernel { shape: "8x4x2".into(), gflops: 75.123456, peak: 100.0, level: "avx2".into() }
    }

    #[test]
    fn ratios_are_against_the_faster_and_the_smaller_of_theirs() {
        let row = row();
        assert_eq!((row.ours, row.eager, row.compiled), (400.0, Some(100.0), Some(200.0)));
        assert_eq!(row.ratio, Some(2.0));
        assert_eq!((row.ours_mib, row.theirs_mib, row.memory_ratio), (110.0, Some(400.0), Some(0.275)));
        assert_eq!((row.eager_gap, row.compiled_gap), (Some(0.5), Some(0.25)));
    }

    #[test]
    fn a_side_that_was_not_run_is_null() {
        let row = Training::new("ft", Case { batch: 1, seq: 8 }, &[trained(3.0, 0.0, &[1.0])], &[], &[]);
        let json = serde_json::to_value(&row).unwrap();
        for key in ["dtype", "eager", "compiled", "ratio", "memory_ratio", "theirs_mib", "eager_gap", "compiled_gap"] {
            assert!(json[key].is_null(), "{key}");
        }
        assert_eq!(json["ours"], 3.0);
    }

    #[test]
    fn json_is_one_line_with_the_named_keys() {
        let answered =
            |new_tokens_per_s| [Answered { new_tokens_per_s, peak_rss_mib: 1.0, weight_bytes: None, dtype: None }];
        let generation = Some(Generation::new(&answered(30.0), &answered(20.0)));
        let report = Report { training: vec![row()], generation, kernels: vec![kernel()], boundary: vec![crossing()] };
        let line = serde_json::to_string(&report).unwrap();
        let training = r#"{"tuner":"ft","batch":4,"seq":256,"dtype":"amp","ours":400.0,"eager":100.0,"compiled":200.0,"ratio":2.0,"memory_ratio":0.275,"ours_mib":110.0,"planned_mib":115.0,"theirs_mib":400.0,"eager_gap":0.5,"compiled_gap":0.25}"#;
        let generation = r#"{"dtype":null,"ours":30.0,"theirs":20.0,"ratio":1.5,"ours_mib":1.0,"theirs_mib":1.0}"#;
        let boundary = r#"{"what":"a row","unit":"us","thread":2.5,"process":null}"#;
        let kernels = r#"{"shape":"8x4x2","gflops":75.1235,"peak":100.0,"level":"avx2"}"#;
        assert_eq!(
            line,
            format!(
                r#"{{"training":[{training}],"generation":{generation},"kernels":[{kernels}],"boundary":[{boundary}]}}"#
            )
        );
        assert_eq!(
            serde_json::to_string(&Report::default()).unwrap(),
            r#"{"training":[],"generation":null,"kernels":[],"boundary":[]}"#
        );
    }

    #[test]
    fn tables_have_what_was_measured_only() {
        let report = Report { kernels: vec![kernel()], ..Report::default() };
        let want = "Kernels\n\n\
            | product | level | Gflop/s | peak | share |\n\
            | ------- | ----: | ------: | ---: | ----: |\n\
            | 8x4x2   |  avx2 |      75 |  100 |  0.75 |\n";
        assert_eq!(report.tables(), want);
        let report = Report { training: vec![row()], ..Report::default() };
        assert!(report.tables().starts_with("Training, tokens/s; theirs in amp\n\n| tuner"), "{}", report.tables());
        assert!(report.tables().contains("| ft    | 4x256 |  400 |   100 |      200 |  2.00 |"), "{}", report.tables());
        assert_eq!(Report::default().tables(), "");
    }
}
