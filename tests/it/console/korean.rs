//! Korean pages contain Korean: English occurs only in names, identifiers, and what is marked as English.

use serde_json::{Value, json};
use tokenbridge::domain::{audit::Action, permission::Permission};

use crate::{
    support::{
        TestApp, TestEnv,
        browser::Browser,
        client::{Auth, LEGACY, TOKENS},
        program::Program,
    },
    tests,
};

tests![
    korean_pages_have_no_english_prose,
    events_are_shown_in_the_language_of_the_page,
];

/// Words of Korean texts, and of data that the pages show.
const KNOWN: &[&str] = &[
    "AI",
    "API",
    "CIDR",
    "CIS",
    "CLI",
    "CSV",
    "Content",
    "GraphQL",
    "HTTP",
    "Basic",
    "ID",
    "IP",
    "JSON",
    "Key",
    "MCP",
    "NIST",
    "OAuth",
    "SHA",
    "URL",
    "UTC",
    "UUID",
    "admin",
    "cli",
    "import",
    "legacy",
    "login",
    "server",
    "sunset",
    "tbk",
    "tokenbridge",
    "ureq",
    "verify",
];
const PASSWORD: &str = "long enough";

struct Tokens {
    changed: String,
    deleted: String,
    full: String,
}

/// Records an event of each kind, with every field that events have.
fn record_events(env: &TestEnv) -> Tokens {
    let app = env.app_with(&[
        "--legacy-sunset",
        "2031-01-01",
        "--legacy-brownout",
        "2030-06-01T00:00:00Z/PT1H",
    ]);
    let soon = env.clock.seconds_from_now(86_400);
    let described = json!({
        "name": "배포", "owner": "운영팀", "description": "야간 배포", "permissions": ["AlertRead"],
        "allowedCIDRBlocks": ["127.0.0.0/8"], "expiresAt": soon,
    });
    let (changed, value) = app.new_token(&described);
    let path = format!("{TOKENS}/{changed}");
    app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).expect(200);
    for change in [
        json!({ "name": "배포 2", "owner": null, "description": "야간", "permissions": [], "expiresAt": null }),
        json!({ "allowedCIDRBlocks": [] }),
        json!({ "disabled": true }),
    ] {
        app.post(&path, Auth::Admin, &change).expect(200);
    }
    app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).expect(401);
    app.post(&path, Auth::Admin, &json!({ "disabled": false })).expect(200);
    let (full, _) = app.new_token(&json!({ "name": "교체" }));
    for _ in 0..10 {
        let grace = json!({ "gracePeriodSeconds": 3600 });
        app.post(&format!("{TOKENS}/{full}/rotate"), Auth::Admin, &grace)
            .expect(200);
    }
    let (deleted, _) = app.new_token(&described);
    app.delete(&format!("{TOKENS}/{deleted}"), Auth::Admin).expect(204);
    let (_, revoked) = app.new_token(&json!({ "name": "폐기" }));
    let form = [("content-type", "application/x-www-form-urlencoded")];
    app.send(
        "POST",
        "/revoke",
        Auth::Key(&revoked),
        &form,
        &format!("token={revoked}"),
    )
    .expect(200);
    for _ in 0..2 {
        let headers = [("content-type", "application/json"), ("idempotency-key", "1")];
        app.send(
            "POST",
            TOKENS,
            Auth::Admin,
            &headers,
            &json!({ "name": "반복" }).to_string(),
        )
        .expect(200);
    }
    app.new_legacy_token(&json!({ "name": "레거시" }));
    app.get(LEGACY, Auth::Admin).expect(200);
    app.get(TOKENS, Auth::Basic("admin", "wrong")).expect(401);
    app.get(TOKENS, Auth::Key(&format!("tbk_{}", "A".repeat(49))))
        .expect(401);
    record_commands(env);
    // Writes the refusals.
    app.stop();
    Tokens { changed, deleted, full }
}

