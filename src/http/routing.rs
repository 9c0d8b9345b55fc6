//! Resources: a path, its routes, and the `Allow` header that follows from them.

use actix_web::{FromRequest, Handler, HttpResponse, Resource, Responder, Route, guard::fn_guard, http::Method, web};

use super::{error::ApiError, request::RoutePattern};

/// The methods in the order of `Allow`.
const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// A route, with the methods that it handles.
pub struct MethodRoute {
    methods: Vec<Method>,
    route: Route,
}

impl MethodRoute {
    /// Creates the route for `methods`. GET includes HEAD (RFC 9110, section 9.3.2).
    pub fn new(mut methods: Vec<Method>, route: Route) -> Self {
        if methods.contains(&Method::GET) && !methods.contains(&Method::HEAD) {
            methods.push(Method::HEAD);
        }
        Self { methods, route }
    }
}

/// Handles GET and HEAD.
pub fn get<F: Handler<A>, A: FromRequest + 'static>(handler: F) -> MethodRoute
where
    F::Output: Responder + 'static,
{
    MethodRoute::new(vec![Method::GET], web::to(handler))
}

/// Handles POST.
pub fn post<F: Handler<A>, A: FromRequest + 'static>(handler: F) -> MethodRoute
where
    F::Output: Responder + 'static,
{
    MethodRoute::new(vec![Method::POST], web::to(handler))
}

/// Handles OPTIONS.
pub fn options<F: Handler<A>, A: FromRequest + 'static>(handler: F) -> MethodRoute
where
    F::Output: Responder + 'static,
{
    MethodRoute::new(vec![Method::OPTIONS], web::to(handler))
}

/// Creates the resource of a path. Methods without a route are refused with 405 and `Allow`.
pub fn resource(path: &str, routes: impl IntoIterator<Item = MethodRoute>) -> Resource {
    let mut resource = web::resource(path).app_data(RoutePattern::default());
    let mut allowed = Vec::new();
    for MethodRoute { methods, route } in routes {
        allowed.extend(methods.iter().cloned());
        resource = resource.route(route.guard(fn_guard(move |context| methods.contains(&context.head().method))));
    }
    let allow = allow(&allowed);
    let refuse = move || {
        let refusal = ApiError::method_not_allowed(&allow);
        async move { Err::<HttpResponse, _>(refusal) }
    };
    resource.default_service(web::to(refuse))
}

/// Returns the value of `Allow` for these methods.
fn allow(methods: &[Method]) -> String {
    let allowed: Vec<&str> = METHODS
        .iter()
        .filter(|method| methods.contains(method))
        .map(Method::as_str)
        .collect();
    allowed.join(", ")
}

/// Refuses a request to an unknown path.
pub async fn not_found() -> Result<HttpResponse, ApiError> {
    Err(ApiError::not_found("this path does not exist"))
}
