//! What is done with admins.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use secrecy::SecretString;
use serde_json::json;

use super::{Error, Service, transaction::Transaction};
use crate::{
    domain::{
        actor::{Channel, Origin},
        admin::{Admin, Password, PasswordHash},
        audit::Action,
        caller::{Call, Caller},
        name::AdminName,
        page::PageSize,
    },
    store::{
        AnyConnection, StoreError,
        admins::{self, AdminPage},
    },
};

/// The first admin that a start has made.
pub struct FirstAdmin {
    /// Their name.
    pub name: AdminName,
    /// Their password, if nobody has chosen one: to be shown once.
    pub generated_password: Option<Password>,
}

impl Service {
    /// Adds an admin.
    ///
    /// # Errors
    /// [`Error::Conflict`] when there is one of that name.
    pub async fn add_admin(&self, call: Call, name: AdminName, password: Password) -> Result<(), Error> {
        let password_hash = self.hash_password(password, &call).await?;
        self.transact(call, None, move |tx, _| {
            let admin = Admin { name, password_hash };
            admins::insert(tx.conn, &admin, tx.now).map_err(|error| match error {
                StoreError::AlreadyExists => {
                    Error::Conflict(format!("there is already an admin named {:?}", admin.name.as_str()))
                }
                other => other.into(),
            })?;
            let details = json!({ "admin": admin.name.as_str() });
            tx.record(Action::AdminAdded, None, details)
        })
        .await
    }

    /// Changes an admin's password. The old one is refused from now on.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such admin.
    pub async fn change_password(&self, call: Call, name: AdminName, password: Password) -> Result<(), Error> {
        let password_hash = self.hash_password(password, &call).await?;
        self.change_admins(call, move |tx, _| {
            let Admin { name, .. } = admins::find(tx.conn, &name)?.ok_or(Error::NotFound("admin"))?;
            let admin = Admin { name, password_hash };
            if !admins::set_password(tx.conn, &admin, tx.now)? {
                return Err(Error::NotFound("admin"));
            }
            let details = json!({ "admin": admin.name.as_str() });
            tx.record(Action::AdminPasswordChanged, None, details)
        })
        .await
    }

    /// Removes an admin, but not the last.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such admin, [`Error::Conflict`] when there is no other.
    pub async fn remove_admin(&self, call: Call, name: AdminName) -> Result<(), Error> {
        self.change_admins(call, move |tx, admins| {
            let Admin { name, .. } = admins::find(tx.conn, &name)?.ok_or(Error::NotFound("admin"))?;
            if !admins::delete(tx.conn, &name)? {
                return Err(Error::NotFound("admin"));
            }
            if admins == 1 {
                return Err(Error::Conflict(
                    "the last admin cannot be removed; add another one first".to_owned(),
                ));
            }
            let details = json!({ "admin": name.as_str() });
            tx.record(Action::AdminRemoved, None, details)
        })
        .await
    }

    /// Changes admins, of whom there are so many, and who are all locked at once: two who change each other do not wait for each other.
    async fn change_admins<T: Send + 'static>(
        &self,
        call: Call,
        work: impl FnOnce(&mut Transaction<'_>, usize) -> Result<T, Error> + Clone + Send + 'static,
    ) -> Result<T, Error> {
        let lock = |conn: &mut AnyConnection, _: &Caller| Ok(admins::count_and_lock(conn)?);
        self.transact_within(self.store.timeout(), call, lock, work).await
    }

    /// Returns the admins whose names come after `after`, at most `size` of them.
    ///
    /// # Errors
    /// The store fails.
    pub async fn list_admins(&self, after: Option<AdminName>, size: PageSize) -> Result<AdminPage, Error> {
        let page = self.store.read(move |conn| admins::page(conn, after.as_ref(), size));
        Ok(page.await?)
    }

    /// Returns `true` if there is an admin.
    ///
    /// # Errors
    /// The store fails.
    pub async fn has_admins(&self) -> Result<bool, Error> {
        Ok(!self.list_admins(None, PageSize::default()).await?.admins.is_empty())
    }

    /// Returns `true` if this admin is the only one.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such admin.
    pub async fn is_last_admin(&self, name: AdminName) -> Result<bool, Error> {
        self.store
            .read(move |conn| {
                admins::find(conn, &name)?.ok_or(Error::NotFound("admin"))?;
                Ok(!admins::has_other(conn, &name)?)
            })
            .await
    }

    /// Makes an admin if there is none: of that name, with that password or a made-up one.
    ///
    /// # Errors
    /// When the store fails.
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
        match self.add_admin(call, name.clone(), chosen).await {
            Ok(()) => Ok(Some(FirstAdmin {
                name,
                generated_password,
            })),
            // Another server that started at the same moment was quicker.
            Err(Error::Conflict(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn hash_password(&self, password: Password, call: &Call) -> Result<PasswordHash, Error> {
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
