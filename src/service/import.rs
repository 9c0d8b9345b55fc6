//! Brings tokens in from elsewhere: from the list of a legacy server, or from an export.

pub mod rows;

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::json;

use super::{
    Error, Service,
    tokens::{described, difference},
};
use crate::{
    domain::{
        actor::Origin,
        audit::{Action, AuditEvent},
        caller::Call,
        cidr::CidrBlocks,
        permission::{Permission, PermissionSet},
        record::{AdminRecord, TokenRecord},
        token::{Change, Token, TokenId},
        value::ValueHash,
    },
    store::{AnyConnection, audit, feed::Listener, records, revision},
};
use rows::{Content, LegacyRow, Row};

/// How many rows are one step of an import.
const ROWS_AT_ONCE: usize = records::MOST_AT_ONCE;

/// How rows are to be imported.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct ImportOptions {
    /// From where they come, for the audit: a URL without credentials, or a file.
    pub source: String,
    /// Whether what is there and differs is changed, and not refused.
    pub update: bool,
    /// Whether the rows that can be imported are, even if others are refused.
    pub keep_going: bool,
    /// Whether nothing is written.
    pub dry_run: bool,
    /// Whether admins are imported, and not refused.
    pub with_admins: bool,
}

/// What became of the rows.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// How many were not there and are now.
    pub created: usize,
    /// How many were there already, the same.
    pub unchanged: usize,
    /// How many were there and differed, and are now as they came.
    pub changed: usize,
    /// How many were not imported.
    pub refused: usize,
    /// Whether anything was written: not in a dry run, and not when rows were refused and all were to be imported or none.
    pub written: bool,
    /// Each of them, in the order in which they came.
    pub rows: Vec<RowReport>,
}

/// What became of a row.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RowReport {
    /// Its number, from 1.
    pub row: usize,
    /// The uuid of the token, or the name of the admin, as it came.
    pub id: String,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What becomes of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", content = "reason", rename_all = "lowercase")]
pub enum Outcome {
    /// It was not there, and is now.
    Created,
    /// It was there, the same.
    Unchanged,
    /// It was there and differed, and is now as it came.
    Changed(String),
    /// It is not imported, and why.
    Refused(String),
}

/// A transaction that is to be undone.
#[derive(Debug, thiserror::Error)]
enum Undone {
    /// Because that was asked for.
    #[error("nothing was imported")]
    Reported(Report),
    /// Because it failed.
    #[error(transparent)]
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Undone {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Service {
    /// Imports rows: all of them or none, unless `options` say otherwise. `progress` is told after each step how many rows have been looked
    /// at.
    ///
    /// # Errors
    /// When the store fails; what was then imported already, row by row, stays.
    pub async fn import(
        &self,
        call: Call,
        rows: Vec<Row>,
        options: ImportOptions,
        progress: impl Fn(usize) + Clone + Send + 'static,
    ) -> Result<Report, Error> {
        let rows = without_repetitions(rows);
        if !options.keep_going || options.dry_run {
            return self.import_together(call, rows, options, progress).await;
        }
        let mut whole = Report {
            written: true,
            ..Report::default()
        };
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let some = rows.by_ref().take(ROWS_AT_ONCE).collect();
            let before = whole.rows.len();
            let progress = progress.clone();
            let tell = move |done| progress(before + done);
            whole.add(self.import_together(call.clone(), some, options.clone(), tell).await?);
        }
        Ok(whole)
    }

    /// Imports rows in one transaction.
    async fn import_together(
        &self,
        call: Call,
        rows: Vec<Row>,
        options: ImportOptions,
        progress: impl Fn(usize) + Clone + Send + 'static,
    ) -> Result<Report, Error> {
        let now = self.clock.now();
        let step = revision::Step::random(self.random.as_ref())?;
        let work = move |conn: &mut AnyConnection| {
            let mut import = Import {
                by: Change {
                    at: now,
                    by: call.caller.actor(),
                },
                origin: call.origin,
                options,
                report: Report::default(),
                outdates: false,
                values: HashMap::new(),
            };
            let mut rows = rows.into_iter().peekable();
            while rows.peek().is_some() {
                import.step(conn, rows.by_ref().take(ROWS_AT_ONCE).collect())?;
                progress(import.report.rows.len());
            }
            let Import {
                options,
                mut report,
                outdates,
                ..
            } = import;
            if options.dry_run || (report.refused > 0 && !options.keep_going) {
                return Err(Undone::Reported(report));
            }
            report.written = true;
            let change = outdates
                .then(|| revision::advance(conn, step, revision::Invalidation::More))
                .transpose()?;
            Ok((report, change))
        };
        match self.store.write_within(Duration::MAX, work).await {
            Ok((report, change)) => {
                if let Some(change) = change {
                    self.token_cache.apply_change(&change, Instant::now());
                }
                Ok(report)
            }
            Err(Undone::Reported(report)) => Ok(report),
            Err(Undone::Failed(error)) => Err(error),
        }
    }
}

/// An import in one transaction.
struct Import {
    by: Change,
    origin: Origin,
    options: ImportOptions,
    report: Report,
    /// Whether what servers remember may be wrong after it.
    outdates: bool,
    /// Whose the values are that have come so far.
    values: HashMap<ValueHash, TokenId>,
}

/// What is there already of what a step is about.
struct Known {
    tokens: HashMap<TokenId, TokenRecord>,
    admins: HashMap<String, AdminRecord>,
    /// Whose the values are.
    owners: HashMap<ValueHash, TokenId>,
    /// Tokens that were removed here, as far as the audit reaches.
    deleted: HashSet<TokenId>,
}

/// What is to be written of a step.
#[derive(Default)]
struct Written {
    new: Vec<TokenRecord>,
    changed: Vec<TokenRecord>,
    admins: Vec<AdminRecord>,
    events: Vec<AuditEvent>,
}

impl Import {
    fn step(&mut self, conn: &mut AnyConnection, rows: Vec<Row>) -> Result<(), Error> {
        let known = Known::of(conn, &rows)?;
        let mut written = Written::default();
        for Row { number, id, content } in rows {
            let outcome = match content {
                Err(reason) => Outcome::Refused(reason),
                Ok(Content::Admin(admin)) => self.admin(*admin, &known, &mut written),
                Ok(Content::Token(record)) => self.exported(*record, &known, &mut written),
                Ok(Content::Legacy(row)) => self.legacy(row, &known, &mut written),
            };
            self.report.count(RowReport {
                row: number,
                id,
                outcome,
            });
        }
        records::insert_all(conn, &written.new)?;
        for record in &written.changed {
            records::replace(conn, record)?;
        }
        for admin in &written.admins {
            records::put_admin(conn, admin)?;
        }
        Ok(audit::record(conn, &written.events)?)
    }

