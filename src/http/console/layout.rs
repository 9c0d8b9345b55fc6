//! What every page has around it.

use actix_web::{
    HttpRequest, HttpResponse,
    cookie::{Cookie, SameSite, time::Duration},
    http::{Method, header},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    display_time::DisplayTime,
    see_other,
    text::{COOKIE, Language, Texts, fill},
};
use crate::{
    domain::{clock::Timestamp, session::SessionKey},
    http::{
        error::ApiError,
        extract::{query, site::is_secure, state},
    },
};

const LANGUAGE_PARAMETER: &str = "lang";
const LANGUAGE_COOKIE_AGE: Duration = Duration::days(365);
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What every page has around it.
pub struct Layout {
    /// The language of the page.
    pub language: Language,
    /// What is said in it.
    pub texts: &'static Texts,
    /// The context path of the server.
    pub root: String,
    /// The path of the console.
    pub base: String,
    /// Who has signed in.
    pub admin: Option<String>,
    /// What the page's forms carry.
    pub form_key: String,
    /// Where the page is shown in the other languages; nowhere if it is the answer to a form.
    pub languages: Vec<(Language, String)>,
    /// The path of the page below the console, by which the navigation marks it.
    pub path: String,
    /// When the page was made.
    pub now: Timestamp,
}

impl Layout {
    /// That of a page for an admin who has signed in with `key`.
    ///
    /// # Errors
    /// When the route lacks what it needs.
    pub fn new(request: &HttpRequest, key: &SessionKey, admin: Option<String>) -> Result<Self, ApiError> {
        Ok(Self {
            admin,
            form_key: key.csrf_token(),
            ..Self::anonymous(request)?
        })
    }

    /// That of a page without forms, for whoever it is.
    ///
    /// # Errors
    /// When the route lacks what it needs.
    pub fn anonymous(request: &HttpRequest) -> Result<Self, ApiError> {
        let language = Language::of(request);
        let state = state(request)?;
        let root = state.config.base_path.clone();
        let base = format!("{root}/console");
        let path = request.path();
        let languages = Language::ALL.into_iter().filter(|other| *other != language);
        let languages = languages.map(|other| (other, with_language(request, other)));
        let is_get = *request.method() == Method::GET;
        Ok(Self {
            language,
            texts: language.texts(),
            admin: None,
            form_key: String::new(),
            languages: languages.filter(|_| is_get).collect(),
            path: path.strip_prefix(&base).unwrap_or(path).to_owned(),
            now: state.service.now(),
            root,
            base,
        })
    }

    /// Whether the page is in that part of the console.
    pub fn is_section(&self, part: &str) -> bool {
        self.path.starts_with(part)
    }

    /// A text with a value in it.
    #[expect(clippy::unused_self, reason = "templates call functions by what they hold")]
    pub fn fill(&self, text: &str, value: impl std::fmt::Display) -> String {
        fill(text, [&value])
    }

    /// A time as people read it.
    pub fn display_time(&self, time: Timestamp) -> DisplayTime {
        DisplayTime::new(time, self.now, self.texts)
    }
}

/// A query of these parameters, those left out that are empty; with its question mark if there are any.
pub fn build_query(parameters: &[(&str, &str)]) -> String {
    let pairs = parameters.iter().filter(|(_, value)| !value.is_empty());
    let pairs = pairs.map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, QUERY)));
    let query = pairs.collect::<Vec<_>>().join("&");
    if query.is_empty() { query } else { format!("?{query}") }
}

fn pairs(request: &HttpRequest) -> Vec<(String, String)> {
    query::parse(request.query_string()).unwrap_or_default()
}

fn with_language(request: &HttpRequest, language: Language) -> String {
    let mut pairs = pairs(request);
    pairs.retain(|(name, _)| name != LANGUAGE_PARAMETER);
    pairs.push((LANGUAGE_PARAMETER.to_owned(), language.tag().to_owned()));
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    format!("{}{}", request.path(), build_query(&pairs))
}

/// Keeps the language that a request asks for in its query, and leads to the page without it.
pub fn switch_language(request: &HttpRequest) -> Option<HttpResponse> {
    let pairs = pairs(request);
    let (_, tag) = pairs.iter().find(|(name, _)| name == LANGUAGE_PARAMETER)?;
    let base_path = &state(request).ok()?.config.base_path;
    let cookie = Language::from_tag(tag).map(|language| {
        Cookie::build(COOKIE, language.tag())
            .path(format!("{base_path}/console"))
            .max_age(LANGUAGE_COOKIE_AGE)
            .same_site(SameSite::Strict)
            .http_only(true)
            .secure(is_secure(request))
            .finish()
    });
    let others = pairs.iter().filter(|(name, _)| name != LANGUAGE_PARAMETER);
    let others: Vec<_> = others.map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut response = see_other(&format!("{}{}", request.path(), build_query(&others)));
    // A response takes every cookie whose text is one.
    let _ = cookie.map(|cookie| response.add_cookie(&cookie));
    Some(response)
}

/// What cookies of that name hold, the one that is closest to the path first. Others, which other programs of this host have set, may be
/// written in whatever way.
pub fn cookies<'r>(request: &'r HttpRequest, name: &'r str) -> impl Iterator<Item = &'r str> {
    let lines = request.headers().get_all(header::COOKIE);
    let pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    let pairs = pairs.filter_map(|pair| std::str::from_utf8(pair).ok()?.trim().split_once('='));
    pairs.filter(move |(known, _)| *known == name).map(|(_, value)| value)
}
