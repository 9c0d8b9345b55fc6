//! `tokenbridge --version`.

use std::sync::LazyLock;

/// The version of the program, its commit, and the versions of the libraries that it contains.
pub static VERSION: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{}\ncommit: {}\nSQLite: {}\nlibpq: {}\nOpenSSL: {}",
        env!("CARGO_PKG_VERSION"),
        env!("TOKENBRIDGE_COMMIT"),
        libsqlite3_sys::SQLITE_VERSION.to_string_lossy(),
        env!("TOKENBRIDGE_LIBPQ_VERSION"),
        openssl::version::version().trim_start_matches("OpenSSL "),
    )
});
