//! Study files as text: read and checked, so that whoever has a [`Study`] has one whose names and numbers can be meant; and
//! written.

use std::collections::BTreeSet;

use crate::escape;
use crate::form::Form;
use crate::grid::ArmGrid;
use crate::study::{Study, StudyError};

impl Study {
    /// Parses and checks a study file.
    ///
    /// # Errors
    /// [`StudyError`] says which line or which name is wrong.
    pub fn from_toml(text: &str) -> Result<Self, StudyError> {
        let study: Self = toml::from_str(text).map_err(|e| StudyError::Toml(toml_fault(&e)))?;
        study.check()?;
        Ok(study)
    }

    /// The study as TOML, as kept in a run folder.
    ///
    /// # Errors
    /// [`StudyError::Toml`] when an option has no TOML form (a null).
    pub fn to_toml(&self) -> Result<String, StudyError> {
        toml::to_string(self).map_err(|e| StudyError::Toml(e.to_string()))
    }

    /// What no study may say of seeds, grids and selection.
    fn check_trainings(&self) -> Result<(), StudyError> {
        let fault = |place: &str, fault: String| Err(StudyError::Value { place: place.into(), fault });
        check_seeds(self.study.seeds).or_else(|e| fault("[study]", e))?;
        if let Some(selection) = &self.selection {
            selection.check().or_else(|e| fault("[selection]", e))?;
            if let Some(id) = &selection.dataset {
                let datasets: Vec<&str> = self.datasets.iter().map(|d| d.id.as_str()).collect();
                known("[selection]", "dataset", id, &datasets)?;
                let items = self.eval.iter().map(|eval| eval.items.as_str()).find(|items| *items == id);
                if items.is_some() {
                    return fault(
                        "[selection]",
                        format!(
                            "`{id}` are the evaluation items; choosing by them would make every score too good; name other rows"
                        ),
                    );
                }
            }
        }
        for arm in &self.arms {
            let place = format!("arm `{}`", arm.name);
            let seeds = self.seeds(arm);
            check_seeds(seeds).or_else(|e| fault(&place, e))?;
            if let Some(parent) = self.arm(&arm.base).filter(|parent| ![1, seeds].contains(&self.seeds(parent))) {
                let (name, of) = (&parent.name, self.seeds(parent));
                return fault(
                    &place,
                    format!(
                        "seeds = {seeds}, but `{name}`, which it starts from, has {of}; give both the same, or `{name}` one"
                    ),
                );
            }
            if let Some(ArmGrid::Named(name)) = &arm.grid {
                let grids: Vec<&str> = self.grids.keys().map(String::as_str).collect();
                known(&place, "grid", name, &grids)?;
            }
            if self.grid(arm).is_some() && self.selection.is_none() {
                return fault(&place, "a grid needs [selection], which says what its candidates are compared on: share = 0.05, or dataset = \"ID\"".into());
            }
            self.candidates(arm)?;
        }
        Ok(())
    }

