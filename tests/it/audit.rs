//! Audit events: one for every change, in its transaction, and for every refused login.

pub mod logins;

use serde_json::{Value, json};

use crate::{
    support::{
        ADMIN, MODIFY, READ, TestApp, TestEnv,
        client::{Auth, LEGACY, LEGACY_PRE_15, TOKENS, string},
        program::Program,
        store::StoreKind,
    },
    tests,
};
use logins::reject_logins;

tests![every_change_is_audited];

/// Returns the events: action, channel, actor, client, token, details.
fn events(env: &TestEnv) -> Vec<Value> {
    let rows = env.store.texts(
        "SELECT action || '|' || channel || '|' || coalesce(actor_type || ' ' || actor_id, '-') || '|' || coalesce(client, '-') || '|'
             || coalesce(token_id, '-') || '|' || details AS found
         FROM audit_events ORDER BY seq",
    );
    let event = |row: String| {
        let parts: Vec<&str> = row.splitn(6, '|').collect();
        json!([
            parts[0],
            parts[1],
            parts[2],
            parts[3],
            parts[4],
            serde_json::from_str::<Value>(parts[5]).unwrap()
        ])
    };
    rows.into_iter().map(event).collect()
}

/// Makes changes through every channel, and checks the event of each.
struct AuditScenario<'l> {
    env: &'l TestEnv,
    seen: usize,
    /// Secrets that no event may contain.
    secrets: Vec<String>,
}

impl AuditScenario<'_> {
    /// Asserts that only this event was recorded since: action, channel, actor, client, token, details.
    #[track_caller]
    fn assert_recorded(&mut self, what: &str, expected: &Value) {
        let new = events(self.env).split_off(self.seen);
        assert_eq!(Value::Array(new), json!([expected]), "{what}");
        self.seen += 1;
        println!("{what:45} {expected}");
    }

    /// Returns the value in a response, and adds it to the secrets.
    fn value(&mut self, response: &Value) -> String {
        let value = string(&response["value"]);
        self.secrets.push(value.clone());
        value
    }
}

const UNKNOWN_ID: &str = "7ba167aa-631c-4771-b197-fcb459cc7fd7";
const CLIENT: &str = "127.0.0.1";

fn described(name: &str, permissions: &[&str]) -> Value {
    json!({ "name": name, "permissions": permissions, "allowedCIDRBlocks": [], "expiresAt": null })
}

fn grace(seconds: u32) -> Value {
    json!({ "gracePeriodSeconds": seconds })
}

fn every_change_is_audited(env: &TestEnv) {
    let app = env.app();
    let mut scenario = AuditScenario {
        env,
        seen: events(env).len(),
        secrets: vec![ADMIN.1.to_owned()],
    };
    change_via_legacy_api(&mut scenario, &app);
    change_via_new_api(&mut scenario, &app);
    change_via_graphql(&mut scenario, &app);
    change_via_command_line(&mut scenario);
    // Calls that are refused or change nothing are not audited.
    app.delete(&format!("{TOKENS}/{UNKNOWN_ID}"), Auth::Admin).expect(404);
    app.post(LEGACY, Auth::Admin, &json!({})).expect(400);
    app.delete(&format!("{TOKENS}?name=unknown&expected=0"), Auth::Admin)
        .expect(200);
    app.delete(&format!("{TOKENS}?state=active&expected=999"), Auth::Admin)
        .expect(409);
    assert_eq!(events(env).len(), scenario.seen);
    reject_logins(&mut scenario, app);
    assert_no_secret_is_stored(&scenario);
}

fn change_via_legacy_api(scenario: &mut AuditScenario<'_>, app: &TestApp) {
    for (prefix, channel) in [
        (LEGACY, "legacy-1.0"),
        ("/rest/agent-config/latest/tokens", "legacy-1.0"),
        (LEGACY_PRE_15, "legacy-pre-1.5"),
        ("/rest/agent/latest/tokens", "legacy-pre-1.5"),
    ] {
        let created = app.post(prefix, Auth::Admin, &json!({ "name": "n", "read": true }));
        let uuid = string(&created.expect(200).json()["uuid"]);
        let event = |action: &str, details: Value| json!([action, channel, "user admin", CLIENT, uuid, details]);
        scenario.assert_recorded(
            &format!("POST {prefix}"),
            &event("token.created", described("n", &[READ])),
        );
        app.put(&format!("{prefix}/{uuid}"), Auth::Admin, &json!({ "change": true }))
            .expect(200);
        let change = json!({ "permissions": { "from": [READ], "to": [MODIFY, READ] } });
        scenario.assert_recorded(&format!("PUT {prefix}/…"), &event("token.updated", change));
        app.delete(&format!("{prefix}/{uuid}"), Auth::Admin).expect(204);
        let gone = described("n", &[MODIFY, READ]);
        scenario.assert_recorded(&format!("DELETE {prefix}/…"), &event("token.deleted", gone));
    }
}

