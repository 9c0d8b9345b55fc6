//! Backs up a SQLite database to a file, and restores it.

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
    error::to_single_line,
    files::{identity, sibling_path},
};

/// Permissions that let only the owner read and write a file.
const OWNER_ONLY: u32 = 0o600;

/// The reason why a database was not copied. The destination is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The backup would overwrite a file.
    #[error("{0} already exists; choose a new file")]
    Exists(String),
    /// A file or folder could not be read or written.
    #[error("{0}")]
    Io(String, #[source] io::Error),
    /// SQLite reported an error.
    #[error("{0} cannot be copied: {1}")]
    Sqlite(String, String),
    /// The backup is damaged, from another program, or from a newer version.
    #[error("{0} cannot be restored: {1}")]
    Unusable(String, String),
    /// Another process has the database open.
    #[error("{0} is in use by {1}; stop it first")]
    InUse(String, String),
}

/// Copies a consistent snapshot of the database at `database` to the new file `backup`. The
/// database can be in use meanwhile. Returns the size of the copy in bytes.
///
/// # Errors
/// [`BackupError::Exists`] if `backup` exists; [`BackupError::Io`] or [`BackupError::Sqlite`] if
/// the copy fails. No file is created then.
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

/// Replaces the database at `database` with a copy of `backup`. Keeps the owner and permissions.
/// Returns the size in bytes.
///
/// # Errors
/// [`BackupError::Unusable`] if the backup is damaged, from another program, or from a newer
/// version; [`BackupError::InUse`] if a process has the database open; [`BackupError::Io`] or
/// [`BackupError::Sqlite`] if the copy fails.
pub fn restore(database: &Path, backup: &Path) -> Result<u64, BackupError> {
    // Replaces the target of a symbolic link, not the link.
    let database = fs::canonicalize(database).unwrap_or_else(|_| database.to_owned());
    let unusable = |reason: String| BackupError::Unusable(backup.display().to_string(), reason);
    fs::metadata(backup).map_err(failed(backup))?;
    let in_place = identity(&database);
    if in_place.is_some() && in_place == identity(backup) {
        return Err(unusable("it is the database itself".to_owned()));
    }
    let findings = check::check_file(backup, "ro").map_err(|error| unusable(to_single_line(&error.to_string())))?;
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
    // SQLite would apply the write-ahead log of the old file to the new one, so the log is removed
    // first. If the machine stops in between, the old file remains without its log, and the restore
    // must be repeated.
    for suffix in ["-wal", "-shm", "-journal"] {
        match fs::remove_file(sibling_path(&database, suffix)) {
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

/// Copies a database, including its write-ahead log, to a temporary file in `folder` that only its
/// owner can read. The file is synced to disk, and deleted when it is dropped.
fn copy(database: &Path, mode: &str, folder: &Path) -> Result<NamedTempFile, BackupError> {
    let copy = tempfile::Builder::new()
        .prefix(".tokenbridge-")
        .suffix(".partial")
        .permissions(Permissions::from_mode(OWNER_ONLY))
        .tempfile_in(folder)
        .map_err(failed(folder))?;
    let sqlite = |error: String| BackupError::Sqlite(database.display().to_string(), to_single_line(&error));
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

/// Locks a database against all other processes while the returned file is open. Returns `None` if
/// the file does not exist.
///
/// In WAL mode, SQLite holds a lock on a byte of the file for each connection.
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

/// Returns the canonical path of a file's folder.
fn folder_of(file: &Path) -> Result<PathBuf, BackupError> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::canonicalize(folder).map_err(failed(folder))
}

/// Syncs the directory entries of a folder to disk.
fn sync(folder: &Path) -> Result<(), BackupError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed(folder))
}

fn failed(path: &Path) -> impl Fn(io::Error) -> BackupError {
    let path = path.display().to_string();
    move |error| BackupError::Io(format!("cannot write or read {path}"), error)
}
