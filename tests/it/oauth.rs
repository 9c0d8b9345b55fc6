//! The OAuth endpoints: revocation (RFC 7009), the authentication of clients, and errors.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    support::{
        TestApp, TestEnv,
        client::{Auth, LEGACY, Response, TOKENS, string},
        program::Program,
        wait_until,
    },
    tests,
};

tests![
    presenting_the_current_value_deletes_its_token,
    presenting_a_grace_value_ends_it_alone,
    values_of_unusable_tokens_can_be_revoked,
    unknown_values_are_already_revoked,
    a_uuid_is_not_revoked_as_a_value,
    blanks_around_a_revoked_value_are_ignored,
    a_revocation_names_its_actor,
    a_revoked_token_is_not_imported_again,
    a_revocation_reaches_other_replicas,
    credentials_of_a_revocation_must_be_valid,
    a_token_authenticates_with_its_id_and_value,
    a_client_needs_the_permission_to_introspect,
    an_admin_named_like_a_token_is_not_the_token,
    a_client_authenticates_once,
    a_client_has_one_id,
    errors_have_oauth_codes,
];

pub const INTROSPECT: &str = "/introspect";
pub const REVOKE: &str = "/revoke";

pub fn send_form(app: &TestApp, path: &str, auth: Auth<'_>, form: &str) -> Response {
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    app.send("POST", path, auth, &headers, form)
}

fn revoke(app: &TestApp, value: &str) {
    let response = send_form(app, REVOKE, Auth::Anonymous, &format!("token={value}")).expect(200);
    assert_eq!(response.text, "");
}

fn status_of(app: &TestApp, value: &str) -> u16 {
    app.get(&format!("{TOKENS}/self"), Auth::Key(value)).status
}

fn rotate(app: &TestApp, id: &str, grace_seconds: u32) -> String {
    let rotation = json!({ "gracePeriodSeconds": grace_seconds });
    let rotated = app.post(&format!("{TOKENS}/{id}/rotate"), Auth::Admin, &rotation);
    string(&rotated.expect(200).json()["value"])
}

fn events(app: &TestApp) -> Value {
    let events = app.get("/audit-events?action=token.revoked", Auth::Admin);
    events.expect(200).json()["results"].clone()
}

fn presenting_the_current_value_deletes_its_token(env: &TestEnv) {
    let app = env.app();
    let (id, old) = app.new_token(&json!({ "name": "n", "permissions": [] }));
    let value = rotate(&app, &id, 60);
    assert_eq!((status_of(&app, &old), status_of(&app, &value)), (200, 200));
    revoke(&app, &value);
    assert_eq!((status_of(&app, &old), status_of(&app, &value)), (401, 401));
    app.get(&format!("{TOKENS}/{id}"), Auth::Admin).expect(404);
}

fn presenting_a_grace_value_ends_it_alone(env: &TestEnv) {
    let app = env.app();
    let (id, first) = app.new_token(&json!({ "name": "n" }));
    let second = rotate(&app, &id, 60);
    let third = rotate(&app, &id, 60);
    assert_eq!(status_of(&app, &second), 200);
    revoke(&app, &second);
    assert_eq!(
        [&first, &second, &third].map(|value| status_of(&app, value)),
        [200, 401, 200]
    );
    let event = &events(&app)[0];
    assert_eq!(
        (&event["tokenId"], &event["details"]["deleted"]),
        (&json!(id), &json!(false))
    );
}

fn values_of_unusable_tokens_can_be_revoked(env: &TestEnv) {
    let app = env.app();
    let (expired, value_of_expired) =
        app.new_token(&json!({ "name": "n", "expiresAt": env.clock.seconds_from_now(60) }));
    env.clock.advance(Duration::from_mins(1));
    let (elsewhere, value_from_elsewhere) =
        app.new_token(&json!({ "name": "n", "allowedCIDRBlocks": ["192.0.2.0/24"] }));
    let (disabled, value_of_disabled) = app.new_token(&json!({ "name": "n" }));
    let disable = json!({ "disabled": true });
    app.post(&format!("{TOKENS}/{disabled}"), Auth::Admin, &disable)
        .expect(200);
    for (id, value) in [
        (expired, value_of_expired),
        (elsewhere, value_from_elsewhere),
        (disabled, value_of_disabled),
    ] {
        assert_eq!(status_of(&app, &value), 401);
        revoke(&app, &value);
        app.get(&format!("{TOKENS}/{id}"), Auth::Admin).expect(404);
    }
}

