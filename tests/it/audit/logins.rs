//! Refused logins.

use std::time::Duration;

use serde_json::{Value, json};

use super::{AuditScenario, CLIENT, events};
use crate::{
    support::{
        ADMIN, TestApp, TestEnv,
        client::{Auth, LEGACY, LEGACY_PRE_15, TOKENS},
    },
    tests,
};

tests![rejected_logins_are_counted];

/// Refused logins of each kind through each channel: one event each, written at shutdown at the latest.
pub(super) fn reject_logins(scenario: &mut AuditScenario<'_>, app: TestApp) {
    let env = scenario.env;
    let elsewhere = json!({ "name": "elsewhere", "allowedCIDRBlocks": ["192.0.2.0/24"] });
    let (elsewhere, of_elsewhere) = app.new_token(&elsewhere);
    let (late, of_late) = app.new_token(&json!({ "name": "late", "expiresAt": env.clock.seconds_from_now(1) }));
    env.clock.advance(Duration::from_secs(2));
    scenario.seen += 2;
    let (wrong, wrong_password, stranger) = ("tbk_a wrong value", "a wrong pass-word", "a stranger's pass-word");
    let secrets = [of_elsewhere.as_str(), &of_late, wrong, wrong_password, stranger];
    scenario.secrets.extend(secrets.map(str::to_owned));
    let mut expected = Vec::new();
    let mut refused = |channel: &str, path: &str, auth: Auth<'_>, token: &str, admin: Value, reason: &str| {
        app.get(path, auth).expect(401);
        let details = json!({ "reason": reason, "admin": admin, "count": 1 });
        expected.push(json!(["login.refused", channel, "-", CLIENT, token, details]));
    };
    let password = "the user name or password is wrong";
    for (channel, path) in [
        ("legacy-1.0", LEGACY),
        ("legacy-pre-1.5", LEGACY_PRE_15),
        ("api-tokens", "/audit-events"),
    ] {
        refused(
            channel,
            path,
            Auth::Basic(ADMIN.0, wrong_password),
            "-",
            json!(ADMIN.0),
            password,
        );
        refused(channel, path, Auth::Basic(stranger, "x"), "-", Value::Null, password);
    }
    for (channel, path) in [("api-tokens", TOKENS), ("verify", "/verify")] {
        let (network, expired) = (
            "the API key may not be used from this address",
            "the API key has expired",
        );
        refused(
            channel,
            path,
            Auth::Key(wrong),
            "-",
            Value::Null,
            "the API key is not valid",
        );
        refused(
            channel,
            path,
            Auth::Key(&of_elsewhere),
            &elsewhere,
            Value::Null,
            network,
        );
        refused(channel, path, Auth::Key(&of_late), &late, Value::Null, expired);
    }
    app.post(
        "/public/graphql",
        Auth::Key(wrong),
        &json!({ "query": "{ __typename }" }),
    )
    .expect(401);
    let details = json!({ "reason": "the API key is not valid", "admin": null, "count": 1 });
    expected.push(json!(["login.refused", "graphql", "-", CLIENT, "-", details]));
    app.stop();
    let mut written = events(env).split_off(scenario.seen);
    written.sort_by_key(ToString::to_string);
    expected.sort_by_key(ToString::to_string);
    assert_eq!(written, expected);
    for event in written {
        println!("{:45} {event}", "a refused login");
    }
}

fn rejected_logins_are_counted(env: &TestEnv) {
    let app = env.app();
    let before = events(env).len();
    let (id, value) = app.new_token(&json!({ "name": "n", "allowedCIDRBlocks": ["192.0.2.0/24"] }));
    for _ in 0..3 {
        app.get(LEGACY, Auth::Basic("admin", "wrong")).expect(401);
    }
    app.get(TOKENS, Auth::Basic("a stranger", "wrong")).expect(401);
    app.get(TOKENS, Auth::Key("nonsense")).expect(401);
    app.get(TOKENS, Auth::Key(&value)).expect(401);
    app.stop();
    let mut refused = events(env).split_off(before + 1);
    refused.sort_by_key(ToString::to_string);
    // Three equal refusals become one event, or more if a flush came between them.
    let total = |channel: &str, token: &str, admin: Value, reason: &str| -> u64 {
        let alike = |event: &&Value| {
            event[1] == channel && event[4] == token && event[5]["admin"] == admin && event[5]["reason"] == reason
        };
        refused
            .iter()
            .filter(alike)
            .map(|event| event[5]["count"].as_u64().unwrap())
            .sum()
    };
    let wrong = "the user name or password is wrong";
    assert_eq!(total("legacy-1.0", "-", json!("admin"), wrong), 3, "{refused:?}");
    assert_eq!(total("api-tokens", "-", json!(null), wrong), 1);
    assert_eq!(total("api-tokens", "-", json!(null), "the API key is not valid"), 1);
    assert_eq!(
        total(
            "api-tokens",
            &id,
            json!(null),
            "the API key may not be used from this address"
        ),
        1
    );
    assert!(
        refused
            .iter()
            .all(|event| event[0] == "login.refused" && event[2] == "-" && event[3] == "127.0.0.1")
    );
}
