//! The integration tests: one binary, and one suite for both stores.
//!
//! A test is a function that takes a [`Lab`], and each module lists its own. The suite runs on SQLite, and again on a private
//! PostgreSQL; where PostgreSQL is not installed, its tests are shown as ignored.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod api_tokens;
mod architecture;
mod audit;
mod audit_events;
mod authorization;
mod backup;
mod bridge;
mod bulk;
mod cli;
mod clock;
mod connections;
mod console;
mod credentials;
mod durability;
mod encodings;
mod fault_matrix;
mod faults;
mod graphql;
mod import;
mod introspect;
mod legacy;
mod legacy_usage;
mod limits;
mod logging;
mod logins;
mod machine;
mod metrics;
mod names;
mod observe;
mod openapi;
mod phases;
mod postgres;
mod postman;
mod proxies;
mod readme;
mod replicas;
mod runbook;
mod sites;
mod support;
mod threat_model;
mod transfer;
mod urls;
mod verify;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Trial};

use support::{Lab, cluster::Cluster, store::Kind};

/// A test and its name.
type Test = (&'static str, fn(&Lab));

/// The tests of a module, or those of them that a name is given to. A test that is not listed is dead code, and refused.
#[macro_export]
macro_rules! tests {
    ($list:ident: $($name:ident),* $(,)?) => {
        pub const $list: &[$crate::Test] = &[$((concat!(module_path!(), "::", stringify!($name)), $name)),*];
    };
    ($($name:ident),* $(,)?) => {
        $crate::tests![TESTS: $($name),*];
    };
}

/// Run on each store.
const ON_BOTH: &[&[Test]] = &[
    api_tokens::TESTS,
    audit::TESTS,
    audit_events::TESTS,
    authorization::TESTS,
    bridge::TESTS,
    bulk::TESTS,
    cli::TESTS,
    clock::TESTS,
    console::TESTS,
    credentials::TESTS,
    durability::TESTS,
    encodings::TESTS,
    fault_matrix::TESTS,
    faults::TESTS,
    graphql::TESTS,
    import::TESTS,
    introspect::TESTS,
    legacy::TESTS,
    legacy_usage::TESTS,
    logins::TESTS,
    machine::TESTS,
    metrics::TESTS,
    names::TESTS,
    phases::TESTS,
    proxies::TESTS,
    replicas::TESTS,
    runbook::TESTS,
    verify::TESTS,
];

/// Run on SQLite: what is about files, and what no store plays a part in.
const ON_SQLITE: &[&[Test]] = &[
    architecture::TESTS,
    backup::OF_FILES,
    connections::TESTS,
    audit_events::OF_INDEXES,
    console::ON_SQLITE,
    fault_matrix::OF_FILES,
    faults::OF_FILES,
    graphql::OF_PAGES,
    import::OF_SERVERS_OF_OTHERS,
    limits::TESTS,
    logging::TESTS,
    metrics::OF_LISTENERS,
    observe::TESTS,
    openapi::TESTS,
    postman::OF_FILES,
    readme::TESTS,
    threat_model::TESTS,
    urls::TESTS,
    sites::TESTS,
];

/// Run on PostgreSQL: what is about servers.
const ON_POSTGRES: &[&[Test]] = &[
    audit_events::OF_SERVERS,
    backup::OF_SERVERS,
    console::ON_POSTGRES,
    fault_matrix::OF_SERVERS,
    faults::OF_SERVERS,
    postgres::TESTS,
    replicas::OF_SERVERS,
    transfer::OF_SERVERS,
];

/// Run on SQLite where a small disk can be mounted.
const ON_A_SMALL_DISK: &[&[Test]] = &[fault_matrix::OF_SMALL_DISKS, faults::OF_SMALL_DISKS];

/// Run on each store where newman is installed.
const BY_NEWMAN: &[&[Test]] = &[postman::TESTS];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let cluster = if arguments.list { None } else { Cluster::start() };
    let no_cluster = cluster
        .is_none()
        .then_some("PostgreSQL is not installed; tests/run installs it");
    let no_small_disk = (!faults::SmallDisk::can_be_mounted()).then_some("only root can mount a small disk");
    let no_newman = (!postman::can_be_run()).then_some("newman is not installed; tests/run installs it");
    let trials = [
        (Kind::Sqlite, ON_BOTH, None),
        (Kind::Sqlite, ON_SQLITE, None),
        (Kind::Sqlite, ON_A_SMALL_DISK, no_small_disk),
        (Kind::Sqlite, BY_NEWMAN, no_newman),
        (Kind::Postgres, ON_BOTH, no_cluster),
        (Kind::Postgres, ON_POSTGRES, no_cluster),
        (Kind::Postgres, BY_NEWMAN, no_cluster.or(no_newman)),
    ]
    .into_iter()
    .flat_map(|(kind, modules, left_out)| {
        modules
            .iter()
            .copied()
            .flatten()
            .map(move |test| trial(kind, *test, left_out))
    })
    .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(cluster);
    conclusion.exit_code()
}

/// Returns the names of all tests, as `module::test`.
fn all_names() -> impl Iterator<Item = &'static str> {
    let lists = [ON_BOTH, ON_SQLITE, ON_A_SMALL_DISK, ON_POSTGRES, BY_NEWMAN];
    let tests = lists.into_iter().flatten().copied().flatten();
    tests.map(|(name, _)| short(name))
}

/// Returns a test's name without the crate name.
fn short(name: &'static str) -> &'static str {
    name.strip_prefix("it::").unwrap_or(name)
}

fn trial(kind: Kind, (name, test): Test, left_out: Option<&'static str>) -> Trial {
    Trial::ignorable_test(format!("{kind}::{}", short(name)), move || {
        if let Some(reason) = left_out {
            return Ok(Completion::ignored_with(reason));
        }
        test(&Lab::new(kind));
        Ok(Completion::Completed)
    })
}
