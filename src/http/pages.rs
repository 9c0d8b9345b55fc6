//! The pages and files for browsers that belong to no API. The OpenAPI document does not list them.

use actix_web::web;

use super::{console, endpoints::Page, openapi};

/// The pages, besides the console's own.
pub const PAGES: [Page; 5] = [
    Page {
        path: "/openapi.json",
        route: || web::to(openapi::json),
    },
    Page {
        path: "/docs",
        route: || web::to(openapi::swagger_ui::page),
    },
    Page {
        path: "/docs/{file}",
        route: || web::to(openapi::swagger_ui::file),
    },
    Page {
        path: "",
        route: || web::to(console::redirect_to_tokens),
    },
    Page {
        path: "/",
        route: || web::to(console::redirect_to_tokens),
    },
];