fn unknown_values_are_already_revoked(env: &TestEnv) {
    let app = env.app();
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    app.delete(&format!("{TOKENS}/{id}"), Auth::Admin).expect(204);
    let (id, ended) = app.new_token(&json!({ "name": "n" }));
    rotate(&app, &id, 60);
    env.clock.advance(Duration::from_mins(1));
    for unknown in ["", "x", "tbk_", &value, &value, &ended] {
        revoke(&app, unknown);
    }
    assert_eq!(events(&app), json!([]));
    app.get(&format!("{TOKENS}/{id}"), Auth::Admin).expect(200);
}

fn a_uuid_is_not_revoked_as_a_value(env: &TestEnv) {
    let app = env.app_with(&["--legacy-uuid-auth"]);
    let uuid = app.new_legacy_token(&json!({ "name": "agent", "read": true }));
    for presented in [&uuid, &format!("%20{uuid}%0A"), &uuid.to_uppercase()] {
        revoke(&app, presented);
    }
    assert_eq!(events(&app), json!([]));
    app.get(&format!("{LEGACY}/{uuid}"), Auth::Admin).expect(200);
}

fn blanks_around_a_revoked_value_are_ignored(env: &TestEnv) {
    let app = env.app();
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    revoke(&app, &format!("+{value}%0D%0A"));
    app.get(&format!("{TOKENS}/{id}"), Auth::Admin).expect(404);
}

fn a_revocation_names_its_actor(env: &TestEnv) {
    let app = env.app();
    let (caller, key) = app.new_token(&json!({ "name": "caller", "permissions": [] }));
    let by_itself = |id: &str| json!({ "id": id, "type": "api-token" });
    for auth in [Auth::Anonymous, Auth::Admin, Auth::Key(&key)] {
        let (id, value) = app.new_token(&json!({ "name": "leaked" }));
        send_form(
            &app,
            REVOKE,
            auth,
            &format!("token={value}&token_type_hint=refresh_token"),
        )
        .expect(200);
        let event = events(&app)[0].clone();
        let actor = match auth {
            Auth::Admin => json!({ "id": "admin", "type": "user" }),
            Auth::Key(_) => by_itself(&caller),
            _ => by_itself(&id),
        };
        assert_eq!(event["actor"], actor, "{auth:?}");
        assert_eq!(
            (&event["tokenId"], &event["channel"]),
            (&json!(id), &json!("api-tokens"))
        );
        assert_eq!(event["client"], "127.0.0.1");
        assert_eq!(
            (&event["details"]["name"], &event["details"]["deleted"]),
            (&json!("leaked"), &json!(true))
        );
        assert!(!event.to_string().contains("tbk_"), "{event}");
    }
}

fn a_revoked_token_is_not_imported_again(env: &TestEnv) {
    let app = env.app();
    let (_, value) = app.new_token(&json!({ "name": "n" }));
    let program = Program::new(&env.store.url());
    let file = env.store.directory.path().join("export.json");
    let export = program.run(&["export"]);
    std::fs::write(&file, &export.stdout).unwrap();
    revoke(&app, &value);
    let imported = program.run(&["import", file.to_str().unwrap()]);
    assert!(
        imported.exit_code == 1 && format!("{imported:?}").contains("was deleted from this store"),
        "{imported:?}"
    );
    assert_eq!(status_of(&app, &value), 401);
}

/// How fast is tested for changes of every kind in `replicas`.
fn a_revocation_reaches_other_replicas(env: &TestEnv) {
    let (one, other) = (env.app(), env.app());
    let (_, value) = one.new_token(&json!({ "name": "n" }));
    assert_eq!(status_of(&other, &value), 200);
    revoke(&one, &value);
    assert_eq!(status_of(&one, &value), 401);
    wait_until("the other server refuses the value", || {
        (status_of(&other, &value) == 401).then_some(())
    });
}

