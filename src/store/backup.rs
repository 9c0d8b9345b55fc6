//! Copies a SQLite database to a backup, and a backup to a database.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, ErrorKind},
    os::unix::fs::{MetadataExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

use diesel::{Connection, RunQueryDsl, SqliteConnection, connection::SimpleConnection, sql_query, sql_types::Text};
use rustix::{
    fs::{FlockOperation, fcntl_lock},
    io::Errno,
    process::{Flock, FlockType, fcntl_getlk},
};
use tempfile::NamedTempFile;

use super::{
    check,
    connection::existing_file,
    error::one_line,
    files::{beside, identity},
};

/// The permissions of a file that only its owner may read.
const OWNER_ONLY: u32 = 0o600;

/// Why a database was not copied. The destination is as it was.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The backup would overwrite a file.
    #[error("{0} exists already; name a new file")]
    Exists(String),
    /// A file or folder failed.
    #[error("{0}")]
    Io(String, #[source] io::Error),
    /// The database failed.
    #[error("{0} cannot be copied: {1}")]
    Sqlite(String, String),
    /// The backup is damaged, or of another program or version.
    #[error("{0} cannot be restored: {1}")]
    Unusable(String, String),
    /// Somebody has the database open.
    #[error("{0} is in use by {1}; stop it first")]
    InUse(String, String),
}

/// Copies the database at `database` to the new file `backup`, as it is at one moment, while others use it. Returns the
/// size of the copy in bytes.
///
/// # Errors
/// When `backup` exists, or the copy fails; then there is no new file.
pub fn back_up(database: &Path, backup: &Path) -> Result<u64, BackupError> {
    let exists = || BackupError::Exists(backup.display().to_string());
    if fs::symlink_metadata(backup).is_ok() {
        return Err(exists());
    }
    let folder = folder_of(backup)?;
    let copy = copy(database, "rw", &folder)?;
    let bytes = copy.as_file().metadata().map_err(failed(backup))?.len();
    match copy.persist_noclobber(backup) {
        Ok(_) => {}
        Err(refused) if refused.error.kind() == ErrorKind::AlreadyExists => return Err(exists()),
        Err(refused) => return Err(failed(backup)(refused.error)),
    }
    sync(&folder)?;
    Ok(bytes)
}

/// Replaces the database at `database` by a copy of `backup`. Owner and permissions stay. Returns the size in bytes.
///
/// # Errors
/// When the backup is damaged, is not of this program, or is newer, or when somebody uses the database.
pub fn restore(database: &Path, backup: &Path) -> Result<u64, BackupError> {
    // Behind a symbolic link the file is replaced, and not the link.
    let database = fs::canonicalize(database).unwrap_or_else(|_| database.to_owned());
    let unusable = |reason: String| BackupError::Unusable(backup.display().to_string(), reason);
    fs::metadata(backup).map_err(failed(backup))?;
    let in_place = identity(&database);
    if in_place.is_some() && in_place == identity(backup) {
        return Err(unusable("it is the database itself".to_owned()));
    }
    let findings = check::check_file(backup, "ro").map_err(|error| unusable(one_line(&error.to_string())))?;
    if !findings.is_empty() {
        return Err(unusable(findings.join("; ")));
    }
    let folder = folder_of(&database)?;
    let lock = lock(&database)?;
    let copy = copy(backup, "ro", &folder)?;
    let bytes = copy.as_file().metadata().map_err(failed(&database))?.len();
    if let Some(lock) = &lock {
        let before = lock.metadata().map_err(failed(&database))?;
        fchown(copy.as_file(), Some(before.uid()), Some(before.gid())).map_err(failed(&database))?;
        let permissions = Permissions::from_mode(before.mode());
        copy.as_file().set_permissions(permissions).map_err(failed(&database))?;
    }
    // A write-ahead log of the old file would be applied to the new one. It goes first: if the machine stops in between,
    // the old file remains without it, and the restore is to be repeated.
    for suffix in ["-wal", "-shm", "-journal"] {
        match fs::remove_file(beside(&database, suffix)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(&database)(error)),
            _ => {}
        }
    }
    sync(&folder)?;
    copy.persist(&database)
        .map_err(|refused| failed(&database)(refused.error))?;
    sync(&folder)?;
    Ok(bytes)
}

/// Copies a database, with what is in its write-ahead log, to a temporary file in `folder` that only its owner may read.
/// The file is on disk, and is removed when it is dropped.
fn copy(database: &Path, mode: &str, folder: &Path) -> Result<NamedTempFile, BackupError> {
    let copy = tempfile::Builder::new()
        .prefix(".tokenbridge-")
        .suffix(".partial")
        .permissions(Permissions::from_mode(OWNER_ONLY))
        .tempfile_in(folder)
        .map_err(failed(folder))?;
    let sqlite = |error: String| BackupError::Sqlite(database.display().to_string(), one_line(&error));
    let mut conn =
        SqliteConnection::establish(&existing_file(database, mode)).map_err(|error| sqlite(error.to_string()))?;
    conn.batch_execute("PRAGMA busy_timeout = 5000")
        .and_then(|()| {
            let path = copy.path().to_string_lossy();
            sql_query("VACUUM INTO ?").bind::<Text, _>(path).execute(&mut conn)
        })
        .map_err(|error| sqlite(error.to_string()))?;
    copy.as_file().sync_all().map_err(failed(folder))?;
    Ok(copy)
}

/// Locks a database against every other process for as long as the file is open; `None` if there is no such file.
///
/// SQLite locks a byte of the file for each connection in WAL mode.
fn lock(database: &Path) -> Result<Option<File>, BackupError> {
    let file = match OpenOptions::new().read(true).write(true).open(database) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(database)(error)),
    };
    match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::AGAIN | Errno::ACCESS) => {
            let holder = fcntl_getlk(&file, &Flock::from(FlockType::WriteLock)).ok().flatten();
            let holder = holder.and_then(|lock| lock.pid).map_or_else(
                || "another process".to_owned(),
                |pid| format!("process {}", pid.as_raw_nonzero()),
            );
            Err(BackupError::InUse(database.display().to_string(), holder))
        }
        Err(error) => Err(failed(database)(error.into())),
    }
}

/// Returns the folder of a file, without symbolic links.
fn folder_of(file: &Path) -> Result<PathBuf, BackupError> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::canonicalize(folder).map_err(failed(folder))
}

/// Writes the names of a folder to disk.
fn sync(folder: &Path) -> Result<(), BackupError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed(folder))
}

fn failed(path: &Path) -> impl Fn(io::Error) -> BackupError {
    let path = path.display().to_string();
    move |error| BackupError::Io(format!("cannot write or read {path}"), error)
}
