//! The search for tokens, which an index in memory answers.

use serde_json::{Value, json};
use tokenbridge::{
    domain::{
        actor::{Channel, Origin},
        caller::{Call, Caller},
        clock::Timestamp,
        page::{BoundedCount, ColumnFilter, PageSize, TokenFilter, TokenState},
        search::SearchFilter,
        sort::{PagePosition, SortKey, SortValue, SortedCursor, SortedPage, TokenOrder},
        token_group::TokenGroup,
    },
    service::Service,
};

use crate::{
    StoreKind,
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
    large_lists_have_the_right_pages,
    groups_are_counted_as_they_are_listed,
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
    let first = page(PagePosition::Start).await;
    let last = page(PagePosition::After(SortedCursor { row: last_row, key })).await;
    let before_last = page(PagePosition::Before(last.previous.clone().unwrap())).await;
    vec![first, before_last, last]
}

/// Number of tokens in the test of large lists.
const MANY: i64 = 75_000;
/// The time of creation of these tokens, before all of their last uses and expiries, in microseconds since the
/// Unix epoch.
const AT: i64 = 1_893_456_000_000_000;

/// A token of the test of large lists. Their names and times are in another order than their rows.
struct Sample {
    number: i64,
    name: String,
    is_common: bool,
    last_used_at: Option<i64>,
    expires_at: Option<i64>,
    is_disabled: bool,
}

impl Sample {
    fn new(number: i64) -> Self {
        let time = AT + 1 + number * 104_729 % 1_000_000;
        let is_common = number % 5 < 3;
        let word = if is_common { "Common" } else { "rare" };
        Self {
            number,
            name: format!("{:05} {word}", number * 7919 % MANY),
            is_common,
            last_used_at: (number % 7 < 2).then_some(time),
            expires_at: (number % 4 == 0).then_some(time),
            is_disabled: number % 3 == 1,
        }
    }

    fn id(&self) -> String {
        format!("00000000-0000-4000-8000-{:012}", self.number)
    }

    /// Returns the row. The name and the owner contain the same word.
    fn row(&self) -> String {
        let time = |time: Option<i64>| time.map_or_else(|| "NULL".to_owned(), |time| time.to_string());
        format!(
            "('{}', '{}', '{}', '', '', {AT}, 'user', 'admin', {}, {}, {})",
            self.id(),
            self.name,
            if self.is_common { "Common" } else { "rare" },
            time(self.last_used_at),
            time(self.expires_at),
            time(self.is_disabled.then_some(AT)),
        )
    }

    fn key(&self, by: SortKey) -> (Option<i64>, &str) {
        match by {
            SortKey::Created => (None, ""),
            SortKey::Name => (None, &self.name),
            SortKey::LastUsed => (self.last_used_at, ""),
            SortKey::Expires => (self.expires_at, ""),
        }
    }
}

/// Conditions on columns, the samples that meet them, and the orders of lists.
type Case = (ColumnFilter, fn(&Sample) -> bool, &'static [&'static str]);

fn cases() -> Vec<Case> {
    let filter = |state| ColumnFilter {
        state,
        legacy_uuid_auth: true,
        ..ColumnFilter::default()
    };
    let half = Timestamp::from_micros(AT + 500_000).unwrap();
    let end = Timestamp::from_micros(AT + 1_000_001).unwrap();
    vec![
        (filter(None), |_| true, &["-created", "name", "-last-used", "expires"]),
        (
            filter(Some(TokenState::NeverUsed)),
            |sample| sample.last_used_at.is_none(),
            &["created", "-name", "last-used", "-last-used", "-expires"],
        ),
        (
            filter(Some(TokenState::Disabled)),
            |sample| sample.is_disabled,
            &["-created", "name", "-expires"],
        ),
        (
            ColumnFilter {
                unused_since: Some(half),
                ..filter(None)
            },
            |sample| sample.last_used_at.is_none_or(|used| used < AT + 500_000),
            &["created", "-name", "last-used", "-last-used", "expires"],
        ),
        (
            ColumnFilter {
                expires_before: Some(end),
                ..filter(Some(TokenState::Active))
            },
            |sample| sample.expires_at.is_some() && !sample.is_disabled,
            &["-created", "name", "last-used", "expires", "-expires"],
        ),
    ]
}

