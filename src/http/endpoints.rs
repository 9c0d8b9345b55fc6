//! The endpoints: one declaration from which the routes, `Allow`, the OpenAPI document and its error responses follow.
//!
//! The path, the methods and the description of an operation are those of its handler's `#[utoipa::path]`. Its errors
//! are those of the handler's arguments, and those that the declaration adds after `+`.

use std::{collections::BTreeMap, sync::LazyLock};

use actix_web::{Handler, Route, http::Method, web};
use utoipa::{
    OpenApi,
    openapi::{OpenApi as Document, PathItem, path::Operation},
};

use super::{
    api_tokens, audit_events,
    error::{DeclaresErrors, ErrorKind},
    graphql, legacy, legacy_usage, metrics, oauth, ops,
    request::LEGACY_PREFIXES,
    routing::MethodRoute,
    verify,
};
use crate::domain::actor::Channel;

/// The format of error responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorFormat {
    /// `{"message": …}`.
    Message,
    /// `{"message": …, "status-code": …}`.
    Legacy,
    /// `{"errors": [{"message": …}]}`.
    Graphql,
    /// `{"message": …, "error": …, "error_description": …}`.
    Oauth,
    /// No body.
    Empty,
}

/// Endpoints with a common path prefix.
pub struct EndpointGroup {
    /// The prefix, below the context path.
    pub prefix: &'static str,
    /// The channel of calls, if they are calls of an API.
    pub channel: Option<Channel>,
    /// The format of error responses.
    pub error_format: ErrorFormat,
    /// The suffix with which every path is served as well. The OpenAPI document does not list these aliases.
    pub alias_suffix: Option<&'static str>,
    /// The operations of the API.
    pub operations: Vec<ApiOperation>,
    /// Pages and files for browsers, which the OpenAPI document does not list.
    pub pages: &'static [Page],
}

/// A handler, with its entry in the OpenAPI document.
pub struct ApiOperation {
    /// The path, which may begin with the group's prefix.
    pub path: String,
    /// The methods of the document.
    pub methods: Vec<Method>,
    /// The operations of the OpenAPI document, one for each method, and their schemas.
    pub document: Document,
    /// The errors that the handler and its arguments can cause.
    pub errors: Vec<ErrorKind>,
    route: fn() -> Route,
}

/// A page or file for browsers, by GET.
pub struct Page {
    /// The path below the group's prefix.
    pub path: &'static str,
    /// The handler.
    pub route: fn() -> Route,
}

impl Page {
    /// Creates the route.
    pub fn route(&self) -> MethodRoute {
        MethodRoute::new(vec![Method::GET], (self.route)())
    }
}

impl ApiOperation {
    fn new<H: Handler<A>, A: DeclaresErrors>(
        document: Document,
        _: &H,
        errors: &[ErrorKind],
        route: fn() -> Route,
    ) -> Self {
        let paths = document.paths.paths.iter();
        let path = paths.clone().map(|(path, _)| path.clone()).collect();
        let methods = paths.flat_map(|(_, item)| methods(item).map(|(method, _)| method));
        Self {
            path,
            methods: methods.collect(),
            errors: [A::errors(), errors.to_vec()].concat(),
            document,
            route,
        }
    }

    /// Creates the route for the methods of the document.
    pub fn route(&self) -> MethodRoute {
        MethodRoute::new(self.methods.clone(), (self.route)())
    }

    /// Creates the route for every method.
    pub fn route_of_any_method(&self) -> Route {
        (self.route)()
    }
}

/// Returns the operations of a path, each with its method.
pub fn methods(item: &PathItem) -> impl Iterator<Item = (Method, &Operation)> {
    let all = [
        (Method::GET, &item.get),
        (Method::HEAD, &item.head),
        (Method::POST, &item.post),
        (Method::PUT, &item.put),
        (Method::PATCH, &item.patch),
        (Method::DELETE, &item.delete),
        (Method::OPTIONS, &item.options),
    ];
    all.into_iter()
        .filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
}

/// Lists operations by their handlers, each with the errors that its arguments do not declare.
macro_rules! operations {
    ($($($segment:ident)::+ $(+ $error:ident)*),+ $(,)?) => {
        vec![$({
            #[derive(OpenApi)]
            #[openapi(paths($($segment)::+))]
            struct Operations;
            let errors = &[$(ErrorKind::$error),*];
            ApiOperation::new(Operations::openapi(), &$($segment)::+, errors, || web::to($($segment)::+))
        }),+]
    };
}

