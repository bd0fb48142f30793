//! An arm's recipe: put together in layers, fitted to its data, and where each of its values comes from.

use serde_json::{Map, Value, json};
use tunebench_spec::fit::{Fitted, Layers, fit};
use tunebench_spec::{Recipe, RecipeOverrides};

/// The recipe of a training.
#[derive(Clone, Debug)]
pub struct ArmRecipe {
    pub recipe: Recipe,
    /// What nobody states and was adapted to the number of examples.
    pub fitted: Vec<Fitted>,
    /// A JSON object: of each field its value and origin.
    pub origins: String,
}

/// The layers that the study states, each more specific than the one before.
#[derive(Clone, Copy, Debug)]
pub struct Stated<'a> {
    pub study: &'a RecipeOverrides,
    pub arm: &'a RecipeOverrides,
    pub grid: &'a RecipeOverrides,
}

/// The recipe for so many examples; as the layers give it where their number is not known.
///
/// # Errors
/// When it cannot be followed by anybody, or has no JSON form.
pub fn arm_recipe(tuner: &RecipeOverrides, stated: Stated<'_>, examples: Option<u64>) -> Result<ArmRecipe, String> {
    let of_study = [stated.study, stated.arm, stated.grid];
    let layers = Layers { tuner, stated: &of_study };
    let (recipe, fitted) = match examples {
        Some(examples) => fit(&layers, examples),
        None => (layers.recipe(), Vec::new()),
    };
    recipe.check()?;
    let origins = origins(&recipe, &fitted, tuner, stated).map_err(|error| error.to_string())?;
    Ok(ArmRecipe { recipe, fitted, origins })
}

fn origins(
    recipe: &Recipe,
    fitted: &[Fitted],
    tuner: &RecipeOverrides,
    stated: Stated<'_>,
) -> serde_json::Result<String> {
    let fields = |layer: &RecipeOverrides| -> serde_json::Result<Map<String, Value>> {
        Ok(serde_json::to_value(layer)?.as_object().cloned().unwrap_or_default())
    };
    let layers = [
        ("grid", fields(stated.grid)?),
        ("arm", fields(stated.arm)?),
        ("study", fields(stated.study)?),
        ("tuner", fields(tuner)?),
    ];
    let origin = |field: &str| {
        if fitted.iter().any(|fitted| fitted.field == field) {
            return "fitted";
        }
        layers.iter().find(|(_, fields)| fields.contains_key(field)).map_or("default", |(name, _)| name)
    };
    // With fields that are left out at their defaults.
    let whole = serde_json::to_value(recipe.stated())?;
    let whole = whole.as_object().cloned().unwrap_or_default();
    let with_origin: Map<String, Value> = whole
        .into_iter()
        .map(|(field, value)| (field.clone(), json!({ "value": value, "origin": origin(&field) })))
        .collect();
    serde_json::to_string(&with_origin)
}