fn credentials_of_a_revocation_must_be_valid(env: &TestEnv) {
    let app = env.app();
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    let (_, other) = app.new_token(&json!({ "name": "n" }));
    let form = format!("token={value}");
    for auth in [
        Auth::Basic("admin", "wrong"),
        Auth::Key("tbk_x"),
        Auth::Basic(&id, &other),
    ] {
        let refused = send_form(&app, REVOKE, auth, &form).expect(401);
        assert_eq!(refused.json()["error"], "invalid_client");
    }
    let wrong_secret = format!("{form}&client_id={id}&client_secret={other}");
    send_form(&app, REVOKE, Auth::Anonymous, &wrong_secret).expect(401);
    // A public client sends its ID alone, or with an empty secret (RFC 6749, section 2.3.1).
    for public in ["client_id=x", "client_id=x&client_secret=", "client_id=&client_secret="] {
        let (id, value) = app.new_token(&json!({ "name": "n" }));
        send_form(&app, REVOKE, Auth::Anonymous, &format!("token={value}&{public}")).expect(200);
        app.get(&format!("{TOKENS}/{id}"), Auth::Admin).expect(404);
    }
    let introspection = "token=x&client_id=x&client_secret=";
    let missing = send_form(&app, INTROSPECT, Auth::Anonymous, introspection).expect(401);
    assert_eq!(missing.json()["error"], "invalid_client");
    assert_eq!(status_of(&app, &value), 200);
}

fn a_client_has_one_id(env: &TestEnv) {
    let app = env.app();
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    let (other, _) = app.new_token(&json!({ "name": "other" }));
    let send = |path: &str, auth: Auth<'_>, id: &str| {
        let response = send_form(&app, path, auth, &format!("token=x&client_id={id}"));
        let body = serde_json::from_str::<Value>(&response.text).unwrap_or_default();
        (response.status, body["error"].clone())
    };
    for path in [INTROSPECT, REVOKE] {
        for (auth, wrong) in [
            (Auth::Key(&value), &*other),
            (Auth::Key(&value), "x"),
            (Auth::Basic(&id, &value), &*other),
            (Auth::Admin, &*other),
            (Auth::Admin, "ops"),
        ] {
            assert_eq!(
                send(path, auth, wrong),
                (401, json!("invalid_client")),
                "{auth:?} {wrong}"
            );
        }
        for (auth, own) in [
            (Auth::Key(&value), &*id),
            (Auth::Key(&value), &*id.to_uppercase()),
            (Auth::Key(&value), ""),
            (Auth::Basic(&id, &value), &*id),
            (Auth::Admin, "admin"),
        ] {
            assert_eq!(send(path, auth, own).0, 200, "{auth:?} {own}");
        }
    }
}

fn a_token_authenticates_with_its_id_and_value(env: &TestEnv) {
    let app = env.app();
    let reads = json!({ "name": "n", "permissions": ["OrganizationAPITokenRead"] });
    let (id, value) = app.new_token(&reads);
    let (other, _) = app.new_token(&reads);
    let form = format!("token={value}");
    let answer = send_form(&app, INTROSPECT, Auth::Basic(&id, &value), &form).expect(200);
    assert_eq!(answer.json()["active"], true);
    let in_form = |id: &str, secret: &str| format!("{form}&client_id={id}&client_secret={secret}");
    send_form(&app, INTROSPECT, Auth::Anonymous, &in_form(&id, &value)).expect(200);
    let used = app.get(&format!("{TOKENS}/{id}"), Auth::Admin).json();
    assert_eq!(used["lastUsedAt"], env.clock.seconds_from_now(0));
    // The value belongs to another token than the ID.
    let basic = send_form(&app, INTROSPECT, Auth::Basic(&other, &value), &form).expect(401);
    let challenges: Vec<_> = basic.all("www-authenticate").collect();
    assert_eq!(challenges, ["Basic realm=\"tokenbridge\", charset=\"UTF-8\""]);
    let refused = send_form(&app, INTROSPECT, Auth::Anonymous, &in_form(&other, &value)).expect(401);
    let challenges: Vec<_> = refused.all("www-authenticate").collect();
    assert_eq!(challenges, ["Basic realm=\"tokenbridge\", charset=\"UTF-8\", ApiKey"]);
    send_form(&app, INTROSPECT, Auth::Anonymous, &in_form("admin", "correct horse")).expect(401);
    let unused = app.get(&format!("{TOKENS}/{other}"), Auth::Admin).json();
    assert_eq!(unused.get("lastUsedAt"), None);
    // Other endpoints take an ID and a value for an admin's name and password.
    app.get(TOKENS, Auth::Basic(&id, &value)).expect(401);
}

