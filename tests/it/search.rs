//! The search for tokens, which an index in memory answers.

use serde_json::{Value, json};
use tokenbridge::{
    domain::{
        actor::{Channel, Origin},
        caller::{Call, Caller},
        page::{ColumnFilter, PageSize, TokenFilter, TokenState},
        search::SearchFilter,
        sort::{PagePosition, SortKey, SortValue, SortedCursor, SortedPage, TokenOrder},
    },
    service::Service,
};

use crate::{
    support::{
        READ, TestApp, TestEnv,
        client::{Auth, TOKENS, string},
        program::Program,
        wait_until,
    },
    tests,
};

tests![
    a_search_includes_every_change_of_its_server,
    a_search_includes_the_changes_of_others,
    a_search_has_the_pages_of_a_filter,
];

fn names(app: &TestApp, query: &str) -> Vec<String> {
    let found = app.get(&format!("{TOKENS}?{query}"), Auth::Admin).expect(200).json();
    let tokens = found["results"].as_array().unwrap();
    tokens.iter().map(|token| string(&token["name"])).collect()
}

fn a_search_includes_every_change_of_its_server(env: &TestEnv) {
    let app = env.app();
    let none = Vec::<String>::new();
    assert_eq!(names(&app, "name=alpha"), none);
    let (id, _) = app.new_token(&json!({ "name": "Alpha 1", "permissions": [READ] }));
    let legacy = app.new_legacy_token(&json!({ "name": "ALPHA 2", "read": false }));
    assert_eq!(names(&app, "name=alpha"), ["Alpha 1", "ALPHA 2"]);
    app.post(&format!("{TOKENS}/{id}"), Auth::Admin, &json!({ "name": "Beta" }))
        .expect(200);
    assert_eq!(
        (names(&app, "name=alpha"), names(&app, "name=beta")),
        (vec!["ALPHA 2".to_owned()], vec!["Beta".to_owned()])
    );
    let path = format!("/rest/agent-config/1.0/tokens/{legacy}");
    app.put(&path, Auth::Admin, &json!({ "name": "alpha 3", "read": true }))
        .expect(200);
    assert_eq!(names(&app, &format!("permission={READ}")), ["Beta", "alpha 3"]);
    app.post(&format!("{TOKENS}/{id}"), Auth::Admin, &json!({ "permissions": [] }))
        .expect(200);
    assert_eq!(names(&app, &format!("permission={READ}")), ["alpha 3"]);
    app.delete(&format!("{TOKENS}/{id}"), Auth::Admin).expect(204);
    assert_eq!(names(&app, "name=beta"), none);
    for number in 1..=3 {
        app.new_token(&json!({ "name": format!("gamma {number}") }));
    }
    assert_eq!(names(&app, "name=GAMMA").len(), 3);
    app.delete(&format!("{TOKENS}?name=gamma&expected=3"), Auth::Admin)
        .expect(200);
    assert_eq!(names(&app, "name=gamma"), none);
}

fn a_search_includes_the_changes_of_others(env: &TestEnv) {
    let (one, other) = (env.app(), env.app());
    let program = Program::new(&env.store.url());
    let becomes = |query: &str, expected: &[&str]| {
        wait_until("the search includes the change", || {
            (names(&one, query) == expected).then_some(())
        });
    };
    let (id, _) = one.new_token(&json!({ "name": "first" }));
    assert_eq!(names(&one, "name=first"), ["first"]);
    other.new_token(&json!({ "name": "first of the other" }));
    becomes("name=first", &["first", "first of the other"]);
    other
        .post(&format!("{TOKENS}/{id}"), Auth::Admin, &json!({ "name": "second" }))
        .expect(200);
    becomes("name=first", &["first of the other"]);
    becomes("name=second", &["second"]);
    let created = program.run(&["token", "create", "third", "--output", "json"]);
    becomes("name=third", &["third"]);
    let created: Value = serde_json::from_str(&created.stdout).unwrap();
    let third = string(&created["id"]);
    assert_eq!(
        program.run(&["token", "update", &third, "--name", "fourth"]).exit_code,
        0
    );
    becomes("name=fourth", &["fourth"]);
    assert_eq!(program.run(&["token", "delete", &third]).exit_code, 0);
    becomes("name=fourth", &[]);
}

const OPERATOR: Call = Call {
    caller: Caller::CommandLine,
    origin: Origin {
        channel: Channel::Cli,
        client: None,
    },
};

