//! The integration tests: one binary, and one suite for both stores.
//!
//! A test is a function that takes a [`TestEnv`], and each module lists its own. The suite runs on SQLite, and again on
//! a private PostgreSQL; where PostgreSQL is not installed, its tests are reported as ignored.

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
mod certificates;
mod cli;
mod clock;
mod conditions;
mod connections;
mod console;
mod credentials;
mod durability;
mod encodings;
mod fault_matrix;
mod faults;
mod filters;
mod graphql;
mod idempotency;
mod import;
mod introspect;
mod json_bodies;
mod legacy;
mod legacy_logins;
mod legacy_usage;
mod limits;
mod listeners;
mod logging;
mod logins;
mod machine;
mod metrics;
mod names;
mod oauth;
mod oauth_metadata;
mod observe;
mod openapi;
mod output;
mod phases;
mod postgres;
mod postman;
mod proxies;
mod read_replica;
mod readme;
mod replicas;
mod roles;
mod runbook;
mod search;
mod selections;
mod sites;
mod snapshots;
mod support;
mod systemd;
mod threat_model;
mod token_csv;
mod token_fields;
mod token_life;
mod transfer;
mod upgrade;
mod urls;
mod usage;
mod use_cases;
mod verify;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Trial};

use support::{TestEnv, cluster::Cluster, store::StoreKind};

