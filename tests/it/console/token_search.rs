//! The search of the token list, its filters, and its pages.

use std::time::Duration;

use serde_json::json;

use crate::{
    support::{
        ADMIN, TestEnv,
        browser::{Browser, assert_redirects_to, between, hidden_fields, names, next_page},
        client::{Auth, Response, TOKENS},
        program::Program,
    },
    tests,
};

tests![
    tokens_are_found_by_name_owner_and_id,
    a_value_opens_its_token_and_gets_into_no_url,
    what_looks_like_a_value_gets_into_no_url,
    filters_narrow_the_list_and_are_removed_one_by_one,
    a_filter_that_cannot_be_used_lists_nothing,
    the_order_follows_the_status,
    pages_lead_back_and_forth_while_tokens_come_and_go,
    statuses_show_the_number_of_their_tokens,
];

fn search(browser: &Browser, fields: &[(&str, &str)]) -> Response {
    let page = browser.get("/tokens").expect(200);
    browser.submit(&page, "/tokens/search", fields)
}

/// Follows the redirect of a search.
fn found(browser: &Browser, fields: &[(&str, &str)]) -> Response {
    let response = search(browser, fields).expect(303);
    let location = response.header("location").unwrap();
    browser.get(location.strip_prefix("/console").unwrap()).expect(200)
}

fn tokens_are_found_by_name_owner_and_id(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let (id, _) = app.new_token(&json!({ "name": "deployer", "owner": "Platform team" }));
    let (other, _) = app.new_token(&json!({ "name": "platform viewer" }));
    let by_either = found(&browser, &[("search", " PLATFORM ")]);
    assert_eq!(names(&by_either), ["platform viewer", "deployer"]);
    assert!(
        by_either.text.contains("<mark>Platform</mark> team"),
        "{}",
        by_either.text
    );
    assert_eq!(names(&found(&browser, &[("search", "m_te")])), Vec::<String>::new());
    let prefix = &id[..13].to_uppercase();
    let by_prefix = found(&browser, &[("search", prefix)]);
    assert_eq!(names(&by_prefix), ["deployer"]);
    assert!(by_prefix.text.contains(&format!("<mark>{}</mark></code>", &id[..13])));
    // Seven characters are too few for an ID.
    assert_eq!(names(&found(&browser, &[("search", &id[..7])])), Vec::<String>::new());
    let expired = browser.get("/tokens?show=expired").expect(200);
    let opened = browser.submit(&expired, "/tokens/search", &[("search", &other.to_uppercase())]);
    let back = "%2Ftokens%3Fshow%3Dexpired";
    assert_redirects_to(&opened, &format!("/console/tokens/{other}?back={back}"));
    app.delete(&format!("{TOKENS}/{other}"), Auth::Admin).expect(204);
    assert_eq!(names(&found(&browser, &[("search", &other)])), Vec::<String>::new());
}

fn a_value_opens_its_token_and_gets_into_no_url(env: &TestEnv) {
    let server = Program::new(&env.store.url()).serve(&[]);
    let app = &server.client;
    let browser = Browser::signed_in(app);
    let (id, value) = app.new_token(&json!({ "name": "leaked" }));
    let rotated = app.post(
        &format!("{TOKENS}/{id}/rotate"),
        Auth::Admin,
        &json!({ "gracePeriodSeconds": 600 }),
    );
    let current = rotated.expect(200).json()["value"].as_str().unwrap().to_owned();
    app.post(&format!("{TOKENS}/{id}"), Auth::Admin, &json!({ "disabled": true }))
        .expect(200);
    for pasted in [
        value.clone(),
        format!(" {current}\t"),
        format!("X-API-Key: {value}"),
        format!("\u{201c}{value}\u{201d}"),
    ] {
        for field in ["search", "owner", "network"] {
            let opened = search(&browser, &[(field, &pasted)]);
            assert_redirects_to(&opened, &format!("/console/tokens/{id}"));
        }
    }
    let page = browser.get(&format!("/tokens/{id}")).expect(200).text;
    assert!(
        page.contains("leaked") && page.contains("Never"),
        "it was not used: {page}"
    );
    assert_eq!(
        env.store
            .texts("SELECT action AS found FROM audit_events WHERE action LIKE 'login%'"),
        Vec::<String>::new()
    );
    server.signal("TERM");
    let (_, log) = server.wait();
    assert!(log.contains("route=/console/tokens/search status=303"), "{log}");
    assert!(!log.contains(&value[4..]) && !log.contains(&current[4..]), "{log}");
}