/// Returns pages of a list: the first, the last, and the one before it.
async fn pages(service: &Service, filter: &TokenFilter, order: TokenOrder) -> Vec<SortedPage> {
    let page = async |position| {
        let page = service.list_sorted(&OPERATOR, filter.clone(), order, position, PageSize::OF_CONSOLE);
        page.await.unwrap()
    };
    let last_row = if order.descending { 1 } else { i64::MAX };
    let key = match order.by {
        SortKey::Created => SortValue::Absent,
        SortKey::Name if order.descending => SortValue::Name(String::new()),
        SortKey::Name => SortValue::Name("~".to_owned()),
        SortKey::LastUsed | SortKey::Expires if order.descending => SortValue::Absent,
        SortKey::LastUsed | SortKey::Expires => SortValue::Time(i64::MAX),
    };
    let mut pages = vec![page(PagePosition::Start).await];
    let last = page(PagePosition::After(SortedCursor { row: last_row, key })).await;
    if let Some(previous) = last.previous.clone() {
        pages.push(page(PagePosition::Before(previous)).await);
    }
    pages.push(last);
    pages
}

/// Creates 75,000 tokens whose names are in another order than their rows. 45,000 have the word `Common` in the name, and
/// so has their owner.
fn insert_tokens(env: &TestEnv) {
    let row = |number: i64| {
        let word = if number % 5 < 3 { "Common" } else { "rare" };
        let time = |is_set: bool| {
            let time = 1_893_456_000_000_000 + number * 104_729 % 1_000_000;
            if is_set { time.to_string() } else { "NULL".to_owned() }
        };
        format!(
            "('00000000-0000-4000-8000-{number:012}', '{} {word}', '{word}', '', '', 1893456000000000, 'user', 'admin', \
             {}, {}, {})",
            number * 7919 % 75_000,
            time(number % 7 < 2),
            time(number % 4 == 0),
            time(number % 3 == 1),
        )
    };
    for start in (0..75_000).step_by(5000) {
        let rows: Vec<_> = (start..start + 5000).map(row).collect();
        env.store.execute(&format!(
            "INSERT INTO tokens (id, name, owner, permissions, allowed_cidr_blocks, created_at, created_by_type, \
             created_by_id, last_used_at, expires_at, disabled_at) VALUES {}",
            rows.join(", ")
        ));
    }
}

/// The search finds the same tokens as a filter by their owner, in each of the ways that depend on their number.
fn a_search_has_the_pages_of_a_filter(env: &TestEnv) {
    let service = env.service();
    insert_tokens(env);
    let in_state = |state: Option<TokenState>| {
        let columns = ColumnFilter {
            state,
            ..ColumnFilter::default()
        };
        let search = SearchFilter {
            text: Some("COMMON".to_owned()),
            ..SearchFilter::default()
        };
        let by_owner = ColumnFilter {
            owner: Some("Common".to_owned()),
            ..columns.clone()
        };
        (TokenFilter { search, columns }, TokenFilter::from(by_owner))
    };
    // More than 50,000 tokens were never used, so that the conditions on columns are met last.
    let lists: [(_, &[&str]); 3] = [
        (None, &["-created", "name", "-last-used", "expires"]),
        (
            Some(TokenState::NeverUsed),
            &["created", "-name", "last-used", "-expires"],
        ),
        (Some(TokenState::Disabled), &["-created", "name", "-expires"]),
    ];
    actix_web::rt::System::new().block_on(async {
        for (state, orders) in lists {
            let (searched, filtered) = in_state(state);
            let total = service
                .count(&OPERATOR, filtered.clone(), Vec::new())
                .await
                .unwrap()
                .all;
            let counted = service.count(&OPERATOR, searched.clone(), Vec::new()).await.unwrap();
            assert_eq!(counted.all, total, "{state:?}");
            for order in orders {
                let order: TokenOrder = order.parse().unwrap();
                let found = pages(&service, &searched, order).await;
                let expected = pages(&service, &filtered, order).await;
                assert_eq!(found.len(), 3);
                for (found, expected) in found.into_iter().zip(expected) {
                    assert!(found.total.is_none_or(|found| found == total), "{order} {state:?}");
                    assert_eq!(
                        (found.tokens, found.preceding, found.previous, found.next),
                        (expected.tokens, expected.preceding, expected.previous, expected.next),
                        "{order} {state:?}"
                    );
                }
            }
        }
    });
}
