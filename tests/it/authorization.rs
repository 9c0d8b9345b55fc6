//! Who may do what: caller × permissions × operation × target, as a table.

use std::io::{Read as _, Write as _};

use serde_json::{Value, json};

use crate::{
    support::{
        MODIFY, READ, TestApp, TestEnv,
        client::{Auth, TOKENS, string},
    },
    tests,
};

tests![
    the_permission_matrix_is_enforced,
    a_token_cannot_grant_permissions_that_it_lacks,
    a_token_cannot_grant_wider_networks,
    a_token_cannot_grant_a_later_expiry,
    a_caller_revoked_during_its_request_changes_nothing,
    a_value_rotates_itself_once,
    tokens_that_change_each_other_do_not_deadlock,
];

fn a_token_cannot_grant_a_later_expiry(env: &TestEnv) {
    let app = env.app();
    let both = [READ, MODIFY];
    let own = env.clock.seconds_from_now(100);
    let (id, value) = app.new_token(&json!({ "name": "n", "permissions": both, "expiresAt": own }));
    let auth = Auth::Key(&value);
    let (endless, _) = app.new_token(&json!({ "name": "n", "permissions": [] }));
    let later = env.clock.seconds_from_now(101);
    let created = app.post(TOKENS, auth, &json!({ "name": "made" })).expect(200).json();
    assert_eq!(created["expiresAt"], own);
    let short = app.post(
        TOKENS,
        auth,
        &json!({ "name": "short", "expiresAt": env.clock.seconds_from_now(50) }),
    );
    let short = string(&short.expect(200).json()["id"]);
    for expiry in [json!(null), json!(later)] {
        let body = json!({ "name": "n", "expiresAt": expiry });
        let refused = app.post(TOKENS, auth, &body).expect(403);
        assert_eq!(
            refused.message(),
            format!("expiresAt must not be later than the caller's own: {own}")
        );
        for target in [&short, &id] {
            let place = format!("{TOKENS}/{target}");
            app.post(&place, auth, &body).expect(403);
            app.post(&format!("{place}/rotate"), auth, &json!({ "expiresAt": expiry }))
                .expect(403);
        }
    }
    for target in [&short, &endless] {
        let place = format!("{TOKENS}/{target}");
        app.post(&place, auth, &json!({ "name": "renamed" })).expect(200);
        app.post(&format!("{place}/rotate"), auth, &json!({})).expect(200);
        app.post(&place, auth, &json!({ "expiresAt": own })).expect(200);
    }
    let rotated = app.post(
        "/public/graphql",
        auth,
        &json!({ "query": "mutation { rotateAPIToken { token { value expiresAt } } }" }),
    );
    let rotated = &rotated.expect(200).json()["data"]["rotateAPIToken"]["token"];
    assert_eq!(rotated["expiresAt"], own);
    let auth = string(&rotated["value"]);
    app.post(TOKENS, Auth::Key(&auth), &json!({ "name": "n", "expiresAt": null }))
        .expect(403);
    // Admins are exempt.
    app.post(TOKENS, Auth::Admin, &json!({ "name": "n", "expiresAt": null }))
        .expect(200);
}

/// Creates a token with these permissions and CIDR blocks.
fn token(app: &TestApp, permissions: &[&str], blocks: &[&str]) -> (String, String) {
    app.new_token(&json!({ "name": "n", "permissions": permissions, "allowedCIDRBlocks": blocks }))
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operation {
    List,
    Read,
    Create,
    Update,
    Rotate,
    Delete,
}

use Operation::{Create, Delete, List, Read, Rotate, Update};

fn attempt(app: &TestApp, auth: Auth<'_>, operation: Operation, target: &str) -> u16 {
    let place = format!("{TOKENS}/{target}");
    match operation {
        List => app.get(TOKENS, auth),
        Read => app.get(&place, auth),
        Create => app.post(TOKENS, auth, &json!({ "name": "made", "permissions": [] })),
        Update => app.post(&place, auth, &json!({ "name": "renamed" })),
        Rotate => app.post(&format!("{place}/rotate"), auth, &json!({})),
        Delete => app.delete(&place, auth),
    }
    .status
}

/// A token's permissions, or `None` for an admin; then, by operation, the expected statuses for `self`, for the caller
/// by its ID, and for another token without permissions.
type MatrixRow = (Option<&'static [&'static str]>, [(Operation, [u16; 3]); 6]);

