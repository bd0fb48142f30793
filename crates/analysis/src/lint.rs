//! What makes a comparison unfair: arms that differ in more than the method, in how they were judged, or in how much was
//! tried for them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tunebench_spec::GradientReceipt;

use crate::error::Result;
use crate::evidence::{Evidence, Judged, PANEL};
use crate::judge_findings::judge_findings;
use crate::paper::figures::{self, Paper};
use crate::run::{Arm, Run};
use crate::settings;
use crate::table::Table;

/// Something that a reader of the comparison must know.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What differs, or what is wrong: a setting's name, or a few words.
    pub what: String,
    /// The arms that it is about.
    pub arms: Vec<String>,
    /// The values, each with the arms that have it.
    pub values: String,
    /// Why that matters, and what to do.
    pub why: String,
}

/// Settings that may differ, because they change speed and memory, and nothing else but rounding.
const HARMLESS: [&str; 4] = ["micro_batch_tokens", "lanes", "checkpoint_steps", "gradient_checkpointing"];

/// Why a difference in a setting matters; any other setting has [`OTHER`].
const REASONS: [(&str, &str); 17] = [
    ("epochs", "one saw its data more often than the other"),
    ("max_steps", "one was stopped earlier than the other"),
    ("batch_size", "the arms took other numbers of steps over the same data"),
    ("batch_tokens", "the arms took other numbers of steps over the same data"),
    ("packing", "the arms took other numbers of steps over the same data"),
    ("schedule", "the learning rate fell in another way"),
    ("warmup_steps", "the learning rate rose in another way"),
    ("warmup_ratio", "the learning rate rose in another way"),
    ("max_length", "one learned from longer examples than the other"),
    ("weight_decay", "one was regularised and the other not, or less"),
    ("mask_prompt", "one learned prompts too, the other answers alone"),
    ("precision", "one computed with fewer digits than the other"),
    ("computed_by", "their times are not comparable, and other levels of CPU instructions round otherwise"),
    ("engine", "the arms were computed by different engines"),
    ("template", "the arms learned and were asked under different prompts"),
    ("examples", "the same data set gave one more examples than the other"),
    ("held_out_examples", "other rows were kept from training"),
];
const OTHER: &str = "the arms differ in more than the method";

/// The findings of a run.
///
/// # Errors
/// When `dir` is not a run folder, or a frame is damaged.
pub fn lint(dir: &Path) -> Result<Vec<Table>> {
    let run = Run::open(dir)?;
    Ok(vec![table("What makes this comparison unfair, or less sure than it looks", &findings(&run)?)])
}

/// The findings about the paper's own arms.
///
/// # Errors
/// As [`Paper::load`].
pub fn lint_paper() -> Result<Vec<Table>> {
    Ok(vec![paper_table(&Paper::load()?)])
}

/// What makes the paper's comparison unfair, by its own settings.
pub fn paper_table(paper: &Paper) -> Table {
    table("Sun et al. 2023: what makes the comparison of full fine-tuning and LoRA unfair", &paper_findings(paper))
}

/// What a run's records, judgements and answers show.
///
/// # Errors
/// When a frame is damaged.
pub fn findings(run: &Run) -> Result<Vec<Finding>> {
    let evidence = Evidence::so_far(run)?;
    let compared: Vec<&Arm> =
        run.arms.iter().filter(|arm| arm.is_trained() && !arm.is_variant() && arm.record.evaluated).collect();
    let mut groups: BTreeMap<(&str, &str), Vec<&Arm>> = BTreeMap::new();
    for arm in &compared {
        groups.entry((&arm.record.base, &arm.record.dataset)).or_default().push(arm);
    }
    let mut findings = Vec::new();
    for arms in groups.values().filter(|arms| arms.len() > 1) {
        findings.extend(differing_settings(arms));
        findings.extend(differing_effort(arms));
    }
    findings.extend(compared.iter().flat_map(|arm| one_arm(arm)));
    findings.extend(not_moving(run)?);
    findings.extend(judging(run, &evidence));
    let of_judges = judge_findings(run, &evidence)?.into_iter();
    findings.extend(of_judges.map(|found| Finding {
        what: found.what.to_owned(),
        arms: found.arms,
        values: found.judge,
        why: found.why,
    }));
    Ok(findings)
}

fn names(arms: &[&Arm]) -> Vec<String> {
    arms.iter().map(|arm| arm.name.clone()).collect()
}

/// `value (arm, arm) | value (arm)`; none when all have one value.
fn difference(arms: &[&Arm], value: impl Fn(&Arm) -> String) -> Option<String> {
    let mut by_value: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for arm in arms {
        by_value.entry(value(arm)).or_default().push(&arm.name);
    }
    let words = by_value.iter().map(|(value, arms)| format!("{value} ({})", arms.join(", ")));
    (by_value.len() > 1).then(|| words.collect::<Vec<_>>().join(" | "))
}

