//! Audit events: one for every change, in its transaction, and for every refused login.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    support::{
        ADMIN, Lab, TestApp,
        client::{As, LEGACY, LEGACY_PRE_15, TOKENS, string},
        program::Program,
        store::Kind,
    },
    tests,
};

tests![every_change_is_remembered, refused_logins_are_counted];

/// The events: action, door, actor, token, what changed.
fn events(lab: &Lab) -> Vec<Value> {
    let rows = lab.store.texts(
        "SELECT action || '|' || door || '|' || coalesce(actor_type || ' ' || actor_id, '-') || '|' || coalesce(client, '-') || '|'
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

/// Walks every way in, and looks at the events as they come.
struct Walk<'l> {
    lab: &'l Lab,
    seen: usize,
    /// What must be in no event.
    secrets: Vec<String>,
}

impl Walk<'_> {
    /// What was just done has left exactly this event: action, door, actor, client, token, details.
    #[track_caller]
    fn left(&mut self, what: &str, expected: &Value) {
        let new = events(self.lab).split_off(self.seen);
        assert_eq!(Value::Array(new), json!([expected]), "{what}");
        self.seen += 1;
        println!("{what:45} {expected}");
    }

    /// The value of a token that has just got one.
    fn value(&mut self, answer: &Value) -> String {
        let value = string(&answer["value"]);
        self.secrets.push(value.clone());
        value
    }
}

const NOBODY: &str = "7ba167aa-631c-4771-b197-fcb459cc7fd7";
const READ: &str = "OrganizationAPITokenRead";
const MODIFY: &str = "OrganizationAPITokenModify";
const HERE: &str = "127.0.0.1";

fn described(name: &str, permissions: &[&str]) -> Value {
    json!({ "name": name, "permissions": permissions, "allowedCIDRBlocks": [], "expiresAt": null })
}

fn grace(seconds: u32) -> Value {
    json!({ "gracePeriodSeconds": seconds })
}

fn every_change_is_remembered(lab: &Lab) {
    let app = lab.app();
    let mut walk = Walk {
        lab,
        seen: events(lab).len(),
        secrets: vec![ADMIN.1.to_owned()],
    };
    by_the_legacy_api(&mut walk, &app);
    by_the_new_api(&mut walk, &app);
    by_graphql(&mut walk, &app);
    by_the_command_line(&mut walk);
    // What is refused or changes nothing is no change.
    app.delete(&format!("{TOKENS}/{NOBODY}"), As::Admin).expect(404);
    app.post(LEGACY, As::Admin, &json!({})).expect(400);
    app.delete(&format!("{TOKENS}?name=nobody&expected=0"), As::Admin)
        .expect(200);
    app.delete(&format!("{TOKENS}?state=active&expected=999"), As::Admin)
        .expect(409);
    assert_eq!(events(lab).len(), walk.seen);
    by_strangers(&mut walk, app);
    no_secret_is_kept(&walk);
}

fn by_the_legacy_api(walk: &mut Walk<'_>, app: &TestApp) {
    for (prefix, door) in [
        (LEGACY, "legacy-1.0"),
        ("/rest/agent-config/latest/tokens", "legacy-1.0"),
        (LEGACY_PRE_15, "legacy-pre-1.5"),
        ("/rest/agent/latest/tokens", "legacy-pre-1.5"),
    ] {
        let made = app.post(prefix, As::Admin, &json!({ "name": "n", "read": true }));
        let uuid = string(&made.expect(200).json()["uuid"]);
        let event = |action: &str, details: Value| json!([action, door, "user admin", HERE, uuid, details]);
        walk.left(
            &format!("POST {prefix}"),
            &event("token.created", described("n", &[READ])),
        );
        app.put(&format!("{prefix}/{uuid}"), As::Admin, &json!({ "change": true }))
            .expect(200);
        let change = json!({ "permissions": { "from": [READ], "to": [MODIFY, READ] } });
        walk.left(&format!("PUT {prefix}/…"), &event("token.updated", change));
        app.delete(&format!("{prefix}/{uuid}"), As::Admin).expect(204);
        let gone = described("n", &[MODIFY, READ]);
        walk.left(&format!("DELETE {prefix}/…"), &event("token.deleted", gone));
    }
}

