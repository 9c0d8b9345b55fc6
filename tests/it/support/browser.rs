//! A browser that runs no script, and what it finds on the pages of the console.

use std::{cell::RefCell, collections::BTreeMap};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    ADMIN,
    client::{Auth, Client, Response},
};

/// A browser that keeps cookies and submits forms with their hidden fields.
pub struct Browser<'a> {
    pub client: &'a Client,
    pub base: String,
    pub cookies: RefCell<BTreeMap<String, String>>,
}

impl<'a> Browser<'a> {
    pub fn new(client: &'a Client) -> Self {
        Self {
            client,
            base: "/console".to_owned(),
            cookies: RefCell::default(),
        }
    }

    /// Returns a browser in which the admin is signed in.
    pub fn signed_in(client: &'a Client) -> Self {
        let browser = Self::new(client);
        browser.sign_in(ADMIN.0, ADMIN.1).expect(303);
        browser
    }

    pub fn sign_in(&self, name: &str, password: &str) -> Response {
        let form = self.get("/sign-in").expect(200);
        self.submit(&form, "/sign-in", &[("name", name), ("password", password)])
    }

    pub fn get(&self, path: &str) -> Response {
        self.send("GET", path, &[], "")
    }

    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        let cookies: Vec<_> = self
            .cookies
            .borrow()
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let cookies = cookies.join("; ");
        let mut all = headers.to_vec();
        if !cookies.is_empty() {
            all.push(("cookie", &cookies));
        }
        let path = format!("{}{path}", self.base);
        let response = self.client.send(method, &path, Auth::Anonymous, &all, body);
        if let Some(cookie) = response.header("set-cookie") {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.borrow_mut().insert(name.to_owned(), value.to_owned());
        }
        response
    }

    /// Submits a form with all hidden fields of the page.
    pub fn submit(&self, page: &Response, path: &str, fields: &[(&str, &str)]) -> Response {
        let mut all = hidden_fields(&page.text);
        all.extend(
            fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        self.post(path, &all)
    }

    pub fn post(&self, path: &str, fields: &[(String, String)]) -> Response {
        let pairs = fields
            .iter()
            .map(|(name, value)| format!("{name}={}", percent_encoded(value)));
        let body = pairs.collect::<Vec<_>>().join("&");
        let form = [("content-type", "application/x-www-form-urlencoded")];
        self.send("POST", path, &form, &body)
    }

    /// Opens the page of a form, fills it in, and submits it to the same path.
    pub fn fill(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        let page = self.get(path).expect(200);
        self.submit(&page, path, fields)
    }

    /// Creates a token, and returns its ID and its value.
    pub fn create(&self, fields: &[(&str, &str)]) -> (String, String) {
        let page = self.get("/tokens/new").expect(200);
        let created = self.submit(&page, "/tokens/new", fields).expect(200);
        (
            between(&created.text, "data-address=\"", "\"")
                .rsplit('/')
                .next()
                .unwrap()
                .to_owned(),
            value(&created),
        )
    }

    pub fn key(&self) -> String {
        self.cookies.borrow()["tokenbridge_session"].clone()
    }

    pub fn is_signed_in(&self) -> bool {
        let response = self.get("/tokens");
        match response.status {
            200 => true,
            303 => {
                assert!(response.header("location").unwrap().contains("/sign-in"));
                false
            }
            _ => panic!("{response:?}"),
        }
    }
}

pub fn percent_encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

#[track_caller]
pub fn between(text: &str, before: &str, after: &str) -> String {
    let (_, rest) = text
        .split_once(before)
        .unwrap_or_else(|| panic!("no {before} in {text}"));
    rest.split_once(after).unwrap().0.to_owned()
}

/// Returns the hidden fields of all forms of a page except the sign-out form in its header.
pub fn hidden_fields(page: &str) -> Vec<(String, String)> {
    let (_, main) = page.split_once("<main").unwrap();
    let fields = main.split("<input type=\"hidden\" name=\"").skip(1);
    fields
        .map(|field| {
            let (name, rest) = field.split_once("\" value=\"").unwrap();
            (name.to_owned(), rest.split_once('"').unwrap().0.replace("&#38;", "&"))
        })
        .collect()
}

#[track_caller]
pub fn value(page: &Response) -> String {
    between(&page.text, "class=\"value\" value=\"", "\"")
}

/// Returns the names of the tokens on a page, in their order.
pub fn names(page: &Response) -> Vec<String> {
    let rows = page
        .text
        .split("<th role=\"rowheader\" scope=\"row\" class=\"name\"><a href=\"")
        .skip(1);
    rows.map(|row| between(row, "\">", "</a>").replace("<mark>", "").replace("</mark>", ""))
        .collect()
}

pub fn next_page(page: &Response) -> Option<String> {
    let (_, link) = page.text.split_once("rel=\"next\" href=\"/console")?;
    Some(link.split_once('"').unwrap().0.replace("&#38;", "&"))
}

#[track_caller]
pub fn assert_redirects_to(response: &Response, location: &str) {
    assert_eq!(
        (response.status, response.header("location")),
        (303, Some(location)),
        "{response:?}"
    );
}
