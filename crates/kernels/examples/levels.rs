//! Prints the levels of instructions that this CPU has, lowest first: what `cargo xtask test --levels` goes through.

fn main() {
    for level in tunebench_kernels::SimdLevel::available() {
        println!("{}", level.name());
    }
}
