//! The console, as a browser uses it that runs no script.

pub mod account;
pub mod admins;
pub mod evidence;
pub mod held_forms;
pub mod korean;
pub mod pages;
pub mod sessions;
pub mod token_forms;
pub mod token_list;
pub mod token_page;
pub mod token_search;
pub mod token_selection;

use serde_json::Value;

use crate::support::{
    TestApp,
    client::{Auth, TOKENS},
};

fn tokens(app: &TestApp) -> Vec<Value> {
    app.get(TOKENS, Auth::Admin).expect(200).json()["results"]
        .as_array()
        .unwrap()
        .clone()
}
