//! Tells the program its commit and the version of the bundled libpq, for `--version`, and extracts Swagger UI.

use std::{
    borrow::Cow,
    env,
    error::Error,
    fs::{self, File},
    io::{self, Cursor},
    path::{Path, PathBuf},
    process::Command,
};

use flate2::{Compression, write::GzEncoder};
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
use zip::ZipArchive;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=TOKENBRIDGE_COMMIT");
    println!("cargo::rustc-env=TOKENBRIDGE_COMMIT={}", commit());
    println!("cargo::rerun-if-changed=Cargo.lock");
    println!("cargo::rustc-env=TOKENBRIDGE_LIBPQ_VERSION={}", libpq_version());
    let directory = PathBuf::from(env::var("OUT_DIR")?);
    let mut archive = ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED))?;
    for name in ["swagger-ui.css", "swagger-ui-bundle.js"] {
        extract(&mut archive, name, &directory)?;
    }
    Ok(())
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

/// Writes a file of the archive of Swagger UI, compressed again as gzip.
fn extract(archive: &mut ZipArchive<Cursor<&[u8]>>, name: &str, directory: &Path) -> Result<(), Box<dyn Error>> {
    let end_of_path = format!("/dist/{name}");
    let mut paths = archive.file_names().collect::<Result<Vec<_>, _>>()?.into_iter();
    let path = paths.find(|path| path.ends_with(&end_of_path)).map(Cow::into_owned);
    let path = path.ok_or_else(|| format!("the archive of Swagger UI has no {name}"))?;
    let file = File::create(directory.join(format!("{name}.gz")))?;
    let mut gzip = GzEncoder::new(file, Compression::best());
    io::copy(&mut archive.by_name(&path)?, &mut gzip)?;
    gzip.finish()?;
    Ok(())
}
