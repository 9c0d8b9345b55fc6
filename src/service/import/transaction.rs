//! The part of an import that runs in one transaction.

use std::collections::{HashMap, HashSet};

use serde_json::json;

use super::{
    report::{ImportOptions, ImportReport, RowOutcome, RowReport},
    rows::{ImportRow, LegacyRow, RowContent},
};
use crate::{
    domain::{
        admin::Admin,
        audit::Action,
        cidr::CidrBlocks,
        expiry::Expiry,
        permission::{Permission, PermissionSet},
        record::{AdminRecord, TokenRecord},
        token::{Attribution, Token, TokenId, TokenVersion},
        value::ValueHash,
    },
    service::{
        Error,
        tokens::{describe, diff},
        transaction::{AuditEntry, Transaction},
    },
    store::{AnyConnection, admins, audit, records},
};

/// An import in one transaction.
pub struct ImportTransaction {
    by: Attribution,
    options: ImportOptions,
    report: ImportReport,
    /// The owners of the values in the rows so far.
    values: HashMap<ValueHash, TokenId>,
}

/// The existing records that the rows of a step refer to.
struct ExistingRecords {
    tokens: HashMap<TokenId, TokenRecord>,
    admins: HashMap<String, AdminRecord>,
    /// The owners of the values.
    owners: HashMap<ValueHash, TokenId>,
    /// Tokens that were deleted, according to the retained audit log.
    deleted: HashSet<TokenId>,
}

/// The writes of a step.
#[derive(Default)]
struct PendingWrites {
    new: Vec<TokenRecord>,
    /// Tokens to overwrite, each with the version that was read.
    changed: Vec<(TokenRecord, TokenVersion)>,
    admins: Vec<AdminRecord>,
    audit: Vec<AuditEntry>,
}

impl ImportTransaction {
    /// Creates an import that `tx` runs.
    pub fn new(tx: &Transaction<'_>, options: ImportOptions) -> Self {
        Self {
            by: Attribution {
                at: tx.now,
                by: tx.caller.actor(),
            },
            options,
            report: ImportReport::default(),
            values: HashMap::new(),
        }
    }

    /// The results so far.
    pub const fn report(&self) -> &ImportReport {
        &self.report
    }

    /// Ends the import. Returns its result as an error if the options ask for a rollback: in a dry
    /// run, or if a row was refused without `keep_going`.
    pub fn finish(mut self) -> Result<ImportReport, ImportReport> {
        if self.options.dry_run || (self.report.refused > 0 && !self.options.keep_going) {
            return Err(self.report);
        }
        self.report.written = true;
        Ok(self.report)
    }

    /// Imports the rows of a step.
    ///
    /// # Errors
    /// [`Error::Conflict`] if a token changed concurrently; [`Error::Unavailable`] if the store
    /// fails.
    pub fn import_rows(&mut self, tx: &mut Transaction<'_>, rows: Vec<ImportRow>) -> Result<(), Error> {
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
        if !writes.admins.is_empty() && !admins::has_full_admin(tx.conn, None)? {
            return Err(Error::Conflict(
                "the import would demote the last admin with the role admin; give another one that role first"
                    .to_owned(),
            ));
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
                description: None,
                owner: None,
                disabled_at: None,
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

    /// Returns the reason for refusing the values of a token: one that another token has, in the
    /// store or in the import, or one that occurs twice.
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
            Some("one of its values occurs twice")
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
            return RowOutcome::Refused("is an admin; use --with-admins to import admins".to_owned());
        }
        let Admin {
            name,
            password_hash,
            password_origin,
            role,
        } = &record.admin;
        let (name, source) = (name.as_str(), &self.options.source);
        let mut audit = |action, details| {
            writes.audit.push(AuditEntry {
                action,
                token: None,
                details,
            });
        };
        let Some(AdminRecord { admin: before, .. }) = existing.admins.get(name) else {
            let details = json!({ "admin": name, "role": role.name(), "source": source });
            audit(Action::AdminAdded, details);
            writes.admins.push(record);
            return RowOutcome::Created;
        };
        let new_password = before.password_hash != *password_hash || before.password_origin != *password_origin;
        let new_role = before.role != *role;
        let fields = [(new_password, "password"), (new_role, "role")];
        let fields: Vec<&str> = fields.iter().filter_map(|(new, field)| new.then_some(*field)).collect();
        let what = fields.join(", ");
        if fields.is_empty() {
            return RowOutcome::Unchanged;
        } else if !self.options.update {
            return conflict(&what);
        }
        if new_password {
            audit(Action::AdminPasswordChanged, json!({ "admin": name, "source": source }));
        }
        if new_role {
            let roles = json!({ "from": before.role.name(), "to": role.name() });
            let details = json!({ "admin": name, "role": roles, "source": source });
            audit(Action::AdminRoleChanged, details);
        }
        writes.admins.push(record);
        RowOutcome::Changed(what)
    }

    fn create(&self, record: TokenRecord, existing: &ExistingRecords, writes: &mut PendingWrites) -> RowOutcome {
        if existing.deleted.contains(&record.token.id) && !self.options.update {
            return RowOutcome::Refused("was deleted from this store; use --update to restore it".to_owned());
        }
        writes
            .audit
            .push(self.audit_entry(&record.token, describe(&record.token)));
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
        writes.audit.push(self.audit_entry(&after.token, details));
        let previous = before.token.version;
        after.token.version = previous.next();
        writes.changed.push((after, previous));
        RowOutcome::Changed(what)
    }

    /// Returns the audit entry for an imported token, with the source of the import among its
    /// details.
    fn audit_entry(&self, token: &Token, mut details: serde_json::Value) -> AuditEntry {
        if let Some(details) = details.as_object_mut() {
            details.insert("source".to_owned(), json!(self.options.source));
        }
        AuditEntry::about(token, Action::TokenImported, details)
    }
}

fn conflict(what: &str) -> RowOutcome {
    RowOutcome::Refused(format!(
        "already exists and differs in {what}; use --update to change it"
    ))
}

impl ExistingRecords {
    fn of(conn: &mut AnyConnection, rows: &[ImportRow]) -> Result<Self, Error> {
        let contents = || rows.iter().filter_map(|row| row.content.as_ref().ok());
        let ids: Vec<TokenId> = rows.iter().filter_map(ImportRow::token_id).collect();
        let hashes: Vec<ValueHash> = contents().flat_map(RowContent::values).collect();
        let admins = if contents().any(|content| matches!(content, RowContent::Admin(_))) {
            admins::lock_all(conn)?;
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