    fn legacy(&mut self, row: LegacyRow, known: &Known, written: &mut Written) -> Outcome {
        let flags = |permissions: PermissionSet| {
            permissions
                .with(Permission::OrganizationAPITokenRead, row.read)
                .with(Permission::OrganizationAPITokenModify, row.change)
        };
        let Some(before) = known.tokens.get(&row.id) else {
            let token = Token {
                id: row.id,
                name: row.name,
                permissions: flags(PermissionSet::default()),
                allowed_cidr_blocks: CidrBlocks::default(),
                has_value: false,
                created: self.by.clone(),
                updated: None,
                rotated_at: None,
                last_used_at: None,
                expires_at: None,
            };
            let record = TokenRecord {
                token,
                value: None,
                grace_values: Vec::new(),
            };
            return self.create(record, known, written);
        };
        let mut after = before.clone();
        after.token.name = row.name;
        after.token.permissions = flags(before.token.permissions);
        if after == *before {
            return Outcome::Unchanged;
        }
        after.token.updated = Some(self.by.clone());
        self.change(before, after, written)
    }

    fn exported(&mut self, mut record: TokenRecord, known: &Known, written: &mut Written) -> Outcome {
        if let Some(reason) = self.taken_value(&record, known) {
            return Outcome::Refused(reason.to_owned());
        }
        let id = record.token.id;
        let hashes: Vec<ValueHash> = record.values().collect();
        self.values.extend(hashes.into_iter().map(|hash| (hash, id)));
        let Some(before) = known.tokens.get(&id) else {
            return self.create(record, known, written);
        };
        // A use here is no difference, and does not go backwards.
        record.token.last_used_at = record.token.last_used_at.max(before.token.last_used_at);
        let mut same = before.clone();
        same.token.last_used_at = record.token.last_used_at;
        if same == record {
            return Outcome::Unchanged;
        }
        self.change(before, record, written)
    }

    /// Why a value of a token cannot be its own, if it is another's, here or in the import.
    fn taken_value(&self, record: &TokenRecord, known: &Known) -> Option<&'static str> {
        let id = record.token.id;
        let of_another = |hash: &ValueHash| {
            let owners = [known.owners.get(hash), self.values.get(hash)];
            owners.into_iter().flatten().any(|owner| *owner != id)
        };
        let mut own = HashSet::new();
        if record.values().any(|hash| of_another(&hash)) {
            Some("one of its values belongs to another token")
        } else if !record.values().all(|hash| own.insert(hash)) {
            Some("one of its values is there twice")
        } else {
            None
        }
    }

