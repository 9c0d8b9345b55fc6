//! The list of tokens: order, filters, search, and names.

use std::time::Duration;

use serde_json::json;

use crate::{
    support::{
        ADMIN, TestEnv,
        browser::{Browser, between, names, next_page, percent_encoded},
        client::{Auth, LEGACY, TOKENS},
    },
    tests,
};

tests![
    every_sort_order_lists_every_token_once,
    filters_and_search_select_tokens,
    the_search_ignores_the_case_of_all_letters,
    names_are_escaped,
    names_are_displayed_unchanged,
];

fn every_sort_order_lists_every_token_once(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let id = |n: usize| format!("'00000000-0000-4000-8000-{n:012}'");
    let number = |n: Option<usize>| n.map_or("NULL".to_owned(), |n| (1_893_456_000_000_000 + n).to_string());
    // 250 tokens: every third has never been used, every second never expires, and many have equal times.
    let rows = (1..=250).map(|n: usize| {
        let name = format!("'{}-{n:03}'", ["b", "A", "c"][n % 3]);
        let used = number((!n.is_multiple_of(3)).then_some(n % 7));
        let expires = number(n.is_multiple_of(2).then_some(1_000_000_000_000 + n % 5));
        format!("({}, {name}, '', '', 0, 'user', 'admin', {used}, {expires})", id(n))
    });
    env.store.execute(&format!(
        "INSERT INTO tokens (id, name, permissions, allowed_cidr_blocks, created_at, created_by_type, created_by_id, last_used_at, expires_at)
         VALUES {}",
        rows.collect::<Vec<_>>().join(", ")
    ));
    let all = |query: &str| {
        let (mut path, mut found, mut pages) = (format!("/tokens{query}"), Vec::new(), 0);
        loop {
            let page = browser.get(&path).expect(200);
            found.extend(names(&page));
            pages += 1;
            assert!(pages < 10, "the list does not end");
            match next_page(&page) {
                Some(next) => path = next,
                None => break,
            }
        }
        assert_eq!(pages, found.len().div_ceil(50));
        found
    };
    let order = |key: &str| {
        env.store
            .texts(&format!("SELECT name AS found FROM tokens ORDER BY {key}"))
    };
    for (sort, key) in [
        ("created", "seq"),
        ("name", "lower(name), seq"),
        ("last-used", "coalesce(last_used_at, 0), seq"),
        ("expires", "coalesce(expires_at, 0), seq"),
    ] {
        let ascending = order(key);
        assert_eq!(ascending.len(), 250);
        assert_eq!(all(&format!("?sort={sort}")), ascending, "{sort}");
        let descending: Vec<_> = ascending.into_iter().rev().collect();
        assert_eq!(all(&format!("?sort=-{sort}")), descending, "-{sort}");
    }
    assert_eq!(all(""), all("?sort=-created"));
    assert_eq!(all("?sort=nonsense&after=nonsense"), all(""));
    assert_eq!(all("?sort=last-used&show=never-used").len(), 83);
    assert_eq!(all("?sort=-expires&search=a-").len(), 84);
    let head = browser.get("/tokens?sort=name").expect(200).text;
    assert!(
        head.contains("aria-sort=\"ascending\"><a href=\"/console/tokens?sort=-name\">Name"),
        "{head}"
    );
}

