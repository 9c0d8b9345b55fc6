//! Records requests and whole responses as text, for snapshots.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{Read, Write as _},
    net::TcpStream,
};

use serde_json::Value;

use super::client::{Auth, Client};

const JSON: &str = "application/json";
/// Number of characters of a UUID.
const UUID_LENGTH: usize = 36;
/// Number of characters of a token value.
const VALUE_LENGTH: usize = 53;
/// A field of a request that is longer than this is recorded by its length.
const MAX_SHOWN: usize = 1000;

/// A request that can be varied before it is sent.
#[derive(Clone)]
pub struct Request<'a> {
    pub method: &'static str,
    pub path: String,
    pub auth: Auth<'a>,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
    /// Records the length of the response body only: it is long, or depends on the time.
    omits_body: bool,
}

impl<'a> Request<'a> {
    pub fn new(method: &'static str, path: &str, auth: Auth<'a>) -> Self {
        Self {
            method,
            path: path.to_owned(),
            auth,
            headers: Vec::new(),
            body: String::new(),
            omits_body: false,
        }
    }

    /// The same request with a JSON body.
    pub fn json(&self, body: &Value) -> Self {
        self.body(JSON, &body.to_string())
    }

    /// The same request with a body of this media type.
    pub fn body(&self, media_type: &str, body: &str) -> Self {
        Self {
            body: body.to_owned(),
            ..self.header("content-type", media_type)
        }
    }

    /// The same request with this header, instead of one with the same name.
    pub fn header(&self, name: &'static str, value: &str) -> Self {
        let mut request = self.clone();
        request.headers.retain(|(known, _)| *known != name);
        request.headers.push((name, value.to_owned()));
        request
    }

    /// The same request with other credentials.
    pub fn auth(&self, auth: Auth<'a>) -> Self {
        Self { auth, ..self.clone() }
    }

    /// The same request with another method.
    pub fn method(&self, method: &'static str) -> Self {
        Self { method, ..self.clone() }
    }

    /// The same request for another path.
    pub fn path(&self, path: &str) -> Self {
        Self {
            path: path.to_owned(),
            ..self.clone()
        }
    }

    /// The same request, with only the length of the response body recorded.
    pub fn without_response_body(&self) -> Self {
        Self {
            omits_body: true,
            ..self.clone()
        }
    }

    /// Sends the request, with this `Content-Length` if it differs from the length of the body.
    pub fn send(&self, client: &Client, content_length: Option<usize>) -> TcpStream {
        let mut head = format!(
            "{} {}{} HTTP/1.1\r\nHost: tokens.example\r\nConnection: close\r\n",
            self.method, client.base_path, self.path
        );
        let length = content_length.unwrap_or(self.body.len());
        if length > 0 {
            write!(head, "Content-Length: {length}\r\n").unwrap();
        }
        let headers = self.headers.iter().map(|(name, value)| (*name, value.clone()));
        for (name, value) in headers.chain(self.auth.header()) {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        let mut stream = client.connect();
        stream.write_all(format!("{head}\r\n{}", self.body).as_bytes()).unwrap();
        stream
    }
}

/// The recorded exchanges, by operation.
#[derive(Default)]
pub struct Recorder {
    records: BTreeMap<String, String>,
    /// Values that differ between runs, each with the name that replaces it.
    names: Vec<(String, String)>,
}

impl Recorder {
    /// Gives a value that differs between runs a name.
    pub fn name(&mut self, value: &str, name: &str) {
        self.names.push((value.to_owned(), format!("<{name}>")));
    }

    /// Sends a request, and records it with its response.
    #[track_caller]
    pub fn record(&mut self, client: &Client, operation: &str, status: u16, when: &str, request: &Request<'_>) {
        self.finish(operation, status, when, request, request.send(client, None));
    }