fn record_commands(env: &TestEnv) {
    let program = Program::new(&env.store.url());
    let uuid = "11111111-1111-4111-8111-111111111111";
    let imported = json!([{ "uuid": uuid, "name": "가져온 토큰", "read": true, "change": false }]).to_string();
    for (arguments, input) in [
        (&["import", "-"][..], &*imported),
        (
            &["admin", "add", "관리", "--role", "operator", "--password-stdin"],
            PASSWORD,
        ),
        (&["admin", "role", "관리", "auditor"], ""),
        (&["admin", "passwd", "관리", "--password-stdin"], PASSWORD),
        (&["admin", "add", "퇴사자", "--password-stdin"], PASSWORD),
        (&["admin", "remove", "퇴사자"], ""),
    ] {
        let output = program.run_with_input(arguments, input);
        assert_eq!(output.exit_code, 0, "{output:?}");
    }
}

fn recorded_actions(app: &TestApp) -> Vec<String> {
    let events = app.get("/audit-events?limit=1000", Auth::Admin).expect(200).json();
    let results = events["results"].as_array().unwrap();
    let mut actions: Vec<_> = results
        .iter()
        .map(|event| event["action"].as_str().unwrap().to_owned())
        .collect();
    actions.sort_unstable();
    actions.dedup();
    actions
}

fn korean_pages_have_no_english_prose(env: &TestEnv) {
    let Tokens { changed, deleted, full } = record_events(env);
    let app = env.app();
    let mut all: Vec<_> = Action::ALL.iter().map(|action| action.name().to_owned()).collect();
    all.sort_unstable();
    assert_eq!(recorded_actions(&app), all, "every kind of event is on the pages");
    let browser = Browser::new(&app);
    browser.get("/sign-in?lang=ko").expect(303);
    let mut pages = vec![("sign-in".to_owned(), browser.get("/sign-in?over=1").expect(200))];
    pages.push(("wrong password".to_owned(), browser.sign_in("admin", "wrong")));
    browser
        .sign_in(crate::support::ADMIN.0, crate::support::ADMIN.1)
        .expect(303);
    let paths = "|/tokens|/tokens?show=legacy|/tokens?search=%EA%B0%80&permission=AlertRead|/tokens?network=1|/tokens/new|\
        /audit|/audit?since=1|/audit?action=1|/audit?channel=1|/audit?actor=%01|/audit?token=%EA%B0%80|/legacy|/admins|\
        /admins/password?name=%EA%B4%80%EB%A6%AC|/admins/role?name=%EA%B4%80%EB%A6%AC|/admins/role?name=admin|\
        /admins/remove?name=%EA%B4%80%EB%A6%AC|/admins/remove?name=admin|/account|/account?done=others-ended|/nothing|\
        /sign-out|/sign-in";
    let of_tokens = [&changed, &deleted, &full].map(|id| format!("/tokens/{id}"));
    let of_forms = ["edit", "rotate", "delete"].map(|form| format!("/tokens/{changed}/{form}"));
    for path in paths.split('|').map(str::to_owned).chain(of_tokens).chain(of_forms) {
        pages.push((path.clone(), browser.get(&path)));
    }
    let wrong = [
        ("name", "a\u{202e}b"),
        ("owner", "\u{3164}"),
        ("blocks", "1.2.3.4"),
        ("expires", "2020-01-01T00:00"),
    ];
    let rotate = format!("/tokens/{full}/rotate");
    let large = "x".repeat(70_000);
    for (path, fields) in [
        ("/tokens/new", &wrong[..]),
        ("/tokens/new", &[("description", &*large)]),
        (&*rotate, &[("grace", "3600")]),
        ("/admins/role?name=%EA%B4%80%EB%A6%AC", &[("role", "1")]),
        ("/account", &[("own", "1")]),
    ] {
        pages.push((format!("{path} {:?}", fields[0].0), browser.fill(path, fields)));
    }
    let list = browser.get("/tokens").expect(200);
    for action in ["disable", "enable", "set-expiry", "delete"] {
        let fields = [("action", action), ("all", "yes")];
        pages.push((action.to_owned(), browser.submit(&list, "/tokens/selection", &fields)));
    }
    for (place, page) in pages.iter().filter(|(_, page)| page.status != 303) {
        assert!(page.text.contains("<html lang=\"ko\""), "{place}: {page:?}");
        let found = english_words(&page.text);
        assert!(found.is_empty(), "{place} ({}): {found:?}", page.status);
    }
}

