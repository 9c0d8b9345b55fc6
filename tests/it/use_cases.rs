//! Which caller may use which use case of the service: every method × every kind of caller.

use std::{collections::BTreeSet, io, path::Path};

use serde_json::json;
use tokenbridge::{
    domain::{
        actor::{Channel, Origin},
        admin::{Password, Role},
        audit::{EventFilter, EventOrder},
        authorization::Denied,
        caller::{Call, Caller},
        legacy_report::ReportDays,
        name::AdminName,
        page::{Cursor, PageSize, TokenFilter},
        permission::PermissionSet,
        precondition::Precondition,
        search::SearchFilter,
        selection::{Selection, SelectionDigest},
        sort::{PagePosition, TokenOrder},
        token::TokenId,
    },
    service::{
        Error, Service,
        audit::EventTail,
        bulk::BulkChange,
        export::ExportError,
        import::{
            ImportOptions,
            rows::{self, SourceTrust},
        },
        tokens::{NewToken, Rotation, TokenChanges, TokenRef},
    },
};

use crate::{
    architecture::files,
    support::{ADMIN, TestEnv, TestRandom},
    tests,
};

tests![
    every_use_case_authorizes_its_caller,
    every_method_of_the_service_is_classified
];

/// Declares the use cases that act for a caller, each with its method.
macro_rules! use_cases {
    ($($use_case:ident $method:ident;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq)]
        enum UseCase { $($use_case,)* }

        impl UseCase {
            const ALL: &[Self] = &[$(Self::$use_case,)*];

            const fn method(self) -> &'static str {
                match self { $(Self::$use_case => stringify!($method),)* }
            }
        }
    };
}

use_cases! {
    AddAdmin add_admin;
    BeginSession begin_session;
    ChangePassword change_password;
    ChangeRole change_role;
    ChangeSelected change_selected;
    Count count;
    Create create;
    CreateWithoutValue create_without_value;
    Delete delete;
    EndGraceValue end_grace_value;
    GraceValues grace_values;
    DeleteMatching delete_matching;
    EndOtherSessions end_other_sessions;
    Export export;
    ExportWithAdmins export;
    FindAdminFootprint find_admin_footprint;
    FindRole find_role;
    FindTailCursor find_tail_cursor;
    FindTokenNames find_token_names;
    Get get;
    Import import;
    Introspect introspect;
    LegacyUsage legacy_usage;
    List list;
    ListAdmins list_admins;
    ListEvents list_events;
    ListSessions list_sessions;
    ListSorted list_sorted;
    ListSummaries list_summaries;
    Lookup lookup;
    PollTail poll_tail;
    Preview preview;
    RemoveAdmin remove_admin;
    Revoke revoke;
    Rotate rotate;
    StartTail start_tail;
    TokenCounts token_counts;
    Update update;
    Usage usage;
}

/// Methods that verify a credential or a session key, to identify the caller.
const AUTHENTICATION: &[&str] = &[
    "authenticate_admin",
    "authenticate_and_list",
    "authenticate_client",
    "authenticate_value",
    "csrf_token",
    "end_session",
    "new_session_key",
    "refuse_unreadable",
    "remaining_session_time",
    "resume_session",
    "verify",
];

/// Methods that the process calls for itself: starting, stopping, maintenance, and metrics.
const PROCESS: &[&str] = &[
    "accept_legacy_logins",
    "begin_retention",
    "delete_old_calls",
    "delete_old_keys",
    "delete_old_uses",
    "ensure_admin",
    "flush",
    "flush_due",
    "free_idle_memory",
    "gather_metrics",
    "has_admins",
    "new",
    "now",
    "ready",
    "record_legacy_call",
    "record_legacy_phase",
    "delete_events_older_than",
    "subscribe",
    "unsubscribe",
];

#[derive(Clone, Copy, Debug)]
enum CallerKind {
    Admin(Role),
    CommandLine,
    LegacyLogin,
    Holder,
    Token { read: bool, modify: bool },
}

const CALLERS: [CallerKind; 10] = [
    CallerKind::Admin(Role::Admin),
    CallerKind::Admin(Role::Operator),
    CallerKind::Admin(Role::Auditor),
    CallerKind::CommandLine,
    CallerKind::LegacyLogin,
    CallerKind::Holder,
    CallerKind::Token {
        read: false,
        modify: false,
    },
    CallerKind::Token {
        read: true,
        modify: false,
    },
    CallerKind::Token {
        read: false,
        modify: true,
    },
    CallerKind::Token {
        read: true,
        modify: true,
    },
];

