//! The JSON and CSV representations that the HTTP API and the command line share.

pub mod api_token;
pub mod audit_event;
pub mod csv;
pub mod legacy_callers;
pub mod legacy_usage;
pub mod schemas;
pub mod token_csv;
pub mod token_usage;
