//! Operations on admins.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use secrecy::SecretString;
use serde_json::json;

use super::{Error, Service, transaction::Transaction};
use crate::{
    domain::{
        actor::{Channel, Origin},
        admin::{Admin, Password, PasswordHash, PasswordOrigin, Role},
        audit::Action,
        authorization::{Operation, authorize},
        caller::{Call, Caller},
        clock::Timestamp,
        legacy_report::ReportDays,
        name::AdminName,
        page::{ColumnFilter, PageSize},
    },
    store::{
        AnyConnection, StoreError,
        admins::{self, AdminPage},
        legacy_usage, tokens,
    },
};

/// The first admin, created at startup.
pub struct FirstAdmin {
    /// The name.
    pub name: AdminName,
    /// The password, if it was generated. It must be shown once.
    pub generated_password: Option<Password>,
}

/// What depends on an admin's account.
#[derive(Clone, Copy, Debug)]
pub struct AdminFootprint {
    /// Number of legacy calls with the account's credentials in the report's window.
    pub calls: u64,
    /// The time of the last of them.
    pub last_call: Option<Timestamp>,
    /// Number of existing tokens that the account created.
    pub tokens: i64,
}

/// The role of an admin.
pub struct AdminRole {
    /// The role.
    pub role: Role,
    /// `true` for the last admin with [`Role::Admin`], who can be neither removed nor demoted.
    pub is_last: bool,
}

impl Service {
    /// Adds an admin.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the name exists; [`Error::Forbidden`] if the caller may not do this.
    pub async fn add_admin(&self, call: Call, name: AdminName, password: Password, role: Role) -> Result<(), Error> {
        let password_hash = self.hash_password(password, &call, Operation::ManageAdmins).await?;
        self.transact(call, None, move |tx, _| {
            authorize(&tx.caller, Operation::ManageAdmins, None)?;
            let admin = Admin {
                name,
                password_hash,
                password_origin: PasswordOrigin::Local,
                role,
            };
            admins::insert(tx.conn, &admin, tx.now).map_err(|error| match error {
                StoreError::AlreadyExists => {
                    Error::Conflict(format!("there is already an admin named {:?}", admin.name.as_str()))
                }
                other => other.into(),
            })?;
            let details = json!({ "admin": admin.name.as_str(), "role": role.name() });
            tx.record(Action::AdminAdded, details)
        })
        .await
    }

    /// Changes an admin's password. The previous password stops working immediately. Every admin may change their own.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such admin; [`Error::Forbidden`] if the caller may not do
    /// this.
    pub async fn change_password(&self, call: Call, name: AdminName, password: Password) -> Result<(), Error> {
        let is_own = matches!(&call.caller, Caller::Admin(admin) if admin.name == name);
        let operation = if is_own {
            Operation::ManageAccount
        } else {
            Operation::ManageAdmins
        };
        let password_hash = self.hash_password(password, &call, operation).await?;
        self.change_admins(call, operation, name, move |tx, before| {
            let admin = Admin {
                password_hash,
                password_origin: PasswordOrigin::Local,
                ..before
            };
            if !admins::set_password(tx.conn, &admin, tx.now)? {
                return Err(Error::NotFound("admin"));
            }
            let details = json!({ "admin": admin.name.as_str() });
            tx.record(Action::AdminPasswordChanged, details)
        })
        .await
    }

    /// Changes an admin's role, effective immediately. Giving the current role changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such admin; [`Error::Conflict`] for the last one with the
    /// role [`Role::Admin`]; [`Error::Forbidden`] if the caller may not do this.
    pub async fn change_role(&self, call: Call, name: AdminName, role: Role) -> Result<(), Error> {
        self.change_admins(call, Operation::ManageAdmins, name, move |tx, admin| {
            if admin.role == role {
                return Ok(());
            }
            require_other(tx.conn, &admin)?;
            if !admins::set_role(tx.conn, &admin.name, role)? {
                return Err(Error::NotFound("admin"));
            }
            let roles = json!({ "from": admin.role.name(), "to": role.name() });
            let details = json!({ "admin": admin.name.as_str(), "role": roles });
            tx.record(Action::AdminRoleChanged, details)
        })
        .await
    }

    /// Removes an admin. Logins with the credentials of the legacy server do not bring the name
    /// back.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such admin; [`Error::Conflict`] for the last one with the
    /// role [`Role::Admin`]; [`Error::Forbidden`] if the caller may not do this.
    pub async fn remove_admin(&self, call: Call, name: AdminName) -> Result<(), Error> {
        self.change_admins(call, Operation::ManageAdmins, name, move |tx, admin| {
            require_other(tx.conn, &admin)?;
            if !admins::delete(tx.conn, &admin.name)? {
                return Err(Error::NotFound("admin"));
            }
            let details = json!({ "admin": admin.name.as_str() });
            tx.record(Action::AdminRemoved, details)
        })
        .await
    }