/// A test and its name.
type Test = (&'static str, fn(&TestEnv));

/// Declares the tests of a module. A test that is not listed is dead code, which clippy refuses.
#[macro_export]
macro_rules! tests {
    ($list:ident: $($name:ident),* $(,)?) => {
        pub const $list: &[$crate::Test] = &[$((concat!(module_path!(), "::", stringify!($name)), $name)),*];
    };
    ($($name:ident),* $(,)?) => {
        $crate::tests![TESTS: $($name),*];
    };
}

/// Tests that run on each store.
const ON_BOTH: &[&[Test]] = &[
    api_tokens::TESTS,
    api_tokens::input::TESTS,
    api_tokens::lists::TESTS,
    audit::TESTS,
    audit::logins::TESTS,
    audit_events::TESTS,
    audit_events::following::TESTS,
    authorization::TESTS,
    bridge::TESTS,
    bulk::TESTS,
    cli::TESTS,
    cli::settings::TESTS,
    clock::TESTS,
    conditions::TESTS,
    console::account::TESTS,
    console::admins::TESTS,
    console::evidence::TESTS,
    console::held_forms::TESTS,
    console::korean::TESTS,
    console::pages::TESTS,
    console::sessions::TESTS,
    console::token_forms::TESTS,
    console::token_list::TESTS,
    console::token_page::TESTS,
    console::token_search::TESTS,
    console::token_selection::TESTS,
    credentials::TESTS,
    durability::TESTS,
    encodings::TESTS,
    fault_matrix::TESTS,
    faults::TESTS,
    filters::TESTS,
    graphql::TESTS,
    graphql::bounds::TESTS,
    idempotency::TESTS,
    import::TESTS,
    import::exports::TESTS,
    import::sources::TESTS,
    introspect::TESTS,
    legacy::TESTS,
    legacy::input::TESTS,
    legacy_logins::TESTS,
    legacy_logins::servers::TESTS,
    legacy_usage::TESTS,
    legacy_usage::formats::TESTS,
    legacy_usage::storage::TESTS,
    logins::TESTS,
    machine::TESTS,
    metrics::TESTS,
    names::TESTS,
    oauth::TESTS,
    oauth_metadata::TESTS,
    output::TESTS,
    phases::TESTS,
    proxies::TESTS,
    replicas::TESTS,
    search::TESTS,
    roles::TESTS,
    runbook::TESTS,
    selections::TESTS,
    snapshots::TESTS,
    token_csv::TESTS,
    token_fields::TESTS,
    token_life::TESTS,
    upgrade::TESTS,
    usage::TESTS,
    use_cases::TESTS,
    verify::TESTS,
];

/// Tests of files, and tests that need no store. They run on SQLite.
const ON_SQLITE: &[&[Test]] = &[
    architecture::TESTS,
    backup::SQLITE_TESTS,
    certificates::TESTS,
    connections::TESTS,
    audit_events::SQLITE_TESTS,
    console::sessions::SQLITE_TESTS,
    fault_matrix::SQLITE_TESTS,
    faults::SQLITE_TESTS,
    faults::files::SQLITE_TESTS,
    graphql::SQLITE_TESTS,
    json_bodies::TESTS,
    import::sources::SQLITE_TESTS,
    legacy_logins::servers::SQLITE_TESTS,
    limits::TESTS,
    listeners::TESTS,
    logging::TESTS,
    metrics::SQLITE_TESTS,
    observe::TESTS,
    openapi::TESTS,
    postman::SQLITE_TESTS,
    readme::TESTS,
    threat_model::TESTS,
    urls::TESTS,
    sites::TESTS,
    snapshots::SQLITE_TESTS,
    systemd::TESTS,
];

/// Tests that need a PostgreSQL server.
const ON_POSTGRES: &[&[Test]] = &[
    audit_events::following::POSTGRES_TESTS,
    backup::POSTGRES_TESTS,
    console::admins::POSTGRES_TESTS,
    fault_matrix::POSTGRES_TESTS,
    faults::POSTGRES_TESTS,
    postgres::TESTS,
    read_replica::TESTS,
    replicas::POSTGRES_TESTS,
    runbook::POSTGRES_TESTS,
    transfer::POSTGRES_TESTS,
];

/// Tests that run on SQLite where a small disk can be mounted.
const ON_SMALL_DISK: &[&[Test]] = &[fault_matrix::SMALL_DISK_TESTS, faults::disk::SMALL_DISK_TESTS];

/// Tests that run on each store where newman is installed.
const WITH_NEWMAN: &[&[Test]] = &[postman::TESTS];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let cluster = if arguments.list { None } else { Cluster::start() };
    let no_cluster = cluster
        .is_none()
        .then_some("PostgreSQL is not installed; tests/run installs it");
    let no_small_disk = (!faults::disk::SmallDisk::is_mountable()).then_some("only root can mount a small disk");
    let no_newman = (!postman::is_installed()).then_some("newman is not installed; tests/run installs it");
    let trials = [
        (StoreKind::Sqlite, ON_BOTH, None),
        (StoreKind::Sqlite, ON_SQLITE, None),
        (StoreKind::Sqlite, ON_SMALL_DISK, no_small_disk),
        (StoreKind::Sqlite, WITH_NEWMAN, no_newman),
        (StoreKind::Postgres, ON_BOTH, no_cluster),
        (StoreKind::Postgres, ON_POSTGRES, no_cluster),
        (StoreKind::Postgres, WITH_NEWMAN, no_cluster.or(no_newman)),
    ]
    .into_iter()
    .flat_map(|(kind, modules, skip_reason)| {
        modules
            .iter()
            .copied()
            .flatten()
            .map(move |test| trial(kind, *test, skip_reason))
    })
    .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(cluster);
    conclusion.exit_code()
}

/// Returns the names of all tests, as `module::test`.
fn all_names() -> impl Iterator<Item = &'static str> {
    let lists = [ON_BOTH, ON_SQLITE, ON_SMALL_DISK, ON_POSTGRES, WITH_NEWMAN];
    let tests = lists.into_iter().flatten().copied().flatten();
    tests.map(|(name, _)| strip_crate_name(name))
}

/// Returns a test's name without the crate name.
fn strip_crate_name(name: &'static str) -> &'static str {
    name.strip_prefix("it::").unwrap_or(name)
}

fn trial(kind: StoreKind, (name, test): Test, skip_reason: Option<&'static str>) -> Trial {
    Trial::ignorable_test(format!("{kind}::{}", strip_crate_name(name)), move || {
        if let Some(reason) = skip_reason {
            return Ok(Completion::ignored_with(reason));
        }
        test(&TestEnv::new(kind));
        Ok(Completion::Completed)
    })
}
