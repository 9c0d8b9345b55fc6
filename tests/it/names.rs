//! Unicode in names and passwords.

use argon2::{Argon2, PasswordHasher};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use crate::{
    support::{
        TestEnv,
        client::{Auth, LEGACY, TOKENS, string},
        program::Program,
    },
    tests,
};

tests![
    every_api_has_the_same_rules_for_names,
    names_are_found_however_they_are_typed,
    names_are_found_in_any_case_of_any_script,
    names_of_earlier_versions_stay_usable,
    passwords_match_however_they_are_typed,
    imports_normalize_names_and_report_refused_ones,
];

const COMPOSED: &str = "B\u{fc}ro";
const DECOMPOSED: &str = "Bu\u{308}ro";

fn every_api_has_the_same_rules_for_names(env: &TestEnv) {
    let app = env.app();
    let program = Program::new(&env.store.url());
    let (id, _) = app.new_token(&json!({ "name": "n" }));
    for (name, named) in [
        ("\u{200b}", "U+200B"),
        ("a\u{202e}b", "U+202E"),
        ("\u{feff}", "U+FEFF"),
        ("a\u{2028}", "U+2028"),
        ("\u{3164}", "visible"),
        ("\u{2800}", "visible"),
        (" ", "visible"),
    ] {
        let body = json!({ "name": name });
        for refused in [
            app.post(TOKENS, Auth::Admin, &body),
            app.post(&format!("{TOKENS}/{id}"), Auth::Admin, &body),
            app.post(LEGACY, Auth::Admin, &body),
            app.put(&format!("{LEGACY}/{id}"), Auth::Admin, &body),
        ] {
            let message = refused.expect(400).message();
            assert!(message.starts_with("name: ") && message.contains(named), "{message}");
        }
        let created = program.run(&["token", "create", name]);
        assert!(created.exit_code == 2 && created.stderr.contains(named), "{created:?}");
        let added = program.run_with_input(&["admin", "add", name, "--password-stdin"], "long enough");
        assert!(added.exit_code == 2 && added.stderr.contains(named), "{added:?}");
    }
    for name in ["Бухгалтерия", "日本 1", "🔑", "\u{0646}\u{200c}\u{0647}"] {
        let created = app.post(TOKENS, Auth::Admin, &json!({ "name": name })).expect(200);
        assert_eq!(created.json()["name"], name);
    }
}

fn names_are_found_however_they_are_typed(env: &TestEnv) {
    let app = env.app();
    let created = app
        .post(TOKENS, Auth::Admin, &json!({ "name": DECOMPOSED }))
        .expect(200);
    assert_eq!(created.json()["name"], COMPOSED);
    let uuid = app.new_legacy_token(&json!({ "name": DECOMPOSED }));
    assert_eq!(
        app.get(&format!("{LEGACY}/{uuid}"), Auth::Admin).json()["name"],
        COMPOSED
    );
    // Earlier versions stored names as they were typed.
    env.store
        .execute(&format!("UPDATE tokens SET name = '{DECOMPOSED}' WHERE id = '{uuid}'"));
    for typed in ["B%C3%BCr", "Bu%CC%88r"] {
        let found = app
            .get(&format!("{TOKENS}?name={typed}"), Auth::Admin)
            .expect(200)
            .json();
        assert_eq!(found["results"].as_array().unwrap().len(), 2, "{typed}: {found}");
    }
}

fn names_are_found_in_any_case_of_any_script(env: &TestEnv) {
    let app = env.app();
    for name in [
        "École Été",
        "Жук и Ёж",
        "Straße",
        "STRASSE",
        "İstanbul",
        "ısı",
        "ΟΔΥΣΣΕΥΣ",
        "Büro 100%",
    ] {
        app.new_token(&json!({ "name": name }));
    }
    let uuid = app.new_legacy_token(&json!({ "name": "n" }));
    // Earlier versions stored names as they were typed: this is "RÉSUMÉ".
    env.store.execute(&format!(
        "UPDATE tokens SET name = 'RE\u{301}SUME\u{301}' WHERE id = '{uuid}'"
    ));
    for (typed, expected) in [
        (&["é", "É", "E\u{301}"][..], &["École Été", "RE\u{301}SUME\u{301}"][..]),
        (&["éCOLE éT", "ÉCOLE ÉTÉ", "école été"], &["École Été"]),
        (&["résumé", "rÉSUMé"], &["RE\u{301}SUME\u{301}"]),
        (&["ж", "Ж", "ЖУК И ёЖ", "жук И Ёж"], &["Жук и Ёж"]),
        (
            &["straße", "STRASSE", "strasse", "STRA\u{1e9e}E", "aSs"],
            &["Straße", "STRASSE"],
        ),
        (
            &["istanbul", "ISTANBUL", "İSTANBUL", "ıstanbul", "i\u{307}stanbul"],
            &["İstanbul"],
        ),
        (&["ISI", "ısı", "ısI"], &["ısı"]),
        (&["οδυσσευς", "ΟΔΥΣΣΕΥς", "δυσ"], &["ΟΔΥΣΣΕΥΣ"]),
        (&["BÜRO 100%", "bÜrO"], &["Büro 100%"]),
        (&["%"], &["Büro 100%"]),
        (&["éé", "жж", "_"], &[]),
    ] {
        for text in typed {
            let path = format!("{TOKENS}?name={}", utf8_percent_encode(text, NON_ALPHANUMERIC));
            let found = app.get(&path, Auth::Admin).expect(200).json();
            let names: Vec<_> = found["results"]
                .as_array()
                .unwrap()
                .iter()
                .map(|token| string(&token["name"]))
                .collect();
            assert_eq!(names, expected, "{text}");
        }
    }
    // More letters than a search folds.
    let letters: String = ('\u{400}'..'\u{500}')
        .chain('\u{391}'..'\u{3c9}')
        .filter(|letter| letter.is_alphabetic())
        .collect();
    let path = format!("{TOKENS}?name={}", utf8_percent_encode(&letters, NON_ALPHANUMERIC));
    assert_eq!(app.get(&path, Auth::Admin).expect(200).json()["results"], json!([]));
}

