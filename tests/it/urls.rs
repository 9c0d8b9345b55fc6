//! URLs of databases and legacy servers: no message shows any part of a password.

use crate::{
    support::{
        TestEnv,
        program::{CommandOutput, Program, run_command},
    },
    tests,
};

tests![
    messages_contain_no_part_of_a_password,
    a_rejected_url_names_flag_variable_and_reason
];

/// Passwords of which no substring of [`PART`] characters occurs in a message by chance.
const PASSWORDS: [&str; 8] = [
    "Zq3cretXw",
    "Zq3c?retXw",
    "Zq3c#retXw",
    "Zq3c@retXw",
    "Zq3c%retXw",
    "Zq3c retXw",
    "Zq3c/retXw",
    "Zq3c&retXw=Vk9j",
];
const PART: usize = 4;

/// Prefixes and suffixes of the password. No server listens at that port.
const SHAPES: [(&str, &str); 19] = [
    ("postgres://tb:", "@127.0.0.1:1/d"),
    ("postgresql://tb:", "@127.0.0.1:1/d?sslmode=sometimes"),
    ("postgres://127.0.0.1:1/d?user=tb&password=", ""),
    ("postgres://tb:", "@127.0.0.1:port/d"),
    ("postgres://tb:", "@[::1/d"),
    ("postgresql+psycopg2://tb:", "@127.0.0.1:1/d"),
    ("postgresq://tb:", "@127.0.0.1:1/d"),
    ("host=127.0.0.1 port=1 user=tb password=", ""),
    ("tb:", "@127.0.0.1:1/d"),
    ("sqlite://tb:", "@127.0.0.1/d"),
    ("ftp://tb:", "@127.0.0.1:1/"),
    ("http://tb:", "@127.0.0.1:1/"),
    ("postgres://127.0.0.1:1/d;user=tb;password=", ""),
    ("postgres://127.0.0.1:1/tb:", ""),
    ("postgres://tb%3A", "@127.0.0.1:1/d"),
    ("postgres://tb%3A", "%40127.0.0.1/d"),
    ("postgres://127.0.0.1:1/d?sslmode=", ""),
    ("sqlite:postgres://tb:", "@127.0.0.1/d"),
    ("sqlite:tb:", "@127.0.0.1/d/x.db"),
];

/// Runs the program with the URL in each place that accepts one.
fn run(place: usize, url: &str) -> CommandOutput {
    let command = |arguments: &[&str]| Program::new("sqlite:/nowhere/at/all.db").command(arguments);
    match place % 6 {
        0 => Program::new(url).run(&["migrate"]),
        1 => {
            let mut command = command(&["token", "list"]);
            command.env("TOKENBRIDGE_NOTIFY_DATABASE_URL", url);
            run_command(command, "")
        }
        2 => run_command(command(&["migrate", "--from", url, "--to", url]), ""),
        3 => run_command(command(&["import", url]), ""),
        4 => run_command(command(&[url]), ""),
        _ => run_command(command(&["serve", "--database-url", url]), ""),
    }
}

fn messages_contain_no_part_of_a_password(env: &TestEnv) {
    let _ = env;
    let cases: Vec<_> = SHAPES
        .iter()
        .flat_map(|shape| PASSWORDS.iter().map(move |password| (shape, *password)))
        .enumerate()
        .collect();
    std::thread::scope(|scope| {
        for share in cases.chunks(cases.len() / 4) {
            scope.spawn(move || {
                for (index, ((before, after), password)) in share {
                    let url = format!("{before}{password}{after}");
                    for place in [0, index + index / 6] {
                        let output = run(place, &url);
                        let text = format!("{}{}", output.stdout, output.stderr);
                        assert!(output.exit_code > 0 && !text.is_empty(), "{url}: {output:?}");
                        let letters: Vec<char> = password.chars().collect();
                        for part in letters.windows(PART) {
                            let part: String = part.iter().collect();
                            assert!(!text.contains(&part), "place {place}, {url}: {output:?}");
                        }
                    }
                }
            });
        }
    });
}

fn a_rejected_url_names_flag_variable_and_reason(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    let variable = |url: &str| Program::new(url).run(&["migrate"]);
    let unencoded = "percent-encode";
    for (output, text) in [
        (
            variable("postgresql+psycopg2://tb:Zq3cretXw@h/d"),
            ["'--database-url <URL> (TOKENBRIDGE_DATABASE_URL)'", "must begin with"],
        ),
        (
            variable("postgres://tb:Zq3c@retXw@h/d"),
            ["'--database-url <URL> (TOKENBRIDGE_DATABASE_URL)'", unencoded],
        ),
        (
            program.run(&["serve", "--notify-database-url", "postgres://tb:Zq3c%retXw@h/d"]),
            [
                "'--notify-database-url <URL> (TOKENBRIDGE_NOTIFY_DATABASE_URL)'",
                unencoded,
            ],
        ),
        (
            program.run(&["serve", "--read-database-url", "postgres://tb:Zq3c%retXw@h/d"]),
            ["'--read-database-url <URL> (TOKENBRIDGE_READ_DATABASE_URL)'", unencoded],
        ),
        (
            program.run(&["serve", "--read-database-url", "postgres://tb:Zq3cretXw@h/d"]),
            [
                "--read-database-url (TOKENBRIDGE_READ_DATABASE_URL)",
                "set --database-url",
            ],
        ),
        (
            Program::new("postgres://tb@127.0.0.1:1/d").run(&["serve", "--read-database-url", "sqlite:x.db"]),
            [
                "--read-database-url (TOKENBRIDGE_READ_DATABASE_URL)",
                "must begin with \"postgres://\"",
            ],
        ),
        (
            program.run(&[
                "migrate",
                "--from",
                "postgres://tb:Zq3c retXw@h/d",
                "--to",
                "sqlite:x.db",
            ]),
            ["'--from <URL> (TOKENBRIDGE_FROM)'", unencoded],
        ),
        (program.run(&["import", "ftp://u:Zq3cretXw@h/"]), ["--user", "SOURCE"]),
    ] {
        assert_eq!(output.exit_code, 2, "{output:?}");
        assert!(
            text.iter().all(|text| output.stderr.contains(text)),
            "{text:?}: {output:?}"
        );
    }
}
