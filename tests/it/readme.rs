//! The commands of README.md print the output that it shows, and docs/configuration.md lists every setting.

use std::{path::Path, process::Command};

use crate::{
    support::{TestEnv, program::Program},
    tests,
};

tests![
    readme_commands_print_the_documented_output,
    the_readme_documents_every_setting
];

fn page(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Each block of shell commands, and the text that follows it.
pub fn examples(readme: &str) -> Vec<(&str, &str)> {
    let blocks = readme.split("```sh\n").skip(1);
    blocks
        .map(|block| {
            let (commands, rest) = block.split_once("```").unwrap();
            let (_, rest) = rest.split_once("```text\n").expect("what is printed follows");
            (commands, rest.split_once("```").unwrap().0)
        })
        .collect()
}

/// Returns the text with IDs, values and times masked.
pub fn mask_random_values(text: &str) -> String {
    let is_value = |word: &str| word.starts_with("tbk_") && word.len() == 53;
    let is_time = |word: &str| word.parse::<tokenbridge::domain::clock::Timestamp>().is_ok();
    let word = |word: &str| match word {
        id if uuid::Uuid::try_parse(id).is_ok() => "an id".to_owned(),
        value if is_value(value) => "a value".to_owned(),
        time if is_time(time) => "a time".to_owned(),
        other => other.to_owned(),
    };
    text.trim().split('"').map(word).collect::<Vec<_>>().join("\"")
}

fn readme_commands_print_the_documented_output(env: &TestEnv) {
    let readme = page("README.md");
    let examples = examples(&readme);
    assert!(examples.len() >= 5, "{}", examples.len());
    let server = Program::new(&env.store.fresh_url()).serve_with(&[], &[("TOKENBRIDGE_ADMIN_PASSWORD", "admin")]);
    // One shell for all, because later commands use results of earlier ones. A line separates their output.
    let commands: Vec<&str> = examples.iter().map(|(commands, _)| *commands).collect();
    let script = commands.join("\necho; echo ----\n");
    let script = script.replace("127.0.0.1:8086", &server.client.address.to_string());
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(env.store.directory.path())
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let printed: Vec<&str> = printed.split("----\n").collect();
    assert_eq!(printed.len(), examples.len(), "{printed:?}");
    for ((commands, expected), printed) in examples.iter().zip(printed) {
        assert_eq!(mask_random_values(printed), mask_random_values(expected), "{commands}");
    }
}

fn the_readme_documents_every_setting(_: &TestEnv) {
    use clap::CommandFactory;

    let configuration = page("docs/configuration.md");
    for argument in crate::support::Flags::command().get_arguments() {
        let Some(long) = argument.get_long() else { continue };
        let variable = format!("TOKENBRIDGE_{}", long.to_uppercase().replace('-', "_"));
        for name in [format!("`--{long}`"), format!("`{variable}`")] {
            assert!(
                configuration.contains(&name),
                "docs/configuration.md does not list {name}"
            );
        }
    }
}