fn by_the_new_api(walk: &mut Walk<'_>, app: &TestApp) {
    let body = json!({ "name": "maker", "permissions": [MODIFY, READ] });
    let made = app.post(TOKENS, As::Admin, &body).expect(200).json();
    let (maker, maker_value) = (string(&made["id"]), walk.value(&made));
    let of_maker = json!([
        "token.created",
        "api-tokens",
        "user admin",
        HERE,
        maker,
        described("maker", &[MODIFY, READ])
    ]);
    walk.left("POST /api-tokens", &of_maker);
    // Each by an admin, and by a token.
    for (who, actor) in [
        (As::Admin, "user admin".to_owned()),
        (As::Key(&maker_value), format!("api-token {maker}")),
    ] {
        let body = json!({ "name": "child", "permissions": [] });
        let made = app.post(TOKENS, who, &body).expect(200).json();
        let (id, value) = (string(&made["id"]), walk.value(&made));
        let event = |action: &str, details: Value| json!([action, "api-tokens", actor, HERE, id, details]);
        let by = |call: &str| format!("{call}, {}", actor.split(' ').next().unwrap());
        walk.left(
            &by("POST /api-tokens"),
            &event("token.created", described("child", &[])),
        );
        let place = format!("{TOKENS}/{id}");
        let until = walk.lab.clock.in_seconds(3600);
        let changes = json!({ "name": "m", "allowedCIDRBlocks": ["127.0.0.0/8"], "expiresAt": until });
        app.post(&place, who, &changes).expect(200);
        let change = json!({
            "name": { "from": "child", "to": "m" }, "expiresAt": { "from": null, "to": until },
            "allowedCIDRBlocks": { "from": [], "to": ["127.0.0.0/8"] },
        });
        walk.left(&by("POST /api-tokens/{id}"), &event("token.updated", change));
        let rotated = app.post(&format!("{TOKENS}/self/rotate"), As::Key(&value), &json!({}));
        walk.value(&rotated.expect(200).json());
        let itself = format!("api-token {id}");
        let by_itself = json!(["token.rotated", "api-tokens", itself, HERE, id, grace(0)]);
        walk.left("POST /api-tokens/self/rotate", &by_itself);
        let rotated = app.post(&format!("{place}/rotate"), who, &grace(5)).expect(200).json();
        let value = walk.value(&rotated);
        walk.left(&by("POST /api-tokens/{id}/rotate"), &event("token.rotated", grace(5)));
        app.get(&format!("{TOKENS}/self"), As::Key(&value)).expect(200);
        app.delete(&place, who).expect(204);
        let mut gone = described("m", &[]);
        gone["allowedCIDRBlocks"] = json!(["127.0.0.0/8"]);
        gone["expiresAt"] = json!(until);
        walk.left(&by("DELETE /api-tokens/{id}"), &event("token.deleted", gone));
        let body = json!({ "name": "one of many", "permissions": [] });
        let made = app.post(TOKENS, who, &body).expect(200).json();
        walk.value(&made);
        let event = |action: &str| {
            let details = described("one of many", &[]);
            json!([action, "api-tokens", actor, HERE, made["id"], details])
        };
        walk.left(&by("POST /api-tokens"), &event("token.created"));
        app.delete(&format!("{TOKENS}?name=one+of&expected=1"), who).expect(200);
        walk.left(&by("DELETE /api-tokens?name=…"), &event("token.deleted"));
    }
}

fn by_graphql(walk: &mut Walk<'_>, app: &TestApp) {
    let body = json!({ "name": "g", "permissions": [READ] });
    let made = app.post(TOKENS, As::Admin, &body).expect(200).json();
    let (id, value) = (string(&made["id"]), walk.value(&made));
    walk.seen += 1;
    let query = json!({ "query": "mutation { rotateAPIToken { token { value } } }" });
    let rotated = app.post("/public/graphql", As::Key(&value), &query).expect(200).json();
    walk.value(&rotated["data"]["rotateAPIToken"]["token"]);
    let actor = format!("api-token {id}");
    walk.left(
        "mutation rotateAPIToken",
        &json!(["token.rotated", "graphql", actor, HERE, id, grace(0)]),
    );
}

