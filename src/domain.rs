//! The domain: types and pure rules, without I/O, HTTP, SQL or the environment.

pub mod actor;
pub mod admin;
pub mod annotation;
pub mod attention;
pub mod audit;
pub mod authorization;
pub mod brownout;
pub mod caller;
pub mod cidr;
pub mod clock;
pub mod encoding;
pub mod expiry;
pub mod idempotency;
pub mod invalid;
pub mod legacy_phase;
pub mod legacy_report;
pub mod legacy_usage;
pub mod legacy_watch;
pub mod name;
mod named;
pub mod page;
pub mod patch;
pub mod permission;
pub mod precondition;
pub mod printable;
pub mod random;
pub mod record;
pub mod session;
pub mod sort;
pub mod text;
mod text_type;
pub mod token;
pub mod token_group;
pub mod usage;
pub mod value;

pub use invalid::Invalid;
