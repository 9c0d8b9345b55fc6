//! Brings tokens in from elsewhere: from the list of a legacy server, or from an export.

pub mod rows;

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use serde::Serialize;
use serde_json::json;

use super::{
    Error, Service,
    tokens::{describe, diff},
    transaction::{AuditEntry, Transaction},
};
use crate::{
    domain::{
        audit::Action,
        authorization::{Operation, authorize},
        caller::{Call, Caller},
        cidr::CidrBlocks,
        expiry::Expiry,
        permission::{Permission, PermissionSet},
        record::{AdminRecord, TokenRecord},
        token::{Attribution, Token, TokenId, TokenVersion},
        value::ValueHash,
    },
    store::{AnyConnection, audit, records},
};
use rows::{ImportRow, LegacyRow, RowContent};

/// How many rows are one step of an import.
const BATCH_ROWS: usize = records::MAX_BATCH;

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
pub struct ImportReport {
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
    pub outcome: RowOutcome,
}

/// What becomes of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", content = "reason", rename_all = "lowercase")]
pub enum RowOutcome {
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
enum ImportFailure {
    /// Because that was asked for.
    #[error("nothing was imported")]
    Reported(ImportReport),
    /// Because it failed.
    #[error(transparent)]
    Failed(Error),
}

impl<E: Into<Error>> From<E> for ImportFailure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Service {
    /// Imports rows: all of them or none, unless `options` say otherwise. Calls `progress` after each step with the number of
    /// processed rows.
    ///
    /// # Errors
    /// When the store fails. With row-by-row options, rows that were already imported stay.
    pub async fn import(
        &self,
        call: Call,
        rows: Vec<ImportRow>,
        options: ImportOptions,
        progress: impl Fn(usize) + Clone + Send + 'static,
    ) -> Result<ImportReport, Error> {
        let rows = reject_duplicates(rows);
        if !options.keep_going || options.dry_run {
            return self.import_batch(call, rows, options, progress).await;
        }
        let mut total = ImportReport {
            written: true,
            ..ImportReport::default()
        };
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let batch = rows.by_ref().take(BATCH_ROWS).collect();
            let before = total.rows.len();
            let progress = progress.clone();
            let report_progress = move |done| progress(before + done);
            total.add(
                self.import_batch(call.clone(), batch, options.clone(), report_progress)
                    .await?,
            );
        }
        Ok(total)
    }

    /// Imports rows in one transaction.
    async fn import_batch(
        &self,
        call: Call,
        rows: Vec<ImportRow>,
        options: ImportOptions,
        progress: impl Fn(usize) + Clone + Send + 'static,
    ) -> Result<ImportReport, Error> {
        // A token is refused, so no caller has to be locked against revocation here.
        let lock = |_: &mut AnyConnection, _: &Caller| Ok(());
        let work = move |tx: &mut Transaction<'_>, ()| {
            authorize(&tx.caller, Operation::Import, None)?;
            let mut import = ImportBatch {
                by: Attribution {
                    at: tx.now,
                    by: tx.caller.actor(),
                },
                options,
                report: ImportReport::default(),
                values: HashMap::new(),
            };
            let mut rows = rows.into_iter().peekable();
            while rows.peek().is_some() {
                import.import_rows(tx, rows.by_ref().take(BATCH_ROWS).collect())?;
                progress(import.report.rows.len());
            }
            let ImportBatch {
                options, mut report, ..
            } = import;
            if options.dry_run || (report.refused > 0 && !options.keep_going) {
                return Err(ImportFailure::Reported(report));
            }
            report.written = true;
            Ok(report)
        };
        match self.transact_within(Duration::MAX, call, lock, work).await {
            Ok(report) | Err(ImportFailure::Reported(report)) => Ok(report),
            Err(ImportFailure::Failed(error)) => Err(error),
        }
    }
}

/// An import in one transaction.
struct ImportBatch {
    by: Attribution,
    options: ImportOptions,
    report: ImportReport,
    /// Whose the values are that have come so far.
    values: HashMap<ValueHash, TokenId>,
}

/// What is there already of what a step is about.
struct ExistingRecords {
    tokens: HashMap<TokenId, TokenRecord>,
    admins: HashMap<String, AdminRecord>,
    /// Whose the values are.
    owners: HashMap<ValueHash, TokenId>,
    /// Tokens that were removed here, as far as the audit reaches.
    deleted: HashSet<TokenId>,
}