fn by_the_command_line(walk: &mut Walk<'_>) {
    let program = Program::new(&walk.lab.store.url());
    let done = |arguments: &[&str], input: &str| {
        let ended = program.run_with_input(arguments, input);
        assert_eq!(ended.code, 0, "{ended:?}");
        ended.out
    };
    let event = |action: &str, id: &str, details: Value| json!([action, "cli", "system cli", "-", id, details]);
    for bulk in [false, true] {
        let name = if bulk { "by hand, many" } else { "by hand" };
        let made = done(&["token", "create", name, "--output", "json"], "");
        let made: Value = serde_json::from_str(&made).unwrap();
        walk.value(&made);
        let id = string(&made["id"]);
        let described = described(name, &[MODIFY, READ]);
        walk.left(
            "tokenbridge token create",
            &event("token.created", &id, described.clone()),
        );
        let rotated = done(&["token", "rotate", &id, "--output", "json"], "");
        walk.value(&serde_json::from_str(&rotated).unwrap());
        walk.left("tokenbridge token rotate", &event("token.rotated", &id, grace(0)));
        let arguments = if bulk {
            &["token", "delete", "--name", name, "--expected", "1"][..]
        } else {
            &["token", "delete", &id]
        };
        done(arguments, "");
        walk.left(
            &format!("tokenbridge token delete{}", if bulk { " --name" } else { "" }),
            &event("token.deleted", &id, described),
        );
    }
    let uuid = "11111111-1111-4111-8111-111111111111";
    let list = |name: &str| json!([{ "uuid": uuid, "name": name, "read": true }]).to_string();
    done(&["import", "-"], &list("brought over"));
    let mut came = described("brought over", &[READ]);
    came["source"] = json!("standard input");
    walk.left("tokenbridge import", &event("token.imported", uuid, came));
    done(&["import", "-", "--update"], &list("renamed there"));
    let changed = json!({ "name": { "from": "brought over", "to": "renamed there" }, "source": "standard input" });
    walk.left("tokenbridge import --update", &event("token.imported", uuid, changed));
    let ops = json!({ "admin": "ops" });
    for (arguments, password, action) in [
        (
            &["admin", "add", "ops", "--password-stdin"][..],
            "a pass-word of ops",
            "admin.added",
        ),
        (
            &["admin", "passwd", "ops", "--password-stdin"],
            "another one of ops",
            "admin.password-changed",
        ),
        (&["admin", "remove", "ops"], "", "admin.removed"),
    ] {
        done(arguments, password);
        if !password.is_empty() {
            walk.secrets.push(password.to_owned());
        }
        walk.left(
            &format!("tokenbridge {}", arguments[..2].join(" ")),
            &event(action, "-", ops.clone()),
        );
    }
}

