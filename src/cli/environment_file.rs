//! Checks that `deploy/package/tokenbridge.env`, the settings file of the Debian package, lists every setting of the
//! server with its default. With `INSTA_UPDATE=always`, the test writes the file, as it does with snapshots.

use std::{env, ffi::OsStr, fmt::Write, fs};

use clap::{Arg, builder::StyledStr};

use super::{build_command, serve, variables::variable_name};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/package/tokenbridge.env");

const HEAD: &str = "\
# Settings of tokenbridge.service, described in tokenbridge(1). Each commented line has the default. After a change,
# run: systemctl restart tokenbridge
";

/// Returns the text as comments of at most 100 columns.
fn comment(text: &str) -> String {
    let paragraphs = text.split("\n\n").map(|paragraph| {
        let mut lines = String::from("#");
        let mut column = 1;
        for word in paragraph.split_whitespace() {
            if column + 1 + word.len() > 100 {
                lines.push_str("\n#");
                column = 1;
            }
            lines.push(' ');
            lines.push_str(word);
            column += 1 + word.len();
        }
        lines
    });
    paragraphs.collect::<Vec<_>>().join("\n")
}

fn setting(arg: &Arg) -> String {
    let long = arg.get_long().expect("a setting is a flag");
    let help = arg
        .get_long_help()
        .or(arg.get_help())
        .map(StyledStr::to_string)
        .unwrap_or_default();
    let values: Vec<_> = arg
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| value.get_name().to_owned())
        .collect();
    let help = if values.is_empty() {
        help
    } else {
        format!("{help}; one of: {}", values.join(", "))
    };
    let defaults: Vec<_> = arg
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy())
        .collect();
    format!("{}\n#{}={}\n", comment(&help), variable_name(long), defaults.join(","))
}

fn render() -> String {
    let command = build_command();
    let serve = command.find_subcommand("serve").expect("there is the command");
    let mut file = HEAD.to_owned();
    for arg in serve.get_arguments() {
        writeln!(file, "\n{}", setting(arg).trim_end()).expect("a string takes all");
        if arg.is_hide_env_values_set() {
            let long = arg.get_long().expect("a setting is a flag");
            let text = "File with this URL, so that its password stands in no variable; an empty file counts as unset";
            let variable = variable_name(long);
            writeln!(file, "{}\n#{variable}_FILE=", comment(text)).expect("a string takes all");
        }
    }
    let admin = format!(
        "\n{}\n#{}=admin\n#{}=\n#{}=\n",
        comment(serve::FIRST_ADMIN_HELP),
        serve::USERNAME,
        serve::PASSWORD,
        serve::PASSWORD_FILE
    );
    file + &admin
}

#[test]
fn the_settings_file_of_the_package_lists_every_setting_with_its_default() {
    let expected = render();
    if env::var_os("INSTA_UPDATE").as_deref() == Some(OsStr::new("always")) {
        fs::write(PATH, &expected).unwrap();
    }
    let file = fs::read_to_string(PATH).unwrap();
    assert!(
        file == expected,
        "deploy/package/tokenbridge.env is out of date; run this test with INSTA_UPDATE=always"
    );
}
