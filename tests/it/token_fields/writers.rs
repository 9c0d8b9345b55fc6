//! Every way to write a token, with every field that it can set.

use serde_json::json;
use tokenbridge::{
    domain::{
        expiry::Expiry,
        permission::{Permission, PermissionSet},
        token::Token,
    },
    service::tokens::TokenRef,
};

use super::call;
use crate::support::{
    TestApp, TestEnv,
    browser::Browser,
    client::{Auth, TOKENS, string},
    program::Program,
    time,
};

/// The fields that a caller sets, in the form in which the writers take them.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Settings {
    name: &'static str,
    permission: Permission,
    block: &'static str,
    expires_at: &'static str,
    description: &'static str,
    owner: &'static str,
    disabled: bool,
}

const FIRST: Settings = Settings {
    name: "first",
    permission: Permission::AlertRead,
    block: "10.0.0.0/8",
    expires_at: "2031-02-03T04:05:06Z",
    description: "for\nthe build",
    owner: "build team",
    disabled: false,
};

const SECOND: Settings = Settings {
    name: "second",
    permission: Permission::RuleRead,
    block: "2001:db8::/32",
    expires_at: "2032-03-04T05:06:07Z",
    description: "for\n\nthe release",
    owner: "release team",
    disabled: true,
};

impl Settings {
    /// Compares with a token, exhaustively: a new field does not compile until it is compared, or left out on purpose.
    #[track_caller]
    fn assert_stored(self, writer: &str, token: &Token) {
        let Token {
            id: _,
            name,
            permissions,
            allowed_cidr_blocks,
            has_value: _,
            created: _,
            updated: _,
            rotated_at: _,
            last_used_at: _,
            expires_at,
            description,
            owner,
            disabled_at,
            version: _,
        } = token;
        let only = PermissionSet::default().with(self.permission, true);
        assert_eq!(*permissions, only, "{writer}");
        assert_eq!(*expires_at, Expiry::At(time(self.expires_at)), "{writer}");
        let texts = [
            name.as_str(),
            &allowed_cidr_blocks.to_string(),
            description.as_ref().map_or("", |text| text.as_str()),
            owner.as_ref().map_or("", |text| text.as_str()),
        ];
        assert_eq!(texts, [self.name, self.block, self.description, self.owner], "{writer}");
        assert_eq!(disabled_at.is_some(), self.disabled, "{writer}");
    }
}

struct Writers {
    app: TestApp,
    program: Program,
}

/// A way to write a token: creates one, or changes the one with this ID. Returns the ID.
type Writer = fn(&Writers, Settings, Option<&str>) -> String;

const WRITERS: [(&str, Writer); 3] = [
    ("/api-tokens", Writers::over_http),
    ("console", Writers::in_console),
    ("command line", Writers::at_command_line),
];

pub fn assert_every_writer_sets_every_field(env: &TestEnv) {
    let writers = Writers {
        app: env.app(),
        program: Program::new(&env.store.url()),
    };
    let (service, runtime) = (env.service(), actix_web::rt::System::new());
    for (name, write) in WRITERS {
        let id = write(&writers, FIRST, None);
        let which = TokenRef::Id(id.parse().unwrap());
        let stored = || runtime.block_on(service.get(&call(), which)).unwrap();
        FIRST.assert_stored(name, &stored());
        write(&writers, SECOND, Some(&id));
        SECOND.assert_stored(name, &stored());
        write(&writers, FIRST, Some(&id));
        FIRST.assert_stored(name, &stored());
        for cleared in [json!(""), json!(null)] {
            let path = format!("{TOKENS}/{id}");
            let body = json!({ "description": cleared, "owner": cleared });
            writers.app.post(&path, Auth::Admin, &body).expect(200);
            assert_eq!((stored().description, stored().owner), (None, None));
            write(&writers, FIRST, Some(&id));
        }
    }
}

impl Writers {
    fn over_http(&self, settings: Settings, id: Option<&str>) -> String {
        let body = json!({
            "name": settings.name,
            "permissions": [settings.permission.name()],
            "allowedCIDRBlocks": [settings.block],
            "expiresAt": settings.expires_at,
            "description": settings.description,
            "owner": settings.owner,
            "disabled": settings.disabled,
        });
        let path = id.map_or_else(|| TOKENS.to_owned(), |id| format!("{TOKENS}/{id}"));
        string(&self.app.post(&path, Auth::Admin, &body).expect(200).json()["id"])
    }

    fn in_console(&self, settings: Settings, id: Option<&str>) -> String {
        let browser = Browser::signed_in(&self.app);
        let description = settings.description.replace('\n', "\r\n");
        let fields = [
            ("name", settings.name),
            ("permission", settings.permission.name()),
            ("blocks", settings.block),
            ("expires", settings.expires_at.trim_end_matches('Z')),
            ("description", &description),
            ("owner", settings.owner),
        ];
        let id = match id {
            None => browser.create(&fields).0,
            Some(id) => {
                browser.fill(&format!("/tokens/{id}/edit"), &fields).expect(303);
                id.to_owned()
            }
        };
        let page = browser.get(&format!("/tokens/{id}")).expect(200);
        let is_disabled = page.text.contains(&format!("/tokens/{id}/enable"));
        if is_disabled != settings.disabled {
            let action = if settings.disabled { "disable" } else { "enable" };
            browser
                .submit(&page, &format!("/tokens/{id}/{action}"), &[])
                .expect(303);
        }
        id
    }

    fn at_command_line(&self, settings: Settings, id: Option<&str>) -> String {
        let create = ["create", settings.name];
        let update = ["update", id.unwrap_or_default(), "--name", settings.name];
        let command: &[&str] = if id.is_some() { &update } else { &create };
        let rest = [
            "--permission",
            settings.permission.name(),
            "--cidr",
            settings.block,
            "--expires-at",
            settings.expires_at,
            "--description",
            settings.description,
            "--owner",
            settings.owner,
        ];
        let id = self.run(&[command, &rest].concat());
        let action = if settings.disabled { "disable" } else { "enable" };
        self.run(&[action, &id]);
        id
    }

    /// Runs `token …`, and returns the ID of the token that it prints.
    fn run(&self, arguments: &[&str]) -> String {
        let output = self
            .program
            .run(&[&["token"], arguments, &["--output", "json"]].concat());
        assert_eq!(output.exit_code, 0, "{output:?}");
        let token: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
        string(&token["id"])
    }
}