const MATRIX: &[MatrixRow] = &[
    (
        None,
        [
            (List, [200, 200, 200]),
            (Read, [400, 200, 200]),
            (Create, [200, 200, 200]),
            (Update, [400, 200, 200]),
            (Rotate, [400, 200, 200]),
            (Delete, [400, 204, 204]),
        ],
    ),
    (
        Some(&[]),
        [
            (List, [403, 403, 403]),
            (Read, [200, 200, 403]),
            (Create, [403, 403, 403]),
            (Update, [403, 403, 403]),
            (Rotate, [200, 200, 403]),
            (Delete, [403, 403, 403]),
        ],
    ),
    (
        Some(&[READ]),
        [
            (List, [200, 200, 200]),
            (Read, [200, 200, 200]),
            (Create, [403, 403, 403]),
            (Update, [403, 403, 403]),
            (Rotate, [200, 200, 403]),
            (Delete, [403, 403, 403]),
        ],
    ),
    (
        Some(&[MODIFY]),
        [
            (List, [403, 403, 403]),
            (Read, [200, 200, 403]),
            (Create, [200, 200, 200]),
            (Update, [200, 200, 200]),
            (Rotate, [200, 200, 200]),
            (Delete, [204, 204, 204]),
        ],
    ),
    (
        Some(&[MODIFY, READ]),
        [
            (List, [200, 200, 200]),
            (Read, [200, 200, 200]),
            (Create, [200, 200, 200]),
            (Update, [200, 200, 200]),
            (Rotate, [200, 200, 200]),
            (Delete, [204, 204, 204]),
        ],
    ),
    (
        Some(&["UserModify", "AlertRead"]),
        [
            (List, [403, 403, 403]),
            (Read, [200, 200, 403]),
            (Create, [403, 403, 403]),
            (Update, [403, 403, 403]),
            (Rotate, [200, 200, 403]),
            (Delete, [403, 403, 403]),
        ],
    ),
];

fn the_permission_matrix_is_enforced(env: &TestEnv) {
    let app = env.app();
    for (permissions, operations) in MATRIX {
        for (operation, expected) in operations {
            for (column, expected) in expected.iter().enumerate() {
                let (own_id, value) = token(&app, permissions.unwrap_or(&[]), &[]);
                let (other_id, _) = token(&app, &[], &[]);
                let auth = if permissions.is_some() {
                    Auth::Key(&value)
                } else {
                    Auth::Admin
                };
                let target = ["self", &own_id, &other_id][column];
                let status = attempt(&app, auth, *operation, target);
                assert_eq!(status, *expected, "{permissions:?} {operation:?} column {column}");
            }
        }
    }
    // Missing and unknown credentials are refused; only authorized callers see that a token does not exist.
    let unknown = "7ba167aa-631c-4771-b197-fcb459cc7fd7";
    let (_, nothing) = token(&app, &[], &[]);
    let (id, everything) = token(&app, &[MODIFY, READ], &[]);
    for operation in [List, Read, Create, Update, Rotate, Delete] {
        assert_eq!(attempt(&app, Auth::Anonymous, operation, &id), 401);
        assert_eq!(
            attempt(&app, Auth::Key(&id), operation, &id),
            401,
            "a uuid is no credential"
        );
        if ![List, Create].contains(&operation) {
            assert_eq!(attempt(&app, Auth::Key(&nothing), operation, unknown), 403);
            assert_eq!(attempt(&app, Auth::Key(&everything), operation, unknown), 404);
            assert_eq!(attempt(&app, Auth::Admin, operation, unknown), 404);
        }
    }
    let refused = app.get(TOKENS, Auth::Key(&nothing)).expect(403);
    assert_eq!(
        refused.message(),
        "this request requires the permission OrganizationAPITokenRead (Read API Token Info)"
    );
}

fn a_token_cannot_grant_permissions_that_it_lacks(env: &TestEnv) {
    let app = env.app();
    let (_, maker) = token(&app, &[MODIFY, "AlertRead"], &[]);
    let auth = Auth::Key(&maker);
    let created = |permissions: Value| app.post(TOKENS, auth, &json!({ "name": "n", "permissions": permissions }));
    let child = string(&created(json!(["AlertRead"])).expect(200).json()["id"]);
    let refused = created(json!(["AlertRead", "UserModify", READ])).expect(403);
    assert_eq!(
        refused.message(),
        "a token can grant only permissions that it holds; the calling token lacks OrganizationAPITokenRead UserModify"
    );
    for target in [&child, "self"] {
        app.post(
            &format!("{TOKENS}/{target}"),
            auth,
            &json!({ "permissions": [MODIFY, READ] }),
        )
        .expect(403);
    }
    let (stronger, _) = token(&app, &[MODIFY, "AlertRead", "BulkUpload"], &[]);
    for operation in [Update, Rotate, Delete] {
        assert_eq!(attempt(&app, auth, operation, &stronger), 403, "{operation:?}");
        assert_eq!(
            attempt(&app, auth, operation, &child),
            if operation == Delete { 204 } else { 200 }
        );
    }
}

