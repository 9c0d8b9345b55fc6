//! Detects removed and replaced files of an open SQLite database.
//!
//! If a file is removed or replaced under a running server, SQLite keeps writing to the unlinked
//! file, and those writes are lost when it is closed. So a replaced database is refused. A removed
//! write-ahead log is checkpointed into the database file, which is still in place, and all
//! connections are reopened: connections to the old log and to a new one would not see each other's
//! writes.

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock, Weak},
};

use diesel::{
    QueryableByName, RunQueryDsl, SqliteConnection, connection::SimpleConnection, sql_query, sql_types::Integer,
};

use super::{
    connection::AnyConnection,
    error::{OpenError, PoolError},
    url::DatabaseUrl,
};

/// Permission bits that let the group or other users read or write.
const GROUP_AND_OTHERS: u32 = 0o066;

/// The device and the inode of a file.
pub(super) type FileIdentity = (u64, u64);

/// Returns the identity of the file that is currently at a path.
pub(super) fn identity(path: &Path) -> Option<FileIdentity> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Returns the path of an auxiliary file that SQLite keeps next to a database.
pub(super) fn sibling_path(database: &Path, suffix: &str) -> PathBuf {
    let mut path = OsString::from(database);
    path.push(suffix);
    path.into()
}

/// Returns the files of a database that users other than the owner can read or write, with their permissions.
pub fn find_exposed_files(url: &DatabaseUrl) -> Vec<(PathBuf, u32)> {
    let path = match url {
        DatabaseUrl::Sqlite(path) => path,
        DatabaseUrl::Postgres(_) => return Vec::new(),
    };
    let files = ["", "-wal", "-shm"].map(|suffix| sibling_path(path, suffix));
    let permissions = |path: &PathBuf| Some(fs::metadata(path).ok()?.permissions().mode() & 0o777);
    let exposed = files.into_iter().filter_map(|path| Some((permissions(&path)?, path)));
    exposed
        .filter(|(mode, _)| mode & GROUP_AND_OTHERS != 0)
        .map(|(mode, path)| (path, mode))
        .collect()
}

/// Creates a missing database file that only its owner can read. Does not open an existing file:
/// closing it again would release the locks that SQLite holds on it in this process.
pub(super) fn prepare(path: &Path, create: bool) -> Result<(), OpenError> {
    if path.exists() {
        return Ok(());
    }
    if !create {
        return Err(OpenError::Missing(path.display().to_string()));
    }
    let mut options = fs::OpenOptions::new();
    options.append(true).create_new(true);
    options.mode(0o600);
    match options.open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(OpenError::File(path.display().to_string(), error))
        }
        _ => Ok(()),
    }
}

/// The files of one database, shared by all of this process's connections to it.
pub(super) struct Files {
    url: DatabaseUrl,
    path: PathBuf,
    /// The identity of the database file at startup.
    database: Option<FileIdentity>,
    generation: RwLock<Option<Arc<WalGeneration>>>,
    /// An open connection, so that SQLite does not remove the log while no other connection is open.
    keeper: Mutex<Keeper>,
}

#[derive(Default)]
struct Keeper {
    conn: Option<SqliteConnection>,
    previous: Weak<WalGeneration>,
}

/// Connections that share a write-ahead log. Each connection holds a reference.
pub(super) struct WalGeneration {
    log: [Option<FileIdentity>; 2],
}

/// A row of `PRAGMA wal_checkpoint`.
#[derive(QueryableByName)]
struct Checkpoint {
    #[diesel(sql_type = Integer)]
    busy: i32,
}

impl Files {
    /// Returns the files of the database at `url`; `None` for PostgreSQL.
    pub(super) fn new(url: &DatabaseUrl) -> Option<Arc<Self>> {
        let path = match url {
            DatabaseUrl::Sqlite(path) => path,
            DatabaseUrl::Postgres(_) => return None,
        };
        Some(Arc::new(Self {
            url: url.clone(),
            path: path.clone(),
            database: identity(path),
            generation: RwLock::default(),
            keeper: Mutex::default(),
        }))
    }

