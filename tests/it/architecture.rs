//! Arrows between layers only point down, and the two APIs do not know each other.

use std::path::{Path, PathBuf};

use crate::{support::TestEnv, tests};

tests![
    modules_depend_only_on_lower_layers,
    every_dependency_rule_detects_its_violation,
    resources_are_created_in_one_place,
];

/// The layers from the top to the bottom; those of one row may use each other.
const LAYERS: &[&[&str]] = &[
    &["cli", "startup", "settings", "main", "lib"],
    &["http"],
    &["view"],
    &["service"],
    &["store"],
    &["domain"],
];

/// In the files of the first part, the second part must not be named.
const FORBIDDEN: &[(&str, &str)] = &[
    ("http", "diesel"),
    ("view", "diesel"),
    ("view", "actix"),
    ("service", "diesel"),
    ("service", "actix"),
    ("store", "actix"),
    ("domain", "actix"),
    ("domain", "diesel"),
    ("http/legacy", "api_tokens::"),
    ("http/api_tokens", "legacy::"),
];

fn modules_depend_only_on_lower_layers(_: &TestEnv) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut read = 0;
    for file in files(&source) {
        let place = file
            .strip_prefix(&source)
            .unwrap()
            .with_extension("")
            .display()
            .to_string();
        let text = std::fs::read_to_string(&file).unwrap();
        let broken = broken_rules(&place, &text);
        assert!(broken.is_empty(), "{place}: {broken:?}");
        read += 1;
    }
    assert!(read > 30, "only {read} files were read");
}

fn every_dependency_rule_detects_its_violation(_: &TestEnv) {
    assert_eq!(
        broken_rules("domain/token", "use crate::store::Store;"),
        ["crate::store"]
    );
    assert_eq!(
        broken_rules(
            "service",
            "use crate::{\n    domain::Invalid,\n    http::{State, error::ApiError},\n};"
        ),
        ["crate::http"]
    );
    assert_eq!(
        broken_rules("service/tokens", "let now = crate::http::observe::request_id();"),
        ["crate::http"]
    );
    assert_eq!(
        broken_rules("http/legacy/list", "use crate::http::api_tokens::view;"),
        ["api_tokens::"]
    );
    assert_eq!(broken_rules("http", "use diesel::Connection;"), ["diesel"]);
    assert!(broken_rules("http", "use crate::{domain::actor::Channel, service::Service};").is_empty());
}

/// `http::endpoints` declares the operations of the API, from which routes and the OpenAPI document follow. A resource that is created
/// elsewhere would be missing in the document.
fn resources_are_created_in_one_place(_: &TestEnv) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let creators = files(&source).into_iter().filter(|file| {
        let text = std::fs::read_to_string(file).unwrap();
        text.contains("web::resource(") || text.contains("resource(\"")
    });
    let creators: Vec<String> = creators
        .map(|file| file.strip_prefix(&source).unwrap().display().to_string())
        .collect();
    // The gate and the metrics, the console's pages, and the function that creates all others.
    assert_eq!(sorted(creators), ["http.rs", "http/console.rs", "http/routing.rs"]);
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

fn broken_rules(place: &str, text: &str) -> Vec<String> {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let layer = place.split('/').next().unwrap_or_default();
    let level = |name: &str| LAYERS.iter().position(|row| row.contains(&name));
    let own = level(layer).unwrap_or_else(|| panic!("{layer} is a layer that this test does not know"));
    let upwards = used_layers(&code)
        .into_iter()
        .filter(|used| level(used).is_some_and(|other| other < own));
    let never = FORBIDDEN
        .iter()
        .filter(|(inside, word)| is_inside(place, inside) && code.contains(word));
    upwards
        .map(|used| format!("crate::{used}"))
        .chain(never.map(|(_, word)| (*word).to_owned()))
        .collect()
}

fn is_inside(place: &str, layer: &str) -> bool {
    place
        .strip_prefix(layer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The layers named behind `crate::`, alone or in braces.
fn used_layers(code: &str) -> Vec<String> {
    let word = |text: &str| {
        text.trim_start()
            .split(|letter: char| !letter.is_alphanumeric() && letter != '_')
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let mut layers = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            layers.push(word(rest));
            continue;
        };
        let mut depth = 0;
        let mut start = 0;
        for (index, letter) in group.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    layers.push(word(&group[start..index]));
                    start = index + 1;
                    if letter == '}' {
                        break;
                    }
                }
                _ => {}
            }
        }
    }
    layers
}

/// Returns the source files below `place`.
pub fn files(place: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => files(&path),
            false if path.extension().is_some_and(|extension| extension == "rs") => vec![path],
            false => Vec::new(),
        })
        .collect()
}
