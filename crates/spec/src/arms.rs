//! The list of `[[arm]]`s in a study file: arms that are trained, and other forms of those.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::form::{Form, Variant};
use crate::grid::ArmGrid;
use crate::recipe::RecipeOverrides;

/// `[[arm]]` that is trained.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Arm {
    pub name: String,
    /// The id of a model, or the name of an arm listed before.
    pub base: String,
    pub tuner: String,
    pub dataset: String,
    /// The tuner's own options.
    pub options: BTreeMap<String, Value>,
    pub recipe: RecipeOverrides,
    /// The study's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// How often it is trained; as often as the arm it starts from, or the study's, when absent. Training number i starts
    /// from number i of that arm, or from its only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seeds: Option<u32>,
    /// The values of recipe or options among which held-out loss decides: a grid, or the name of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grid: Option<ArmGrid>,
    /// Another template than the study's, e.g. `text` for pre-training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The study's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add_bos_token: Option<bool>,
    /// Whether it answers the evaluation set; `false` for an arm that only others start from.
    pub evaluate: bool,
}

/// All arms of a study.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arms {
    /// In the order of the file.
    pub trained: Vec<Arm>,
    /// In the order of the file; each belongs behind the arm that it is of.
    pub variants: Vec<Variant>,
}

impl Arms {
    /// The arms that are trained.
    pub fn iter(&self) -> std::slice::Iter<'_, Arm> {
        self.trained.iter()
    }

    /// How many are trained.
    pub fn len(&self) -> usize {
        self.trained.len()
    }

    /// Whether none is trained.
    pub fn is_empty(&self) -> bool {
        self.trained.is_empty()
    }

    /// The other forms of an arm.
    pub fn variants_of<'a>(&'a self, arm: &'a str) -> impl Iterator<Item = &'a Variant> {
        self.variants.iter().filter(move |variant| variant.of == arm)
    }
}

impl From<Vec<Arm>> for Arms {
    fn from(trained: Vec<Arm>) -> Self {
        Self { trained, variants: Vec::new() }
    }
}

impl<'a> IntoIterator for &'a Arms {
    type Item = &'a Arm;
    type IntoIter = std::slice::Iter<'a, Arm>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Written<'a> {
    Trained(&'a Arm),
    Variant(&'a Variant),
}

impl Serialize for Arms {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut written = Vec::new();
        for arm in &self.trained {
            written.push(Written::Trained(arm));
            written.extend(self.variants_of(&arm.name).map(Written::Variant));
        }
        serializer.collect_seq(written)
    }
}

impl<'de> Deserialize<'de> for Arms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut arms = Self::default();
        for entry in Vec::<Entry>::deserialize(deserializer)? {
            match entry {
                Entry::Trained(arm) => arms.trained.push(*arm),
                Entry::Variant(variant) => arms.variants.push(variant),
            }
        }
        Ok(arms)
    }
}

#[derive(Deserialize)]
#[serde(try_from = "Fields")]
enum Entry {
    Trained(Box<Arm>),
    Variant(Variant),
}

/// What either of them may have.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    name: String,
    base: Option<String>,
    tuner: Option<String>,
    dataset: Option<String>,
    options: Option<BTreeMap<String, Value>>,
    recipe: Option<RecipeOverrides>,
    seed: Option<u64>,
    seeds: Option<u32>,
    grid: Option<ArmGrid>,
    template: Option<String>,
    add_bos_token: Option<bool>,
    evaluate: Option<bool>,
    of: Option<String>,
    #[serde(rename = "as")]
    form: Option<Form>,
}

impl TryFrom<Fields> for Entry {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let Fields { name, base, tuner, dataset, options, recipe, seed, seeds, grid, template, .. } = fields;
        let (add_bos_token, evaluate, of, form) = (fields.add_bos_token, fields.evaluate, fields.of, fields.form);
        let given = [
            ("base", base.is_some()),
            ("tuner", tuner.is_some()),
            ("dataset", dataset.is_some()),
            ("options", options.is_some()),
            ("recipe", recipe.is_some()),
            ("seed", seed.is_some()),
            ("seeds", seeds.is_some()),
            ("grid", grid.is_some()),
            ("template", template.is_some()),
            ("add_bos_token", add_bos_token.is_some()),
            ("evaluate", evaluate.is_some()),
        ];
        let given: Vec<&str> = given.iter().filter(|(_, is_given)| *is_given).map(|(field, _)| *field).collect();
        match (of, form) {
            (Some(of), Some(form)) if given.is_empty() => Ok(Self::Variant(Variant { name, of, form })),
            (Some(of), Some(_)) => Err(format!(
                "arm `{name}`: it is `{of}` in another form, whose training it shares; leave out: {}",
                given.join(", ")
            )),
            (Some(_), None) | (None, Some(_)) => {
                let forms = Form::ALL.map(Form::name).join(", ");
                Err(format!("arm `{name}`: `of` names an arm and `as` its form ({forms}); give both, or none"))
            }
            (None, None) => {
                let need = |value: Option<String>, field: &str| value.ok_or(format!("missing field `{field}`"));
                Ok(Self::Trained(Box::new(Arm {
                    name,
                    base: need(base, "base")?,
                    tuner: need(tuner, "tuner")?,
                    dataset: need(dataset, "dataset")?,
                    options: options.unwrap_or_default(),
                    recipe: recipe.unwrap_or_default(),
                    seed,
                    seeds,
                    grid,
                    template,
                    add_bos_token,
                    evaluate: evaluate.unwrap_or(true),
                })))
            }
        }
    }
}