fn change_via_new_api(scenario: &mut AuditScenario<'_>, app: &TestApp) {
    let body = json!({ "name": "maker", "permissions": [MODIFY, READ] });
    let created = app.post(TOKENS, Auth::Admin, &body).expect(200).json();
    let (maker, maker_value) = (string(&created["id"]), scenario.value(&created));
    let of_maker = json!([
        "token.created",
        "api-tokens",
        "user admin",
        CLIENT,
        maker,
        described("maker", &[MODIFY, READ])
    ]);
    scenario.assert_recorded("POST /api-tokens", &of_maker);
    // Each by an admin, and by a token.
    for (auth, actor) in [
        (Auth::Admin, "user admin".to_owned()),
        (Auth::Key(&maker_value), format!("api-token {maker}")),
    ] {
        let body = json!({ "name": "child", "permissions": [] });
        let created = app.post(TOKENS, auth, &body).expect(200).json();
        let (id, value) = (string(&created["id"]), scenario.value(&created));
        let event = |action: &str, details: Value| json!([action, "api-tokens", actor, CLIENT, id, details]);
        let by = |call: &str| format!("{call}, {}", actor.split(' ').next().unwrap());
        scenario.assert_recorded(
            &by("POST /api-tokens"),
            &event("token.created", described("child", &[])),
        );
        let place = format!("{TOKENS}/{id}");
        let until = scenario.env.clock.seconds_from_now(3600);
        let changes = json!({ "name": "m", "allowedCIDRBlocks": ["127.0.0.0/8"], "expiresAt": until });
        app.post(&place, auth, &changes).expect(200);
        let change = json!({
            "name": { "from": "child", "to": "m" }, "expiresAt": { "from": null, "to": until },
            "allowedCIDRBlocks": { "from": [], "to": ["127.0.0.0/8"] },
        });
        scenario.assert_recorded(&by("POST /api-tokens/{id}"), &event("token.updated", change));
        let rotated = app.post(&format!("{TOKENS}/self/rotate"), Auth::Key(&value), &json!({}));
        scenario.value(&rotated.expect(200).json());
        let itself = format!("api-token {id}");
        let by_itself = json!(["token.rotated", "api-tokens", itself, CLIENT, id, grace(0)]);
        scenario.assert_recorded("POST /api-tokens/self/rotate", &by_itself);
        let rotated = app.post(&format!("{place}/rotate"), auth, &grace(5)).expect(200).json();
        let value = scenario.value(&rotated);
        scenario.assert_recorded(&by("POST /api-tokens/{id}/rotate"), &event("token.rotated", grace(5)));
        app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).expect(200);
        app.delete(&place, auth).expect(204);
        let mut gone = described("m", &[]);
        gone["allowedCIDRBlocks"] = json!(["127.0.0.0/8"]);
        gone["expiresAt"] = json!(until);
        scenario.assert_recorded(&by("DELETE /api-tokens/{id}"), &event("token.deleted", gone));
        let body = json!({ "name": "one of many", "permissions": [] });
        let created = app.post(TOKENS, auth, &body).expect(200).json();
        scenario.value(&created);
        let event = |action: &str| {
            let details = described("one of many", &[]);
            json!([action, "api-tokens", actor, CLIENT, created["id"], details])
        };
        scenario.assert_recorded(&by("POST /api-tokens"), &event("token.created"));
        app.delete(&format!("{TOKENS}?name=one+of&expected=1"), auth)
            .expect(200);
        scenario.assert_recorded(&by("DELETE /api-tokens?name=…"), &event("token.deleted"));
    }
}

fn change_via_graphql(scenario: &mut AuditScenario<'_>, app: &TestApp) {
    let body = json!({ "name": "g", "permissions": [READ] });
    let created = app.post(TOKENS, Auth::Admin, &body).expect(200).json();
    let (id, value) = (string(&created["id"]), scenario.value(&created));
    scenario.seen += 1;
    let query = json!({ "query": "mutation { rotateAPIToken { token { value } } }" });
    let rotated = app
        .post("/public/graphql", Auth::Key(&value), &query)
        .expect(200)
        .json();
    scenario.value(&rotated["data"]["rotateAPIToken"]["token"]);
    let actor = format!("api-token {id}");
    scenario.assert_recorded(
        "mutation rotateAPIToken",
        &json!(["token.rotated", "graphql", actor, CLIENT, id, grace(0)]),
    );
}

