//! Every field of a token in every representation of a token.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use actix_web::rt::SystemRunner;
use serde_json::{Value, json};
use tokenbridge::{
    domain::{
        actor::{Channel, Origin},
        caller::{Call, Caller},
        cidr::CidrBlocks,
        expiry::Expiry,
        patch::Patch,
        permission::PermissionSet,
        token::{Token, TokenId},
    },
    service::{
        Service,
        tokens::{NewToken, PermissionChange, Rotation, TokenChanges, TokenRef},
    },
};

use crate::{
    support::{
        ADMIN, TestApp, TestEnv,
        browser::{Browser, between},
        client::{Auth, LEGACY, TOKENS},
        program::Program,
        time,
    },
    tests,
};

mod keys;
mod writers;

use keys::{Keys, compare};

tests![
    every_field_changes_every_representation_that_shows_it,
    every_writer_sets_every_field,
];

fn every_writer_sets_every_field(env: &TestEnv) {
    writers::assert_every_writer_sets_every_field(env);
}

/// A representation of a token: the fields that it shows, by their keys.
type Representation = BTreeMap<String, Value>;

/// A token, and what its representations show.
struct Observation {
    token: Token,
    api: Representation,
    export: Representation,
    legacy: Representation,
    form: Representation,
}

struct Fixture<'a> {
    env: &'a TestEnv,
    service: Service,
    runtime: SystemRunner,
    app: TestApp,
    program: Program,
}

fn every_field_changes_every_representation_that_shows_it(env: &TestEnv) {
    let fixture = Fixture {
        env,
        service: env.service(),
        runtime: actix_web::rt::System::new(),
        app: env.app(),
        program: Program::new(&env.store.url()),
    };
    let first = fixture.create("first", call());
    env.clock.advance(Duration::from_mins(1));
    let second = fixture.create("second", fixture.admin_call());
    let mut changed = assert_shown("another token", &first, &second, None);
    let id = second.token.id;
    let mut before = second;
    for (when, change) in CHANGES {
        env.clock.advance(Duration::from_mins(1));
        let details = fixture.change(id, change);
        let after = fixture.observe(id);
        changed.extend(assert_shown(when, &before, &after, details.as_ref()));
        before = after;
    }
    let all: BTreeSet<_> = compare(&before.token, &before.token)
        .iter()
        .map(|field| field.0)
        .collect();
    assert_eq!(changed, all, "every field was changed");
    fixture.assert_export_round_trips();
}

/// A change of a token.
#[derive(Clone, Copy)]
enum Change {
    Update(fn(&mut TokenChanges)),
    /// Its details are not compared: they do not name the last use.
    RotateAndUse,
}

const CHANGES: [(&str, Change); 9] = [
    (
        "rename",
        Change::Update(|changes| changes.name = Some("renamed".parse().unwrap())),
    ),
    (
        "permissions",
        Change::Update(|changes| {
            changes.permissions = Some(PermissionChange::Replace(PermissionSet::token_management()));
        }),
    ),
    (
        "blocks",
        Change::Update(|changes| {
            changes.allowed_cidr_blocks = Some(CidrBlocks::parse(["127.0.0.0/8", "2001:db8::/32"]).unwrap());
        }),
    ),
    (
        "expiry",
        Change::Update(|changes| changes.expires_at = Some(Expiry::At(time("2031-02-03T04:05:06Z")))),
    ),
    (
        "description",
        Change::Update(|changes| changes.description = Patch::Set("for\nthe build".parse().unwrap())),
    ),
    (
        "owner",
        Change::Update(|changes| changes.owner = Patch::Set("build team".parse().unwrap())),
    ),
    ("rotation and use", Change::RotateAndUse),
    ("disable", Change::Update(|changes| changes.disabled = Some(true))),
    (
        "another update",
        Change::Update(|changes| changes.name = Some("renamed again".parse().unwrap())),
    ),
];

const fn origin() -> Origin {
    Origin {
        channel: Channel::Cli,
        client: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
    }
}

const fn call() -> Call {
    Call {
        caller: Caller::CommandLine,
        origin: origin(),
    }
}

