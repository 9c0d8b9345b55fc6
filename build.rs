//! Tells the program its commit and the version of the bundled libpq, for `--version`.

use std::{env, fs, path::Path, process::Command};

fn main() {
    println!("cargo::rerun-if-env-changed=TOKENBRIDGE_COMMIT");
    println!("cargo::rustc-env=TOKENBRIDGE_COMMIT={}", commit());
    println!("cargo::rerun-if-changed=Cargo.lock");
    println!("cargo::rustc-env=TOKENBRIDGE_LIBPQ_VERSION={}", libpq_version());
}

/// Returns the commit that is built: `TOKENBRIDGE_COMMIT`, for sources without a repository, or that
/// of the repository. A debug build does not ask the repository, so that a commit does not build it
/// again.
fn commit() -> String {
    if let Ok(commit) = env::var("TOKENBRIDGE_COMMIT") {
        return commit;
    }
    if env::var("PROFILE").is_ok_and(|profile| profile == "debug") {
        return "unknown (a debug build)".to_owned();
    }
    // Each commit and each checkout adds a line to this file.
    if Path::new(".git/logs/HEAD").exists() {
        println!("cargo::rerun-if-changed=.git/logs/HEAD");
    }
    let git = Command::new("git").args(["rev-parse", "HEAD"]).output();
    let commit = git.ok().filter(|git| git.status.success());
    let commit = commit.and_then(|git| String::from_utf8(git.stdout).ok());
    commit.map_or_else(|| "unknown".to_owned(), |commit| commit.trim().to_owned())
}

/// Returns the version of libpq from the version of the crate that contains its source, such as
/// `0.3.14+libpq-18.6`.
fn libpq_version() -> String {
    let lock = fs::read_to_string("Cargo.lock").unwrap_or_default();
    let version = lock.split_once("name = \"pq-src\"").map(|(_, package)| package);
    let version = version.and_then(|package| package.split_once("+libpq-")?.1.split_once('"'));
    version.map_or_else(|| "unknown".to_owned(), |(version, _)| version.to_owned())
}
