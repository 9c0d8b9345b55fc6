//! A state machine: the server and a small model of it perform the same steps, and must agree after each.

use std::{collections::BTreeMap, time::Duration};

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};
use tokenbridge::domain::patch::Patch;

use crate::{
    support::{
        MODIFY, READ, TestApp, TestEnv,
        client::{Auth, LEGACY, TOKENS, string},
    },
    tests,
};

tests![the_server_matches_the_model];

const OTHER: &str = "UserRead";

/// A step. A number selects one of the tokens or values so far.
#[derive(Clone, Debug)]
enum Step {
    Create {
        permissions: u8,
        expires_in: Option<u16>,
    },
    CreateLegacy {
        read: bool,
        change: bool,
    },
    Update {
        which: usize,
        permissions: Option<u8>,
        expires_in: Patch<u16>,
    },
    UpdateLegacy {
        which: usize,
        read: Option<bool>,
        change: Option<bool>,
    },
    Rotate {
        which: usize,
        grace: u16,
    },
    RotateItself {
        value: usize,
        grace: u16,
    },
    Use {
        value: usize,
    },
    Delete {
        which: usize,
        legacy: bool,
    },
    Wait {
        seconds: u16,
    },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let seconds = 1u16..200;
    prop_oneof![
        3 => (0u8..8, proptest::option::weighted(0.3, seconds.clone())).prop_map(|(permissions, expires_in)| Step::Create { permissions, expires_in }),
        2 => any::<(bool, bool)>().prop_map(|(read, change)| Step::CreateLegacy { read, change }),
        2 => (any::<usize>(), proptest::option::of(0u8..8), prop_oneof![Just(Patch::Keep), Just(Patch::Clear), seconds.clone().prop_map(Patch::Set)])
            .prop_map(|(which, permissions, expires_in)| Step::Update { which, permissions, expires_in }),
        2 => any::<(usize, Option<bool>, Option<bool>)>().prop_map(|(which, read, change)| Step::UpdateLegacy { which, read, change }),
        3 => (any::<usize>(), 0u16..100).prop_map(|(which, grace)| Step::Rotate { which, grace: grace.saturating_sub(40) }),
        2 => (any::<usize>(), 0u16..100).prop_map(|(value, grace)| Step::RotateItself { value, grace: grace.saturating_sub(40) }),
        4 => any::<usize>().prop_map(|value| Step::Use { value }),
        1 => any::<(usize, bool)>().prop_map(|(which, legacy)| Step::Delete { which, legacy }),
        2 => (1u16..120).prop_map(|seconds| Step::Wait { seconds }),
        1 => Just(Step::Restart),
    ]
}

#[derive(Default)]
struct Model {
    now: u64,
    /// All tokens so far, in the order of their creation.
    tokens: Vec<Token>,
    /// All values so far: the value, the index of its token, and its validity.
    values: Vec<(String, usize, Works)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Works {
    Current,
    Until(u64),
    CommandOutput,
}

#[derive(Clone)]
struct Token {
    id: String,
    permissions: u8,
    expires: Option<u64>,
    used: Option<u64>,
    rotated: Option<u64>,
    deleted: bool,
}

impl Model {
    fn pick(&self, which: usize) -> Option<usize> {
        (!self.tokens.is_empty()).then(|| which % self.tokens.len())
    }

    fn pick_value(&self, value: usize) -> Option<usize> {
        (!self.values.is_empty()).then(|| value % self.values.len())
    }

    fn add(&mut self, id: String, permissions: u8, expires: Option<u64>) {
        self.tokens.push(Token {
            id,
            permissions,
            expires,
            used: None,
            rotated: None,
            deleted: false,
        });
    }

    fn works(&self, value: usize) -> bool {
        let (_, token, works) = &self.values[value];
        let token = &self.tokens[*token];
        let valid = match works {
            Works::Current => true,
            Works::Until(end) => *end > self.now,
            Works::CommandOutput => false,
        };
        valid && !token.deleted && token.expires.is_none_or(|end| end > self.now)
    }

