//! Notes the compiler's version and the target, which the probe of every plugin reports.

use std::process::Command;

fn main() {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let output = Command::new(rustc).arg("--version").output();
    let version = output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default();
    let target = std::env::var("TARGET").unwrap_or_default();
    println!("cargo::rustc-env=TUNEBENCH_RUSTC={version}");
    println!("cargo::rustc-env=TUNEBENCH_TARGET={target}");
    println!("cargo::rerun-if-changed=build.rs");
}