/// What is to be written of a step.
#[derive(Default)]
struct PendingWrites {
    new: Vec<TokenRecord>,
    /// Tokens to overwrite, each with the version that was read.
    changed: Vec<(TokenRecord, TokenVersion)>,
    admins: Vec<AdminRecord>,
    audit: Vec<AuditEntry>,
}

impl ImportBatch {
    fn import_rows(&mut self, tx: &mut Transaction<'_>, rows: Vec<ImportRow>) -> Result<(), Error> {
        let existing = ExistingRecords::of(tx.conn, &rows)?;
        let mut writes = PendingWrites::default();
        for ImportRow { number, id, content } in rows {
            let outcome = match content {
                Err(reason) => RowOutcome::Refused(reason),
                Ok(RowContent::Admin(admin)) => self.import_admin(*admin, &existing, &mut writes),
                Ok(RowContent::Token(record)) => self.import_token(*record, &existing, &mut writes),
                Ok(RowContent::Legacy(row)) => self.import_legacy_token(row, &existing, &mut writes),
            };
            self.report.count(RowReport {
                row: number,
                id,
                outcome,
            });
        }
        records::insert_all(tx.conn, &writes.new)?;
        for (record, previous) in &writes.changed {
            if !records::replace(tx.conn, record, *previous)? {
                let id = record.token.id;
                return Err(Error::Conflict(format!(
                    "token {id} changed during the import; import again"
                )));
            }
        }
        for admin in &writes.admins {
            records::upsert_admin(tx.conn, admin)?;
        }
        tx.audit(writes.audit)
    }

    fn import_legacy_token(
        &mut self,
        LegacyRow { id, name, read, change }: LegacyRow,
        existing: &ExistingRecords,
        writes: &mut PendingWrites,
    ) -> RowOutcome {
        let flags = |permissions: PermissionSet| {
            permissions
                .with(Permission::OrganizationAPITokenRead, read)
                .with(Permission::OrganizationAPITokenModify, change)
        };
        let Some(before) = existing.tokens.get(&id) else {
            let token = Token {
                id,
                name,
                permissions: flags(PermissionSet::default()),
                allowed_cidr_blocks: CidrBlocks::default(),
                has_value: false,
                created: self.by.clone(),
                updated: None,
                rotated_at: None,
                last_used_at: None,
                expires_at: Expiry::Never,
                version: TokenVersion::FIRST,
            };
            let record = TokenRecord {
                token,
                value: None,
                grace_values: Vec::new(),
            };
            return self.create(record, existing, writes);
        };
        let mut after = before.clone();
        after.token.name = name;
        after.token.permissions = flags(before.token.permissions);
        if after == *before {
            return RowOutcome::Unchanged;
        }
        after.token.updated = Some(self.by.clone());
        self.change(before, after, writes)
    }

    fn import_token(
        &mut self,
        mut record: TokenRecord,
        existing: &ExistingRecords,
        writes: &mut PendingWrites,
    ) -> RowOutcome {
        if let Some(reason) = self.find_value_conflict(&record, existing) {
            return RowOutcome::Refused(reason.to_owned());
        }
        let id = record.token.id;
        let hashes: Vec<ValueHash> = record.values().collect();
        self.values.extend(hashes.into_iter().map(|hash| (hash, id)));
        let Some(before) = existing.tokens.get(&id) else {
            return self.create(record, existing, writes);
        };
        // Neither the version nor a use is a difference, and the last use never moves backwards.
        record.token.version = before.token.version;
        record.token.last_used_at = record.token.last_used_at.max(before.token.last_used_at);
        let mut same = before.clone();
        same.token.last_used_at = record.token.last_used_at;
        if same == record {
            return RowOutcome::Unchanged;
        }
        self.change(before, record, writes)
    }