    /// A study's name is that of its run folder; all names stand in tables and frames.
    fn check_names(&self) -> Result<(), StudyError> {
        let study = &self.study.name;
        if study.contains(['/', '\\']) || [".", ".."].contains(&study.as_str()) {
            let fault = format!(
                "name = \"{}\" is a path, and its run folder is called so; give it a plain name, and its folder with --out",
                escape::line(study)
            );
            return Err(StudyError::Value { place: "[study]".into(), fault });
        }
        let named = |kind: &'static str| move |name| (kind, name);
        let all = std::iter::once(("study", study))
            .chain(self.models.iter().map(|model| &model.id).map(named("model")))
            .chain(self.datasets.iter().map(|dataset| &dataset.id).map(named("dataset")))
            .chain(self.arms.iter().map(|arm| &arm.name).map(named("arm")))
            .chain(self.arms.variants.iter().map(|variant| &variant.name).map(named("arm")));
        for (kind, name) in all {
            if name.trim().is_empty() || name.contains(char::is_control) {
                let fault = "a name must say something, on one line".into();
                return Err(StudyError::Value { place: format!("{kind} `{}`", escape::line(name)), fault });
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), StudyError> {
        self.check_names()?;
        unique("model", self.models.iter().map(|m| &m.id))?;
        unique("dataset", self.datasets.iter().map(|d| &d.id))?;
        let variants = || self.arms.variants.iter().map(|variant| &variant.name);
        let arms = self.arms.iter().map(|a| &a.name).chain(variants());
        unique("arm or model", self.models.iter().map(|m| &m.id).chain(arms))?;
        let datasets: Vec<&str> = self.datasets.iter().map(|d| d.id.as_str()).collect();
        let mut bases: Vec<&str> = self.models.iter().map(|m| m.id.as_str()).collect();
        for model in &self.models {
            if (model.source == "init:") != model.shape.is_some() {
                let fault = "`source = \"init:\"` and [model.shape] go together".into();
                return Err(StudyError::Value { place: format!("model `{}`", model.id), fault });
            }
            if model.shape.is_some() && model.quantise.is_some() {
                let fault = "quantise takes a model that was trained; fresh weights are trained themselves".into();
                return Err(StudyError::Value { place: format!("model `{}`", model.id), fault });
            }
            if model.shape.is_some() && model.adapter.is_some() {
                let fault = "an `adapter` belongs to the weights it was trained on, not to fresh ones".into();
                return Err(StudyError::Value { place: format!("model `{}`", model.id), fault });
            }
        }
        for dataset in &self.datasets {
            let place = || format!("dataset `{}`", dataset.id);
            dataset.check().map_err(|fault| StudyError::Value { place: place(), fault })?;
        }
        for arm in &self.arms {
            let place = format!("arm `{}`", arm.name);
            if self.variant(&arm.base).is_some() {
                let fault = format!(
                    "`{}` is an arm in another form; an arm starts from a model, or one that is trained",
                    arm.base
                );
                return Err(StudyError::Value { place, fault });
            }
            if Form::named(&arm.tuner).is_some() {
                let fault = format!(
                    "`{}` is a form of an arm and no tuner; write `of = \"ARM\"` and `as = \"{}\"`",
                    arm.tuner, arm.tuner
                );
                return Err(StudyError::Value { place, fault });
            }
            known(&place, "model or earlier arm", &arm.base, &bases)?;
            known(&place, "dataset", &arm.dataset, &datasets)?;
            bases.push(&arm.name);
        }
        let trained: Vec<&str> = self.arms.iter().map(|arm| arm.name.as_str()).collect();
        for variant in &self.arms.variants {
            known(&format!("arm `{}`", variant.name), "arm that is trained", &variant.of, &trained)?;
            bases.push(&variant.name);
        }
        self.check_trainings()?;
        if let Some(eval) = &self.eval {
            known("[eval]", "dataset", &eval.items, &datasets)?;
            let models: Vec<&str> = self.models.iter().map(|m| m.id.as_str()).collect();
            for base in &eval.bases {
                known("[eval] bases", "model", base, &models)?;
            }
            if eval.generation.max_new_tokens == 0 || eval.generation.batch_size == 0 {
                let fault = "max_new_tokens and batch_size must be at least 1".into();
                return Err(StudyError::Value { place: "[eval.generation]".into(), fault });
            }
            let judges = eval.judges();
            unique("judge", judges.iter().map(|judge| judge.name().to_owned()).collect::<Vec<_>>().iter())?;
            // `bases` holds the arms by now.
            for judge in &judges {
                let place = format!("judge `{}`", judge.name());
                judge.check().map_err(|fault| StudyError::Value { place: place.clone(), fault })?;
                if let Some(baseline) = &judge.baseline {
                    known(&format!("{place}: baseline"), "arm or model", baseline, &bases)?;
                }
            }
            if !(eval.generation.temperature.is_finite() && eval.generation.temperature >= 0.0) {
                let fault = "temperature must be 0 or more".into();
                return Err(StudyError::Value { place: "[eval.generation]".into(), fault });
            }
        }
        Ok(())
    }
}

/// What is wrong in a study file, with the remedy for the commonest fault that its message does not name.
fn toml_fault(error: &toml::de::Error) -> String {
    let text = error.to_string();
    let text = text.trim_end();
    match text.contains("escape") {
        true => format!(
            "{text}\na backslash in double quotes begins an escape; write paths with `/`, or in single quotes: 'C:\\data\\rows.jsonl'"
        ),
        false => text.to_owned(),
    }
}

/// More trainings of one arm than this are a slip of the hand.
const MOST_SEEDS: u32 = 1000;

fn check_seeds(seeds: u32) -> Result<(), String> {
    match seeds {
        0 => Err("seeds must be at least 1".into()),
        1..=MOST_SEEDS => Ok(()),
        _ => Err(format!("seeds = {seeds}, where at most {MOST_SEEDS} trainings of an arm are done")),
    }
}

fn unique<'a>(kind: &'static str, names: impl Iterator<Item = &'a String>) -> Result<(), StudyError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(StudyError::Twice { kind, name: name.clone() });
        }
    }
    Ok(())
}

fn known(place: &str, kind: &'static str, name: &str, names: &[&str]) -> Result<(), StudyError> {
    if names.contains(&name) {
        return Ok(());
    }
    Err(StudyError::Unknown { place: place.into(), kind, name: name.into(), known: names.join(", ") })
}
