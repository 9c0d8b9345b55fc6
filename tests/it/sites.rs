//! Requests of this site's and other sites' pages with the credentials that a browser remembers.

use serde_json::json;

use crate::{
    support::{
        ADMIN, TestApp, TestEnv,
        client::{Auth, LEGACY, LEGACY_PRE_15, TOKENS},
    },
    tests,
};

tests![
    browser_scripts_get_no_basic_challenge,
    cross_site_requests_cannot_use_remembered_passwords,
    trusted_proxies_set_the_own_origin,
    browser_requests_require_a_content_type,
];

const BEHIND_PROXY: &[&str] = &["--trusted-proxy", "127.0.0.1"];

fn challenges(app: &TestApp, path: &str, headers: &[(&str, &str)]) -> Vec<String> {
    let refused = app.send("GET", path, Auth::Anonymous, headers, "").expect(401);
    refused.all("www-authenticate").map(str::to_owned).collect()
}

fn browser_scripts_get_no_basic_challenge(env: &TestEnv) {
    let app = env.app();
    let both = ["Basic realm=\"tokenbridge\", charset=\"UTF-8\", ApiKey"];
    assert_eq!(challenges(&app, TOKENS, &[]), both);
    assert_eq!(challenges(&app, TOKENS, &[("x-api-key", "")]), both);
    assert_eq!(challenges(&app, TOKENS, &[("sec-fetch-mode", "navigate")]), both);
    for mode in ["cors", "no-cors", "same-origin"] {
        assert_eq!(
            challenges(&app, TOKENS, &[("sec-fetch-mode", mode)]),
            ["ApiKey"],
            "{mode}"
        );
    }
}

/// All calls that take an admin's password and change something.
fn unsafe_calls(id: &str) -> Vec<(&'static str, String, &'static str, &'static str)> {
    const JSON: &str = "application/json";
    const FORM: &str = "application/x-www-form-urlencoded";
    let (one, legacy) = (format!("{TOKENS}/{id}"), format!("{LEGACY}/{id}"));
    vec![
        ("POST", TOKENS.to_owned(), JSON, r#"{"name":"made by a page"}"#),
        ("POST", one.clone(), JSON, r#"{"name":"changed by a page"}"#),
        ("POST", format!("{one}/rotate"), JSON, ""),
        ("DELETE", format!("{TOKENS}?name=n"), JSON, ""),
        ("DELETE", one, JSON, ""),
        ("POST", LEGACY.to_owned(), JSON, r#"{"name":"made by a page"}"#),
        ("POST", LEGACY_PRE_15.to_owned(), JSON, r#"{"name":"made by a page"}"#),
        ("PUT", legacy.clone(), JSON, r#"{"name":"changed by a page"}"#),
        ("DELETE", legacy, JSON, ""),
        ("POST", "/introspect".to_owned(), FORM, "token=x"),
        ("POST", "/revoke".to_owned(), FORM, "token=x"),
    ]
}

fn cross_site_requests_cannot_use_remembered_passwords(env: &TestEnv) {
    let app = env.app();
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    let own = format!("http://{}", app.address);
    let other_port = format!("http://{}:1", app.address.ip());
    let foreign: [&[(&str, &str)]; 9] = [
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "")],
        &[("sec-fetch-site", "cross-site"), ("origin", &own)],
        &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
        &[("origin", "null")],
        &[("origin", "https://evil.example")],
        &[("origin", &other_port)],
        &[("origin", &own.replacen("http", "https", 1))],
    ];
    for (method, path, content_type, body) in unsafe_calls(&id) {
        for headers in foreign {
            let headers = [headers, &[("content-type", content_type)]].concat();
            let refused = app.send(method, &path, Auth::Admin, &headers, body).expect(403);
            assert!(refused.message().contains("another site"), "{refused:?}");
        }
    }
    // The response does not reveal whether the password is right.
    app.send("POST", TOKENS, Auth::Basic(ADMIN.0, "guess"), foreign[0], "")
        .expect(403);
    app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).expect(200);
    let fine: [&[(&str, &str)]; 4] = [
        &[],
        &[
            ("sec-fetch-site", "same-origin"),
            ("origin", "https://as.seen.by.the.browser"),
        ],
        &[("sec-fetch-site", "none")],
        &[("origin", &own)],
    ];
    for headers in fine {
        let rotate = format!("{TOKENS}/{id}/rotate");
        app.send("POST", &rotate, Auth::Admin, headers, "").expect(200);
    }
    // Links from all sites may be followed, and browsers do not remember token values.
    app.send("GET", LEGACY, Auth::Admin, foreign[0], "").expect(200);
    let (_, value) = app.new_token(&json!({ "name": "n", "permissions": ["OrganizationAPITokenModify"] }));
    let rotate = format!("{TOKENS}/self/rotate");
    app.send("POST", &rotate, Auth::Key(&value), foreign[0], "").expect(200);
}

fn trusted_proxies_set_the_own_origin(env: &TestEnv) {
    let rotate = |app: &TestApp, headers: &[(&str, &str)]| {
        let (id, _) = app.new_token(&json!({ "name": "n" }));
        let path = format!("{TOKENS}/{id}/rotate");
        app.send("POST", &path, Auth::Admin, headers, "").status
    };
    let of_page = ("origin", "https://tokens.example");
    let forwarded = [("x-forwarded-host", "tokens.example"), ("x-forwarded-proto", "https")];
    let app = env.app();
    assert_eq!(rotate(&app, &[of_page, forwarded[0], forwarded[1]]), 403);
    let app = env.app_with(BEHIND_PROXY);
    assert_eq!(rotate(&app, &[of_page, forwarded[0], forwarded[1]]), 200);
    assert_eq!(rotate(&app, &[of_page, forwarded[0]]), 403);
    assert_eq!(rotate(&app, &[of_page, forwarded[1]]), 403);
    assert_eq!(
        rotate(
            &app,
            &[
                of_page,
                ("x-forwarded-host", "tokens.example, evil.example"),
                forwarded[1]
            ]
        ),
        403
    );
    assert_eq!(
        rotate(&app, &[of_page, ("forwarded", "host=tokens.example;proto=https")]),
        403
    );
    let app = env.app_with(&[BEHIND_PROXY, &["--trusted-proxy-header", "forwarded"]].concat());
    assert_eq!(
        rotate(&app, &[of_page, ("forwarded", "host=\"tokens.example\";proto=https")]),
        200
    );
    assert_eq!(rotate(&app, &[of_page, forwarded[0], forwarded[1]]), 403);
}

/// A page can send bodies without a content type to other sites without a CORS preflight.
fn browser_requests_require_a_content_type(env: &TestEnv) {
    let app = env.app();
    let (id, _) = app.new_token(&json!({ "name": "n" }));
    let (rotate, body) = (format!("{TOKENS}/{id}/rotate"), r#"{"name":"n"}"#);
    let own = format!("http://{}", app.address);
    for of_browser in [("origin", own.as_str()), ("sec-fetch-site", "same-origin")] {
        app.send("POST", TOKENS, Auth::Admin, &[of_browser], body).expect(415);
        app.send("POST", LEGACY, Auth::Admin, &[of_browser], body).expect(415);
        app.send("POST", &rotate, Auth::Admin, &[of_browser], "null")
            .expect(415);
        app.send("POST", &rotate, Auth::Admin, &[of_browser], "").expect(200);
        let typed = [of_browser, ("content-type", "application/json")];
        app.send("POST", TOKENS, Auth::Admin, &typed, body).expect(200);
    }
    app.send("POST", TOKENS, Auth::Admin, &[], body).expect(200);
}
