//! SQL functions that one of the databases lacks.

use diesel::{QueryResult, SqliteConnection, define_sql_function, sql_types::Text};
use ipnet::IpNet;

use super::columns::decode;
use crate::domain::cidr::CidrBlocks;

define_sql_function! {
    /// Returns `true` if a token with these CIDR blocks may be used from an address of this network. A migration
    /// defines it in PostgreSQL, and [`register`] in SQLite.
    fn blocks_overlap(blocks: Text, network: Text) -> Bool;
}

/// Defines the functions for a connection to SQLite.
///
/// # Errors
/// If SQLite cannot define them.
pub(super) fn register(conn: &mut SqliteConnection) -> QueryResult<()> {
    blocks_overlap_utils::register_impl(conn, |blocks: String, network: String| {
        let blocks = decode::<_, CidrBlocks>(blocks.as_str());
        // A malformed list is an error of the query that returns its token.
        blocks.is_ok_and(|blocks| {
            network
                .parse()
                .is_ok_and(|network: IpNet| blocks.allow_part_of(&network))
        })
    })
}