fn names_of_earlier_versions_stay_usable(env: &TestEnv) {
    let app = env.app();
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    env.store.execute("UPDATE tokens SET name = '\u{200b}'");
    let place = format!("{TOKENS}/{id}");
    assert_eq!(app.get(&place, Auth::Admin).expect(200).json()["name"], "\u{200b}");
    app.get(TOKENS, Auth::Admin).expect(200);
    app.get(LEGACY, Auth::Admin).expect(200);
    app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).expect(200);
    app.post(&place, Auth::Admin, &json!({ "permissions": [] })).expect(200);
    app.put(&format!("{LEGACY}/{id}"), Auth::Admin, &json!({ "read": true }))
        .expect(200);
    app.delete(&place, Auth::Admin).expect(204);
    let program = Program::new(&env.store.url());
    for name in ["\u{200b}second", DECOMPOSED] {
        let added = program.run_with_input(&["admin", "add", "second", "--password-stdin"], "long enough");
        assert_eq!(added.exit_code, 0, "{added:?}");
        env.store
            .execute(&format!("UPDATE admins SET name = '{name}' WHERE name = 'second'"));
        for _ in 0..2 {
            app.get(LEGACY, Auth::Basic(name, "long enough")).expect(200);
        }
        let changed = program.run_with_input(&["admin", "passwd", name, "--password-stdin"], "another one");
        assert_eq!(changed.exit_code, 0, "{changed:?}");
        app.get(LEGACY, Auth::Basic(name, "another one")).expect(200);
        assert_eq!(program.run(&["admin", "remove", name]).exit_code, 0);
    }
}

fn passwords_match_however_they_are_typed(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    let add = |name: &str, password: &str| {
        let added = program.run_with_input(&["admin", "add", name, "--password-stdin"], password);
        assert_eq!(added.exit_code, 0, "{added:?}");
    };
    add(DECOMPOSED, "pa\u{308}ssword\u{3000}1");
    add("earlier", "long enough");
    let app = env.app();
    for name in [COMPOSED, DECOMPOSED] {
        for password in ["p\u{e4}ssword 1", "pa\u{308}ssword\u{a0}1"] {
            app.get(LEGACY, Auth::Basic(name, password)).expect(200);
        }
    }
    app.get(LEGACY, Auth::Basic(COMPOSED, "password 1")).expect(401);
    // Earlier versions hashed passwords as they were typed.
    let hash = Argon2::default().hash_password_with_salt("pa\u{308}ssword".as_bytes(), b"0123456789abcdef");
    let hash = hash.unwrap();
    env.store.execute(&format!(
        "UPDATE admins SET password_hash = '{hash}' WHERE name = 'earlier'"
    ));
    app.get(LEGACY, Auth::Basic("earlier", "pa\u{308}ssword")).expect(200);
    app.get(LEGACY, Auth::Basic("earlier", "p\u{e4}ssword")).expect(401);
}

fn imports_normalize_names_and_report_refused_ones(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    let row = |number: u8, name: &str| {
        let uuid = format!("2c4ee2ad-7c2c-4f02-8d0c-7ac2da6b0b{number:02}");
        json!({ "uuid": uuid, "name": name, "read": true, "change": false })
    };
    let list = json!([row(1, DECOMPOSED), row(2, "a\u{202e}b")]);
    let file = env.store.directory.path().join("list.json");
    std::fs::write(&file, list.to_string()).unwrap();
    let output = program.run(&["import", file.to_str().unwrap(), "--keep-going", "--output", "json"]);
    let report: serde_json::Value = serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    assert_eq!(report["rows"][0]["outcome"], "created", "{report}");
    assert_eq!(report["rows"][1]["outcome"], "refused", "{report}");
    assert!(string(&report["rows"][1]["reason"]).contains("U+202E"), "{report}");
    assert_eq!(env.store.texts("SELECT name AS found FROM tokens"), [COMPOSED]);
}
