//! Roles of admins, on both APIs, in the console, and at the command line.

use serde_json::{Value, json};
use tokenbridge::{
    domain::{
        actor::{Channel, Origin},
        admin::Role,
        caller::{Call, Caller},
        name::AdminName,
    },
    service::Error,
};

use crate::{
    support::{
        ADMIN, TestApp, TestEnv,
        browser::{Browser, assert_redirects_to, between},
        client::{Auth, LEGACY, Response, TOKENS},
        program::{CommandOutput, Program},
    },
    tests,
};

tests![
    each_role_has_its_rights_on_the_apis,
    a_role_change_applies_immediately_on_all_servers,
    the_last_admin_keeps_the_role,
    admins_who_demote_each_other_leave_one,
    roles_are_exported_and_imported,
    an_import_cannot_demote_the_last_admin,
    the_console_shows_what_the_role_includes,
    roles_are_changed_in_the_console,
];

const PASSWORD: &str = "battery staple";

fn run(env: &TestEnv, arguments: &[&str], input: &str) -> CommandOutput {
    Program::new(&env.store.url()).run_with_input(arguments, input)
}

fn add(env: &TestEnv, name: &str, role: &str) {
    let arguments = ["admin", "add", name, "--role", role, "--password-stdin"];
    let added = run(env, &arguments, PASSWORD);
    assert_eq!(added.exit_code, 0, "{added:?}");
}

fn change(env: &TestEnv, name: &str, role: &str) {
    let changed = run(env, &["admin", "role", name, role], "");
    assert_eq!(
        (changed.exit_code, changed.stdout),
        (0, format!("the role of admin {name} is {role}\n"))
    );
}

/// Returns the admins as `admin list` prints them: name and role.
fn listed(env: &TestEnv) -> Vec<(String, String)> {
    let list = run(env, &["admin", "list", "--output", "json"], "");
    let list: Vec<Value> = serde_json::from_str(&list.stdout).unwrap();
    let field = |admin: &Value, name: &str| admin[name].as_str().unwrap().to_owned();
    list.iter()
        .map(|admin| (field(admin, "name"), field(admin, "role")))
        .collect()
}

fn each_role_has_its_rights_on_the_apis(env: &TestEnv) {
    let app = env.app();
    for role in ["operator", "auditor"] {
        add(env, role, role);
    }
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    let [token, legacy] = [TOKENS, LEGACY].map(|path| format!("{path}/{id}"));
    let rotation = format!("{token}/rotate");
    let introspection = format!("token={value}");
    let (name, rename) = (
        json!({ "name": "made" }).to_string(),
        json!({ "name": "other" }).to_string(),
    );
    let (json, form) = ("application/json", "application/x-www-form-urlencoded");
    // Method, path, media type, and body; the statuses for an operator and for an auditor.
    for (method, path, media_type, body, statuses) in [
        ("GET", TOKENS, json, "", [200, 200]),
        ("GET", &token, json, "", [200, 200]),
        ("GET", LEGACY, json, "", [200, 200]),
        ("GET", &legacy, json, "", [200, 200]),
        ("GET", "/audit-events", json, "", [200, 200]),
        ("GET", "/legacy-usage", json, "", [200, 200]),
        ("POST", TOKENS, json, &name, [200, 403]),
        ("POST", &token, json, &rename, [200, 403]),
        ("POST", &rotation, json, "{}", [200, 403]),
        ("POST", LEGACY, json, &name, [200, 403]),
        ("PUT", &legacy, json, &name, [200, 403]),
        ("POST", "/introspect", form, &introspection, [200, 403]),
        ("DELETE", "/api-tokens?name=unknown&expected=0", json, "", [200, 403]),
        ("DELETE", &legacy, json, "", [204, 403]),
    ] {
        // The auditor first: an operator may delete the token.
        for (role, status) in ["operator", "auditor"].into_iter().zip(statuses).rev() {
            let headers = [("content-type", media_type)];
            let response = app.send(method, path, Auth::Basic(role, PASSWORD), &headers, body);
            assert_eq!(response.status, status, "{role} {method} {path}: {response:?}");
            if status == 403 {
                let message = "this request requires the role admin or operator; yours is auditor";
                let expected = if path.starts_with(LEGACY) {
                    json!({ "message": message.replace(';', ","), "status-code": 403 })
                } else if path == "/introspect" {
                    json!({ "message": message, "error": "unauthorized_client", "error_description": message })
                } else {
                    json!({ "message": message })
                };
                assert_eq!(response.json(), expected);
            }
        }
    }
    // A refused introspection is not a use.
    let (id, value) = app.new_token(&json!({ "name": "unused" }));
    let auditor = Auth::Basic("auditor", PASSWORD);
    let refused = app.send(
        "POST",
        "/introspect",
        auditor,
        &[("content-type", form)],
        &format!("token={value}"),
    );
    assert_eq!(refused.status, 403);
    let unused = app.get(&format!("{TOKENS}/{id}"), Auth::Admin).expect(200).json();
    assert_eq!(unused["lastUsedAt"], Value::Null);
}