impl UseCase {
    const fn manages_admins(self) -> bool {
        matches!(
            self,
            Self::AddAdmin
                | Self::ChangePassword
                | Self::ChangeRole
                | Self::FindAdminFootprint
                | Self::FindRole
                | Self::RemoveAdmin
        )
    }

    /// The expected permission, for a target that holds no permissions and is not the caller.
    const fn allows(self, caller: CallerKind) -> bool {
        let (role, is_command_line, read, modify) = match caller {
            CallerKind::Admin(role) => (Some(role), false, false, false),
            CallerKind::CommandLine => (None, true, false, false),
            CallerKind::LegacyLogin => return self.manages_admins(),
            CallerKind::Holder => return matches!(self, Self::Revoke),
            CallerKind::Token { read, modify } => (None, false, read, modify),
        };
        let is_admin = is_command_line || matches!(role, Some(Role::Admin));
        let is_operator = is_admin || matches!(role, Some(Role::Operator));
        let is_auditor = is_admin || matches!(role, Some(Role::Auditor));
        match self {
            Self::Count
            | Self::Get
            | Self::GraceValues
            | Self::List
            | Self::ListSorted
            | Self::ListSummaries
            | Self::Lookup
            | Self::TokenCounts
            | Self::Preview
            | Self::Usage => is_operator || is_auditor || read,
            Self::Introspect => is_operator || read,
            Self::Create
            | Self::CreateWithoutValue
            | Self::Delete
            | Self::EndGraceValue
            | Self::Rotate
            | Self::Update => is_operator || modify,
            Self::ChangeSelected | Self::DeleteMatching => is_operator || (read && modify),
            Self::Export
            | Self::FindTailCursor
            | Self::FindTokenNames
            | Self::LegacyUsage
            | Self::ListEvents
            | Self::PollTail
            | Self::StartTail => is_operator || is_auditor,
            Self::ListAdmins => is_auditor,
            Self::AddAdmin
            | Self::ChangePassword
            | Self::ChangeRole
            | Self::ExportWithAdmins
            | Self::FindAdminFootprint
            | Self::FindRole
            | Self::Import
            | Self::RemoveAdmin => is_admin,
            Self::BeginSession | Self::EndOtherSessions | Self::ListSessions => role.is_some(),
            // Presenting the value is enough.
            Self::Revoke => true,
        }
    }
}

fn every_use_case_authorizes_its_caller(env: &TestEnv) {
    let service = env.service();
    actix_web::rt::System::new().block_on(async {
        for kind in CALLERS {
            let call = call(&service, kind).await;
            for use_case in UseCase::ALL.iter().copied() {
                let done = attempt(&service, use_case, call.clone()).await;
                match done {
                    Ok(()) => assert!(use_case.allows(kind), "{kind:?} must not {use_case:?}"),
                    Err(Error::Forbidden(
                        Denied::NotAdmin
                        | Denied::NotAuthenticated
                        | Denied::MissingRole { .. }
                        | Denied::MissingPermission(_),
                    )) => {
                        assert!(!use_case.allows(kind), "{kind:?} may {use_case:?}");
                    }
                    Err(other) => panic!("{kind:?} {use_case:?}: {other}"),
                }
            }
        }
    });
}

const fn origin() -> Origin {
    Origin {
        channel: Channel::ApiTokens,
        client: None,
    }
}

async fn call(service: &Service, kind: CallerKind) -> Call {
    let origin = origin();
    let caller = match kind {
        CallerKind::CommandLine => Caller::CommandLine,
        CallerKind::LegacyLogin => Caller::LegacyLogin,
        CallerKind::Holder => {
            let new = new_token("held", PermissionSet::default());
            let (token, value) = service.create(command_line(), new, None).await.unwrap();
            Caller::Holder(token.id, value.hash())
        }
        CallerKind::Admin(role) => {
            let name = admin_name(role.name());
            if name.as_str() != ADMIN.0 {
                let added = service.add_admin(command_line(), name.clone(), password(), role).await;
                added.unwrap();
            }
            let password = if name.as_str() == ADMIN.0 { ADMIN.1 } else { PASSWORD };
            let admin = service.authenticate_admin(name.as_str(), password.into(), origin).await;
            admin.unwrap()
        }
        CallerKind::Token { read, modify } => {
            let names = [
                (read, "OrganizationAPITokenRead"),
                (modify, "OrganizationAPITokenModify"),
            ];
            let held = names.into_iter().filter_map(|(held, name)| held.then_some(name));
            let permissions = PermissionSet::parse(held).unwrap();
            let created = service
                .create(command_line(), new_token("caller", permissions), None)
                .await;
            let (_, value) = created.unwrap();
            service.authenticate_value(value.expose(), origin).await.unwrap()
        }
    };
    Call { caller, origin }
}

