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
        actor::{Actor, Channel, Origin},
        annotation::{Description, Owner},
        caller::{Call, Caller},
        cidr::CidrBlocks,
        clock::Timestamp,
        expiry::Expiry,
        name::TokenName,
        patch::Patch,
        permission::PermissionSet,
        token::{Attribution, Token, TokenId},
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

mod writers;

tests![
    every_field_changes_every_representation_that_shows_it,
    every_writer_sets_every_field,
];

fn every_writer_sets_every_field(env: &TestEnv) {
    writers::assert_every_writer_sets_every_field(env);
}

/// A representation of a token: the fields that it shows, by their keys.
type Representation = BTreeMap<String, Value>;

/// The keys under which the representations show a field.
#[derive(Clone, Copy, Default)]
struct Keys {
    /// `/api-tokens` and `token show`.
    api: &'static [&'static str],
    export: &'static [&'static str],
    legacy: &'static [&'static str],
    /// The form in the console.
    form: &'static [&'static str],
    /// The details of the audit event of a change.
    audit: &'static [&'static str],
}

impl Keys {
    const NONE: Self = Self::of(&[]);

    /// Returns the keys of a field that only `/api-tokens` and exports show.
    const fn of(keys: &'static [&'static str]) -> Self {
        Self {
            api: keys,
            export: keys,
            legacy: &[],
            form: &[],
            audit: &[],
        }
    }
}

/// Compares two tokens field by field: the name of each field, `true` if it differs, and its keys. A new field does not
/// compile until it is added here.
fn compare(before: &Token, after: &Token) -> Vec<(&'static str, bool, Keys)> {
    let Token {
        id,
        name,
        permissions,
        allowed_cidr_blocks,
        has_value,
        created: Attribution { at, by },
        updated,
        rotated_at,
        last_used_at,
        expires_at,
        description,
        owner,
        disabled_at,
        version,
    } = before;
    let id_keys = Keys {
        legacy: &["uuid"],
        ..Keys::of(&["id"])
    };
    let name_keys = Keys {
        legacy: &["name"],
        form: &["name"],
        audit: &["name"],
        ..Keys::of(&["name"])
    };
    let permission_keys = Keys {
        legacy: &["read", "change"],
        form: &["permission"],
        audit: &["permissions"],
        ..Keys::of(&["permissions"])
    };
    let block_keys = Keys {
        form: &["blocks"],
        audit: &["allowedCIDRBlocks"],
        ..Keys::of(&["allowedCIDRBlocks"])
    };
    let value_keys = Keys {
        export: &["valueHash"],
        ..Keys::NONE
    };
    let expiry_keys = Keys {
        form: &["expires"],
        audit: &["expiresAt"],
        ..Keys::of(&["expiresAt"])
    };
    let description_keys = Keys {
        form: &["description"],
        audit: &["description"],
        ..Keys::of(&["description"])
    };
    let owner_keys = Keys {
        form: &["owner"],
        audit: &["owner"],
        ..Keys::of(&["owner"])
    };
    let disabled_keys = Keys {
        audit: &["disabledAt"],
        ..Keys::of(&["disabledAt"])
    };
    let version_keys = Keys {
        form: &["version"],
        ..Keys::NONE
    };
    vec![
        ("id", *id != after.id, id_keys),
        ("name", *name != after.name, name_keys),
        ("permissions", *permissions != after.permissions, permission_keys),
        ("blocks", *allowed_cidr_blocks != after.allowed_cidr_blocks, block_keys),
        ("has_value", *has_value != after.has_value, value_keys),
        ("created.at", *at != after.created.at, Keys::of(&["createdAt"])),
        ("created.by", *by != after.created.by, Keys::of(&["createdBy"])),
        (
            "updated.at",
            updated_at(updated.as_ref()) != updated_at(after.updated.as_ref()),
            Keys::of(&["updatedAt"]),
        ),
        (
            "updated.by",
            updated_by(updated.as_ref()) != updated_by(after.updated.as_ref()),
            Keys::of(&["updatedBy"]),
        ),
        ("rotated_at", *rotated_at != after.rotated_at, Keys::of(&["rotatedAt"])),
        (
            "last_used_at",
            *last_used_at != after.last_used_at,
            Keys::of(&["lastUsedAt"]),
        ),
        ("expires_at", *expires_at != after.expires_at, expiry_keys),
        ("description", *description != after.description, description_keys),
        ("owner", *owner != after.owner, owner_keys),
        ("disabled_at", *disabled_at != after.disabled_at, disabled_keys),
        ("version", *version != after.version, version_keys),
    ]
}