/// Refused logins of each kind at each door: one event each, written when the server stops at the latest.
fn by_strangers(walk: &mut Walk<'_>, app: TestApp) {
    let lab = walk.lab;
    let elsewhere = json!({ "name": "elsewhere", "allowedCIDRBlocks": ["192.0.2.0/24"] });
    let (elsewhere, of_elsewhere) = app.new_token(&elsewhere);
    let (late, of_late) = app.new_token(&json!({ "name": "late", "expiresAt": lab.clock.in_seconds(1) }));
    lab.clock.advance(Duration::from_secs(2));
    walk.seen += 2;
    let (wrong, wrong_password, stranger) = ("tbk_a wrong value", "a wrong pass-word", "a stranger's pass-word");
    let secrets = [of_elsewhere.as_str(), &of_late, wrong, wrong_password, stranger];
    walk.secrets.extend(secrets.map(str::to_owned));
    let mut expected = Vec::new();
    let mut refused = |door: &str, path: &str, who: As<'_>, token: &str, admin: Value, reason: &str| {
        app.get(path, who).expect(401);
        let details = json!({ "reason": reason, "admin": admin, "count": 1 });
        expected.push(json!(["login.refused", door, "-", HERE, token, details]));
    };
    let password = "the user name or the password is wrong";
    for (door, path) in [
        ("legacy-1.0", LEGACY),
        ("legacy-pre-1.5", LEGACY_PRE_15),
        ("api-tokens", "/audit-events"),
    ] {
        refused(
            door,
            path,
            As::Basic(ADMIN.0, wrong_password),
            "-",
            json!(ADMIN.0),
            password,
        );
        refused(door, path, As::Basic(stranger, "x"), "-", Value::Null, password);
    }
    for (door, path) in [("api-tokens", TOKENS), ("verify", "/verify")] {
        let (network, expired) = (
            "the API key may not be used from this address",
            "the API key has expired",
        );
        refused(door, path, As::Key(wrong), "-", Value::Null, "the API key is not valid");
        refused(door, path, As::Key(&of_elsewhere), &elsewhere, Value::Null, network);
        refused(door, path, As::Key(&of_late), &late, Value::Null, expired);
    }
    app.post("/public/graphql", As::Key(wrong), &json!({ "query": "{ __typename }" }))
        .expect(401);
    let details = json!({ "reason": "the API key is not valid", "admin": null, "count": 1 });
    expected.push(json!(["login.refused", "graphql", "-", HERE, "-", details]));
    app.stop();
    let mut written = events(lab).split_off(walk.seen);
    written.sort_by_key(ToString::to_string);
    expected.sort_by_key(ToString::to_string);
    assert_eq!(written, expected);
    for event in written {
        println!("{:45} {event}", "a refused login");
    }
}

/// No value, password or hash is in any column of any event.
fn no_secret_is_kept(walk: &Walk<'_>) {
    let hashes = match walk.lab.kind {
        Kind::Sqlite => "SELECT lower(hex(value_hash)) AS found FROM tokens WHERE value_hash IS NOT NULL",
        Kind::Postgres => "SELECT encode(value_hash, 'hex') AS found FROM tokens WHERE value_hash IS NOT NULL",
    };
    let mut secrets = walk.lab.store.texts(hashes);
    secrets.extend(walk.lab.store.texts("SELECT password_hash AS found FROM admins"));
    secrets.extend(walk.secrets.iter().cloned());
    assert!(secrets.len() > 15, "{}", secrets.len());
    let rows = walk.lab.store.texts(
        "SELECT at || ' ' || coalesce(actor_type, '') || ' ' || coalesce(actor_id, '') || ' ' || door || ' ' || coalesce(client, '')
             || ' ' || action || ' ' || coalesce(token_id, '') || ' ' || details AS found FROM audit_events",
    );
    for row in &rows {
        let told = secrets.iter().find(|secret| row.contains(secret.as_str()));
        assert_eq!(told, None, "{row}");
        assert!(!row.contains("tbk_") && !row.contains("$argon2"), "{row}");
    }
}

fn refused_logins_are_counted(lab: &Lab) {
    let app = lab.app();
    let before = events(lab).len();
    let (id, value) = app.new_token(&json!({ "name": "n", "allowedCIDRBlocks": ["192.0.2.0/24"] }));
    for _ in 0..3 {
        app.get(LEGACY, As::Basic("admin", "wrong")).expect(401);
    }
    app.get(TOKENS, As::Basic("a stranger", "wrong")).expect(401);
    app.get(TOKENS, As::Key("nonsense")).expect(401);
    app.get(TOKENS, As::Key(&value)).expect(401);
    app.stop();
    let mut refused = events(lab).split_off(before + 1);
    refused.sort_by_key(ToString::to_string);
    // Three that are alike may be written as one event or, when a batch ended between them, as more.
    let total = |door: &str, token: &str, admin: Value, reason: &str| -> u64 {
        let alike = |event: &&Value| {
            event[1] == door && event[4] == token && event[5]["admin"] == admin && event[5]["reason"] == reason
        };
        refused
            .iter()
            .filter(alike)
            .map(|event| event[5]["count"].as_u64().unwrap())
            .sum()
    };
    let wrong = "the user name or the password is wrong";
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