    /// Runs `work` on an admin in a transaction that locks all admins. Locking all at once prevents
    /// a deadlock between two admins who change each other, and keeps them from demoting each other.
    async fn change_admins<T: Send + 'static>(
        &self,
        call: Call,
        operation: Operation<'static>,
        name: AdminName,
        work: impl FnOnce(&mut Transaction<'_>, Admin) -> Result<T, Error> + Clone + Send + 'static,
    ) -> Result<T, Error> {
        let lock = |conn: &mut AnyConnection, _: &Caller| Ok(admins::lock_all(conn)?);
        let work = move |tx: &mut Transaction<'_>, ()| {
            authorize(&tx.caller, operation, None)?;
            let admin = admins::find(tx.conn, &name)?.ok_or(Error::NotFound("admin"))?;
            work(tx, admin)
        };
        self.transactor.run(self.store.timeout(), call, lock, work).await
    }

    /// Returns the admins whose names come after `after`, at most `size` of them.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the caller may not do this.
    pub async fn list_admins(&self, call: &Call, after: Option<AdminName>, size: PageSize) -> Result<AdminPage, Error> {
        let check_caller = self.caller_check(call, Operation::ReadAdmins);
        self.store
            .list(move |conn| {
                check_caller(conn)?;
                Ok(admins::page(conn, after.as_ref(), size)?)
            })
            .await
    }

    /// Returns `true` if there is an admin. The server asks this about itself when it starts; no
    /// caller is authorized.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store fails.
    pub async fn has_admins(&self) -> Result<bool, Error> {
        let page = self.store.read(|conn| admins::page(conn, None, PageSize::default()));
        Ok(!page.await?.admins.is_empty())
    }

    /// Returns the role of an admin. Only callers who manage admins may ask.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such admin; [`Error::Forbidden`] if the caller may not do
    /// this.
    pub async fn find_role(&self, call: &Call, name: AdminName) -> Result<AdminRole, Error> {
        let check_caller = self.caller_check(call, Operation::ManageAdmins);
        self.store
            .read(move |conn| {
                check_caller(conn)?;
                let admin = admins::find(conn, &name)?.ok_or(Error::NotFound("admin"))?;
                let is_last = admin.role == Role::Admin && !admins::has_full_admin(conn, Some(&admin.name))?;
                Ok(AdminRole {
                    role: admin.role,
                    is_last,
                })
            })
            .await
    }

    /// Returns what depends on an admin's account, with the legacy calls of the last `days` days.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the caller may not do this.
    pub async fn find_admin_footprint(
        &self,
        call: &Call,
        name: AdminName,
        days: ReportDays,
    ) -> Result<AdminFootprint, Error> {
        let check_caller = self.caller_check(call, Operation::ManageAdmins);
        self.store
            .read(move |conn| {
                let now = check_caller(conn)?;
                let created_by = ColumnFilter {
                    created_by: Some(name.as_str().to_owned()),
                    ..ColumnFilter::default()
                };
                let (calls, last_call) = legacy_usage::calls_of_admin(conn, &name, days.since(now.day()))?;
                Ok(AdminFootprint {
                    calls,
                    last_call: last_call.map(|at| at.bounded_by(now)),
                    tokens: tokens::count(conn, &created_by, now)?,
                })
            })
            .await
    }

    /// Creates the first admin, with this password or a generated one, unless there is an admin.
    /// The server calls this when it starts, as [`Caller::CommandLine`].
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store fails.
    pub async fn ensure_admin(&self, name: AdminName, password: Option<Password>) -> Result<Option<FirstAdmin>, Error> {
        if self.has_admins().await? {
            return Ok(None);
        }
        let (chosen, generated_password) = if let Some(chosen) = password {
            (chosen, None)
        } else {
            let generated = self.generate_password()?;
            (generated.clone(), Some(generated))
        };
        let call = Call {
            caller: Caller::CommandLine,
            origin: Origin {
                channel: Channel::Cli,
                client: None,
            },
        };
        match self.add_admin(call, name.clone(), chosen, Role::Admin).await {
            Ok(()) => Ok(Some(FirstAdmin {
                name,
                generated_password,
            })),
            // Another server that started concurrently has created the admin.
            Err(Error::Conflict(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Hashes the password of an admin. The caller is authorized first: hashing is expensive.
    async fn hash_password(
        &self,
        password: Password,
        call: &Call,
        operation: Operation<'_>,
    ) -> Result<PasswordHash, Error> {
        authorize(&call.caller, operation, None)?;
        let passwords = &self.logins.passwords;
        passwords
            .hash(password, self.random.as_ref(), call.origin.network())
            .await
    }

    fn generate_password(&self) -> Result<Password, Error> {
        let mut bytes = [0; 18];
        self.random.fill(&mut bytes)?;
        Ok(Password::parse(SecretString::from(
            BASE64_URL_SAFE_NO_PAD.encode(bytes),
        ))?)
    }
}

/// Checks that an admin may lose the role [`Role::Admin`]: that another one has it.
fn require_other(conn: &mut AnyConnection, admin: &Admin) -> Result<(), Error> {
    if admin.role != Role::Admin || admins::has_full_admin(conn, Some(&admin.name))? {
        return Ok(());
    }
    Err(Error::Conflict(
        "the last admin with the role admin can be neither removed nor demoted; give another one that role first"
            .to_owned(),
    ))
}
