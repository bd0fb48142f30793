//! The name of a training: the hash of all that decides the bytes of the trained arm.

use serde_json::json;
use tunebench_model::backend::Backend;
use tunebench_spec::recipe::RecipeOverrides;
use tunebench_spec::{Recipe, hash};

use crate::arm_plan::ArmPlan;
use crate::error::StudyError;

/// Raised when a change of the code changes what training yields.
const TRAINING_VERSION: u32 = 1;

/// What names a training beside its plan and its backend.
pub struct Training<'a> {
    pub recipe: &'a Recipe,
    pub seed: u64,
    /// The identity of what it starts from.
    pub start: &'a str,
    /// That of the tokens it learns from.
    pub examples: &'a str,
    /// That of the rows its held-out loss is measured on, where that decides when it ends or what its result is.
    pub held_out: Option<&'a str>,
}

/// Names a training of an arm.
///
/// # Errors
/// When the plan has no JSON form.
pub fn training(plan: &ArmPlan<'_>, backend: &'static dyn Backend, of: &Training<'_>) -> Result<String, StudyError> {
    // What the tuner would have recommended had the study not decided is no part of the name.
    let mut recorded = plan.recorded.clone();
    recorded.plan.recipe = RecipeOverrides::default();
    let mut named = json!({
        "training": [backend.name(), TRAINING_VERSION.to_string()],
        "start": of.start,
        "shape": plan.shape,
        "recorded": recorded,
        "recipe": identity_recipe(of.recipe),
        "seed": of.seed,
        "examples": of.examples,
    });
    // Absent where they say nothing, so that trainings from before they were there keep their names.
    if let Some(held_out) = of.held_out {
        named["held_out"] = held_out.into();
    }
    if of.recipe.weight_decay > 0.0 {
        named["decay"] = "weights".into();
    }
    Ok(hash::of_json(&named)?)
}

/// A recipe without what its tokens say already and what changes nothing: that is no part of an arm's name.
fn identity_recipe(recipe: &Recipe) -> Recipe {
    Recipe {
        checkpoint_steps: 0,
        // Tokens show where an example was cut, but not how long a packed row may be.
        max_length: if recipe.packing { recipe.max_length } else { 0 },
        batch_size: if recipe.batch_tokens > 0 { 0 } else { recipe.batch_size },
        mask_prompt: false,
        gradient_checkpointing: false,
        eval_steps: if recipe.goes_by_held_out() { recipe.eval_steps } else { 0 },
        ..recipe.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arm_is_named_by_what_decides_its_steps() {
        let base = Recipe::base();
        let changed =
            |by: &dyn Fn(&Recipe) -> Recipe, recipe: &Recipe| identity_recipe(&by(recipe)) != identity_recipe(recipe);
        let length = |r: &Recipe| Recipe { max_length: 512, ..r.clone() };
        let size = |r: &Recipe| Recipe { batch_size: 4, ..r.clone() };
        let packed = Recipe { packing: true, ..base.clone() };
        let budget = Recipe { batch_tokens: 4096, ..base.clone() };
        assert!([&packed, &budget].iter().all(|recipe| identity_recipe(recipe) != identity_recipe(&base)));
        assert_eq!([&base, &packed, &budget].map(|r| changed(&length, r)), [false, true, false]);
        assert_eq!([&base, &packed, &budget].map(|r| changed(&size, r)), [true, true, false]);
        // The names of arms from before both settings stay what they were.
        let json = serde_json::to_value(identity_recipe(&base)).unwrap();
        assert_eq!(json.as_object().unwrap().len(), 16, "{json}");
    }
}