fn statuses(app: &TestApp) -> [u16; 2] {
    let auth = Auth::Basic("ops", PASSWORD);
    let create = app.post(TOKENS, auth, &json!({ "name": "n" })).status;
    [create, app.get(TOKENS, auth).status]
}

fn a_role_change_applies_immediately_on_all_servers(env: &TestEnv) {
    let apps = [env.app(), env.app()];
    add(env, "ops", "admin");
    let browser = Browser::new(&apps[0]);
    browser.sign_in("ops", PASSWORD).expect(303);
    // Verified credentials are cached.
    assert_eq!(apps.each_ref().map(statuses), [[200, 200]; 2]);
    for (role, expected, admins) in [
        ("auditor", [403, 200], 200),
        ("operator", [200, 200], 403),
        ("admin", [200, 200], 200),
    ] {
        change(env, "ops", role);
        assert_eq!(apps.each_ref().map(statuses), [expected; 2], "{role}");
        browser.get("/admins").expect(admins);
    }
    // The same role again is no change.
    change(env, "ops", "admin");
    let changes = "SELECT action AS found FROM audit_events WHERE action = 'admin.role-changed'";
    assert_eq!(env.store.texts(changes).len(), 3);
    let list = run(env, &["admin", "list"], "").stdout;
    assert!(list.starts_with("NAME   ROLE   ADDED "), "{list}");
    let unknown = run(env, &["admin", "role", "unknown", "auditor"], "");
    assert_eq!(unknown.stderr, "tokenbridge: there is no such admin\n");
    let misspelled = run(env, &["admin", "role", "ops", "auditer"], "");
    assert_eq!(misspelled.exit_code, 2);
    assert!(misspelled.stderr.contains("auditor"), "{misspelled:?}");
}

fn the_last_admin_keeps_the_role(env: &TestEnv) {
    add(env, "ops", "operator");
    add(env, "audit", "auditor");
    for arguments in [
        &["admin", "role", ADMIN.0, "operator"][..],
        &["admin", "role", ADMIN.0, "auditor"],
        &["admin", "remove", ADMIN.0],
    ] {
        let refused = run(env, arguments, "");
        assert_eq!(
            (refused.exit_code, refused.stderr.as_str()),
            (
                1,
                "tokenbridge: the last admin with the role admin can be neither removed nor demoted; \
                 give another one that role first\n"
            )
        );
    }
    change(env, "ops", "admin");
    change(env, ADMIN.0, "auditor");
    assert_eq!(run(env, &["admin", "remove", "ops"], "").exit_code, 1);
    assert_eq!(run(env, &["admin", "remove", "audit"], "").exit_code, 0);
}

