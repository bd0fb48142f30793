//! The repository is tidy.

#[test]
fn tidy() {
    let report = xtask::tidy::check().unwrap();
    assert!(report.files > 100 && report.crates > 10, "only {} files, {} crates", report.files, report.crates);
    assert!(report.faults.is_empty(), "{}", report.faults.join("\n"));
}