const fn command_line() -> Call {
    Call {
        caller: Caller::CommandLine,
        origin: origin(),
    }
}

fn new_token(name: &str, permissions: PermissionSet) -> NewToken {
    NewToken {
        id: None,
        name: name.parse().unwrap(),
        permissions: Some(permissions),
        allowed_cidr_blocks: None,
        expires_at: None,
        description: None,
        owner: None,
        disabled: false,
    }
}

/// Calls the method on a target of its own, with arguments that succeed for a caller who may.
#[expect(clippy::too_many_lines, reason = "one arm for each use case")]
async fn attempt(service: &Service, use_case: UseCase, call: Call) -> Result<(), Error> {
    let unique = TokenId::generate(&TestRandom).unwrap().to_string();
    let new = new_token(&unique, PermissionSet::default());
    let (target, value) = service.create(command_line(), new, None).await.unwrap();
    let which = TokenRef::Id(target.id);
    let search = SearchFilter {
        name: Some(unique.clone()),
        ..SearchFilter::default()
    };
    let filter = TokenFilter {
        search,
        ..TokenFilter::default()
    };
    let (events, size) = (EventFilter::default(), PageSize::default());
    match use_case {
        UseCase::AddAdmin => {
            let name = admin_name(&unique);
            service.add_admin(call, name, password(), Role::Auditor).await
        }
        UseCase::BeginSession => service.begin_session(call, String::new(), None).await.map(drop),
        UseCase::ChangePassword => {
            let name = other_admin(service, &unique).await;
            service.change_password(call, name, password()).await
        }
        UseCase::ChangeRole => {
            let name = other_admin(service, &unique).await;
            service.change_role(call, name, Role::Operator).await
        }
        UseCase::ChangeSelected => {
            let selection = Selection::Matching(filter);
            let digest = SelectionDigest::of(&[target.id]);
            service
                .change_selected(call, selection, BulkChange::Delete, digest)
                .await
                .map(drop)
        }
        UseCase::Count => service.count(&call, filter, Vec::new()).await.map(drop),
        UseCase::Create => {
            let new = new_token("made", PermissionSet::default());
            service.create(call, new, None).await.map(drop)
        }
        UseCase::CreateWithoutValue => {
            let new = new_token("made", PermissionSet::default());
            service.create_without_value(call, new).await.map(drop)
        }
        UseCase::Delete => service.delete(call, which, Precondition::None).await,
        UseCase::DeleteMatching => service.delete_matching(call, filter, Some(1)).await.map(drop),
        UseCase::EndOtherSessions => {
            let key = service.new_session_key()?;
            service.end_other_sessions(call, &key).await
        }
        UseCase::EndGraceValue => service.end_grace_value(call, which, unique).await.map(drop),
        UseCase::GraceValues => service.grace_values(&call, which).await.map(drop),
        UseCase::Export => export(service, &call, false).await,
        UseCase::ExportWithAdmins => export(service, &call, true).await,
        UseCase::FindAdminFootprint => {
            let footprint = service.find_admin_footprint(&call, admin_name(ADMIN.0), ReportDays::default());
            footprint.await.map(drop)
        }
        UseCase::FindRole => service.find_role(&call, admin_name(ADMIN.0)).await.map(drop),
        UseCase::FindTailCursor => service.find_tail_cursor(&call, events, 1).await.map(drop),
        UseCase::FindTokenNames => service.find_token_names(&call, vec![target.id]).await.map(drop),
        UseCase::Get => service.get(&call, which).await.map(drop),
        UseCase::Import => import(service, call, &unique).await,
        UseCase::Introspect => service.introspect(&call, value.expose(), None).await.map(drop),
        UseCase::LegacyUsage => {
            let usage = service.legacy_usage(&call, ReportDays::default(), 1, None).await;
            usage.map(drop)
        }
        UseCase::List => service.list(&call, filter, Cursor::default(), size).await.map(drop),
        UseCase::ListAdmins => service.list_admins(&call, None, size).await.map(drop),
        UseCase::ListEvents => {
            let order = EventOrder::NewestFirst;
            service.list_events(&call, events, order, None, size).await.map(drop)
        }
        UseCase::ListSessions => {
            let key = service.new_session_key()?;
            service.list_sessions(&call, &key).await.map(drop)
        }
        UseCase::ListSorted => {
            let (order, start) = (TokenOrder::default(), PagePosition::Start);
            service.list_sorted(&call, filter, order, start, size).await.map(drop)
        }
        UseCase::ListSummaries => {
            let page = service.list_summaries(&call, Cursor::default(), size, |_, _| Ok(()));
            page.await.map(drop)
        }
        UseCase::Lookup => service.lookup(&call, value.expose()).await.map(drop),
        UseCase::PollTail => {
            let mut tail = EventTail::default();
            service.poll_tail(&call, events, &mut tail).await.map(drop)
        }
        UseCase::Preview => {
            let selection = Selection::Matching(filter);
            service.preview(&call, selection, TokenOrder::default()).await.map(drop)
        }
        UseCase::RemoveAdmin => {
            let name = other_admin(service, &unique).await;
            service.remove_admin(call, name).await
        }
        UseCase::Revoke => {
            let origin = call.origin;
            service.revoke(Some(call), value.expose(), origin).await
        }
        UseCase::Rotate => service.rotate(call, which, Rotation::default(), None).await.map(drop),
        UseCase::StartTail => {
            let mut tail = EventTail::default();
            service.start_tail(&call, &mut tail).await.map(drop)
        }
        UseCase::TokenCounts => service.token_counts(&call, true).await.map(drop),
        UseCase::Update => {
            let changes = TokenChanges {
                name: Some("renamed".parse().unwrap()),
                ..TokenChanges::default()
            };
            service.update(call, which, changes).await.map(drop)
        }
        UseCase::Usage => service.usage(&call, which).await.map(drop),
    }
}