fn admins_who_demote_each_other_leave_one(env: &TestEnv) {
    add(env, "ops", "admin");
    let services = [env.service(), env.service()];
    let [one, other] = ["ops", ADMIN.0].map(|name| name.parse::<AdminName>().unwrap());
    let origin = Origin {
        channel: Channel::Console,
        client: None,
    };
    actix_web::rt::System::new().block_on(async {
        for _ in 0..5 {
            let mut callers = Vec::new();
            for (service, (name, password)) in services.iter().zip([("ops", PASSWORD), ADMIN]) {
                callers.push(service.authenticate_admin(name, password.into(), origin).await.unwrap());
            }
            let [of_one, of_other] = [0, 1].map(|index| Call {
                caller: callers[index].clone(),
                origin,
            });
            let outcomes = tokio::join!(
                services[0].change_role(of_one, other.clone(), Role::Operator),
                services[1].change_role(of_other, one.clone(), Role::Operator),
            );
            let refused = match outcomes {
                (Ok(()), Err(error)) | (Err(error), Ok(())) => error,
                both => panic!("{both:?}"),
            };
            // The transaction that comes second finds its caller demoted, or its target the last admin.
            assert!(
                matches!(refused, Error::Forbidden(_) | Error::Conflict(_)),
                "{refused:?}"
            );
            for name in [&one, &other] {
                let call = Call {
                    caller: Caller::CommandLine,
                    origin,
                };
                services[0].change_role(call, name.clone(), Role::Admin).await.unwrap();
            }
        }
    });
}

fn export(env: &TestEnv) -> String {
    run(env, &["export", "--with-admins"], "").stdout
}

fn roles_are_exported_and_imported(env: &TestEnv) {
    add(env, "ops", "operator");
    let before = export(env);
    let to = env.store.fresh_url();
    let target = Program::new(&to);
    let imported = target.run_with_input(&["import", "-", "--with-admins"], &before);
    assert_eq!(imported.exit_code, 0, "{imported:?}");
    assert_eq!(target.run(&["export", "--with-admins"]).stdout, before);
    // An export of an earlier version has no roles.
    let earlier = before
        .replace(",\"passwordOrigin\":\"local\",\"role\":\"operator\"", "")
        .replace(",\"passwordOrigin\":\"local\",\"role\":\"admin\"", "");
    assert!(!earlier.contains("role"), "{earlier}");
    let conflict = run(env, &["import", "-", "--with-admins"], &earlier);
    assert!(
        conflict
            .stdout
            .contains("already exists and differs in role; use --update"),
        "{conflict:?}"
    );
    let updated = run(env, &["import", "-", "--with-admins", "--update"], &earlier);
    assert!(updated.stdout.contains("changed: role"), "{updated:?}");
    assert!(listed(env).iter().all(|(_, role)| role == "admin"));
    let changes = "SELECT details AS found FROM audit_events WHERE action = 'admin.role-changed'";
    let details: Value = serde_json::from_str(&env.store.texts(changes)[0]).unwrap();
    let roles = json!({ "from": "operator", "to": "admin" });
    assert_eq!(
        details,
        json!({ "admin": "ops", "role": roles, "source": "standard input" })
    );
    let unknown = before.replace("\"operator\"", "\"operators\"");
    let refused = run(env, &["import", "-", "--with-admins"], &unknown);
    assert!(refused.stdout.contains("did you mean"), "{refused:?}");
}

fn an_import_cannot_demote_the_last_admin(env: &TestEnv) {
    let demoted = export(env).replace("\"role\":\"admin\"", "\"role\":\"auditor\"");
    let refused = run(env, &["import", "-", "--with-admins", "--update"], &demoted);
    assert_eq!(refused.exit_code, 1, "{refused:?}");
    assert!(refused.stderr.contains("would demote the last admin"), "{refused:?}");
    assert_eq!(listed(env), [(ADMIN.0.to_owned(), "admin".to_owned())]);
}

/// Submits a form that the page does not show, with the anti-CSRF token of its sign-out form.
fn submit_unshown(browser: &Browser<'_>, page: &Response, path: &str, fields: &[(&str, &str)]) -> Response {
    let key = between(&page.text, "name=\"formKey\" value=\"", "\"");
    let fields = [&[("formKey", key.as_str())], fields].concat();
    let owned = fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    browser.post(path, &owned.collect::<Vec<_>>())
}

