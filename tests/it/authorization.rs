//! Who may do what: caller × permissions × operation × target, as a table.

use serde_json::{Value, json};

use crate::{
    support::{
        Lab, TestApp,
        client::{As, TOKENS, string},
    },
    tests,
};

tests![
    the_matrix,
    nobody_gives_more_than_they_have,
    nobody_leaves_their_network,
    what_was_revoked_meanwhile_does_nothing
];

const READ: &str = "OrganizationAPITokenRead";
const MODIFY: &str = "OrganizationAPITokenModify";

/// Makes a fresh token of these permissions and blocks.
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

fn attempt(app: &TestApp, who: As<'_>, operation: Operation, target: &str) -> u16 {
    let place = format!("{TOKENS}/{target}");
    match operation {
        List => app.get(TOKENS, who),
        Read => app.get(&place, who),
        Create => app.post(TOKENS, who, &json!({ "name": "made", "permissions": [] })),
        Update => app.post(&place, who, &json!({ "name": "renamed" })),
        Rotate => app.post(&format!("{place}/rotate"), who, &json!({})),
        Delete => app.delete(&place, who),
    }
    .status
}

/// A caller that holds these permissions, or an admin; then per operation what it gets for itself by `self`, for itself by its id,
/// and for another token that holds nothing.
type Row = (Option<&'static [&'static str]>, [(Operation, [u16; 3]); 6]);

const MATRIX: &[Row] = &[
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

fn the_matrix(lab: &Lab) {
    let app = lab.app();
    for (permissions, operations) in MATRIX {
        for (operation, expected) in operations {
            for (column, expected) in expected.iter().enumerate() {
                let (own_id, value) = token(&app, permissions.unwrap_or(&[]), &[]);
                let (other_id, _) = token(&app, &[], &[]);
                let who = if permissions.is_some() {
                    As::Key(&value)
                } else {
                    As::Admin
                };
                let target = ["self", &own_id, &other_id][column];
                let status = attempt(&app, who, *operation, target);
                assert_eq!(status, *expected, "{permissions:?} {operation:?} column {column}");
            }
        }
    }
    // Nobody, and those whom nobody knows, get nowhere; what does not exist is told only to those who may know.
    let unknown = "7ba167aa-631c-4771-b197-fcb459cc7fd7";
    let (_, nothing) = token(&app, &[], &[]);
    let (id, everything) = token(&app, &[MODIFY, READ], &[]);
    for operation in [List, Read, Create, Update, Rotate, Delete] {
        assert_eq!(attempt(&app, As::Nobody, operation, &id), 401);
        assert_eq!(
            attempt(&app, As::Key(&id), operation, &id),
            401,
            "a uuid is no credential"
        );
        if ![List, Create].contains(&operation) {
            assert_eq!(attempt(&app, As::Key(&nothing), operation, unknown), 403);
            assert_eq!(attempt(&app, As::Key(&everything), operation, unknown), 404);
            assert_eq!(attempt(&app, As::Admin, operation, unknown), 404);
        }
    }
    let refused = app.get(TOKENS, As::Key(&nothing)).expect(403);
    assert_eq!(
        refused.message(),
        "this needs the permission OrganizationAPITokenRead (Read API Token Info)"
    );
}

fn nobody_gives_more_than_they_have(lab: &Lab) {
    let app = lab.app();
    let (_, maker) = token(&app, &[MODIFY, "AlertRead"], &[]);
    let who = As::Key(&maker);
    let made = |permissions: Value| app.post(TOKENS, who, &json!({ "name": "n", "permissions": permissions }));
    let child = string(&made(json!(["AlertRead"])).expect(200).json()["id"]);
    let refused = made(json!(["AlertRead", "UserModify", READ])).expect(403);
    assert_eq!(
        refused.message(),
        "a token grants only permissions that it holds; this one lacks OrganizationAPITokenRead UserModify"
    );
    for target in [&child, "self"] {
        app.post(
            &format!("{TOKENS}/{target}"),
            who,
            &json!({ "permissions": [MODIFY, READ] }),
        )
        .expect(403);
    }
    let (stronger, _) = token(&app, &[MODIFY, "AlertRead", "BulkUpload"], &[]);
    for operation in [Update, Rotate, Delete] {
        assert_eq!(attempt(&app, who, operation, &stronger), 403, "{operation:?}");
        assert_eq!(
            attempt(&app, who, operation, &child),
            if operation == Delete { 204 } else { 200 }
        );
    }
}

fn nobody_leaves_their_network(lab: &Lab) {
    let app = lab.app();
    let (_, maker) = token(&app, &[MODIFY], &["127.0.0.0/9", "127.128.0.0/9"]);
    let who = As::Key(&maker);
    let made = |blocks: Value| {
        app.post(
            TOKENS,
            who,
            &json!({ "name": "n", "permissions": [], "allowedCIDRBlocks": blocks }),
        )
    };
    let child = string(&made(json!(["127.0.0.0/8"])).expect(200).json()["id"]);
    for wider in [
        json!([]),
        json!(["0.0.0.0/0"]),
        json!(["127.0.0.1/32", "10.0.0.0/8"]),
        json!(["::/0"]),
    ] {
        let message = made(wider.clone()).expect(403).message();
        assert_eq!(
            message,
            "allowedCIDRBlocks must lie within the caller's own: 127.0.0.0/9 127.128.0.0/9"
        );
        for target in [&child, "self"] {
            app.post(
                &format!("{TOKENS}/{target}"),
                who,
                &json!({ "allowedCIDRBlocks": wider }),
            )
            .expect(403);
        }
    }
    for blocks in [&[][..], &["10.0.0.0/8"]] {
        let (elsewhere, _) = token(&app, &[], blocks);
        for operation in [Update, Rotate, Delete] {
            assert_eq!(
                attempt(&app, who, operation, &elsewhere),
                403,
                "{operation:?} {blocks:?}"
            );
        }
    }
    assert_eq!(attempt(&app, who, Delete, &child), 204);
}

/// A caller is let in before the body is read; a body that comes slowly must not carry a revoked right past the revocation.
fn what_was_revoked_meanwhile_does_nothing(lab: &Lab) {
    use std::io::{Read as _, Write as _};

    let app = lab.app();
    let (id, value) = token(&app, &[MODIFY], &[]);
    let body = r#"{"name":"too late"}"#;
    let mut slow = app.connect();
    let head = format!(
        "POST {TOKENS} HTTP/1.1\r\nHost: x\r\nX-API-Key: {value}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{{",
        body.len()
    );
    slow.write_all(head.as_bytes()).unwrap();
    crate::support::eventually("the caller is let in", || {
        app.get(&format!("{TOKENS}/{id}"), As::Admin)
            .json()
            .get("lastUsedAt")
            .cloned()
    });
    app.delete(&format!("{TOKENS}/{id}"), As::Admin).expect(204);
    slow.write_all(&body.as_bytes()[1..]).unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert_eq!(app.get(TOKENS, As::Admin).json()["results"], json!([]));
}
