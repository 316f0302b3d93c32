//! The codes that an error may have.

use std::collections::HashSet;

#[test]
fn each_code_has_a_name_and_a_sentence_of_its_own_and_success_is_none() {
    let codes = consumer::codes();
    let names: HashSet<_> = codes.iter().map(|code| code.name()).collect();
    assert_eq!(names.len(), codes.len());
    assert!(names.contains("_ALL_BROKERS_DOWN") && names.contains("FENCED_INSTANCE_ID"));
    assert!(!names.contains("NO_ERROR"));
    assert!(codes.iter().all(|code| !code.describe().is_empty()));
}
