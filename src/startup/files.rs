//! The limit of open files, and the number of connections that it allows.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Maximum number of connections, regardless of the limit of open files: each can use about 64 KiB
/// while its client does not read.
const MAX_CONNECTIONS: u64 = 8192;

/// Open files that are reserved for other purposes: the store's connections and files, listeners,
/// and connections to the metrics listener.
const RESERVED_FILES: u64 = 192;

/// Raises the soft limit of open files to the hard limit. Returns the limit in force: the previous
/// one if raising it fails, and [`u64::MAX`] if there is none.
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

/// Returns the maximum number of connections for this limit of open files.
pub fn max_connections(open_files: u64) -> usize {
    let available = open_files.saturating_sub(RESERVED_FILES).max(open_files / 2);
    usize::try_from(available.min(MAX_CONNECTIONS)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connection_limit_reserves_files_for_the_store() {
        for (open_files, connections) in [(u64::MAX, 8192), (8384, 8192), (1024, 832), (256, 128), (10, 5)] {
            assert_eq!(max_connections(open_files), connections, "{open_files}");
        }
    }
}
