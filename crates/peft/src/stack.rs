//! Several adapters over each other as one over the first one's base, so that what was trained on an adapted model is opened
//! without the models in between.

use std::collections::BTreeMap;

use candle_core::Tensor;

use crate::Error;
use crate::form::{Form, Ia3Site, LoraSite};

/// One adapter that is all of `forms`, the first of which is nearest the base: LoRAs side by side in one of their ranks' sum,
/// (IA)³'s vectors multiplied. Exact but for the order of sums.
///
/// # Errors
/// [`Error::NotStacked`] when no single adapter is: DoRA, which divides by norms of what lies below, virtual tokens, two
/// kinds, or vectors that scale one weight's input and output. Fold those below into the base's weights then.
pub fn stack(forms: Vec<Form>) -> Result<Form, Error> {
    let mut forms = forms.into_iter();
    let first = forms.next().ok_or_else(|| Error::NotStacked("there is no adapter".into()))?;
    forms.try_fold(first, two)
}

fn two(below: Form, above: Form) -> Result<Form, Error> {
    let (lower, upper) = (below.kind(), above.kind());
    match (below, above) {
        (Form::Lora(below), Form::Lora(above)) if lower == upper && !has_magnitudes(&below) => {
            Ok(Form::Lora(each(below, above, side_by_side)?))
        }
        (Form::Ia3(below), Form::Ia3(above)) => Ok(Form::Ia3(each(below, above, multiplied)?)),
        _ => Err(Error::NotStacked(format!("{upper} over {lower} is no single adapter of PEFT's"))),
    }
}

fn has_magnitudes(sites: &BTreeMap<String, LoraSite>) -> bool {
    sites.values().any(|site| site.magnitude.is_some())
}

/// The sites of both, those at one weight as `both` makes one of them.
fn each<T>(
    mut below: BTreeMap<String, T>,
    above: BTreeMap<String, T>,
    both: fn(&str, T, T) -> Result<T, Error>,
) -> Result<BTreeMap<String, T>, Error> {
    for (weight, upper) in above {
        let site = match below.remove(&weight) {
            Some(lower) => both(&weight, lower, upper)?,
            None => upper,
        };
        below.insert(weight, site);
    }
    Ok(below)
}

/// `s₁ B₁ A₁ + s₂ B₂ A₂ = [s₁ B₁, s₂ B₂] [A₁; A₂]`.
fn side_by_side(_: &str, below: LoraSite, above: LoraSite) -> Result<LoraSite, Error> {
    let a = Tensor::cat(&[&below.a, &above.a], 0)?;
    let b = if below.scale == above.scale {
        return Ok(LoraSite { a, b: Tensor::cat(&[&below.b, &above.b], 1)?, dropout: above.dropout, ..below });
    } else {
        Tensor::cat(&[&(&below.b * below.scale)?, &(&above.b * above.scale)?], 1)?
    };
    Ok(LoraSite { a, b, magnitude: None, scale: 1.0, dropout: above.dropout })
}

fn multiplied(weight: &str, below: Ia3Site, above: Ia3Site) -> Result<Ia3Site, Error> {
    if below.scales_input != above.scales_input {
        return Err(Error::NotStacked(format!(
            "one (IA)³ scales the input of `{weight}` and the other its output; no single one does both"
        )));
    }
    Ok(Ia3Site { l: (below.l * above.l)?, ..below })
}
