//! A token server: the tokens API of "Agent Apis for Bamboo" and an `/api-tokens` API over one
//! store.
//!
//! | module | responsibility | uses |
//! |---|---|---|
//! | [`cli`] | commands and flags; each command calls the service | everything below |
//! | [`settings`] | flags and `TOKENBRIDGE_*` variables, parsed and validated once | `http`, `store`, `domain` |
//! | [`startup`] | builds a server, binds it, and runs it until it is stopped | `settings`, everything below |
//! | [`http`] | routes: requests become service calls, results become responses | `view`, `service`, `domain` |
//! | [`view`] | the JSON and CSV representations that `http` and `cli` share | `service`, `domain` |
//! | [`service`] | use cases, each a method that authorizes its caller; authentication; maintenance | `store`, `legacy_server`, `domain` |
//! | [`store`] | SQLite and PostgreSQL through diesel; returns domain types | `domain` |
//! | [`legacy_server`] | a client of the legacy server, for imports and logins | `domain` |
//! | [`domain`] | tokens, permissions, CIDR blocks, values, admins, time: pure rules without I/O | nothing |
//!
//! Imports only point down: `cli`, `startup` → `http` → `view` → `service` → `store` → `domain`.
//! `http` does not use diesel, `service` does not use actix, and the two APIs do not import each
//! other. A test reads the imports and fails otherwise.
//!
//! [`startup::create_app`] creates the application for the server and for tests;
//! [`service::Service`] is the entry point to all use cases.

pub mod cli;
pub mod domain;
pub mod http;
pub mod legacy_server;
pub mod service;
pub mod settings;
pub mod startup;
pub mod store;
pub mod view;