fn what_looks_like_a_value_gets_into_no_url(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let (id, value) = app.new_token(&json!({ "name": "n" }));
    app.new_token(&json!({ "name": "other" }));
    app.delete(&format!("{TOKENS}/{id}"), Auth::Admin).expect(204);
    let unknown = search(&browser, &[("search", &value)]).expect(400);
    assert!(unknown.text.contains("No token has this value."), "{}", unknown.text);
    let truncated = &value[..40];
    let cased = value.replacen("tbk", "TBK", 1);
    for pasted in [truncated, &cased, "tbk_", &format!("{value}x")] {
        for field in ["search", "owner", "creator", "permission"] {
            let refused = search(&browser, &[(field, pasted)]).expect(400);
            assert!(refused.text.contains("This is not a valid token value."));
            assert!(
                refused.header("location").is_none() && (pasted == "tbk_" || !refused.text.contains(pasted)),
                "{pasted}"
            );
        }
    }
    // A link that was written by hand.
    for query in ["search", "owner", "network"].map(|name| format!("{name}={truncated}")) {
        let refused = browser.get(&format!("/tokens?show=legacy&{query}")).expect(400);
        assert!(refused.text.contains("This link contained a token value."));
        assert!(!refused.text.contains(truncated), "{}", refused.text);
        let switched = browser.get(&format!("/tokens?{query}&lang=en")).expect(303);
        assert_redirects_to(&switched, "/console/tokens");
        let signed_out = Browser::new(&app).get(&format!("/tokens?{query}")).expect(303);
        assert!(
            !signed_out.header("location").unwrap().contains(truncated),
            "{signed_out:?}"
        );
    }
}

fn filters_narrow_the_list_and_are_removed_one_by_one(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let token = |name: &str, permissions: &[&str], blocks: &[&str], owner: &str| {
        app.new_token(&json!({ "name": name, "permissions": permissions, "allowedCIDRBlocks": blocks, "owner": owner }))
    };
    let (_, maker) = token("maker", &["OrganizationAPITokenModify", "AlertRead"], &[], "ops");
    token("office", &["AlertRead"], &["10.1.0.0/16", "2001:db8::/32"], "ops");
    token("lab", &[], &["10.2.3.0/24"], "dev");
    app.post(
        TOKENS,
        Auth::Key(&maker),
        &json!({ "name": "made by a token", "permissions": [] }),
    )
    .expect(200);
    let shown = |fields: &[(&str, &str)]| names(&found(&browser, &[fields, &[("sort", "created")]].concat()));
    let anywhere = ["maker", "made by a token"];
    for (fields, expected) in [
        (&[("owner", "ops")][..], &["maker", "office"][..]),
        (&[("permission", "AlertRead")], &["maker", "office"]),
        (&[("permission", "AlertRead"), ("search", "off")], &["office"]),
        (&[("creator", ADMIN.0)], &["maker", "office", "lab"]),
        (&[("network", "10.1.2.3")], &["maker", "office", "made by a token"]),
        (
            &[("network", "::ffff:10.1.2.3")],
            &["maker", "office", "made by a token"],
        ),
        (
            &[("network", "10.0.0.0/8")],
            &["maker", "office", "lab", "made by a token"],
        ),
        (&[("network", "10.2.0.0/16"), ("owner", "dev")], &["lab"]),
        (&[("network", "2001:db8:1::1")], &["maker", "office", "made by a token"]),
        (&[("network", "192.0.2.1")], &anywhere),
    ] {
        assert_eq!(shown(fields), expected, "{fields:?}");
    }
    let both = found(
        &browser,
        &[("owner", "ops"), ("permission", "AlertRead"), ("search", "ma")],
    );
    assert_eq!(names(&both), ["maker"]);
    for (text, link) in [
        ("Owner: ops", "/console/tokens?search=ma&#38;permission=AlertRead"),
        ("Permission: Read Alerts", "/console/tokens?search=ma&#38;owner=ops"),
        ("Search: ma", "/console/tokens?owner=ops&#38;permission=AlertRead"),
    ] {
        let removed = format!("href=\"{link}\"><span>{text}</span>");
        assert!(both.text.contains(&removed), "{removed} in {}", both.text);
    }
    // The form keeps what it was searched for, and the status.
    let again = browser.get("/tokens?owner=ops&show=active").expect(200);
    assert!(
        again.text.contains("name=\"owner\" value=\"ops\"") && again.text.contains("<details class=\"more\" open>")
    );
    assert!(hidden_fields(&again.text).contains(&("show".to_owned(), "active".to_owned())));
}