    fn rotate(&mut self, token: usize, grace: u16, value: String) {
        let now = self.now;
        for (_, _, works) in self.values.iter_mut().filter(|(_, of, _)| *of == token) {
            *works = match *works {
                _ if grace == 0 => Works::CommandOutput,
                Works::Current => Works::Until(now + u64::from(grace)),
                earlier => earlier,
            };
        }
        self.values.push((value, token, Works::Current));
        self.tokens[token].rotated = Some(now);
    }
}

fn names(permissions: u8) -> Vec<&'static str> {
    [MODIFY, READ, OTHER]
        .into_iter()
        .enumerate()
        .filter(|(bit, _)| permissions & (1 << bit) != 0)
        .map(|(_, name)| name)
        .collect()
}

fn the_server_matches_the_model(env: &TestEnv) {
    let mut runner = TestRunner::new(Config {
        cases: 12,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    });
    let steps = proptest::collection::vec(step(), 1..60);
    let outcome = runner.run(&steps, |steps| {
        let env = TestEnv::new(env.kind);
        run_steps(&env, &steps);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

fn run_steps(env: &TestEnv, steps: &[Step]) {
    let mut app = Some(env.app());
    let mut model = Model::default();
    for step in steps {
        if matches!(step, Step::Restart) {
            app.take().unwrap().stop();
            app = Some(env.app());
        }
        let app = app.as_ref().unwrap();
        apply(env, app, &mut model, step);
        compare(env, app, &model);
    }
}

#[expect(clippy::too_many_lines, reason = "one arm a step, and each is read alone")]
fn apply(env: &TestEnv, app: &TestApp, model: &mut Model, step: &Step) {
    let at = |seconds: u16| env.clock.seconds_from_now(seconds.into());
    let then = |model: &Model, seconds: u16| model.now + u64::from(seconds);
    let status = |model: &Model, token: usize, good: u16| if model.tokens[token].deleted { 404 } else { good };
    match step {
        Step::Create {
            permissions,
            expires_in,
        } => {
            let body = json!({ "name": "n", "permissions": names(*permissions), "expiresAt": expires_in.map(at) });
            let (id, value) = app.new_token(&body);
            let expires = expires_in.map(|seconds| then(model, seconds));
            model.add(id, *permissions, expires);
            model.values.push((value, model.tokens.len() - 1, Works::Current));
        }
        Step::CreateLegacy { read, change } => {
            let id = app.new_legacy_token(&json!({ "name": "n", "read": read, "change": change }));
            model.add(id, u8::from(*change) | u8::from(*read) << 1, None);
        }
        Step::Update {
            which,
            permissions,
            expires_in,
        } => {
            let Some(token) = model.pick(*which) else { return };
            let mut body = serde_json::Map::new();
            body.insert("name".to_owned(), json!("n"));
            if let Some(permissions) = permissions {
                body.insert("permissions".to_owned(), json!(names(*permissions)));
            }
            match expires_in {
                Patch::Keep => {}
                Patch::Clear => drop(body.insert("expiresAt".to_owned(), Value::Null)),
                Patch::Set(seconds) => drop(body.insert("expiresAt".to_owned(), json!(at(*seconds)))),
            }
            let place = format!("{TOKENS}/{}", model.tokens[token].id);
            app.post(&place, Auth::Admin, &Value::Object(body))
                .expect(status(model, token, 200));
            let expires = match expires_in {
                Patch::Keep => model.tokens[token].expires,
                Patch::Clear => None,
                Patch::Set(seconds) => Some(then(model, *seconds)),
            };
            let token = &mut model.tokens[token];
            token.permissions = permissions.unwrap_or(token.permissions);
            token.expires = expires;
        }
        Step::UpdateLegacy { which, read, change } => {
            let Some(token) = model.pick(*which) else { return };
            let place = format!("{LEGACY}/{}", model.tokens[token].id);
            app.put(&place, Auth::Admin, &json!({ "read": read, "change": change }))
                .expect(status(model, token, 200));
            let token = &mut model.tokens[token];
            for (bit, flag) in [(1, change), (2, read)] {
                match flag {
                    Some(true) => token.permissions |= bit,
                    Some(false) => token.permissions &= !bit,
                    None => {}
                }
            }
        }
        Step::Rotate { which, grace } => {
            let Some(token) = model.pick(*which) else { return };
            let place = format!("{TOKENS}/{}/rotate", model.tokens[token].id);
            let response = app
                .post(&place, Auth::Admin, &json!({ "gracePeriodSeconds": grace }))
                .expect(status(model, token, 200));
            if response.status == 200 {
                model.rotate(token, *grace, string(&response.json()["value"]));
            }
        }
        Step::RotateItself { value, grace } => {
            let Some(value) = model.pick_value(*value) else { return };
            let works = model.works(value);
            let auth = Auth::Key(&model.values[value].0);
            let response = app.post(
                &format!("{TOKENS}/self/rotate"),
                auth,
                &json!({ "gracePeriodSeconds": grace }),
            );
            let response = response.expect(if works { 200 } else { 401 });
            if works {
                let token = model.values[value].1;
                model.tokens[token].used = Some(model.now);
                model.rotate(token, *grace, string(&response.json()["value"]));
            }
        }
        Step::Use { value } => {
            let Some(value) = model.pick_value(*value) else { return };
            let (text, token, _) = &model.values[value];
            let response = app
                .get(&format!("{TOKENS}/self"), Auth::Key(text))
                .expect(if model.works(value) { 200 } else { 401 });
            if response.status == 200 {
                let token = *token;
                assert_eq!(response.json()["id"], model.tokens[token].id);
                model.tokens[token].used = Some(model.now);
            }
        }
        Step::Delete { which, legacy } => {
            let Some(token) = model.pick(*which) else { return };
            let collection = if *legacy { LEGACY } else { TOKENS };
            app.delete(&format!("{collection}/{}", model.tokens[token].id), Auth::Admin)
                .expect(status(model, token, 204));
            model.tokens[token].deleted = true;
        }
        Step::Wait { seconds } => {
            env.clock.advance(Duration::from_secs((*seconds).into()));
            model.now += u64::from(*seconds);
        }
        Step::Restart => {}
    }
}

/// Checks that both APIs show the tokens of the model, in its order.
fn compare(env: &TestEnv, app: &TestApp, model: &Model) {
    let start = crate::support::time(crate::support::START).micros();
    let time = |seconds: u64| {
        let micros = start + i64::try_from(seconds).unwrap() * 1_000_000;
        json!(
            tokenbridge::domain::clock::Timestamp::from_micros(micros)
                .unwrap()
                .to_string()
        )
    };
    let living: Vec<&Token> = model.tokens.iter().filter(|token| !token.deleted).collect();
    let legacy: Vec<Value> = living
        .iter()
        .map(|token| json!({ "uuid": token.id, "name": "n", "read": token.permissions & 2 != 0, "change": token.permissions & 1 != 0 }))
        .collect();
    assert_eq!(app.get(LEGACY, Auth::Admin).expect(200).json(), json!(legacy));
    let listed = app.get(TOKENS, Auth::Admin).expect(200).json();
    let listed: BTreeMap<String, &Value> = listed["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|token| (string(&token["id"]), token))
        .collect();
    assert_eq!(listed.len(), living.len());
    for token in living {
        let shown = listed[&token.id];
        assert_eq!(shown["permissions"], json!(names(token.permissions)));
        assert_eq!(shown["expiresAt"], token.expires.map_or(json!(null), time));
        assert_eq!(shown.get("lastUsedAt").cloned(), token.used.map(time));
        assert_eq!(shown.get("rotatedAt").cloned(), token.rotated.map(time));
    }
    assert_eq!(
        env.store.texts("SELECT count(*) || '' AS found FROM tokens"),
        [listed.len().to_string()]
    );
}
