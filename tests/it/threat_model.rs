//! Checks that the tests named in the threat model exist.

use std::{collections::HashSet, path::Path};

use crate::{support::TestEnv, tests};

tests![tests_named_in_the_threat_model_exist];

fn tests_named_in_the_threat_model_exist(_: &TestEnv) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/threat-model.md")).unwrap();
    let known: HashSet<&str> = crate::all_names().collect();
    let mut tests = 0;
    for span in page.split('`').skip(1).step_by(2) {
        if span.contains("::") {
            assert!(
                known.contains(span),
                "docs/threat-model.md names {span}, which is no test"
            );
            tests += 1;
        } else if span.contains('/') && !span.starts_with(['/', '-']) {
            assert!(
                root.join(span).exists(),
                "docs/threat-model.md names {span}, which is no file"
            );
        }
    }
    assert!(tests >= 30, "{tests} tests are named");
}