fn a_filter_that_cannot_be_used_lists_nothing(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    app.new_token(&json!({ "name": "n" }));
    for (query, message) in [
        (
            "network=10.0.0",
            "&#39;10.0.0&#39; is neither an address nor a CIDR block.",
        ),
        ("permission=Fly", "There is no permission &#39;Fly&#39;."),
    ] {
        let page = browser.get(&format!("/tokens?{query}")).expect(400);
        assert!(page.text.contains(message), "{}", page.text);
        assert!(names(&page).is_empty() && !page.text.contains("name=\"all\""));
        let fields = [
            ("back", format!("/tokens?{query}")),
            ("all", "yes".to_owned()),
            ("action", "delete".to_owned()),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value));
        let with_key = [hidden_fields(&page.text)[..1].to_vec(), fields.to_vec()].concat();
        browser.post("/tokens/selection", &with_key).expect(400);
    }
}

fn the_order_follows_the_status(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    for (name, days) in [
        ("late", 109),
        ("soon", 101),
        ("middle", 105),
        ("first over", 1),
        ("last over", 2),
    ] {
        app.new_token(&json!({ "name": name, "expiresAt": env.clock.seconds_from_now(days * 86_400) }));
    }
    let (_, value) = app.new_token(&json!({ "name": "used once" }));
    env.clock.advance(Duration::from_hours(12));
    app.get(&format!("{TOKENS}/self"), Auth::Key(&value)).expect(200);
    env.clock.advance(Duration::from_hours(24 * 95));
    browser.sign_in(ADMIN.0, ADMIN.1).expect(303);
    let shown = |query: &str| names(&browser.get(&format!("/tokens?{query}")).expect(200));
    assert_eq!(shown("show=expiring"), ["soon", "middle", "late"]);
    assert_eq!(shown("show=expiring&sort=-expires"), ["late", "middle", "soon"]);
    assert_eq!(shown("show=expired"), ["last over", "first over"]);
    let unused = ["late", "soon", "middle", "first over", "last over", "used once"];
    assert_eq!(shown("show=unused"), unused);
    assert_eq!(shown("show=never-used"), unused[..5]);
    assert_eq!(shown("show=rotation-due"), unused);
    assert_eq!(shown("").first().map(String::as_str), Some("used once"));
    // A link to a status does not keep the order of another.
    let page = browser.get("/tokens?show=expiring&sort=name&search=o").expect(200).text;
    assert!(
        page.contains("href=\"/console/tokens?search=o&#38;show=unused\""),
        "{page}"
    );
}

