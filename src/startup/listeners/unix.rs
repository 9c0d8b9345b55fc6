//! Unix sockets that this process binds, and their files.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, ErrorKind},
    os::unix::{
        fs::{FileTypeExt, OpenOptionsExt, PermissionsExt},
        net::UnixListener,
    },
    path::{Path, PathBuf},
};

use socket2::{Domain, SockAddr, Socket, Type};

use super::BACKLOG;

/// Permissions of the file of a socket: the user and the group of the server may connect. The group
/// is that of the directory, if the directory has the set-group-ID bit.
const SOCKET_MODE: u32 = 0o660;

/// The file of a bound socket. Dropping it, after the socket, removes the file.
pub struct SocketFile(PathBuf);

/// Binds a socket, and replaces the file of one that no server listens on.
///
/// # Errors
/// If a server listens there, the path is that of another kind of file, or the directory does not
/// exist or is not writable.
pub fn bind(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let explained = |error| explain(path, error);
    // Two servers that start at the same time must not remove each other's socket.
    let _lock = lock(path).map_err(explained)?;
    remove_stale(path).map_err(explained)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?).map_err(explained)?;
    let file = SocketFile(path.to_owned());
    // No client can connect before `listen`.
    fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE))?;
    socket.listen(BACKLOG)?;
    Ok((socket.into(), file))
}

/// Locks the path until the returned file is dropped. The lock has a file of its own, which stays: once
/// a file is removed, a lock on it no longer excludes others.
fn lock(path: &Path) -> io::Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let mut options = OpenOptions::new();
    let file = options.create(true).append(true).mode(0o600).open(name)?;
    file.lock()?;
    Ok(file)
}

/// Removes the file of a socket that no server listens on.
fn remove_stale(path: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    if !metadata.file_type().is_socket() {
        return Err(ErrorKind::AlreadyExists.into());
    }
    match probe(path) {
        // The backlog of a busy server is full.
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
        Ok(()) => Err(ErrorKind::AddrInUse.into()),
    }
}

/// Connects to a socket, without waiting.
fn probe(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

/// Adds to an error what the operator can do.
fn explain(path: &Path, error: io::Error) -> io::Error {
    let directory = path.parent().unwrap_or(path).display();
    let advice = match error.kind() {
        ErrorKind::AddrInUse => "a server listens on it; stop that server, or choose another path".to_owned(),
        ErrorKind::AlreadyExists => "the file exists and is not a socket; remove it, or choose another path".to_owned(),
        ErrorKind::NotFound => {
            format!("the directory {directory} does not exist; create it, with RuntimeDirectory= under systemd")
        }
        ErrorKind::PermissionDenied => {
            format!("permission denied; the server must be able to create and remove files in {directory}")
        }
        _ => return error,
    };
    io::Error::new(error.kind(), advice)
}

impl SocketFile {
    /// Removes the file, unless another server listens on it by now. Its inode number does not tell: a
    /// new file can have that of a removed one.
    fn remove(&self) -> io::Result<()> {
        let _lock = lock(&self.0)?;
        match remove_stale(&self.0) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => Ok(()),
            removed => removed,
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        match self.remove() {
            Ok(()) => {}
            // The file or its directory was removed.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => log::warn!("cannot remove the socket {}: {error}", self.0.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixDatagram, UnixStream};

    use super::*;

    fn error(path: &Path) -> String {
        bind(path).err().expect("the path is refused").to_string()
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let (listener, file) = bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, SOCKET_MODE);
        assert!(error(&path).contains("a server listens on it"), "{}", error(&path));
        UnixStream::connect(&path).expect("the first server still listens");
        // The process was killed.
        std::mem::forget(file);
        drop(listener);
        let (listener, file) = bind(&path).unwrap();
        UnixStream::connect(&path).unwrap();
        drop((listener, file));
        assert!(!path.exists());
    }

    #[test]
    fn a_busy_server_counts_as_live() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        socket.listen(0).unwrap();
        let waiting = UnixStream::connect(&path).unwrap();
        assert!(error(&path).contains("a server listens on it"), "{}", error(&path));
        drop(waiting);
    }

    #[test]
    fn other_files_are_never_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        fs::write(&path, "data").unwrap();
        assert!(error(&path).contains("is not a socket"), "{}", error(&path));
        assert_eq!(fs::read_to_string(&path).unwrap(), "data");
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("elsewhere", &path).unwrap();
        assert!(error(&path).contains("is not a socket"), "{}", error(&path));
        fs::remove_file(&path).unwrap();
        let _datagrams = UnixDatagram::bind(&path).unwrap();
        error(&path);
        assert!(path.exists());
        let missing = error(&directory.path().join("missing/s"));
        assert!(missing.contains("missing does not exist"), "{missing}");
    }

    #[test]
    fn the_socket_of_a_successor_is_not_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let (listener, file) = bind(&path).unwrap();
        drop(listener);
        let _successor = bind(&path).unwrap();
        drop(file);
        UnixStream::connect(&path).expect("the successor still listens");
    }

    #[test]
    fn of_servers_that_start_at_the_same_time_one_wins() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        for _ in 0..20 {
            std::mem::forget(bind(&path).map(|(_, file)| file));
            let bound: Vec<_> = std::thread::scope(|scope| {
                let starts: Vec<_> = (0..4).map(|_| scope.spawn(|| bind(&path))).collect();
                starts.into_iter().map(|start| start.join().unwrap()).collect()
            });
            assert_eq!(bound.iter().filter(|bound| bound.is_ok()).count(), 1);
        }
    }
}