    /// Returns the generation for a new connection. After the log was removed, fails until all
    /// connections to the removed log are closed.
    ///
    /// # Errors
    /// [`PoolError::FileReplaced`] if the database file was replaced; [`PoolError::LogRemoved`] if
    /// the log was removed and is not replaced yet.
    pub(super) fn join_generation(&self) -> Result<Arc<WalGeneration>, PoolError> {
        if let Some(generation) = self.current()
            && self.is_in_place(&generation)?
        {
            return Ok(generation);
        }
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        match self.current() {
            // Another thread replaced the generation first.
            Some(generation) if self.is_in_place(&generation)? => return Ok(generation),
            Some(generation) => {
                if let Some(conn) = &mut keeper.conn {
                    checkpoint(conn)?;
                }
                keeper.previous = Arc::downgrade(&generation);
                keeper.conn = None;
                *self.generation.write().unwrap_or_else(PoisonError::into_inner) = None;
            }
            None => {}
        }
        if keeper.previous.strong_count() > 0 {
            return Err(PoolError::LogRemoved);
        }
        if identity(&self.path) != self.database {
            return Err(PoolError::FileReplaced);
        }
        match self.url.connect()? {
            AnyConnection::Sqlite(mut conn) => {
                if self.log().contains(&None) {
                    // A new database has no log before its first transaction.
                    conn.batch_execute("BEGIN IMMEDIATE; COMMIT")?;
                }
                keeper.conn = Some(conn);
            }
            AnyConnection::Postgres(_) => {} // PostgreSQL has no files here.
        }
        let generation = Arc::new(WalGeneration { log: self.log() });
        *self.generation.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&generation));
        Ok(generation)
    }

    /// Checks that a connection of `generation` can still be used.
    ///
    /// # Errors
    /// [`PoolError::FileReplaced`] if the database file was replaced; [`PoolError::LogRemoved`] if
    /// the log was removed.
    pub(super) fn verify(&self, generation: &Arc<WalGeneration>) -> Result<(), PoolError> {
        let is_current = self.current().is_some_and(|current| Arc::ptr_eq(&current, generation));
        if self.is_in_place(generation)? && is_current {
            Ok(())
        } else {
            Err(PoolError::LogRemoved)
        }
    }

    /// Ensures that the commits of `conn`, a connection of `generation`, are in the files at the database's path.
    ///
    /// # Errors
    /// [`PoolError`] if they are not. The last commit may be lost then.
    pub(super) fn ensure_durable(
        &self,
        generation: &Arc<WalGeneration>,
        conn: &mut AnyConnection,
    ) -> Result<(), PoolError> {
        match (self.verify(generation), conn) {
            (Err(PoolError::LogRemoved), AnyConnection::Sqlite(conn)) => checkpoint(conn),
            (outcome, _) => outcome,
        }
    }

    /// Returns `false` if a file was removed or replaced.
    pub(super) fn are_in_place(&self) -> bool {
        match self.current() {
            Some(generation) => matches!(self.is_in_place(&generation), Ok(true)),
            None => identity(&self.path) == self.database,
        }
    }

    fn current(&self) -> Option<Arc<WalGeneration>> {
        self.generation.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns `false` if the log was removed.
    ///
    /// # Errors
    /// [`PoolError::FileReplaced`] if the database file was replaced.
    fn is_in_place(&self, generation: &WalGeneration) -> Result<bool, PoolError> {
        if identity(&self.path) == self.database {
            Ok(self.log() == generation.log)
        } else {
            Err(PoolError::FileReplaced)
        }
    }

    fn log(&self) -> [Option<FileIdentity>; 2] {
        ["-wal", "-shm"].map(|suffix| identity(&sibling_path(&self.path, suffix)))
    }
}

/// Copies the whole log to the database file and truncates the log.
fn checkpoint(conn: &mut SqliteConnection) -> Result<(), PoolError> {
    let Checkpoint { busy } = sql_query("PRAGMA wal_checkpoint(TRUNCATE)").get_result(conn)?;
    if busy == 0 { Ok(()) } else { Err(PoolError::LogRemoved) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(directory: &tempfile::TempDir) -> (Arc<Files>, PathBuf) {
        let path = directory.path().join("f.db");
        fs::File::create(&path).unwrap();
        (Files::new(&DatabaseUrl::Sqlite(path.clone())).unwrap(), path)
    }

    #[derive(QueryableByName)]
    struct Number {
        #[diesel(sql_type = Integer)]
        n: i32,
    }

    fn numbers(conn: &mut AnyConnection) -> Vec<i32> {
        let AnyConnection::Sqlite(conn) = conn else {
            panic!("it is SQLite")
        };
        let rows: Vec<Number> = sql_query("SELECT n FROM numbers ORDER BY n").load(conn).unwrap();
        rows.into_iter().map(|row| row.n).collect()
    }

    #[test]
    fn commits_in_a_removed_wal_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let (files, path) = files(&directory);
        let generation = files.join_generation().unwrap();
        let mut conn = files.url.connect().unwrap();
        conn.batch_execute("CREATE TABLE numbers (n INTEGER); INSERT INTO numbers VALUES (1)")
            .unwrap();
        files.ensure_durable(&generation, &mut conn).unwrap();
        for suffix in ["-wal", "-shm"] {
            fs::remove_file(sibling_path(&path, suffix)).unwrap();
        }
        assert!(matches!(files.verify(&generation), Err(PoolError::LogRemoved)));
        // A transaction that began before the removal.
        conn.batch_execute("INSERT INTO numbers VALUES (2)").unwrap();
        files.ensure_durable(&generation, &mut conn).unwrap();
        let copy = directory.path().join("copy.db");
        fs::copy(&path, &copy).unwrap();
        let mut copied = DatabaseUrl::Sqlite(copy).connect().unwrap();
        assert_eq!(numbers(&mut copied), [1, 2], "it is in the database file itself");
        // No connection to a new log is opened while one to the old log is open.
        assert!(matches!(files.join_generation(), Err(PoolError::LogRemoved)));
        drop((conn, generation));
        let generation = files.join_generation().unwrap();
        let mut conn = files.url.connect().unwrap();
        files.verify(&generation).unwrap();
        assert_eq!(numbers(&mut conn), [1, 2]);
    }

    #[test]
    fn a_replaced_database_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (files, path) = files(&directory);
        let generation = files.join_generation().unwrap();
        let away = directory.path().join("away.db");
        fs::rename(&path, &away).unwrap();
        fs::File::create(&path).unwrap();
        assert!(matches!(files.verify(&generation), Err(PoolError::FileReplaced)));
        assert!(matches!(files.join_generation(), Err(PoolError::FileReplaced)));
        fs::rename(&away, &path).unwrap();
        files.verify(&generation).unwrap();
    }

    #[test]
    fn files_readable_by_others_are_detected() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f.db");
        let log = sibling_path(&path, "-wal");
        for (file, mode) in [(&path, 0o640), (&log, 0o600)] {
            fs::File::create(file).unwrap();
            fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
        }
        assert_eq!(find_exposed_files(&DatabaseUrl::Sqlite(path.clone())), [(path, 0o640)]);
    }
}
