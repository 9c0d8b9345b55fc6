//! Token introspection (RFC 7662).

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    support::{
        TestApp, TestEnv,
        client::{Auth, Response, TOKENS, string},
        time,
    },
    tests,
};

tests![
    a_valid_value_is_described,
    an_invalid_value_is_only_inactive,
    only_authorized_callers_may_introspect,
    cidr_blocks_need_the_clients_address,
    a_previous_value_expires_with_its_grace_period,
    forms_are_parsed_strictly,
];

const INTROSPECT: &str = "/introspect";

fn introspect(app: &TestApp, auth: Auth<'_>, form: &str) -> Response {
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    app.send("POST", INTROSPECT, auth, &headers, form)
}

fn of_value(app: &TestApp, value: &str) -> Value {
    introspect(app, Auth::Admin, &format!("token={value}"))
        .expect(200)
        .json()
}

fn a_valid_value_is_described(env: &TestEnv) {
    let app = env.app();
    let until = env.clock.seconds_from_now(3600);
    let body = json!({ "name": "n", "permissions": ["UserRead", "AlertRead"], "expiresAt": until });
    let (id, value) = app.new_token(&body);
    let issued = time(&env.clock.seconds_from_now(0)).seconds();
    assert_eq!(
        of_value(&app, &value),
        json!({
            "active": true, "scope": "AlertRead UserRead", "client_id": id, "sub": id,
            "iat": issued, "exp": issued + 3600,
        })
    );
    let shown = app.get(&format!("{TOKENS}/{id}"), Auth::Admin).json();
    assert_eq!(
        string(&shown["lastUsedAt"]),
        env.clock.seconds_from_now(0),
        "introspection counts as a use"
    );
    env.clock.advance(Duration::from_secs(10));
    let rotated = app
        .send("POST", &format!("{TOKENS}/{id}/rotate"), Auth::Admin, &[], "")
        .json();
    assert_eq!(of_value(&app, &string(&rotated["value"]))["iat"], issued + 10);
}

fn an_invalid_value_is_only_inactive(env: &TestEnv) {
    let app = env.app();
    let (id, value) = app.new_token(&json!({ "name": "n", "expiresAt": env.clock.seconds_from_now(60) }));
    let uuid = app.new_legacy_token(&json!({ "name": "agent", "read": true }));
    let inactive = json!({ "active": false });
    for worthless in ["", "x", "tbk_", &id, &uuid] {
        assert_eq!(of_value(&app, worthless), inactive);
    }
    assert_eq!(of_value(&app, &value)["active"], true);
    env.clock.advance(Duration::from_mins(1));
    assert_eq!(of_value(&app, &value), inactive);
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    assert_eq!(of_value(&app, &value)["active"], true);
    app.delete(&format!("{TOKENS}/{id}"), Auth::Admin).expect(204);
    assert_eq!(of_value(&app, &value), inactive);
}

fn only_authorized_callers_may_introspect(env: &TestEnv) {
    let app = env.app();
    let holding = |permission: &str| app.new_token(&json!({ "name": "n", "permissions": [permission] })).1;
    let (reads, changes) = (
        holding("OrganizationAPITokenRead"),
        holding("OrganizationAPITokenModify"),
    );
    let form = format!("token={changes}");
    introspect(&app, Auth::Key(&reads), &form).expect(200);
    introspect(&app, Auth::Bearer(&reads), &form).expect(200);
    let refused = introspect(&app, Auth::Key(&changes), &form).expect(403);
    assert!(refused.message().contains("OrganizationAPITokenRead"), "{refused:?}");
    introspect(&app, Auth::Anonymous, &form).expect(401);
    introspect(&app, Auth::Basic("admin", "wrong"), &form).expect(401);
}

fn cidr_blocks_need_the_clients_address(env: &TestEnv) {
    let app = env.app();
    let (_, value) = app.new_token(&json!({ "name": "n", "allowedCIDRBlocks": ["192.0.2.0/24", "2001:db8::/32"] }));
    let active = |form: String| introspect(&app, Auth::Admin, &form).expect(200).json()["active"] == true;
    assert!(!active(format!("token={value}")));
    assert!(active(format!("token={value}&client_ip=192.0.2.7")));
    assert!(active(format!("token={value}&client_ip=2001:db8::7")));
    assert!(!active(format!("token={value}&client_ip=127.0.0.1")));
    introspect(&app, Auth::Admin, &format!("token={value}&client_ip=nowhere")).expect(400);
}

fn a_previous_value_expires_with_its_grace_period(env: &TestEnv) {
    let app = env.app();
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    assert_eq!(of_value(&app, &value).get("exp"), None);
    let rotation = json!({ "gracePeriodSeconds": 60 });
    app.post(&format!("{TOKENS}/{id}/rotate"), Auth::Admin, &rotation)
        .expect(200);
    let old = of_value(&app, &value);
    assert_eq!(old["exp"], time(&env.clock.seconds_from_now(60)).seconds());
    assert_eq!(old.get("iat"), None, "when it was issued is not kept");
    env.clock.advance(Duration::from_mins(1));
    assert_eq!(of_value(&app, &value), json!({ "active": false }));
}

fn forms_are_parsed_strictly(env: &TestEnv) {
    let app = env.app();
    let (_, value) = app.new_token(&json!({ "name": "n" }));
    let refused = introspect(&app, Auth::Admin, "token_type_hint=access_token").expect(400);
    assert_eq!(refused.message(), "token: is required");
    introspect(
        &app,
        Auth::Admin,
        &format!("token={value}&token_type_hint=access_token"),
    )
    .expect(200);
    introspect(&app, Auth::Admin, &format!("token={value}&token={value}")).expect(400);
    app.post(INTROSPECT, Auth::Admin, &json!({ "token": value }))
        .expect(415);
    let refused = app.get(INTROSPECT, Auth::Admin).expect(405);
    assert_eq!(refused.header("allow"), Some("POST"));
}