/// A field of a training's record, and its value in words.
type Field = (&'static str, fn(&Arm) -> String);

fn differing_settings(arms: &[&Arm]) -> Vec<Finding> {
    let recipes: Vec<_> = arms.iter().map(|arm| settings::recipe(&arm.record).unwrap_or_default()).collect();
    let fields: BTreeSet<&String> = recipes.iter().flat_map(|recipe| recipe.keys()).collect();
    let in_recipe = fields.into_iter().filter(|name| !HARMLESS.contains(&name.as_str()) && *name != "learning_rate");
    let of_recipe = |name: &str| {
        let of = |arm: &Arm| settings::recipe(&arm.record)?.get(name).map(settings::Setting::shown);
        difference(arms, |arm| of(arm).unwrap_or_else(|| "not recorded".into()))
    };
    let of_record: [Field; 5] = [
        ("precision", |arm| arm.record.precision.clone()),
        ("engine", |arm| arm.record.engine.clone()),
        ("template", |arm| arm.record.template.clone()),
        ("examples", |arm| arm.record.examples.to_string()),
        ("held_out_examples", |arm| arm.record.held_out_examples.to_string()),
    ];
    let records = of_record.into_iter().map(|(name, value)| (name, difference(arms, value)));
    // Of what was not trained, and of runs from before it was kept, it is not known.
    let known: Vec<&Arm> = arms.iter().copied().filter(|arm| !computed_by(arm).is_empty()).collect();
    let computed = ("computed_by", difference(&known, computed_by));
    let all = in_recipe.map(|name| (name.as_str(), of_recipe(name))).chain(records).chain([computed]);
    all.filter_map(|(name, values)| Some(finding(name, names(arms), values?))).collect()
}

/// All that computed its trainings.
fn computed_by(arm: &Arm) -> String {
    let all: BTreeSet<&str> = arm.trainings.iter().map(|training| training.computed_by.as_str()).collect();
    all.into_iter().filter(|by| !by.is_empty()).collect::<Vec<_>>().join(" and ")
}

fn finding(name: &str, arms: Vec<String>, values: String) -> Finding {
    let why = REASONS.iter().find(|(known, _)| *known == name).map_or(OTHER, |(_, why)| why);
    Finding { what: name.to_owned(), arms, values, why: why.to_owned() }
}

fn differing_effort(arms: &[&Arm]) -> Vec<Finding> {
    let of = |what: &str, values: String, why: &str| Finding {
        what: what.into(),
        arms: names(arms),
        values,
        why: why.into(),
    };
    let tried = difference(arms, |arm| match settings::candidates(arm) {
        0 | 1 => "no grid".to_owned(),
        n => format!("{n} candidates"),
    });
    let seeds = difference(arms, |arm| arm.trainings.len().to_string());
    let has_grid = |arm: &&Arm| settings::candidates(arm) > 1;
    let rates = difference(arms, |arm| {
        settings::number(&arm.record, "learning_rate")
            .map_or_else(|| "not recorded".to_owned(), |rate| format!("{rate:e}"))
    });
    let untuned = rates.filter(|_| !arms.iter().any(has_grid));
    [
        tried.map(|values| {
            of("grid", values, "more was tried for one than for the other; give both a grid of equal size")
        }),
        seeds.map(|values| of("seeds", values, "the means are over other numbers of trainings")),
        untuned.map(|values| {
            of(
                "learning_rate",
                values,
                "each method ran at a rate that nothing chose for it; add a grid over learning_rate",
            )
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn one_arm(arm: &Arm) -> Vec<Finding> {
    let of = |what: &str, values: String, why: &str| Finding {
        what: what.into(),
        arms: vec![arm.name.clone()],
        values,
        why: why.into(),
    };
    let mut findings = Vec::new();
    if arm.trainings.len() == 1 {
        findings.push(of(
            "one seed",
            format!("seed {}", arm.record.seed),
            "one training is one draw: intervals are over items only; give the study more seeds",
        ));
    }
    for edge in settings::edges(arm) {
        let values = edge.words();
        findings.push(of("grid's edge", values, "a better value may lie beyond; widen the grid on that side"));
    }
    let warmup = settings::number(&arm.record, "warmup_steps").unwrap_or(0.0);
    if warmup >= arm.record.steps as f64 {
        let values = format!("{warmup} of {} steps", arm.record.steps);
        findings.push(of(
            "warm-up",
            values,
            "the training ended before it reached its learning rate; lower warmup_steps",
        ));
    }
    findings
}

/// Trainings in which something did not move that was to, or moved that was not to.
fn not_moving(run: &Run) -> Result<Vec<Finding>> {
    let failed = run.so_far::<GradientReceipt>()?.into_iter().filter(|receipt| !receipt.passed);
    let finding = |receipt: GradientReceipt| {
        let GradientReceipt { arm, seed, step, tensors, gradients, moved, still, .. } = &receipt;
        let mut values = vec![format!(
            "seed {seed}: of {tensors} trained tensors {gradients} had a gradient and {moved} moved by step {step}"
        )];
        if !still.is_empty() {
            values.push(format!("not {still}"));
        }
        let why = if !receipt.frozen_unchanged {
            "weights that were to stay as they are have changed: nothing can be said of this training"
        } else if still.is_empty() {
            "all of it moved, and the model computes the same as before: what was trained has no effect"
        } else {
            "what did not move was not learnt: the tuner's maths does not use it, or the learning rate is next to nothing"
        };
        Finding { what: "gradient receipt".into(), arms: vec![arm.clone()], values: values.join(", "), why: why.into() }
    };
    Ok(failed.map(finding).collect())
}

fn judging(run: &Run, evidence: &Evidence) -> Vec<Finding> {
    let evaluated = run.arms.iter().filter(|arm| arm.record.evaluated && !arm.trainings.is_empty());
    let mut findings = Vec::new();
    // What is wrong with a panel is so with one of its judges.
    for judge in evidence.judges.iter().filter(|judge| *judge != PANEL) {
        let baseline = evidence.kind(judge).baseline();
        let is_unjudged = |arm: &&Arm| !evidence.has(judge, &arm.name) && baseline != Some(&arm.name);
        let unjudged: Vec<String> = evaluated.clone().filter(is_unjudged).map(|arm| arm.name.clone()).collect();
        if !unjudged.is_empty() {
            findings.push(Finding {
                what: "not judged".into(),
                values: judge.clone(),
                arms: unjudged,
                why: "they have no score by this judge; run the study to its end".into(),
            });
        }
        match evidence.of(judge, &evidence.arm_names()) {
            Ok(Judged { arms, notes, .. }) => findings.extend(of_items(evidence, judge, notes).map(|note| Finding {
                what: "items".into(),
                arms: arms.clone(),
                values: judge.clone(),
                why: note,
            })),
            Err(error) => findings.push(Finding {
                what: "not comparable".into(),
                arms: evidence.arms.clone(),
                values: judge.clone(),
                why: error.to_string(),
            }),
        }
    }
    findings
}

/// What was left out, without what is said of the judge itself, which has findings of its own.
fn of_items(evidence: &Evidence, judge: &str, notes: Vec<String>) -> impl Iterator<Item = String> {
    let about: Vec<String> = evidence.about(judge).into_iter().map(|note| note.english).collect();
    let left_out = evidence.left_out(judge).into_iter().map(|note| note.english);
    notes.into_iter().filter(move |note| !about.contains(note)).chain(left_out)
}

fn paper_findings(paper: &Paper) -> Vec<Finding> {
    let different = paper.settings.iter().filter_map(|setting| match (&setting.ft, &setting.lora) {
        (Some(ft), Some(lora)) if ft != lora => Some((setting, ft, lora)),
        _ => None,
    });
    let arms = || vec!["full fine-tuning".to_owned(), "LoRA".to_owned()];
    let of = |(setting, ft, lora): (&figures::Setting, &String, &String)| {
        let values = format!("{ft} (full fine-tuning) | {lora} (LoRA)");
        match setting.name.as_str() {
            "learning_rate" => Finding {
                what: setting.name.clone(),
                arms: arms(),
                values,
                why: "each method ran at one rate, and no search for it is stated".into(),
            },
            "warmup" => finding("warmup_steps", arms(), values),
            name => finding(name, arms(), values),
        }
    };
    let one_number = Finding {
        what: "one seed".into(),
        arms: arms(),
        values: "one score an arm".into(),
        why:
            "Tables 4 and 5 give no spread over trainings, so how much of a difference is the luck of one is not known"
                .into(),
    };
    different.map(of).chain([one_number]).collect()
}

fn table(title: &str, findings: &[Finding]) -> Table {
    let mut table = Table::new(title, &[("finding", 0), ("arms", 0), ("values", 0), ("why", 0)])
        .with_prose(&["arms", "values", "why"]);
    let row = |finding: &Finding| {
        let arms = finding.arms.join(", ");
        [&finding.what, &arms, &finding.values, &finding.why].map(|text| text.as_str().into()).to_vec()
    };
    table.rows = findings.iter().map(row).collect();
    table.notes.push(match findings.len() {
        0 => "Nothing was found: arms of one base and data set differ in the method alone.".into(),
        n => format!("{n} findings. Settings are compared among arms that share base and data set."),
    });
    table
}
