//! Sessions of admins who have signed in with a browser.

use super::{Error, Refusal, Service};
use crate::{
    domain::{
        caller::{Call, Caller},
        session::SessionKey,
    },
    store::sessions,
};

impl Service {
    /// A key that nobody has yet: that of a browser in which nobody has signed in.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn new_session_key(&self) -> Result<SessionKey, Error> {
        Ok(SessionKey::generate(self.random.as_ref())?)
    }

    /// Begins a session for the admin who has just shown their password, with a key of its own, and ends the one of the key `before`, if
    /// there is one.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for anybody but an admin, and if their password has changed meanwhile.
    pub async fn begin_session(&self, call: Call, before: Option<SessionKey>) -> Result<SessionKey, Error> {
        let key = self.new_session_key()?;
        let hash = key.hash();
        self.change(call, None, move |change, _| {
            let Caller::Admin(admin) = &change.caller else {
                return Err(Refusal::Password.into());
            };
            if let Some(before) = before {
                sessions::delete(change.conn, &before.hash())?;
            }
            Ok(sessions::insert(change.conn, &hash, &admin.name, change.now)?)
        })
        .await?;
        Ok(key)
    }

    /// The admin of the session with that key, if it has not ended.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn resume_session(&self, key: &SessionKey) -> Result<Option<Caller>, Error> {
        let (hash, now) = (key.hash(), self.clock.now());
        let found = self.store.read_briefly(move |conn| sessions::find(conn, &hash)).await?;
        let Some((admin, times)) = found.filter(|(_, times)| !times.is_over(now)) else {
            return Ok(None);
        };
        if times.is_to_be_seen(now) {
            // Where nothing can be written, pages can be read still; the session then ends sooner.
            let _ = self.store.write(move |conn| sessions::see(conn, &hash, now)).await;
        }
        Ok(Some(Caller::Admin(admin)))
    }

    /// Ends the session with that key, if there is one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn end_session(&self, key: &SessionKey) -> Result<(), Error> {
        let hash = key.hash();
        Ok(self.store.write(move |conn| sessions::delete(conn, &hash)).await?)
    }
}