    /// Why a value of a token cannot be its own, if it is another's, here or in the import.
    fn find_value_conflict(&self, record: &TokenRecord, existing: &ExistingRecords) -> Option<&'static str> {
        let id = record.token.id;
        let of_another = |hash: &ValueHash| {
            let owners = [existing.owners.get(hash), self.values.get(hash)];
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

    fn import_admin(
        &mut self,
        record: AdminRecord,
        existing: &ExistingRecords,
        writes: &mut PendingWrites,
    ) -> RowOutcome {
        if !self.options.with_admins {
            return RowOutcome::Refused("it is an admin; --with-admins imports those".to_owned());
        }
        let name = record.admin.name.as_str().to_owned();
        let (outcome, action) = match existing.admins.get(&name) {
            None => (RowOutcome::Created, Action::AdminAdded),
            Some(before) if before.admin.password_hash == record.admin.password_hash => return RowOutcome::Unchanged,
            Some(_) if !self.options.update => return conflict("password"),
            Some(_) => (RowOutcome::Changed("password".to_owned()), Action::AdminPasswordChanged),
        };
        writes.audit.push(AuditEntry {
            action,
            token_id: None,
            details: json!({ "admin": name, "source": self.options.source }),
        });
        writes.admins.push(record);
        outcome
    }

    fn create(&self, record: TokenRecord, existing: &ExistingRecords, writes: &mut PendingWrites) -> RowOutcome {
        if existing.deleted.contains(&record.token.id) && !self.options.update {
            return RowOutcome::Refused("it was deleted here; --update would bring it back".to_owned());
        }
        writes
            .audit
            .push(self.audit_entry(record.token.id, describe(&record.token)));
        writes.new.push(record);
        RowOutcome::Created
    }

    fn change(&self, before: &TokenRecord, mut after: TokenRecord, writes: &mut PendingWrites) -> RowOutcome {
        let details = diff(&before.token, &after.token);
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
        writes.audit.push(self.audit_entry(after.token.id, details));
        let previous = before.token.version;
        after.token.version = previous.next();
        writes.changed.push((after, previous));
        RowOutcome::Changed(what)
    }

    /// Returns the audit entry for an imported token, with the source of the import among its details.
    fn audit_entry(&self, id: TokenId, mut details: serde_json::Value) -> AuditEntry {
        if let Some(details) = details.as_object_mut() {
            details.insert("source".to_owned(), json!(self.options.source));
        }
        AuditEntry {
            action: Action::TokenImported,
            token_id: Some(id),
            details,
        }
    }
}

impl ImportReport {
    fn count(&mut self, row: RowReport) {
        *match row.outcome {
            RowOutcome::Created => &mut self.created,
            RowOutcome::Unchanged => &mut self.unchanged,
            RowOutcome::Changed(_) => &mut self.changed,
            RowOutcome::Refused(_) => &mut self.refused,
        } += 1;
        self.rows.push(row);
    }

    fn add(&mut self, other: Self) {
        for row in other.rows {
            self.count(row);
        }
    }
}

fn conflict(what: &str) -> RowOutcome {
    RowOutcome::Refused(format!(
        "it is there already and differs in {what}; --update would change it"
    ))
}

impl ExistingRecords {
    fn of(conn: &mut AnyConnection, rows: &[ImportRow]) -> Result<Self, Error> {
        let contents = || rows.iter().filter_map(|row| row.content.as_ref().ok());
        let ids: Vec<TokenId> = rows.iter().filter_map(ImportRow::token_id).collect();
        let hashes: Vec<ValueHash> = contents().flat_map(RowContent::values).collect();
        let admins = if contents().any(|content| matches!(content, RowContent::Admin(_))) {
            records::admins(conn)?
        } else {
            Vec::new()
        };
        Ok(Self {
            tokens: records::find_by_ids(conn, &ids)?,
            admins: admins
                .into_iter()
                .map(|admin| (admin.admin.name.as_str().to_owned(), admin))
                .collect(),
            owners: records::find_owners(conn, &hashes)?,
            deleted: audit::find_deleted(conn, &ids)?,
        })
    }
}

/// Refuses rows whose id has come before.
fn reject_duplicates(mut rows: Vec<ImportRow>) -> Vec<ImportRow> {
    let mut seen = HashSet::new();
    let mut names = HashSet::new();
    for row in &mut rows {
        let is_new = match &row.content {
            Err(_) => true,
            Ok(RowContent::Admin(record)) => names.insert(record.admin.name.as_str().to_owned()),
            Ok(RowContent::Legacy(_) | RowContent::Token(_)) => row.token_id().is_none_or(|id| seen.insert(id)),
        };
        if !is_new {
            row.content = Err("its uuid, or its name, has come before".to_owned());
        }
    }
    rows
}