    /// Sends requests of one operation, and records each with its response: its status, when it is given, and the
    /// request.
    #[track_caller]
    pub fn record_all(&mut self, client: &Client, operation: &str, cases: &[(u16, &str, Request<'_>)]) {
        for (status, when, request) in cases {
            self.record(client, operation, *status, when, request);
        }
    }

    /// Receives the response to a request that was sent, and records both.
    #[track_caller]
    pub fn finish(&mut self, operation: &str, status: u16, when: &str, request: &Request<'_>, mut stream: TcpStream) {
        let response = receive(&mut stream, request.method == "HEAD");
        assert!(
            response.starts_with(&format!("HTTP/1.1 {status} ")),
            "{operation} {when}: expected {status}, got {response}"
        );
        let exchange = format!(
            "## {status}: {when}\n\n{}\n{}\n",
            shown_request(request),
            shown_response(&response, request.omits_body)
        );
        let exchange = self.with_names(&exchange);
        self.records
            .entry(operation.to_owned())
            .or_default()
            .push_str(&exchange);
    }

    /// The recorded text of each operation.
    pub fn records(&self) -> &BTreeMap<String, String> {
        &self.records
    }

    /// Returns the recorded text of each operation.
    pub fn into_records(self) -> BTreeMap<String, String> {
        self.records
    }

    /// Replaces what differs between runs.
    fn with_names(&mut self, text: &str) -> String {
        for (prefix, length, kind) in [("", UUID_LENGTH, "uuid"), ("tbk_", VALUE_LENGTH, "value")] {
            let starts: Vec<usize> = text.char_indices().map(|(start, _)| start).collect();
            for start in starts {
                let Some(word) = text.get(start..start + length) else {
                    continue;
                };
                let matches = if prefix.is_empty() {
                    is_uuid(word)
                } else {
                    word.starts_with(prefix)
                        && word
                            .bytes()
                            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
                };
                if matches && self.names.iter().all(|(known, _)| known != word) {
                    let name = format!("{kind} {}", self.names.len() + 1);
                    self.name(word, &name);
                }
            }
        }
        let named = self.names.iter();
        named.fold(text.to_owned(), |text, (value, name)| text.replace(value, name))
    }
}

/// Reads one response without waiting for the end of the connection, which the server keeps open after a request
/// without its body.
fn receive(stream: &mut TcpStream, is_head: bool) -> String {
    let mut received = Vec::new();
    let mut buffer = [0; 0x4000];
    while let Ok(length) = stream.read(&mut buffer) {
        received.extend_from_slice(&buffer[..length]);
        if length == 0 || is_complete(&String::from_utf8_lossy(&received), is_head) {
            break;
        }
    }
    String::from_utf8_lossy(&received).into_owned()
}

fn is_complete(response: &str, is_head: bool) -> bool {
    let Some((head, body)) = response.split_once("\r\n\r\n") else {
        return false;
    };
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    match length {
        _ if is_head => true,
        Some(length) => length.parse().is_ok_and(|length: usize| body.len() >= length),
        None if head.contains("transfer-encoding: chunked") => body.ends_with("0\r\n\r\n"),
        None => true,
    }
}

fn is_uuid(word: &str) -> bool {
    word.bytes().enumerate().all(|(index, byte)| {
        if [8, 13, 18, 23].contains(&index) {
            byte == b'-'
        } else {
            byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
        }
    })
}

/// Returns a request as the snapshots show it.
fn shown_request(request: &Request<'_>) -> String {
    let mut shown = format!("> {} {}\n", request.method, shortened(&request.path));
    match request.auth {
        Auth::Anonymous => {}
        Auth::Admin => shown.push_str("> authorization: Basic <admin>\n"),
        Auth::Basic(name, _) => writeln!(shown, "> authorization: Basic <{name}>").unwrap(),
        Auth::Key(value) => writeln!(shown, "> x-api-key: {value}").unwrap(),
        Auth::Bearer(value) => writeln!(shown, "> authorization: Bearer {value}").unwrap(),
    }
    for (name, value) in &request.headers {
        writeln!(shown, "> {name}: {}", shortened(value)).unwrap();
    }
    if !request.body.is_empty() {
        writeln!(shown, ">\n> {}", shortened(&request.body)).unwrap();
    }
    shown
}

fn shortened(text: &str) -> String {
    if text.len() > MAX_SHOWN {
        format!("<{} bytes>", text.len())
    } else {
        text.to_owned()
    }
}

/// Returns a response as the snapshots show it: headers sorted by name, with what differs between runs replaced.
fn shown_response(response: &str, omits_body: bool) -> String {
    let (head, body) = response.split_once("\r\n\r\n").expect("a response has a head");
    let mut lines = head.split("\r\n");
    let mut shown = format!("{}\n", lines.next().unwrap_or_default());
    let mut headers: Vec<(&str, &str)> = lines.map(|line| line.split_once(": ").unwrap_or((line, ""))).collect();
    headers.sort_unstable_by_key(|(name, value)| (name.to_ascii_lowercase(), *value));
    let header = |wanted: &str| {
        let found = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| *value)
    };
    let request_id = header("x-request-id").unwrap_or("<no request ID>");
    let has_request_id = body.contains(request_id);
    for (name, value) in &headers {
        let value = match name.to_ascii_lowercase().as_str() {
            // A reply to the recorder's own header.
            "connection" => continue,
            "date" => "<date>",
            "x-request-id" => "<request ID>",
            "content-length" if has_request_id || omits_body => "<length>",
            _ => value,
        };
        writeln!(shown, "{name}: {value}").unwrap();
    }
    let body = match header("transfer-encoding") {
        Some("chunked") => dechunked(body),
        _ => body.to_owned(),
    };
    if omits_body {
        shown.push_str("\n<body>\n");
    } else if !body.is_empty() {
        let body = body.replace(request_id, "<request ID>").replace('\r', "\\r");
        write!(shown, "\n{body}\n").unwrap();
    }
    shown
}

fn dechunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((length, rest)) = body.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).expect("a chunk has a length");
        if length == 0 {
            break;
        }
        whole.push_str(&rest[..length]);
        body = &rest[length + 2..];
    }
    whole
}