fn change_via_command_line(scenario: &mut AuditScenario<'_>) {
    let program = Program::new(&scenario.env.store.url());
    let done = |arguments: &[&str], input: &str| {
        let output = program.run_with_input(arguments, input);
        assert_eq!(output.exit_code, 0, "{output:?}");
        output.stdout
    };
    let event = |action: &str, id: &str, details: Value| json!([action, "cli", "system cli", "-", id, details]);
    for bulk in [false, true] {
        let name = if bulk { "by hand, many" } else { "by hand" };
        let created = done(&["token", "create", name, "--output", "json"], "");
        let created: Value = serde_json::from_str(&created).unwrap();
        scenario.value(&created);
        let id = string(&created["id"]);
        let described = described(name, &[MODIFY, READ]);
        scenario.assert_recorded(
            "tokenbridge token create",
            &event("token.created", &id, described.clone()),
        );
        let rotated = done(&["token", "rotate", &id, "--output", "json"], "");
        scenario.value(&serde_json::from_str(&rotated).unwrap());
        scenario.assert_recorded("tokenbridge token rotate", &event("token.rotated", &id, grace(0)));
        let arguments = if bulk {
            &["token", "delete", "--name", name, "--expected", "1"][..]
        } else {
            &["token", "delete", &id]
        };
        done(arguments, "");
        scenario.assert_recorded(
            &format!("tokenbridge token delete{}", if bulk { " --name" } else { "" }),
            &event("token.deleted", &id, described),
        );
    }
    let uuid = "11111111-1111-4111-8111-111111111111";
    let list = |name: &str| json!([{ "uuid": uuid, "name": name, "read": true }]).to_string();
    done(&["import", "-"], &list("brought over"));
    let mut came = described("brought over", &[READ]);
    came["source"] = json!("standard input");
    scenario.assert_recorded("tokenbridge import", &event("token.imported", uuid, came));
    done(&["import", "-", "--update"], &list("renamed there"));
    let changed = json!({ "name": { "from": "brought over", "to": "renamed there" }, "source": "standard input" });
    scenario.assert_recorded("tokenbridge import --update", &event("token.imported", uuid, changed));
    let ops = json!({ "admin": "ops" });
    let changed = json!({ "admin": "ops", "role": { "from": "admin", "to": "auditor" } });
    for (arguments, password, action, details) in [
        (
            &["admin", "add", "ops", "--password-stdin"][..],
            "a pass-word of ops",
            "admin.added",
            &json!({ "admin": "ops", "role": "admin" }),
        ),
        (
            &["admin", "passwd", "ops", "--password-stdin"],
            "another one of ops",
            "admin.password-changed",
            &ops,
        ),
        (&["admin", "role", "ops", "auditor"], "", "admin.role-changed", &changed),
        (&["admin", "remove", "ops"], "", "admin.removed", &ops),
    ] {
        done(arguments, password);
        if !password.is_empty() {
            scenario.secrets.push(password.to_owned());
        }
        scenario.assert_recorded(
            &format!("tokenbridge {}", arguments[..2].join(" ")),
            &event(action, "-", details.clone()),
        );
    }
}

/// No value, password or hash is in any column of any event.
fn assert_no_secret_is_stored(scenario: &AuditScenario<'_>) {
    let hashes = match scenario.env.kind {
        StoreKind::Sqlite => "SELECT lower(hex(value_hash)) AS found FROM tokens WHERE value_hash IS NOT NULL",
        StoreKind::Postgres => "SELECT encode(value_hash, 'hex') AS found FROM tokens WHERE value_hash IS NOT NULL",
    };
    let mut secrets = scenario.env.store.texts(hashes);
    secrets.extend(scenario.env.store.texts("SELECT password_hash AS found FROM admins"));
    secrets.extend(scenario.secrets.iter().cloned());
    assert!(secrets.len() > 15, "{}", secrets.len());
    let rows = scenario.env.store.texts(
        "SELECT at || ' ' || coalesce(actor_type, '') || ' ' || coalesce(actor_id, '') || ' ' || channel || ' ' || coalesce(client, '')
             || ' ' || action || ' ' || coalesce(token_id, '') || ' ' || details AS found FROM audit_events",
    );
    for row in &rows {
        let leaked = secrets.iter().find(|secret| row.contains(secret.as_str()));
        assert_eq!(leaked, None, "{row}");
        assert!(!row.contains("tbk_") && !row.contains("$argon2"), "{row}");
    }
}