fn filters_and_search_select_tokens(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let created = |name: &str, days: Option<i64>| {
        let expires = days.map(|days| env.clock.seconds_from_now(days * 86_400));
        app.new_token(&json!({ "name": name, "expiresAt": expires })).1
    };
    created("Old Value", None);
    let used = created("100% used", None);
    created("ends soon", Some(110));
    created("is over", Some(10));
    app.new_legacy_token(&json!({ "name": "legacy_one" }));
    env.clock.advance(Duration::from_hours(24));
    app.get(&format!("{TOKENS}/self"), Auth::Key(&used)).expect(200);
    env.clock.advance(Duration::from_hours(24 * 92));
    browser.sign_in(ADMIN.0, ADMIN.1).expect(303);
    created("fresh", None);
    let shown = |query: &str| names(&browser.get(&format!("/tokens?sort=created&{query}")).expect(200));
    for (query, expected) in [
        ("show=active", &["Old Value", "100% used", "ends soon", "fresh"][..]),
        ("show=expired", &["is over"]),
        ("show=expiring", &["ends soon"]),
        (
            "show=never-used",
            &["Old Value", "ends soon", "is over", "legacy_one", "fresh"],
        ),
        (
            "show=unused",
            &["Old Value", "100% used", "ends soon", "is over", "legacy_one"],
        ),
        ("show=rotation-due", &["Old Value", "100% used", "ends soon", "is over"]),
        ("show=legacy", &["legacy_one"]),
        ("search=OLD", &["Old Value"]),
        ("search=%25", &["100% used"]),
        ("search=_", &["legacy_one"]),
        ("search=e&show=legacy", &["legacy_one"]),
    ] {
        assert_eq!(shown(query), expected, "{query}");
    }
    let none = browser.get("/tokens?search=nothing%00such").expect(200).text;
    assert!(none.contains("No tokens match") && !none.contains("haven&#39;t"));
    assert_eq!(names(&browser.get("/tokens?shwo=legacy").expect(200)).len(), 6);
    let list = browser.get("/tokens").expect(200).text;
    let badges = |name: &str| {
        let row = between(&list, &format!("\">{name}</a>"), "</th>");
        let badges = row.split("<span class=\"badge ").skip(1);
        badges.map(|badge| between(badge, "\">", "</span>")).collect::<Vec<_>>()
    };
    assert_eq!(badges("Old Value"), ["Never used", "Rotation due"]);
    assert_eq!(badges("100% used"), ["Unused for 90 days", "Rotation due"]);
    assert_eq!(badges("is over"), ["Expired", "Never used", "Rotation due"]);
    assert_eq!(badges("legacy_one"), ["Legacy", "Never used"]);
}

fn the_search_ignores_the_case_of_all_letters(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    for name in ["\u{c4}pfel Rot", "\u{e4}pfel gelb", "Apfel", "한국어 토큰", "Σ \u{e4}"] {
        app.new_token(&json!({ "name": name }));
    }
    for (searched, found) in [
        ("\u{e4}PFEL", &["\u{c4}pfel Rot", "\u{e4}pfel gelb"][..]),
        ("\u{c4}pfel", &["\u{c4}pfel Rot", "\u{e4}pfel gelb"]),
        ("\u{c4}PFEL rOT", &["\u{c4}pfel Rot"]),
        ("Σ \u{e4}", &["Σ \u{e4}"]),
        ("apfel", &["Apfel"]),
        ("국어 토", &["한국어 토큰"]),
        ("\u{f6}", &[]),
    ] {
        let page = browser.get(&format!("/tokens?sort=created&search={}", percent_encoded(searched)));
        assert_eq!(names(&page), found, "{searched}");
    }
}

fn names_are_escaped(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let name = "<script>alert(1)</script>\"'&<img src=x onerror=alert(1)>";
    let (id, _) = browser.create(&[("name", name)]);
    app.send("GET", LEGACY, Auth::Admin, &[("user-agent", name)], "")
        .expect(200);
    app.post(LEGACY, Auth::Admin, &json!({ "name": name })).expect(200);
    for path in [
        "/tokens".to_owned(),
        format!("/tokens?search={}", percent_encoded(name)),
        format!("/tokens/{id}"),
        format!("/tokens/{id}/rotate"),
        format!("/tokens/{id}/delete"),
        "/audit".to_owned(),
        "/legacy".to_owned(),
    ] {
        let page = browser.get(&path).expect(200).text;
        assert!(page.contains("&#60;script&#62;alert(1)"), "{path}: {page}");
        assert!(!page.contains("<script>") && !page.contains("<img"), "{path}");
    }
    for path in [
        format!("/audit?actor={}", percent_encoded(name)),
        format!("/sign-in?next={}", percent_encoded(name)),
        format!("/admins/password?name={}", percent_encoded(name)),
        format!("/audit?token={}", percent_encoded(name)),
    ] {
        assert!(!browser.get(&path).text.contains("<script>"), "{path}");
    }
    browser
        .fill(&format!("/tokens/{id}/delete"), &[("confirm", name)])
        .expect(303);
}

fn names_are_displayed_unchanged(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let name = "of {{base_path}} and {}";
    let (id, _) = browser.create(&[("name", name)]);
    assert_eq!(names(&browser.get("/tokens").expect(200)), [name]);
    let form = browser.get(&format!("/tokens/{id}/edit")).expect(200).text;
    assert!(form.contains(&format!("name=\"name\" value=\"{name}\"")), "{form}");
}
