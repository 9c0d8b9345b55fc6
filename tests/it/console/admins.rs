//! The pages about admins.

use diesel::{Connection, PgConnection, connection::SimpleConnection};

use crate::{
    support::{
        ADMIN, TestEnv,
        browser::{Browser, assert_redirects_to, hidden_fields, next_page, percent_encoded},
        client::{Auth, Client, TOKENS},
        program::Program,
        wait_until,
    },
    tests,
};

tests![admins_are_added_changed_and_removed, the_list_of_admins_is_paginated,];
tests![POSTGRES_TESTS: admins_who_change_each_other_do_not_deadlock];

fn admins_are_added_changed_and_removed(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let add = |name: &str, password: &str, again: &str| {
        let fields = [
            ("name", name),
            ("role", "admin"),
            ("password", password),
            ("again", again),
        ];
        browser.fill("/admins", &fields)
    };
    for (name, password, again, status, message) in [
        ("ops", "long enough", "another one", 400, "The two passwords differ."),
        ("ops", "short", "short", 400, "A password must have 8 to 1,024 bytes"),
        (
            "a:b",
            "long enough",
            "long enough",
            400,
            "User name: remove the colon, which ends the user name in HTTP Basic.",
        ),
        (
            "admin",
            "long enough",
            "long enough",
            409,
            "An admin with this name already exists.",
        ),
    ] {
        let response = add(name, password, again).expect(status);
        assert!(response.text.contains(message), "{message}");
        assert!(!response.text.contains(password), "{message}");
    }
    // The page of the last admin has no form. Sending the form regardless changes nothing.
    let remove_last = |browser: &Browser<'_>, query: &str| {
        let path = format!("/admins/remove{query}");
        let page = browser.get(&path).expect(200);
        assert!(page.text.contains("The last admin cannot be removed.") && hidden_fields(&page.text).is_empty());
        let other = browser.get("/admins").expect(200);
        browser.submit(&other, &path, &[]).expect(409);
        assert!(browser.is_signed_in());
    };
    remove_last(&browser, "?name=admin");
    let name = "J\u{fc}rgen & Co";
    assert_redirects_to(&add(name, "long enough", "long enough"), "/console/admins?done=added");
    app.get(TOKENS, Auth::Basic(name, "long enough")).expect(200);
    let query = format!("?name={}", percent_encoded(name));
    let path = format!("/admins/password{query}");
    let change = |own| {
        let fields = [("own", own), ("password", "even longer"), ("again", "even longer")];
        browser.fill(&path, &fields)
    };
    // A session that was left open does not suffice.
    let refused = change("not the admin's").expect(403);
    assert!(
        refused
            .text
            .contains("Your own password is wrong. Nothing has changed.")
    );
    app.get(TOKENS, Auth::Basic(name, "long enough")).expect(200);
    let changed = change(ADMIN.1);
    assert_redirects_to(&changed, "/console/admins?done=password-changed");
    app.get(TOKENS, Auth::Basic(name, "long enough")).expect(401);
    app.get(TOKENS, Auth::Basic(name, "even longer")).expect(200);
    let page = browser.get("/admins").expect(200).text;
    assert!(page.contains("J\u{fc}rgen &#38; Co") && page.contains("just now"));
    // Admins who remove themselves are signed out.
    let remove = |typed| browser.fill("/admins/remove?name=admin", &[("confirm", typed)]);
    let refused = remove("Admin").expect(400);
    assert!(refused.text.contains("That is not the name of this admin."));
    assert_redirects_to(&remove("admin"), "/console/admins?done=removed");
    assert!(!browser.is_signed_in());
    app.get(TOKENS, Auth::Admin).expect(401);
    browser.sign_in(name, "even longer").expect(303);
    browser.get("/admins/remove?name=admin").expect(404);
    remove_last(&browser, &query);
}

