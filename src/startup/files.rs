//! The limit of open files, and how many connections it allows.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Maximum number of connections of a server, however many files it may open: each may cost some 64 KiB while its client does not read.
const MAX_CONNECTIONS: u64 = 8192;

/// Open files that are not connections to the server: the store's connections and files, listeners, and the connections of the
/// metrics' own listener.
const RESERVED_FILES: u64 = 192;

/// Raises the soft limit of open files to the hard one, and returns it. Without a limit, or where it cannot be raised, that is the
/// current one.
pub fn raise_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    let in_force = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised.current,
        Err(error) => {
            log::warn!("cannot raise the limit of open files: {error}");
            limit.current
        }
    };
    in_force.unwrap_or(u64::MAX)
}

/// Returns how many connections a server takes that may open so many files.
pub fn max_connections(open_files: u64) -> usize {
    let available = open_files.saturating_sub(RESERVED_FILES).max(open_files / 2);
    usize::try_from(available.min(MAX_CONNECTIONS)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_the_store() {
        for (open_files, connections) in [(u64::MAX, 8192), (8384, 8192), (1024, 832), (256, 128), (10, 5)] {
            assert_eq!(max_connections(open_files), connections, "{open_files}");
        }
    }
}
