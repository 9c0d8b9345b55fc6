//! tokenbridge: the tokens API of "Agent Apis for Bamboo" and an `/api-tokens` API over one store of tokens.
//!
//! Each room is called only by those above it:
//!
//! | room | what it is for |
//! |---|---|
//! | [`cli`], [`startup`], [`settings`] | commands and flags in, a running server or an exit code out |
//! | [`http`] | routes: translates requests to calls of the service, and its answers back |
//! | [`service`] | every use case, one method and one transaction each |
//! | [`store`] | diesel over SQLite or PostgreSQL |
//! | [`domain`] | tokens, permissions, CIDR blocks, secrets, rights, time: pure rules |

pub mod cli;
pub mod domain;
pub mod http;
pub mod service;
pub mod settings;
pub mod startup;
pub mod store;