    fn admin(&mut self, record: AdminRecord, known: &Known, written: &mut Written) -> Outcome {
        if !self.options.with_admins {
            return Outcome::Refused("it is an admin; --with-admins imports those".to_owned());
        }
        let name = record.admin.name.as_str().to_owned();
        let (outcome, action) = match known.admins.get(&name) {
            None => (Outcome::Created, Action::AdminAdded),
            Some(before) if before.admin.password_hash == record.admin.password_hash => return Outcome::Unchanged,
            Some(_) if !self.options.update => return conflict("password"),
            Some(_) => (Outcome::Changed("password".to_owned()), Action::AdminPasswordChanged),
        };
        self.outdates |= action.outdates();
        let details = json!({ "admin": name, "source": self.options.source });
        written.events.push(self.event(action, None, details));
        written.admins.push(record);
        outcome
    }

    fn create(&self, record: TokenRecord, known: &Known, written: &mut Written) -> Outcome {
        if known.deleted.contains(&record.token.id) && !self.options.update {
            return Outcome::Refused("it was deleted here; --update would bring it back".to_owned());
        }
        let mut details = described(&record.token);
        self.name_source(&mut details);
        written
            .events
            .push(self.event(Action::TokenImported, Some(record.token.id), details));
        written.new.push(record);
        Outcome::Created
    }

    fn change(&mut self, before: &TokenRecord, after: TokenRecord, written: &mut Written) -> Outcome {
        let mut details = difference(&before.token, &after.token);
        let fields: Vec<&str> = details
            .as_object()
            .into_iter()
            .flat_map(|fields| fields.keys())
            .map(String::as_str)
            .collect();
        let what = if fields.is_empty() {
            "values or times".to_owned()
        } else {
            fields.join(", ")
        };
        if !self.options.update {
            return conflict(&what);
        }
        self.name_source(&mut details);
        written
            .events
            .push(self.event(Action::TokenImported, Some(after.token.id), details));
        written.changed.push(after);
        self.outdates = true;
        Outcome::Changed(what)
    }

    fn name_source(&self, details: &mut serde_json::Value) {
        if let Some(details) = details.as_object_mut() {
            details.insert("source".to_owned(), json!(self.options.source));
        }
    }

    fn event(&self, action: Action, token_id: Option<TokenId>, details: serde_json::Value) -> AuditEvent {
        AuditEvent {
            at: self.by.at,
            actor: Some(self.by.by.clone()),
            origin: self.origin,
            action,
            token_id,
            details,
        }
    }
}

impl Report {
    fn count(&mut self, row: RowReport) {
        *match row.outcome {
            Outcome::Created => &mut self.created,
            Outcome::Unchanged => &mut self.unchanged,
            Outcome::Changed(_) => &mut self.changed,
            Outcome::Refused(_) => &mut self.refused,
        } += 1;
        self.rows.push(row);
    }

    fn add(&mut self, other: Self) {
        for row in other.rows {
            self.count(row);
        }
    }
}

fn conflict(what: &str) -> Outcome {
    Outcome::Refused(format!(
        "it is there already and differs in {what}; --update would change it"
    ))
}

impl Known {
    fn of(conn: &mut AnyConnection, rows: &[Row]) -> Result<Self, Error> {
        let contents = || rows.iter().filter_map(|row| row.content.as_ref().ok());
        let ids: Vec<TokenId> = rows.iter().filter_map(Row::token_id).collect();
        let hashes: Vec<ValueHash> = contents().flat_map(Content::values).collect();
        let admins = if contents().any(|content| matches!(content, Content::Admin(_))) {
            records::admins(conn)?
        } else {
            Vec::new()
        };
        Ok(Self {
            tokens: records::of_ids(conn, &ids)?,
            admins: admins
                .into_iter()
                .map(|admin| (admin.admin.name.as_str().to_owned(), admin))
                .collect(),
            owners: records::owners_of(conn, &hashes)?,
            deleted: audit::deleted_of(conn, &ids)?,
        })
    }
}

/// Refuses rows whose id has come before.
fn without_repetitions(mut rows: Vec<Row>) -> Vec<Row> {
    let mut seen = HashSet::new();
    let mut names = HashSet::new();
    for row in &mut rows {
        let is_new = match &row.content {
            Err(_) => true,
            Ok(Content::Admin(record)) => names.insert(record.admin.name.as_str().to_owned()),
            Ok(_) => row.token_id().is_none_or(|id| seen.insert(id)),
        };
        if !is_new {
            row.content = Err("its uuid, or its name, has come before".to_owned());
        }
    }
    rows
}
