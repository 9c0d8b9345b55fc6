//! Text in encodings other than plain UTF-8, as Windows tools write it.

use serde_json::json;

use crate::{
    support::{
        ADMIN, TestEnv,
        client::{Auth, LEGACY, TOKENS, basic},
        program::Program,
    },
    tests,
};

tests![
    byte_order_marks_in_bodies_are_ignored,
    bodies_in_utf_16_are_rejected_by_name,
    imports_accept_windows_encodings,
];

const JSON: (&str, &str) = ("content-type", "application/json");

fn byte_order_marks_in_bodies_are_ignored(env: &TestEnv) {
    let app = env.app();
    let named = "\u{feff}{\"name\":\"n\"}";
    app.send("POST", TOKENS, Auth::Admin, &[JSON], named).expect(200);
    app.send("POST", LEGACY, Auth::Admin, &[JSON], named).expect(200);
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    let query = "\u{feff}{\"query\":\"{ __typename }\"}";
    app.send("POST", "/public/graphql", Auth::Key(&value), &[JSON], query)
        .expect(200);
    let form = ("content-type", "application/x-www-form-urlencoded");
    let token = format!("\u{feff}token={value}");
    let known = app
        .send("POST", "/introspect", Auth::Admin, &[form], &token)
        .expect(200);
    assert_eq!(known.json()["active"], true);
    let rotate = format!("{TOKENS}/{id}/rotate");
    app.send("POST", &rotate, Auth::Admin, &[JSON], "\u{feff}").expect(200);
}

fn utf_16(text: &str, big_endian: bool) -> Vec<u8> {
    let to_bytes = if big_endian { u16::to_be_bytes } else { u16::to_le_bytes };
    text.encode_utf16().flat_map(to_bytes).collect()
}

fn bodies_in_utf_16_are_rejected_by_name(env: &TestEnv) {
    let app = env.app();
    let authorization = basic(ADMIN.0, ADMIN.1);
    for path in [TOKENS, LEGACY] {
        for (mark, big_endian) in [("", false), ("", true), ("\u{feff}", false), ("\u{feff}", true)] {
            let body = utf_16(&format!("{mark}{{\"name\":\"n\"}}"), big_endian);
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let response = app.raw(&[head.as_bytes(), &body].concat());
            assert!(response.starts_with("HTTP/1.1 400 "), "{response}");
            assert!(response.contains("the body is in UTF-16"), "{response}");
        }
    }
}

fn imports_accept_windows_encodings(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    let row = |number: u8| {
        let uuid = format!("2c4ee2ad-7c2c-4f02-8d0c-7ac2da6b0b{number:02}");
        json!({ "uuid": uuid, "name": format!("Büro {number}"), "read": true, "change": false }).to_string()
    };
    let list = format!("[{}]", row(1));
    let wrapped = format!("{{\r\n  \"value\": [{}, {}],\r\n  \"Count\": 2\r\n}}", row(2), row(3));
    let file = env.store.directory.path().join("list.json");
    for (bytes, rows) in [
        (format!("\u{feff}{list}").into_bytes(), 1),
        (utf_16(&format!("\u{feff}{list}"), false), 1),
        (utf_16(&list, true), 1),
        (wrapped.clone().into_bytes(), 2),
        (utf_16(&format!("\u{feff}{wrapped}"), false), 2),
    ] {
        env.store.execute("DELETE FROM tokens");
        std::fs::write(&file, &bytes).unwrap();
        let output = program.run(&["import", file.to_str().unwrap()]);
        assert_eq!(output.exit_code, 0, "{output:?}");
        let names = env.store.texts("SELECT name AS found FROM tokens");
        let right = names.iter().all(|name| name.starts_with("Büro "));
        assert!(names.len() == rows && right, "{names:?}");
    }
    std::fs::write(&file, b"\xFF\xFE[\0]").unwrap();
    assert_ne!(program.run(&["import", file.to_str().unwrap()]).exit_code, 0);
}
