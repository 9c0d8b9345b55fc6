//! Checks that imports only point down and that the two APIs do not import each other.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use crate::{support::TestEnv, tests};

tests![
    modules_depend_only_on_lower_layers,
    every_dependency_rule_detects_its_violation,
    resources_are_created_in_one_place,
    modules_of_one_folder_do_not_import_each_other,
];

/// The layers from the top to the bottom; those of one row may use each other.
const LAYERS: &[&[&str]] = &[
    &["cli", "startup", "settings", "main", "lib"],
    &["http"],
    &["view"],
    &["service"],
    &["store", "legacy_server"],
    &["domain"],
];

/// Pairs of a path and a name that the files below that path must not contain.
const FORBIDDEN: &[(&str, &str)] = &[
    ("http", "diesel"),
    ("view", "diesel"),
    ("view", "actix"),
    ("service", "diesel"),
    ("service", "actix"),
    ("store", "actix"),
    ("legacy_server", "actix"),
    ("legacy_server", "diesel"),
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

fn modules_of_one_folder_do_not_import_each_other(_: &TestEnv) {
    let example = [
        ("http/a", "use super::b::Type;"),
        ("http/b", "mod c;"),
        (
            "http/b/c",
            "use crate::{\n    domain::Invalid,\n    http::{State, a::{f, g}},\n};",
        ),
        ("http/d", "let it = super::a::f();"),
        ("http", "use a::f;"),
        ("domain", ""),
    ];
    let example = example.map(|(place, code)| (place.to_owned(), code.to_owned()));
    assert_eq!(circles(&example), [("http".to_owned(), "a".to_owned(), "b".to_owned())]);

    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let modules: Vec<_> = files(&source)
        .into_iter()
        .map(|file| {
            let text = std::fs::read_to_string(&file).unwrap();
            let place = file.strip_prefix(&source).unwrap().with_extension("");
            (place.display().to_string(), text)
        })
        .collect();
    let found = circles(&modules);
    assert!(found.is_empty(), "modules that import each other: {found:?}");
}

/// Returns the pairs of modules of one folder that import each other, with the folder.
fn circles(modules: &[(String, String)]) -> Vec<(String, String, String)> {
    let known: BTreeSet<Vec<&str>> = modules.iter().map(|(place, _)| place.split('/').collect()).collect();
    let mut imports = BTreeSet::new();
    for (place, text) in modules {
        let own: Vec<&str> = place.split('/').collect();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let code = lines.collect::<Vec<_>>().join("\n");
        for path in named_paths(&code) {
            let outwards = path.iter().take_while(|part| *part == "super").count();
            let base = if outwards == 0 {
                &[][..]
            } else {
                &own[..own.len().saturating_sub(outwards)]
            };
            let inwards = path[outwards.max(1)..].iter().map(String::as_str);
            let mut module: Vec<&str> = base.iter().copied().chain(inwards).collect();
            while !module.is_empty() && !known.contains(&module) {
                module.pop();
            }
            let common = own.iter().zip(&module).take_while(|(one, other)| one == other).count();
            if let (Some(importer), Some(imported)) = (own.get(common), module.get(common)) {
                let folder = own[..common].join("/");
                imports.insert((folder, (*importer).to_owned(), (*imported).to_owned()));
            }
        }
    }
    let mutual = imports
        .iter()
        .filter(|(folder, one, other)| one < other && imports.contains(&(folder.clone(), other.clone(), one.clone())));
    mutual.cloned().collect()
}

/// Returns the paths in `code` that begin with `crate::` or `super::`, with their groups in braces expanded.
fn named_paths(code: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            let is_first =
                !code[..at].ends_with(|letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':');
            if is_first {
                read_paths(&code[at..], Vec::new(), &mut paths);
            }
        }
    }
    paths
}

/// Reads a path or a tree of paths behind `parents`, and returns the text behind it.
fn read_paths<'t>(text: &'t str, mut parents: Vec<String>, paths: &mut Vec<Vec<String>>) -> &'t str {
    let end = text
        .find(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    parents.push(word.to_owned());
    let Some(rest) = rest.strip_prefix("::") else {
        paths.push(parents);
        return rest;
    };
    let Some(group) = rest.strip_prefix('{') else {
        return read_paths(rest, parents, paths);
    };
    let mut group = group.trim_start();
    while !group.is_empty() && !group.starts_with('}') {
        let rest = read_paths(group, parents.clone(), paths);
        let rest = rest.trim_start_matches(|letter| letter != ',' && letter != '}');
        group = rest.trim_start_matches(',').trim_start();
    }
    group.strip_prefix('}').unwrap_or_default()
}

/// `http::endpoints` declares the operations of the API, from which routes and the OpenAPI document follow. A resource
/// that is created elsewhere would be missing in the document.
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