fn a_token_cannot_grant_wider_networks(env: &TestEnv) {
    let app = env.app();
    let (_, maker) = token(&app, &[MODIFY], &["127.0.0.0/9", "127.128.0.0/9"]);
    let auth = Auth::Key(&maker);
    let created = |blocks: Value| {
        app.post(
            TOKENS,
            auth,
            &json!({ "name": "n", "permissions": [], "allowedCIDRBlocks": blocks }),
        )
    };
    let child = string(&created(json!(["127.0.0.0/8"])).expect(200).json()["id"]);
    for wider in [
        json!([]),
        json!(["0.0.0.0/0"]),
        json!(["127.0.0.1/32", "10.0.0.0/8"]),
        json!(["::/0"]),
    ] {
        let message = created(wider.clone()).expect(403).message();
        assert_eq!(
            message,
            "allowedCIDRBlocks must lie within the caller's own: 127.0.0.0/9 127.128.0.0/9"
        );
        for target in [&child, "self"] {
            app.post(
                &format!("{TOKENS}/{target}"),
                auth,
                &json!({ "allowedCIDRBlocks": wider }),
            )
            .expect(403);
        }
    }
    for blocks in [&[][..], &["10.0.0.0/8"]] {
        let (elsewhere, _) = token(&app, &[], blocks);
        for operation in [Update, Rotate, Delete] {
            assert_eq!(
                attempt(&app, auth, operation, &elsewhere),
                403,
                "{operation:?} {blocks:?}"
            );
        }
    }
    assert_eq!(attempt(&app, auth, Delete, &child), 204);
}

/// A caller is authenticated before the body is read. If it is revoked while the body arrives, the request must change
/// nothing.
fn a_caller_revoked_during_its_request_changes_nothing(env: &TestEnv) {
    let app = env.app();
    let revocations: [(&str, u16, Option<Value>); 6] = [
        ("nothing", 200, None),
        ("delete", 401, None),
        ("rotate", 401, None),
        ("network", 401, Some(json!({ "allowedCIDRBlocks": ["10.0.0.0/8"] }))),
        ("permission", 403, Some(json!({ "permissions": [READ] }))),
        (
            "expiry",
            401,
            Some(json!({ "expiresAt": env.clock.seconds_from_now(6) })),
        ),
    ];
    for (what, status, update) in revocations {
        let (id, value) = token(&app, &[MODIFY], &[]);
        let place = format!("{TOKENS}/{id}");
        let body = format!(r#"{{"name":"too late: {what}"}}"#);
        let mut slow = app.connect();
        let head = format!(
            "POST {TOKENS} HTTP/1.1\r\nHost: x\r\nX-API-Key: {value}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{{",
            body.len()
        );
        slow.write_all(head.as_bytes()).unwrap();
        crate::support::wait_until("the caller is authenticated", || {
            app.get(&place, Auth::Admin).json().get("lastUsedAt").cloned()
        });
        match (what, update) {
            ("delete", _) => drop(app.delete(&place, Auth::Admin).expect(204)),
            ("rotate", _) => drop(
                app.post(&format!("{place}/rotate"), Auth::Admin, &json!({}))
                    .expect(200),
            ),
            (_, Some(update)) => drop(app.post(&place, Auth::Admin, &update).expect(200)),
            (_, None) => {}
        }
        env.clock.advance(std::time::Duration::from_secs(1));
        slow.write_all(&body.as_bytes()[1..]).unwrap();
        let mut response = String::new();
        slow.read_to_string(&mut response).unwrap();
        assert!(
            response.starts_with(&format!("HTTP/1.1 {status} ")),
            "{what}: {response}"
        );
    }
    let created = app.get(&format!("{TOKENS}?name=too+late"), Auth::Admin).json();
    assert_eq!(created["results"].as_array().unwrap().len(), 1);
}

/// The first rotation revokes the value; concurrent ones get 401.
fn a_value_rotates_itself_once(env: &TestEnv) {
    let apps = [env.app(), env.app()];
    for _ in 0..10 {
        let (_, value) = token(&apps[0], &[], &[]);
        let rotated = std::thread::scope(|scope| {
            let (apps, value) = (&apps, &value);
            let rotate =
                move |n: usize| apps[n % 2].post(&format!("{TOKENS}/self/rotate"), Auth::Key(value), &json!({}));
            let threads: Vec<_> = (0..8).map(|n| scope.spawn(move || rotate(n))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect::<Vec<_>>()
        });
        let mut statuses: Vec<u16> = rotated.iter().map(|response| response.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 401, 401, 401, 401, 401, 401, 401]);
        let won = rotated.iter().find(|response| response.status == 200).unwrap();
        let new = string(&won.json()["value"]);
        apps[0].get(&format!("{TOKENS}/self"), Auth::Key(&new)).expect(200);
    }
}

/// Two tokens that rotate each other concurrently take locks in the same order, and never deadlock.
fn tokens_that_change_each_other_do_not_deadlock(env: &TestEnv) {
    let apps = [env.app(), env.app()];
    for _ in 0..10 {
        let pair = [token(&apps[0], &[MODIFY], &[]), token(&apps[0], &[MODIFY], &[])];
        let statuses = std::thread::scope(|scope| {
            let (apps, pair) = (&apps, &pair);
            let rename = move |n: usize| {
                let (_, value) = &pair[n % 2];
                let (other, _) = &pair[(n + 1) % 2];
                apps[n % 2]
                    .post(&format!("{TOKENS}/{other}"), Auth::Key(value), &json!({ "name": "m" }))
                    .status
            };
            let threads: Vec<_> = (0..8).map(|n| scope.spawn(move || rename(n))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect::<Vec<_>>()
        });
        assert_eq!(statuses, [200; 8]);
    }
}