fn the_console_shows_what_the_role_includes(env: &TestEnv) {
    let app = env.app();
    let (id, _) = app.new_token(&json!({ "name": "agent" }));
    // A role; the links and forms that its pages have; the pages that it may open.
    for (role, changes_tokens, reads_admins) in [("operator", true, false), ("auditor", false, true)] {
        add(env, role, role);
        let browser = Browser::new(&app);
        browser.sign_in(role, PASSWORD).expect(303);
        let list = browser.get("/tokens").expect(200).text;
        assert_eq!(list.contains("/console/tokens/new\""), changes_tokens, "{role}");
        assert_eq!(list.contains("/delete\""), changes_tokens, "{role}");
        assert_eq!(list.contains("href=\"/console/admins\""), reads_admins, "{role}");
        let token = browser.get(&format!("/tokens/{id}")).expect(200).text;
        for action in ["edit", "rotate", "disable", "delete"] {
            let is_offered = token.contains(&format!("/console/tokens/{id}/{action}"));
            assert_eq!(is_offered, changes_tokens, "{role} {action}");
        }
        assert!(token.contains("<h1>agent</h1>"));
        for (path, allowed) in [
            ("/audit", true),
            ("/audit/events.csv", true),
            ("/legacy", true),
            ("/tokens/new", changes_tokens),
            (&format!("/tokens/{id}/edit"), changes_tokens),
            (&format!("/tokens/{id}/rotate"), changes_tokens),
            (&format!("/tokens/{id}/delete"), changes_tokens),
            ("/admins", reads_admins),
            ("/admins/password?name=admin", false),
            ("/admins/role?name=admin", false),
            ("/admins/remove?name=admin", false),
        ] {
            let page = browser.get(path);
            assert_eq!(page.status, if allowed { 200 } else { 403 }, "{role} {path}: {page:?}");
            if !allowed {
                assert!(page.text.contains("This page needs the role"), "{path}");
                let korean = [("accept-language", "ko")];
                let page = browser.send("GET", path, &korean, "").expect(403);
                assert!(page.text.contains("현재 역할은"), "{path}");
            }
        }
        if reads_admins {
            let admins = browser.get("/admins").expect(200).text;
            assert!(admins.contains(">Auditor</td>") && !admins.contains("/admins/remove"));
            assert!(!admins.contains("<select name=\"role\">"));
        }
        // A form that was not shown is refused as well.
        let page = browser.get("/tokens").expect(200);
        browser.get("/account").expect(200);
        let fields = [("name", "new"), ("password", PASSWORD), ("again", PASSWORD)];
        let fields = [&fields[..], &[("role", "admin")]].concat();
        submit_unshown(&browser, &page, "/admins", &fields).expect(403);
        if !changes_tokens {
            let fields = [("name", "agent"), ("version", "1"), ("confirm", "agent")];
            for path in ["/edit", "/rotate", "/disable", "/end-grace", "/delete"] {
                submit_unshown(&browser, &page, &format!("/tokens/{id}{path}"), &fields).expect(403);
            }
        }
    }
    let token = app.get(&format!("{TOKENS}/{id}"), Auth::Admin).expect(200).json();
    assert_eq!(token["updatedAt"], Value::Null);
}

fn roles_are_changed_in_the_console(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let page = browser.get("/admins/role?name=admin").expect(200).text;
    assert!(page.contains("The last account with the role Admin keeps it."));
    let password = [("password", PASSWORD), ("again", PASSWORD)];
    let fields = [&[("name", "ops"), ("role", "operator")], &password[..]].concat();
    assert_redirects_to(&browser.fill("/admins", &fields), "/console/admins?done=added");
    let form = browser.get("/admins/role?name=ops").expect(200);
    assert!(form.text.contains("<option value=\"operator\" selected>"));
    browser
        .submit(&form, "/admins/role?name=ops", &[("role", "unknown")])
        .expect(400);
    // The page of the last admin has no form. Sending the form regardless changes nothing.
    browser
        .submit(&form, "/admins/role?name=admin", &[("role", "auditor")])
        .expect(409);
    let changed = browser.submit(&form, "/admins/role?name=ops", &[("role", "admin")]);
    assert_redirects_to(&changed, "/console/admins?done=role-changed");
    let page = browser.get("/admins?done=role-changed").expect(200).text;
    assert!(page.contains("The role has been changed."));
    // An admin who demotes themselves is redirected to a page that the new one includes.
    let own = browser.fill("/admins/role?name=admin", &[("role", "operator")]);
    assert_redirects_to(&own, "/console");
    browser.get("/admins").expect(403);
    let expected = [("admin", "operator"), ("ops", "admin")];
    assert_eq!(
        listed(env),
        expected.map(|(name, role)| (name.to_owned(), role.to_owned()))
    );
}
