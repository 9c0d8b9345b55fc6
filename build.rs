//! Tells the program its commit and the version of the bundled libpq, for `--version`, and extracts Swagger UI.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=TOKENBRIDGE_COMMIT");
    println!("cargo::rustc-env=TOKENBRIDGE_COMMIT={}", commit());
    println!("cargo::rerun-if-changed=Cargo.lock");
    println!("cargo::rustc-env=TOKENBRIDGE_LIBPQ_VERSION={}", libpq_version());
    let directory = PathBuf::from(env::var("OUT_DIR")?);
    for name in ["swagger-ui.css", "swagger-ui-bundle.js"] {
        let file = gzip_file(SWAGGER_UI_VENDORED, &format!("/dist/{name}"));
        let file = file.ok_or_else(|| format!("the archive of Swagger UI has no {name}"))?;
        fs::write(directory.join(format!("{name}.gz")), file)?;
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

/// Returns a file of a ZIP archive as a gzip file. Both formats contain the same compressed stream, CRC-32, and size
/// (APPNOTE.TXT 4.3, RFC 1952), so nothing is compressed or decompressed. Returns `None` if there is no such file.
fn gzip_file(archive: &[u8], end_of_path: &str) -> Option<Vec<u8>> {
    let bytes = |at: usize, length: usize| archive.get(at..at.checked_add(length)?);
    let u16_at = |at| Some(usize::from(u16::from_le_bytes(bytes(at, 2)?.try_into().ok()?)));
    let u32_at = |at| usize::try_from(u32::from_le_bytes(bytes(at, 4)?.try_into().ok()?)).ok();
    let end = archive.windows(4).rposition(|window| window == b"PK\x05\x06")?;
    let mut entry = u32_at(end + 16)?;
    for _ in 0..u16_at(end + 10)? {
        let (name_length, extra_length, comment_length) =
            (u16_at(entry + 28)?, u16_at(entry + 30)?, u16_at(entry + 32)?);
        let is_deflated = u16_at(entry + 10)? == 8;
        if is_deflated && bytes(entry + 46, name_length)?.ends_with(end_of_path.as_bytes()) {
            let local = u32_at(entry + 42)?;
            let stream = local + 30 + u16_at(local + 26)? + u16_at(local + 28)?;
            let head: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255];
            let (crc, size) = (bytes(entry + 16, 4)?, bytes(entry + 24, 4)?);
            return Some([head, bytes(stream, u32_at(entry + 20)?)?, crc, size].concat());
        }
        entry += 46 + name_length + extra_length + comment_length;
    }
    None
}