fn events_are_shown_in_the_language_of_the_page(env: &TestEnv) {
    let Tokens { changed, .. } = record_events(env);
    let app = env.app();
    let browser = Browser::signed_in(&app);
    for (language, lines) in [
        (
            "en",
            [
                "Allowed networks: 127.0.0.0/8 → –",
                "Expires: 2030-01-02 00:00:00 UTC → –",
                "Grace period: 3,600 seconds",
                "Reason: Disabled token",
                "Role: Operator → Auditor",
                "Mode: on",
                "Permissions: AlertRead",
            ],
        ),
        (
            "ko",
            [
                "허용 네트워크: 127.0.0.0/8 → –",
                "만료일: 2030-01-02 00:00:00 UTC → –",
                "유예 기간: 3,600초",
                "사유: 비활성화된 토큰",
                "역할: 운영자 → 감사자",
                "모드: 사용",
                "권한: AlertRead",
            ],
        ),
    ] {
        browser.get(&format!("/audit?lang={language}")).expect(303);
        let page = browser.get("/audit").expect(200).text;
        for line in lines {
            assert!(page.contains(&format!("<li>{line}</li>")), "{line} in {page}");
        }
        let reason = lines[3].split_once(": ").unwrap().1;
        assert!(
            browser
                .get("")
                .expect(200)
                .text
                .contains(&format!("<p class=\"muted\">{reason} · "))
        );
        let history = browser.get(&format!("/tokens/{changed}")).expect(200).text;
        assert!(history.contains(&format!("<li>{}</li>", lines[0])), "{history}");
    }
    // The API keeps its names and messages.
    let events = app
        .get("/audit-events?action=login.refused", Auth::Admin)
        .expect(200)
        .json();
    let reasons: Vec<&Value> = events["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["details"]["reason"])
        .collect();
    assert!(reasons.contains(&&json!("this API key is disabled")), "{reasons:?}");
}

/// Returns the English words that a page shows outside of code and of elements in English, and that are neither known
/// nor an identifier.
fn english_words(page: &str) -> Vec<String> {
    let shown = shown_texts(page.split_once("<body>").unwrap().1);
    let names = Permission::ALL.iter().flat_map(|one| [one.display_name(), one.name()]);
    let mut names: Vec<String> = names.map(|name| name.replace('&', "&#38;")).collect();
    names.extend(Action::ALL.iter().map(|action| action.name().to_owned()));
    // A name can be a part of another one.
    names.sort_unstable_by_key(|name| std::cmp::Reverse(name.len()));
    let text = names.iter().fold(shown, |text, name| text.replace(name, " "));
    let text = text.replace("&#38;", " ").replace("&#39;", " ").replace("&#34;", " ");
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric());
    // The rest are parts of IDs and of times.
    let is_code = |word: &str| {
        word.bytes().all(|letter| letter.is_ascii_hexdigit()) || word.bytes().any(|letter| letter.is_ascii_digit())
    };
    words
        .filter(|word| word.len() > 1 && !is_code(word) && !KNOWN.contains(word))
        .map(str::to_owned)
        .collect()
}

/// Returns the texts of a page and of its attributes, one per line, except those in English.
fn shown_texts(body: &str) -> String {
    const VOID: [&str; 5] = ["input", "br", "path", "rect", "circle"];
    let mut shown = String::new();
    // The elements around the text, each with `true` if it is in English.
    let mut open: Vec<bool> = Vec::new();
    for part in body.split('<').skip(1) {
        let (tag, text) = part.split_once('>').unwrap();
        let name = tag.split([' ', '/']).next().unwrap();
        if tag.starts_with('/') {
            open.pop();
        } else {
            let is_outside = open.last().copied().unwrap_or_default();
            let is_english = is_outside || tag.contains(" lang=\"en\"") || ["code", "pre"].contains(&name);
            if !is_english {
                for attribute in [
                    " title=",
                    " aria-label=",
                    " placeholder=",
                    " data-label=",
                    " data-copied=",
                    " data-over=",
                ] {
                    shown.extend(
                        tag.split_once(&format!("{attribute}\""))
                            .map(|(_, rest)| rest.split('"').next().unwrap()),
                    );
                    shown.push('\n');
                }
            }
            if !VOID.contains(&name) && !tag.ends_with('/') {
                open.push(is_english);
            }
        }
        if !open.last().copied().unwrap_or_default() {
            shown.push_str(text);
            shown.push('\n');
        }
    }
    shown
}
