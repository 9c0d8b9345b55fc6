//! The account page, and the preferences.

use serde_json::json;

use crate::{
    support::{
        ADMIN, TestEnv,
        browser::{Browser, assert_redirects_to, hidden_fields},
        client::Auth,
        program::Program,
    },
    tests,
};

tests![
    an_admin_sees_and_ends_their_other_sessions,
    an_auditor_changes_only_their_own_password,
    the_theme_is_rendered_by_the_server,
];

fn an_admin_sees_and_ends_their_other_sessions(env: &TestEnv) {
    let app = env.app();
    let (here, there) = (Browser::signed_in(&app), Browser::new(&app));
    let page = here.get("/account").expect(200).text;
    assert!(page.contains("You are signed in only here.") && !page.contains("Sign out everywhere else"));
    assert!(
        page.contains("<code>127.0.0.1</code>") && page.contains("This session"),
        "{page}"
    );
    let form = there.get("/sign-in").expect(200);
    let fields = format!(
        "formKey={}&name={}&password={}",
        hidden_fields(&form.text)[0].1,
        ADMIN.0,
        ADMIN.1
    );
    let headers = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("user-agent", "Phone <1.0>"),
    ];
    there.send("POST", "/sign-in", &headers, &fields).expect(303);
    let other_admin = Program::new(&env.store.url());
    let added = other_admin.run_with_input(&["admin", "add", "ops", "--password-stdin"], "the password of ops");
    assert_eq!(added.exit_code, 0, "{added:?}");
    let ops = Browser::new(&app);
    ops.sign_in("ops", "the password of ops").expect(303);

    let page = here.get("/account").expect(200);
    assert!(page.text.contains("Phone &#60;1.0&#62;"), "{page:?}");
    assert_eq!(page.text.matches("Signed in").count(), 2);
    let ended = here.submit(&page, "/account/sessions", &[]);
    assert_redirects_to(&ended, "/console/account?done=others-ended");
    assert!(here.is_signed_in() && !there.is_signed_in());
    assert!(ops.is_signed_in(), "the sessions of other admins stay");
    let page = here.get("/account?done=others-ended").expect(200).text;
    assert!(page.contains("You are signed out everywhere else."));
}

fn an_auditor_changes_only_their_own_password(env: &TestEnv) {
    let app = env.app();
    let body = ["admin", "add", "eve", "--role", "auditor", "--password-stdin"];
    let added = Program::new(&env.store.url()).run_with_input(&body, "the password of eve");
    assert_eq!(added.exit_code, 0, "{added:?}");
    let browser = Browser::new(&app);
    browser.sign_in("eve", "the password of eve").expect(303);
    let page = browser.get("/account").expect(200);
    assert!(page.text.contains("Auditor") && page.text.contains("reads everything, and changes nothing"));
    let fields = [
        ("own", "the password of eve"),
        ("password", "another one of eve"),
        ("again", "another one of eve"),
    ];
    let changed = browser.submit(&page, "/account/password", &fields);
    assert_redirects_to(&changed, "/console/account?done=password-changed");
    let page = browser.get("/account").expect(200);
    browser
        .submit(&page, "/admins/password?name=admin", &fields)
        .expect(403);
    app.get("/api-tokens", Auth::Admin).expect(200);
    app.get("/api-tokens", Auth::Basic("eve", "another one of eve"))
        .expect(200);
    let events = app
        .get("/audit-events?action=admin.password-changed", Auth::Admin)
        .expect(200)
        .json();
    assert_eq!(events["results"][0]["details"], json!({ "admin": "eve" }));
    assert_eq!(events["results"][0]["actor"]["id"], "eve");
}

fn the_theme_is_rendered_by_the_server(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let theme = |path: &str| {
        let page = browser.get(path).text;
        let (_, rest) = page.split_once("data-theme=\"").unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    };
    assert_eq!(theme("/tokens"), "system");
    assert_redirects_to(&browser.get("/account?theme=dark"), "/console/account");
    for path in ["", "/tokens", "/account", "/nothing"] {
        assert_eq!(theme(path), "dark", "{path}");
    }
    let both = browser.get("/audit?channel=cli&theme=light&lang=ko");
    assert_redirects_to(&both, "/console/audit?channel=cli");
    browser.get("/account?theme=plaid").expect(303);
    assert_eq!(theme("/tokens"), "light", "an unknown theme changes nothing");
    browser.get("/account?theme=system").expect(303);
    assert_eq!(theme("/tokens"), "system");
}