impl Fixture<'_> {
    /// Returns a call of the admin.
    fn admin_call(&self) -> Call {
        let admin = self.service.authenticate_admin(ADMIN.0, ADMIN.1.into(), origin());
        Call {
            caller: self.runtime.block_on(admin).unwrap(),
            origin: origin(),
        }
    }

    fn create(&self, name: &str, call: Call) -> Observation {
        let new = NewToken {
            id: None,
            name: name.parse().unwrap(),
            permissions: Some(PermissionSet::default()),
            allowed_cidr_blocks: None,
            expires_at: None,
            description: None,
            owner: None,
            disabled: false,
        };
        let created = self.service.create_without_value(call, new);
        let token = self.runtime.block_on(created).unwrap();
        self.observe(token.id)
    }

    /// Returns the details of the audit event, if they are to be compared.
    fn change(&self, id: TokenId, change: Change) -> Option<Value> {
        match change {
            Change::Update(set) => {
                let mut changes = TokenChanges::default();
                set(&mut changes);
                Some(self.update(id, changes))
            }
            Change::RotateAndUse => {
                self.runtime.block_on(async {
                    let (service, which) = (&self.service, TokenRef::Id(id));
                    let (_, value) = service.rotate(call(), which, Rotation::default(), None).await.unwrap();
                    service.authenticate_value(value.expose(), origin()).await.unwrap();
                    service.flush().await.unwrap();
                });
                None
            }
        }
    }

    /// Returns the details of the audit event.
    fn update(&self, id: TokenId, changes: TokenChanges) -> Value {
        let updated = self.service.update(call(), TokenRef::Id(id), changes);
        let updated = self.runtime.block_on(updated).unwrap();
        assert_eq!(updated, self.observe(id).token, "the store keeps every field");
        let events = self.app.get("/audit-events?limit=1", Auth::Admin).expect(200).json();
        events["results"][0]["details"].clone()
    }

    fn observe(&self, id: TokenId) -> Observation {
        let call = call();
        let found = self.service.get(&call, TokenRef::Id(id));
        let token = self.runtime.block_on(found).unwrap();
        let api = self.app.get(&format!("{TOKENS}/{id}"), Auth::Admin).expect(200).json();
        let legacy = self.app.get(&format!("{LEGACY}/{id}"), Auth::Admin).expect(200).json();
        let text = id.to_string();
        let shown = self.program.run(&["token", "show", &text, "--output", "json"]).stdout;
        let mut shown: Value = serde_json::from_str(&shown).unwrap();
        if let Some(last_used) = shown.get_mut("lastUsedAt") {
            // The command caps a time that is after its own clock.
            *last_used = api["lastUsedAt"].clone();
        }
        assert_eq!(shown, api);
        let table = self.program.run(&["token", "show", &text]).stdout;
        let keys: BTreeSet<_> = table.lines().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(keys, api.as_object().unwrap().keys().map(String::as_str).collect());
        let export = self.program.run(&["export"]).stdout;
        let line = export
            .lines()
            .find(|line| line.contains(&format!("\"id\":\"{id}\"")))
            .unwrap();
        let export: Value = serde_json::from_str(line).unwrap();
        Observation {
            token,
            api: representation(&api),
            export: representation(&export["token"]),
            legacy: representation(&legacy),
            form: form(
                &Browser::signed_in(&self.app)
                    .get(&format!("/tokens/{id}/edit"))
                    .expect(200)
                    .text,
            ),
        }
    }

    /// Imports the export into an empty store: its export has to be the same.
    fn assert_export_round_trips(&self) {
        let exported = self.program.run(&["export"]).stdout;
        let there = Program::new(&self.env.store.fresh_url());
        let imported = there.run_with_input(&["import", "-"], &exported);
        assert_eq!(imported.exit_code, 0, "{imported:?}");
        assert_eq!(there.run(&["export"]).stdout, exported);
    }
}

fn representation(object: &Value) -> Representation {
    object.as_object().unwrap().clone().into_iter().collect()
}

/// Returns the fields of the form that edits a token: every input, regardless of its name.
fn form(page: &str) -> Representation {
    let form = between(page, "<form id=\"token\"", "</form>");
    let mut fields = Representation::new();
    for input in form.split("<input ").skip(1) {
        let input = input.split_once('>').unwrap().0;
        let Some(name) = attribute(input, "name") else { continue };
        let value = json!(attribute(input, "value").unwrap_or_default());
        if attribute(input, "type") == Some("checkbox") {
            let checked = fields.entry(name.to_owned()).or_insert_with(|| json!([]));
            if input.ends_with(" checked") {
                checked.as_array_mut().unwrap().push(value);
            }
        } else if attribute(input, "type") != Some("radio") || input.ends_with(" checked") {
            fields.insert(name.to_owned(), value);
        }
    }
    for area in form.split("<textarea ").skip(1) {
        let (tag, rest) = area.split_once('>').unwrap();
        let text = rest.split_once("</textarea>").unwrap().0;
        fields.insert(attribute(tag, "name").unwrap().to_owned(), json!(text));
    }
    fields.remove("formKey");
    fields
}

/// Returns the value of an attribute of a tag.
fn attribute<'t>(tag: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = tag.split_once(&format!("{name}=\""))?;
    rest.split('"').next()
}

/// Requires that each representation has changed in the keys of the changed fields and in no other. Returns the names
/// of those fields.
fn assert_shown(
    when: &str,
    before: &Observation,
    after: &Observation,
    details: Option<&Value>,
) -> BTreeSet<&'static str> {
    let changed: Vec<_> = compare(&before.token, &after.token)
        .into_iter()
        .filter(|(_, differs, _)| *differs)
        .collect();
    let keys = |of: fn(&Keys) -> &'static [&'static str]| -> BTreeSet<&str> {
        changed.iter().flat_map(|(_, _, keys)| of(keys)).copied().collect()
    };
    let representations = [
        ("API", keys(|keys| keys.api), differences(&before.api, &after.api)),
        (
            "export",
            keys(|keys| keys.export),
            differences(&before.export, &after.export),
        ),
        (
            "legacy API",
            keys(|keys| keys.legacy),
            differences(&before.legacy, &after.legacy),
        ),
        ("form", keys(|keys| keys.form), differences(&before.form, &after.form)),
    ];
    for (what, expected, found) in representations {
        assert_eq!(found, expected, "{when}: {what}");
    }
    if let Some(details) = details {
        let found: BTreeSet<&str> = details.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(found, keys(|keys| keys.audit), "{when}: audit");
    }
    changed.iter().map(|(name, ..)| *name).collect()
}

/// Returns the keys whose values differ.
fn differences<'a>(before: &'a Representation, after: &'a Representation) -> BTreeSet<&'a str> {
    let keys = before.keys().chain(after.keys());
    let differing = keys.filter(|key| before.get(*key) != after.get(*key));
    differing.map(String::as_str).collect()
}
