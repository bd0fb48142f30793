//! Prints the binary boundary as `abi_stable` sees it: every type that can cross, its size and alignment, its fields and
//! functions. `abi/` keeps what it printed for each version; `cargo xtask tidy` compares.

use std::collections::HashSet;

use tunebench_plugin_api::abi::{API_MAJOR, API_MINOR, PROBE_SYMBOL, PluginRoot_Ref, Probe};
use tunebench_plugin_api::abi_stable::StableAbi;
use tunebench_plugin_api::abi_stable::std_types::utypeid::UTypeId;
use tunebench_plugin_api::abi_stable::type_layout::{TLFunction, TypeLayout};

fn main() {
    println!("plugin-api {API_MAJOR}.{API_MINOR}");
    println!("\n{PROBE_SYMBOL}(*mut Probe) -> i32");
    println!("\nProbe: {} bytes, aligned to {}", size_of::<Probe>(), align_of::<Probe>());
    print(<PluginRoot_Ref as StableAbi>::LAYOUT, &mut HashSet::new());
}

/// A type, then all that it is made of, each once.
fn print(layout: &'static TypeLayout, seen: &mut HashSet<UTypeId>) {
    if !seen.insert(layout.get_utypeid()) {
        return;
    }
    let place = layout.mod_path().to_string().replace(['<', '>'], "");
    let name = layout.full_type().to_string();
    println!("\n{place} {}: {} bytes, aligned to {}", name.trim_end(), layout.size(), layout.alignment());
    for field in layout.get_fields().into_iter().flat_map(|fields| fields.to_vec()) {
        let functions: Vec<String> = field.function_range().iter().map(signature).collect();
        let kind = if functions.is_empty() { field.full_type().to_string() } else { functions.join(", ") };
        println!("    {}: {}", field.name(), kind.trim_end());
    }
    for nested in layout.shared_vars().type_layouts() {
        print(nested(), seen);
    }
    for nested in layout.extra_checks().into_iter().flat_map(|checks| checks.nested_type_layouts().to_vec()) {
        print(nested, seen);
    }
}

/// Without the lifetimes, which are of no size.
fn signature(function: TLFunction) -> String {
    function.to_string().lines().next().unwrap_or_default().to_owned()
}