/// All endpoints but the metrics. Routes are tried in the order of the groups: the busiest first.
pub static ENDPOINTS: LazyLock<Vec<EndpointGroup>> = LazyLock::new(|| {
    let legacy = LEGACY_PREFIXES.map(|(prefix, channel)| EndpointGroup {
        prefix,
        channel: Some(channel),
        error_format: ErrorFormat::Legacy,
        // Atlassian's REST framework takes the media type from the path.
        alias_suffix: Some(".json"),
        operations: operations![
            legacy::list::list,
            legacy::create + Forbidden,
            legacy::get,
            legacy::update + Forbidden,
            legacy::delete + Forbidden,
        ],
        pages: &[],
    });
    [verify_group(), api_tokens_group()]
        .into_iter()
        .chain(legacy)
        .chain([graphql_group()])
        .chain(oauth_groups())
        .chain([admin_group(), operations_group()])
        .collect()
});

/// The metrics, which can have a listener of their own.
pub static METRICS: LazyLock<EndpointGroup> = LazyLock::new(|| EndpointGroup {
    prefix: "",
    channel: None,
    error_format: ErrorFormat::Message,
    alias_suffix: None,
    operations: operations![metrics::metrics + NotFound + InternalServerError],
    pages: &[],
});

fn verify_group() -> EndpointGroup {
    EndpointGroup {
        prefix: "/verify",
        channel: Some(Channel::Verify),
        error_format: ErrorFormat::Empty,
        alias_suffix: None,
        operations: operations![
            verify::verify + Unauthorized + Forbidden + InternalServerError + ServiceUnavailable,
            verify::verify_path + Unauthorized + Forbidden + InternalServerError + ServiceUnavailable,
        ],
        pages: &[],
    }
}

fn api_tokens_group() -> EndpointGroup {
    EndpointGroup {
        prefix: "/api-tokens",
        channel: Some(Channel::ApiTokens),
        error_format: ErrorFormat::Message,
        alias_suffix: None,
        operations: operations![
            api_tokens::list,
            api_tokens::create,
            api_tokens::delete_matching + Conflict,
            api_tokens::get,
            api_tokens::update,
            api_tokens::delete,
            api_tokens::rotate + Conflict,
            api_tokens::lookup::lookup + NotFound,
            api_tokens::usage::usage,
        ],
        pages: &[],
    }
}

fn graphql_group() -> EndpointGroup {
    EndpointGroup {
        prefix: "/public/graphql",
        channel: Some(Channel::Graphql),
        error_format: ErrorFormat::Graphql,
        alias_suffix: None,
        operations: operations![graphql::playground::page, graphql::execute],
        pages: &[Page {
            path: "/{file}",
            route: || web::to(graphql::playground::file),
        }],
    }
}

fn oauth_groups() -> [EndpointGroup; 2] {
    [
        ("/introspect", operations![oauth::introspect::introspect]),
        ("/revoke", operations![oauth::revoke::revoke]),
    ]
    .map(|(prefix, operations)| EndpointGroup {
        prefix,
        channel: Some(Channel::ApiTokens),
        error_format: ErrorFormat::Oauth,
        alias_suffix: None,
        operations,
        pages: &[],
    })
}

fn admin_group() -> EndpointGroup {
    EndpointGroup {
        prefix: "",
        channel: Some(Channel::ApiTokens),
        error_format: ErrorFormat::Message,
        alias_suffix: None,
        operations: operations![audit_events::list, legacy_usage::legacy_usage],
        pages: &[],
    }
}

fn operations_group() -> EndpointGroup {
    EndpointGroup {
        prefix: "",
        channel: None,
        error_format: ErrorFormat::Message,
        alias_suffix: None,
        operations: operations![
            oauth::metadata::metadata + BadRequest,
            ops::healthz,
            ops::readyz + ServiceUnavailable
        ],
        pages: &[],
    }
}

impl EndpointGroup {
    /// Returns the operations by path.
    pub fn by_path(&self) -> BTreeMap<&str, Vec<&ApiOperation>> {
        let mut by_path: BTreeMap<&str, Vec<&ApiOperation>> = BTreeMap::new();
        for operation in &self.operations {
            let path = operation.path.strip_prefix(self.prefix).unwrap_or(&operation.path);
            by_path.entry(path).or_default().push(operation);
        }
        by_path
    }

    /// Returns `true` if a path below the context path belongs to the prefix of this group.
    pub fn contains(&self, path: &str) -> bool {
        let rest = path.strip_prefix(self.prefix);
        !self.prefix.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}
