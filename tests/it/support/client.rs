//! A client that returns every response, regardless of its status.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;
use ureq::{Agent, http::Request};

use super::ADMIN;

pub const LEGACY: &str = "/rest/agent-config/1.0/tokens";
pub const LEGACY_PRE_15: &str = "/rest/agent/1.0/tokens";
/// The prefixes of the legacy API.
pub const LEGACY_PREFIXES: [&str; 4] = [
    LEGACY,
    "/rest/agent-config/latest/tokens",
    LEGACY_PRE_15,
    "/rest/agent/latest/tokens",
];
pub const TOKENS: &str = "/api-tokens";

/// The credentials of a request.
#[derive(Clone, Copy, Debug)]
pub enum Auth<'a> {
    Anonymous,
    Admin,
    Basic(&'a str, &'a str),
    Key(&'a str),
    Bearer(&'a str),
}

impl<'a> Auth<'a> {
    /// Returns all kinds of credentials that are not an admin's, where `value` is a token's value.
    pub fn except_admin(value: &'a str) -> [Self; 5] {
        [
            Auth::Anonymous,
            Auth::Key(value),
            Auth::Bearer(value),
            Auth::Basic(ADMIN.0, "wrong"),
            Auth::Basic("unknown", "x"),
        ]
    }

    /// Returns the header that carries the credentials.
    pub fn header(self) -> Option<(&'static str, String)> {
        match self {
            Auth::Anonymous => None,
            Auth::Admin => Some(("authorization", basic(ADMIN.0, ADMIN.1))),
            Auth::Basic(name, password) => Some(("authorization", basic(name, password))),
            Auth::Key(value) => Some(("x-api-key", value.to_owned())),
            Auth::Bearer(value) => Some(("authorization", format!("Bearer {value}"))),
        }
    }
}

/// A response.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub text: String,
    headers: Vec<(String, String)>,
}

impl Response {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// Returns the response if it has this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    #[track_caller]
    pub fn message(&self) -> String {
        self.json()["message"]
            .as_str()
            .unwrap_or_else(|| panic!("no message: {self:?}"))
            .to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// Returns the values of all headers with this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let of_name = self.headers.iter().filter(move |(known, _)| known == name);
        of_name.map(|(_, value)| value.as_str())
    }
}

pub struct Client {
    pub address: SocketAddr,
    pub base_path: String,
    agent: Agent,
}

impl Client {
    pub fn new(address: SocketAddr, base_path: &str) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .allow_non_standard_methods(true)
            .timeout_global(Some(Duration::from_mins(1)))
            .build();
        Self {
            address,
            base_path: base_path.to_owned(),
            agent: config.into(),
        }
    }

    pub fn get(&self, path: &str, auth: Auth<'_>) -> Response {
        self.send("GET", path, auth, &[], "")
    }

    pub fn delete(&self, path: &str, auth: Auth<'_>) -> Response {
        self.send("DELETE", path, auth, &[], "")
    }

    pub fn post(&self, path: &str, auth: Auth<'_>, body: &Value) -> Response {
        self.json("POST", path, auth, body)
    }

    pub fn put(&self, path: &str, auth: Auth<'_>, body: &Value) -> Response {
        self.json("PUT", path, auth, body)
    }

    fn json(&self, method: &str, path: &str, auth: Auth<'_>, body: &Value) -> Response {
        self.send(
            method,
            path,
            auth,
            &[("content-type", "application/json")],
            &body.to_string(),
        )
    }

    pub fn send(&self, method: &str, path: &str, auth: Auth<'_>, headers: &[(&str, &str)], body: &str) -> Response {
        self.try_send(method, path, auth, headers, body)
            .expect("the server answers")
    }

    pub fn try_send(
        &self,
        method: &str,
        path: &str,
        auth: Auth<'_>,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Response, ureq::Error> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{}{path}", self.address, self.base_path));
        if let Some((name, value)) = auth.header() {
            request = request.header(name, value);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = match body {
            "" => self.agent.run(request.body(()).unwrap())?,
            body => self.agent.run(request.body(body.to_owned()).unwrap())?,
        };
        let text = |value: &ureq::http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
        Ok(Response {
            status: response.status().as_u16(),
            headers: response
                .headers()
                .iter()
                .map(|(name, value)| (name.to_string(), text(value)))
                .collect(),
            text: response.body_mut().with_config().limit(1 << 30).read_to_string()?,
        })
    }

    /// Returns the path of a file that the page at `page` loads, whose name contains a hash.
    #[track_caller]
    pub fn asset(&self, page: &str, name: &str) -> String {
        let (stem, extension) = name.rsplit_once('.').unwrap();
        let is_asset = |link: &&str| {
            let hash = link
                .rsplit_once('/')
                .and_then(|(_, file)| file.strip_prefix(stem)?.strip_suffix(extension));
            hash.is_some_and(|hash| hash.starts_with('.') && hash.ends_with('.'))
        };
        let page = self.get(page, Auth::Anonymous).expect(200);
        let link = page
            .text
            .split('"')
            .find(is_asset)
            .unwrap_or_else(|| panic!("no {name}: {page:?}"));
        link.strip_prefix(&self.base_path).unwrap().to_owned()
    }

    /// Creates a token, and returns its ID and its value.
    #[track_caller]
    pub fn new_token(&self, body: &Value) -> (String, String) {
        let created = self.post(TOKENS, Auth::Admin, body).expect(200).json();
        (string(&created["id"]), string(&created["value"]))
    }

    /// Creates a token with the legacy API, and returns its uuid.
    #[track_caller]
    pub fn new_legacy_token(&self, body: &Value) -> String {
        string(&self.post(LEGACY, Auth::Admin, body).expect(200).json()["uuid"])
    }

    /// Sends raw bytes, and reads until the server closes the connection.
    pub fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes).unwrap();
        let mut response = Vec::new();
        // The server may close on what it has not read.
        let _ = stream.read_to_end(&mut response);
        String::from_utf8_lossy(&response).into_owned()
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        stream
    }
}

pub fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{name}:{password}")))
}

#[track_caller]
pub fn string(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("no string: {value}"))
        .to_owned()
}