fn the_list_of_admins_is_paginated(env: &TestEnv) {
    let rows: Vec<String> = (0..10_000)
        .map(|number| format!("('user {number:05}', 'x', 0)"))
        .collect();
    env.store.execute(&format!(
        "INSERT INTO admins (name, password_hash, created_at) VALUES {}",
        rows.join(",")
    ));
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let (mut path, mut seen, mut pages) = ("/admins".to_owned(), Vec::new(), 0);
    // Enough pages to show that each one continues where the previous one ended.
    while pages < 3 {
        let page = browser.get(&path).expect(200);
        assert!(page.text.len() < 100_000, "{}", page.text.len());
        let names = page.text.split("scope=\"row\" class=\"name\">").skip(1);
        seen.extend(names.map(|rest| rest.split(['<', '\n']).next().unwrap().trim().to_owned()));
        path = next_page(&page).unwrap();
        pages += 1;
    }
    let expected = ["admin".to_owned()].into_iter();
    let expected: Vec<_> = expected
        .chain((0..299).map(|number| format!("user {number:05}")))
        .collect();
    assert_eq!(seen, expected);
    let last = browser.get("/admins?after=user%2009990").expect(200);
    assert!(last.text.contains("user 09999") && next_page(&last).is_none());
    // Each admin is found, regardless of its page.
    browser.get("/admins/remove?name=user%2009999").expect(200);
    browser.get("/admins/remove?name=user%20x").expect(404);
    let listed = Program::new(&env.store.url()).run(&["admin", "list"]);
    assert_eq!(listed.stdout.lines().count(), 10_002);
}

fn admins_who_change_each_other_do_not_deadlock(env: &TestEnv) {
    let app = env.app();
    let browser = Browser::signed_in(&app);
    let [first, second] = [("password", "long enough"), ("again", "long enough")];
    let ops = [("name", "ops"), ("role", "admin"), first, second];
    browser.fill("/admins", &ops).expect(303);
    let other = Browser::new(&app);
    other.sign_in("ops", "long enough").expect(303);
    let race = |[one, two]: [(&Browser<'_>, &str, &str); 2]| {
        let call = |browser: &Browser<'_>, path: &str, fields: &str| {
            let key = hidden_fields(&browser.get(path).expect(200).text).remove(0).1;
            let body = format!("formKey={key}&{fields}");
            (
                format!("/console{path}"),
                format!("tokenbridge_session={}", browser.key()),
                body,
            )
        };
        let calls = [call(one.0, one.1, one.2), call(two.0, two.1, two.2)];
        let url = env.store.url();
        let mut holder = PgConnection::establish(&url).unwrap();
        // Both begin, and wait.
        holder
            .batch_execute("BEGIN; SELECT name FROM admins FOR SHARE")
            .unwrap();
        std::thread::scope(|scope| {
            let sent = calls.each_ref().map(|(path, cookie, body)| {
                let form = "application/x-www-form-urlencoded";
                let headers = [("content-type", form), ("cookie", cookie)];
                let client: &Client = &app;
                scope.spawn(move || client.send("POST", path, Auth::Anonymous, &headers, body))
            });
            wait_until("both wait", || {
                let waiting = "SELECT 'x' AS found FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
                (env.store.texts(waiting).len() == 2).then_some(())
            });
            holder.batch_execute("COMMIT").unwrap();
            sent.map(|thread| thread.join().unwrap())
        })
    };
    let change = |own: &str| format!("own={}&password=even+longer&again=even+longer", percent_encoded(own));
    for response in race([
        (&browser, "/admins/password?name=ops", &change(ADMIN.1)),
        (&other, "/admins/password?name=admin", &change("long enough")),
    ]) {
        response.expect(303);
    }
    for name in ["admin", "ops"] {
        let in_again = if name == "ops" { &other } else { &browser };
        in_again.cookies.borrow_mut().clear();
        // The second one was already signed out.
        let passwords = ["even longer", "long enough", ADMIN.1];
        assert!(
            passwords
                .iter()
                .any(|password| in_again.sign_in(name, password).status == 303),
            "{name}"
        );
    }
    let responses = race([
        (&browser, "/admins/remove?name=ops", "confirm=ops"),
        (&other, "/admins/remove?name=admin", "confirm=admin"),
    ]);
    let locations = responses.map(|response| response.expect(303).header("location").unwrap().to_owned());
    assert!(
        locations.contains(&"/console/admins?done=removed".to_owned()),
        "{locations:?}"
    );
    assert_eq!(env.store.texts("SELECT name AS found FROM admins").len(), 1);
}