/// Returns the time of the last change.
fn updated_at(updated: Option<&Attribution>) -> Option<Timestamp> {
    updated.map(|Attribution { at, by: _ }| *at)
}

/// Returns the author of the last change.
fn updated_by(updated: Option<&Attribution>) -> Option<&Actor> {
    updated.map(|Attribution { at: _, by }| by)
}

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
    for (when, action) in ACTIONS {
        env.clock.advance(Duration::from_mins(1));
        let details = action(&fixture, id);
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

/// Changes a token, and returns the details of the audit event, if it is an event.
type Action = fn(&Fixture<'_>, TokenId) -> Option<Value>;

const ACTIONS: [(&str, Action); 9] = [
    ("rename", |fixture, id| {
        let name = Some(TokenName::parse("renamed").unwrap());
        Some(fixture.update(
            id,
            TokenChanges {
                name,
                ..TokenChanges::default()
            },
        ))
    }),
    ("permissions", |fixture, id| {
        let permissions = Some(PermissionChange::Replace(PermissionSet::token_management()));
        Some(fixture.update(
            id,
            TokenChanges {
                permissions,
                ..TokenChanges::default()
            },
        ))
    }),
    ("blocks", |fixture, id| {
        let allowed_cidr_blocks = Some(CidrBlocks::parse(["127.0.0.0/8", "2001:db8::/32"]).unwrap());
        Some(fixture.update(
            id,
            TokenChanges {
                allowed_cidr_blocks,
                ..TokenChanges::default()
            },
        ))
    }),
    ("expiry", |fixture, id| {
        let expires_at = Some(Expiry::At(time("2031-02-03T04:05:06Z")));
        Some(fixture.update(
            id,
            TokenChanges {
                expires_at,
                ..TokenChanges::default()
            },
        ))
    }),
    ("description", |fixture, id| {
        let description = Patch::Set(Description::parse("for\nthe build").unwrap());
        Some(fixture.update(
            id,
            TokenChanges {
                description,
                ..TokenChanges::default()
            },
        ))
    }),
    ("owner", |fixture, id| {
        let owner = Patch::Set(Owner::parse("build team").unwrap());
        Some(fixture.update(
            id,
            TokenChanges {
                owner,
                ..TokenChanges::default()
            },
        ))
    }),
    ("rotation and use", |fixture, id| {
        fixture.runtime.block_on(async {
            let (service, which) = (&fixture.service, TokenRef::Id(id));
            let (_, value) = service.rotate(call(), which, Rotation::default()).await.unwrap();
            service.authenticate_value(value.expose(), origin()).await.unwrap();
            service.flush().await.unwrap();
        });
        None
    }),
    ("disable", |fixture, id| {
        Some(fixture.update(
            id,
            TokenChanges {
                disabled: Some(true),
                ..TokenChanges::default()
            },
        ))
    }),
    ("another update", |fixture, id| {
        let name = Some(TokenName::parse("renamed again").unwrap());
        Some(fixture.update(
            id,
            TokenChanges {
                name,
                ..TokenChanges::default()
            },
        ))
    }),
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
            name: TokenName::parse(name).unwrap(),
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
                    .get(&format!("/tokens/{id}"))
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
    let form = between(page, "<form class=\"card\"", "</form>");
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
        } else {
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