/// Lists of a search, of an owner, and of all tokens have the right pages, in each of the ways that depend on their
/// number.
fn large_lists_have_the_right_pages(env: &TestEnv) {
    let service = env.service();
    let samples: Vec<_> = (0..MANY).map(Sample::new).collect();
    for some in samples.chunks(5000) {
        let rows: Vec<_> = some.iter().map(Sample::row).collect();
        env.store.execute(&format!(
            "INSERT INTO tokens (id, name, owner, permissions, allowed_cidr_blocks, created_at, created_by_type, \
             created_by_id, last_used_at, expires_at, disabled_at) VALUES {}",
            rows.join(", ")
        ));
    }
    actix_web::rt::System::new().block_on(async {
        for (columns, meets, orders) in cases() {
            let searched = SearchFilter {
                text: Some("COMMON".to_owned()),
                ..SearchFilter::default()
            };
            let owned = ColumnFilter {
                owner: Some("Common".to_owned()),
                ..columns.clone()
            };
            let lists = [
                (
                    TokenFilter {
                        search: searched,
                        columns: columns.clone(),
                    },
                    true,
                ),
                (TokenFilter::from(owned), true),
                (TokenFilter::from(columns), false),
            ];
            for (filter, only_common) in lists {
                let is_listed = |sample: &&Sample| meets(sample) && (sample.is_common || !only_common);
                let mut expected: Vec<_> = samples.iter().filter(is_listed).collect();
                let counted = service.count(&OPERATOR, filter.clone(), Vec::new()).await.unwrap();
                let total = BoundedCount::new(expected.len().min(BoundedCount::LIMIT));
                assert_eq!(counted.all, total, "{filter:?}");
                for order in orders {
                    let order: TokenOrder = order.parse().unwrap();
                    expected.sort_by_key(|sample| (sample.key(order.by), sample.number));
                    if order.descending {
                        expected.reverse();
                    }
                    let size = PageSize::OF_CONSOLE.get();
                    let starts = [0, expected.len() - 2 * size, expected.len() - size];
                    for (page, start) in pages(&service, &filter, order).await.into_iter().zip(starts) {
                        let found: Vec<_> = page.tokens.iter().map(|token| token.id.to_string()).collect();
                        let right = expected.get(start..start + size).unwrap();
                        let right: Vec<_> = right.iter().map(|sample| sample.id()).collect();
                        assert_eq!(found, right, "{order} from {start} of {filter:?}");
                        let preceding = BoundedCount::new(start.min(BoundedCount::LIMIT));
                        assert_eq!(page.preceding, preceding, "{order} from {start} of {filter:?}");
                        assert!(page.total.is_none_or(|found| found == total), "{order} of {filter:?}");
                    }
                }
            }
        }
    });
}

/// The numbers beside the groups of few tokens come from their columns, and the lists from queries.
fn groups_are_counted_as_they_are_listed(env: &TestEnv) {
    let service = env.service();
    let now = service.now();
    let day = 86_400_000_000;
    let row = |number: i64| {
        let time = |is_set: bool, days: i64| {
            let time = now.micros() + days * day;
            if is_set { time.to_string() } else { "NULL".to_owned() }
        };
        let value = match number % 11 {
            0 => "NULL".to_owned(),
            _ => match env.kind {
                StoreKind::Sqlite => format!("x'{number:064x}'"),
                StoreKind::Postgres => format!("'\\x{number:064x}'"),
            },
        };
        format!(
            "('00000000-0000-4000-8000-{number:012}', 'counted {number}', 'Common', '', '', {}, 'user', 'admin', {}, {}, {}, {}, {value})",
            now.micros() - (number % 200) * day,
            time(number % 5 == 0, -(number % 130)),
            time(number % 3 != 0, -(number % 180)),
            time(number % 2 == 0, number % 97 - 30),
            time(number % 7 == 0, -1),
        )
    };
    let rows: Vec<_> = (0..500).map(row).collect();
    env.store.execute(&format!(
        "INSERT INTO tokens (id, name, owner, permissions, allowed_cidr_blocks, created_at, created_by_type, created_by_id, \
         rotated_at, last_used_at, expires_at, disabled_at, value_hash) VALUES {}",
        rows.join(", ")
    ));
    let of_owner = |group: TokenGroup| ColumnFilter {
        owner: Some("Common".to_owned()),
        ..group.filter(now, false)
    };
    let groups: Vec<_> = TokenGroup::ALL.into_iter().map(of_owner).collect();
    actix_web::rt::System::new().block_on(async {
        let all = TokenFilter::from(of_owner(TokenGroup::All));
        let counts = service.count(&OPERATOR, all, groups.clone()).await.unwrap();
        assert_eq!(counts.all.exact(), Some(500));
        for (group, counted) in groups.into_iter().zip(counts.narrower) {
            let listed = service
                .count(&OPERATOR, group.clone().into(), Vec::new())
                .await
                .unwrap();
            assert_eq!(counted, Some(listed.all), "{group:?}");
            assert_ne!(counted, Some(BoundedCount::default()), "{group:?}");
        }
    });
}