fn pages_lead_back_and_forth_while_tokens_come_and_go(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let rows =
        (1..=120).map(|n: usize| format!("('00000000-0000-4000-8000-{n:012}', 'n{n:03}', '', '', 0, 'user', 'admin')"));
    env.store.execute(&format!(
        "INSERT INTO tokens (id, name, permissions, allowed_cidr_blocks, created_at, created_by_type, created_by_id) VALUES {}",
        rows.collect::<Vec<_>>().join(", ")
    ));
    let link = |page: &Response, rel: &str| {
        let (_, link) = page.text.split_once(&format!("rel=\"{rel}\" href=\"/console"))?;
        Some(link.split_once('"').unwrap().0.replace("&#38;", "&"))
    };
    let numbers = |page: &Response| {
        let shown = names(page);
        (shown[0].clone(), shown[shown.len() - 1].clone(), shown.len())
    };
    let of = |first: usize, last: usize| (format!("n{first:03}"), format!("n{last:03}"), last + 1 - first);
    for sort in ["name", "created", "last-used", "expires"] {
        let first = browser.get(&format!("/tokens?sort={sort}")).expect(200);
        assert_eq!(numbers(&first), of(1, 50), "{sort}");
        assert!(
            first.text.matches("<span class=\"muted\">1–50 of 120</span>").count() == 2,
            "{}",
            first.text
        );
        assert_eq!(link(&first, "prev"), None);
        let second = browser.get(&next_page(&first).unwrap()).expect(200);
        assert_eq!(numbers(&second), of(51, 100));
        assert!(second.text.contains("51–100 of 120"));
        let third = browser.get(&next_page(&second).unwrap()).expect(200);
        assert_eq!(numbers(&third), of(101, 120));
        assert!(third.text.contains("101–120 of 120") && next_page(&third).is_none());
        let back = browser.get(&link(&third, "prev").unwrap()).expect(200);
        assert_eq!(
            (numbers(&back), link(&back, "next")),
            (of(51, 100), next_page(&second)),
            "{sort}"
        );
        let first = browser.get(&link(&back, "prev").unwrap()).expect(200);
        assert_eq!((numbers(&first), link(&first, "prev")), (of(1, 50), None));
    }
    let second = browser
        .get(&next_page(&browser.get("/tokens?sort=name")).unwrap())
        .expect(200);
    let third = next_page(&second).unwrap();
    env.store.execute("DELETE FROM tokens WHERE name <= 'n010'");
    // Ten tokens before the page are gone: the first page is full all the same.
    let first = browser.get(&link(&second, "prev").unwrap()).expect(200);
    assert_eq!(numbers(&first), of(11, 60));
    let moved = browser
        .get(&next_page(&browser.get("/tokens?sort=name")).unwrap())
        .expect(200);
    assert_eq!(numbers(&moved), of(61, 110));
    assert_eq!(numbers(&browser.get(&third).expect(200)), of(101, 120));
    // The last page is gone: the one before it is the last.
    env.store.execute("DELETE FROM tokens WHERE name > 'n100'");
    let last = browser.get(&third).expect(200);
    assert_eq!(numbers(&last), of(51, 100));
    assert!(last.text.contains("41–90 of 90"), "{}", last.text);
    env.store.execute("DELETE FROM tokens");
    assert!(
        browser
            .get(&third)
            .expect(200)
            .text
            .contains("You haven&#39;t created any tokens yet")
    );
}

fn statuses_show_the_number_of_their_tokens(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    for name in ["old 1", "old 2", "other"] {
        app.new_legacy_token(&json!({ "name": name }));
    }
    let numbers = |query: &str| {
        let page = browser.get(&format!("/tokens?{query}")).expect(200).text;
        let chips = between(&page, "<ul class=\"chips\">", "</ul>");
        let chips = chips.split("<li>").skip(1).map(|chip| {
            let label = between(chip, "\">", "<").trim_end().to_owned();
            let label = label.rsplit('>').next().unwrap().to_owned();
            let count = chip
                .split_once("class=\"count\">")
                .map(|(_, rest)| rest.split_once('<').unwrap().0);
            format!("{label} {}", count.unwrap_or("?"))
        });
        chips.collect::<Vec<_>>().join(", ")
    };
    let expected = |all: &str, active: &str, never: &str, legacy: &str| {
        format!(
            "All tokens {all}, Active {active}, Disabled 0, Expired 0, Expiring within 30 days 0, Never used {never}, \
             Unused for 90 days 0, Rotation due 0, Legacy {legacy}"
        )
    };
    assert_eq!(numbers(""), expected("3", "0", "3", "3"));
    assert_eq!(numbers("search=old&show=disabled"), expected("2", "0", "2", "2"));
    assert_eq!(numbers("owner=unknown"), expected("0", "0", "0", "0"));
    // Counting stops after 10,000.
    let rows = (1..=9_998).map(|n: usize| {
        format!("('00000000-0000-4000-8000-{n:012}', 'old', '', '', 1893456000000000, 'user', 'admin')")
    });
    env.store.execute(&format!(
        "INSERT INTO tokens (id, name, permissions, allowed_cidr_blocks, created_at, created_by_type, created_by_id) VALUES {}",
        rows.collect::<Vec<_>>().join(", ")
    ));
    assert_eq!(numbers(""), expected("10,000+", "0", "10,000+", "10,000+"));
    // Among more than 1,000 found tokens, those of a status are not counted.
    for (query, all) in [("search=old", "10,000"), ("search=o", "10,000+")] {
        let unknown = format!("All tokens {all}, Active ?, Disabled ?");
        assert!(numbers(query).starts_with(&unknown), "{}", numbers(query));
    }
    let page = browser.get("/tokens?search=old&show=legacy").expect(200).text;
    assert!(page.contains("1–50 of 10,000"));
    let page = browser.get("/tokens").expect(200).text;
    assert!(page.contains("1–50 of 10,000+") && page.contains("More than 10,000 tokens match."));
    assert!(!page.contains("name=\"all\""));
}
