//! The common frame of all pages.

use actix_web::{HttpRequest, HttpResponse, http::Method};

use super::{
    ASSETS, cookies,
    display_time::DisplayTime,
    language::Language,
    paths::build_query,
    see_other,
    text::{self, fill},
    texts::{
        Texts,
        token::{self, TokenTexts},
    },
    theme::Theme,
};
use crate::{
    domain::{
        authorization::{Grant, Operation, authorize},
        caller::Caller,
        clock::Timestamp,
        session::SessionKey,
        value::find_value,
    },
    http::{
        error::ApiError,
        extract::{query, state},
        request::CallerIdentity,
    },
};

const LANGUAGE_PARAMETER: &str = "lang";
const THEME_PARAMETER: &str = "theme";

/// The rights of the signed-in admin, by which pages show or hide links and forms. The service
/// checks them again.
#[derive(Clone, Copy, Default)]
pub struct Rights {
    /// Create, change, rotate, and delete tokens.
    pub change_tokens: bool,
    /// See the admins.
    pub read_admins: bool,
    /// Add and remove admins, and change their passwords and roles.
    pub manage_admins: bool,
}

impl Rights {
    fn of(caller: &Caller) -> Self {
        let may = |operation| authorize(caller, operation, None).is_ok();
        Self {
            change_tokens: may(Operation::Create(Grant::default())),
            read_admins: may(Operation::ReadAdmins),
            manage_admins: may(Operation::ManageAdmins),
        }
    }
}

/// The common frame of a page.
pub struct Layout {
    /// The language of the page.
    pub language: Language,
    /// The texts in this language.
    pub texts: &'static Texts,
    /// The color scheme.
    pub theme: Theme,
    /// The context path of the server.
    pub root: String,
    /// The path of the console.
    pub base: String,
    /// The name of the signed-in admin, if any.
    pub admin: Option<String>,
    /// The rights of that admin.
    pub rights: Rights,
    /// The anti-CSRF token of the page's forms.
    pub form_key: String,
    /// The links to this page in the other languages; empty for the response to a form.
    pub languages: Vec<(Language, String)>,
    /// The path of the page below the console. The navigation highlights its section.
    pub path: String,
    /// The time of the request.
    pub now: Timestamp,
    /// The seconds until the session ends unless it is used; `None` without a session.
    pub session_seconds: Option<u64>,
}

impl Layout {
    /// Creates the frame of a page with forms, for the session or browser with `key`, and for the
    /// caller who is signed in there.
    ///
    /// # Errors
    /// 500 if the route lacks the application state.
    pub fn new(request: &HttpRequest, key: &SessionKey, caller: Option<&Caller>) -> Result<Self, ApiError> {
        let identity = caller.map(CallerIdentity::of);
        let service = &state(request)?.service;
        let remaining = caller.and_then(|_| service.remaining_session_time(key));
        Ok(Self {
            session_seconds: remaining.map(|time| time.as_secs()),
            admin: identity.and_then(|identity| identity.admin().map(ToOwned::to_owned)),
            rights: caller.map(Rights::of).unwrap_or_default(),
            form_key: service.csrf_token(key)?,
            ..Self::anonymous(request)?
        })
    }

    /// Creates the frame of a page without forms, for unauthenticated visitors.
    ///
    /// # Errors
    /// 500 if the route lacks the application state.
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
            theme: Theme::of(request),
            admin: None,
            rights: Rights::default(),
            form_key: String::new(),
            languages: languages.filter(|_| is_get).collect(),
            path: path.strip_prefix(&base).unwrap_or(path).to_owned(),
            now: state.service.now(),
            session_seconds: None,
            root,
            base,
        })
    }

    /// Returns the texts of the pages on a token.
    pub const fn token_texts(&self) -> &'static TokenTexts {
        self.language.choose(&token::ENGLISH, &token::KOREAN)
    }

    /// Returns `true` if the page is in this section of the console.
    pub fn is_section(&self, part: &str) -> bool {
        self.path.starts_with(part)
    }

    /// Returns the path of a file of the pages.
    pub fn asset(&self, name: &str) -> String {
        format!("{}/assets/{}", self.base, ASSETS.hashed_name(name))
    }

    /// Fills the placeholder of a text.
    #[expect(clippy::unused_self, reason = "templates call this as a method of their layout")]
    pub fn fill(&self, text: &str, value: impl std::fmt::Display) -> String {
        fill(text, [&value])
    }

    /// Fills the placeholder of a text with a number, in the form for this number.
    #[expect(clippy::unused_self, reason = "templates call this as a method of their layout")]
    pub fn count(&self, text: &str, counted: u64) -> String {
        text::count(text, counted)
    }

    /// Fills the two placeholders of a text.
    #[expect(clippy::unused_self, reason = "templates call this as a method of their layout")]
    pub fn fill_two(&self, text: &str, first: impl std::fmt::Display, second: impl std::fmt::Display) -> String {
        fill(text, [&first, &second])
    }

    /// Formats a time relative to the time of the request.
    pub fn display_time(&self, time: Timestamp) -> DisplayTime {
        DisplayTime::new(time, self.now, self.texts)
    }
}

/// Returns the links to a page that choose a language.
pub fn language_links(path: &str) -> [(Language, String); 2] {
    Language::ALL.map(|language| (language, format!("{path}?{LANGUAGE_PARAMETER}={}", language.tag())))
}

/// Returns the links to a page that choose a theme.
pub fn theme_links(path: &str) -> [(Theme, String); 3] {
    Theme::ALL.map(|theme| (theme, format!("{path}?{THEME_PARAMETER}={}", theme.name())))
}

fn pairs(request: &HttpRequest) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = query::parse(request.query_string()).unwrap_or_default();
    // A value in a hand-written link is not copied into others.
    pairs.retain(|(_, text)| find_value(text).is_none());
    pairs
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

/// Stores the language and the theme in the query of a request in cookies, and redirects to the page
/// without these parameters. Returns `None` if the query contains neither.
pub fn store_preferences(request: &HttpRequest) -> Option<HttpResponse> {
    let (chosen, others): (Vec<_>, Vec<_>) = pairs(request)
        .into_iter()
        .partition(|(name, _)| name == LANGUAGE_PARAMETER || name == THEME_PARAMETER);
    if chosen.is_empty() {
        return None;
    }
    let others: Vec<_> = others
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let mut response = see_other(&format!("{}{}", request.path(), build_query(&others)));
    let path = format!("{}/console", state(request).ok()?.config.base_path);
    for (parameter, value) in &chosen {
        let preference = if parameter == LANGUAGE_PARAMETER {
            Language::from_tag(value).map(|language| (cookies::LANGUAGE, language.tag()))
        } else {
            Theme::from_name(value).map(|theme| (cookies::THEME, theme.name()))
        };
        if let Some((name, value)) = preference {
            cookies::add_preference(&mut response, request, name, &path, value);
        }
    }
    Some(response)
}