fn admin_name(name: &str) -> AdminName {
    name.parse().unwrap()
}

async fn import(service: &Service, call: Call, name: &str) -> Result<(), Error> {
    let rows = json!([{ "uuid": TokenId::generate(&TestRandom).unwrap(), "name": name }]).to_string();
    let rows = rows::parse(rows.as_bytes(), SourceTrust::Operator).unwrap();
    let report = service.import(call, rows, ImportOptions::default(), |_| ()).await?;
    assert!(report.written, "{report:?}");
    Ok(())
}

const PASSWORD: &str = "battery staple";

fn password() -> Password {
    Password::parse(PASSWORD.into()).unwrap()
}

async fn export(service: &Service, call: &Call, with_admins: bool) -> Result<(), Error> {
    match service.export(call, io::sink(), with_admins).await {
        Ok(_) => Ok(()),
        Err(ExportError::Service(error)) => Err(error),
        Err(ExportError::Write(error)) => panic!("{error}"),
    }
}

async fn other_admin(service: &Service, name: &str) -> AdminName {
    let name = admin_name(name);
    service
        .add_admin(command_line(), name.clone(), password(), Role::Auditor)
        .await
        .unwrap();
    name
}

/// A new public method of the service has to be listed above, and if it acts for a caller, with its
/// expected permissions.
fn every_method_of_the_service_is_classified(_: &TestEnv) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut methods = BTreeSet::new();
    for file in files(&source.join("service"))
        .into_iter()
        .chain([source.join("service.rs")])
    {
        methods.extend(public_methods(&std::fs::read_to_string(file).unwrap()));
    }
    let use_cases = UseCase::ALL.iter().map(|use_case| use_case.method());
    let classified: BTreeSet<String> = use_cases
        .chain(AUTHENTICATION.iter().copied())
        .chain(PROCESS.iter().copied())
        .map(str::to_owned)
        .collect();
    assert_eq!(methods, classified);
}

/// Returns the names of the public methods in `impl Service` blocks, as rustfmt lays them out.
fn public_methods(text: &str) -> Vec<String> {
    let mut is_in_service = false;
    let mut methods = Vec::new();
    for line in text.lines() {
        match line {
            "impl Service {" => is_in_service = true,
            "}" => is_in_service = false,
            _ => {}
        }
        let signature = line
            .strip_prefix("    pub ")
            .filter(|_| is_in_service)
            .unwrap_or_default();
        if let Some((_, rest)) = signature.split_once("fn ") {
            let end = rest.find(['(', '<']).unwrap();
            methods.push(rest[..end].to_owned());
        }
    }
    methods
}