fn a_client_needs_the_permission_to_introspect(env: &TestEnv) {
    let app = env.app();
    let (id, value) = app.new_token(&json!({ "name": "n", "permissions": [] }));
    let refused = send_form(&app, INTROSPECT, Auth::Basic(&id, &value), &format!("token={value}")).expect(403);
    assert_eq!(refused.json()["error"], "unauthorized_client");
    assert!(refused.message().contains("OrganizationAPITokenRead"), "{refused:?}");
}

fn an_admin_named_like_a_token_is_not_the_token(env: &TestEnv) {
    let app = env.app();
    let (id, value) = app.new_token(&json!({ "name": "n", "permissions": [] }));
    let program = Program::new(&env.store.url());
    let added = program.run_with_input(&["admin", "add", &id, "--password-stdin"], "battery staple");
    assert_eq!(added.exit_code, 0, "{added:?}");
    let form = format!("token={value}");
    send_form(&app, INTROSPECT, Auth::Basic(&id, "battery staple"), &form).expect(200);
    // The token lacks the permission, and does not get the admin's rights.
    send_form(&app, INTROSPECT, Auth::Basic(&id, &value), &form).expect(403);
    let in_form = format!("{form}&client_id={id}&client_secret=battery%20staple");
    send_form(&app, INTROSPECT, Auth::Anonymous, &in_form).expect(401);
}

fn a_client_authenticates_once(env: &TestEnv) {
    let app = env.app();
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    let twice = format!("token=x&client_id={id}&client_secret={value}");
    for auth in [Auth::Admin, Auth::Key(&value), Auth::Basic(&id, &value)] {
        let refused = send_form(&app, INTROSPECT, auth, &twice).expect(400);
        assert_eq!(refused.json()["error"], "invalid_request");
        assert!(refused.message().starts_with("client_secret: "), "{refused:?}");
    }
    let anonymous = send_form(&app, REVOKE, Auth::Anonymous, &format!("token=x&client_secret={value}")).expect(400);
    assert!(anonymous.message().starts_with("client_id: "), "{anonymous:?}");
}

fn errors_have_oauth_codes(env: &TestEnv) {
    let app = env.app();
    for (path, auth, form, status, error) in [
        (INTROSPECT, Auth::Anonymous, "token=x", 401, "invalid_client"),
        (INTROSPECT, Auth::Admin, "x=1", 400, "invalid_request"),
        (INTROSPECT, Auth::Admin, "token=x&token=x", 400, "invalid_request"),
        (INTROSPECT, Auth::Admin, "token=x&client_ip=x", 400, "invalid_request"),
        (
            REVOKE,
            Auth::Anonymous,
            "token_type_hint=access_token",
            400,
            "invalid_request",
        ),
    ] {
        let refused = send_form(&app, path, auth, form).expect(status).json();
        assert_eq!(refused["error"], error, "{path} {form}");
        let (message, description) = (string(&refused["message"]), string(&refused["error_description"]));
        assert_eq!(description, message.replace('"', "'"));
    }
    for path in [INTROSPECT, REVOKE] {
        let refused = app.post(path, Auth::Admin, &json!({ "token": "x" })).expect(415);
        assert_eq!(refused.json()["error"], "invalid_request");
        let refused = app.get(path, Auth::Admin).expect(405);
        assert_eq!(
            (&refused.json()["error"], refused.header("allow")),
            (&json!("invalid_request"), Some("POST"))
        );
        let large = "x".repeat(20_000);
        let refused = app.send("POST", path, Auth::Admin, &[("x-large", &large)], "");
        assert_eq!(refused.expect(431).json()["error"], "invalid_request");
    }
}
