//! Exports all data that is needed to run elsewhere.

use std::io::{self, Write};

use super::{
    Error, Service,
    archive::{AdminLine, ArchiveLine, FORMAT, TokenLine, VERSION},
};
use crate::{
    domain::{authorization::Operation, caller::Call, page::Cursor},
    store::{AnyConnection, StoreError, records},
};

/// Numbers of exported records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportCounts {
    /// Number of tokens.
    pub tokens: u64,
    /// Number of admins.
    pub admins: u64,
}

/// The error of an export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The caller was refused, or the store failed.
    #[error(transparent)]
    Service(#[from] Error),
    /// The output could not be written.
    #[error("the export cannot be written")]
    Write(#[from] io::Error),
}

impl Service {
    /// Writes a snapshot of all tokens with the hashes of their values, never a value.
    /// `with_admins` adds all admins with the hashes of their passwords.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the caller is a token. After another error, the output may be
    /// incomplete: it lacks the last line.
    pub async fn export(
        &self,
        call: &Call,
        out: impl Write + Send + 'static,
        with_admins: bool,
    ) -> Result<ExportCounts, ExportError> {
        let check_caller = self.caller_check(call, Operation::Export { with_admins });
        self.store
            .read_snapshot(move |conn| {
                check_caller(conn)?;
                write_all(conn, out, with_admins)
            })
            .await
    }
}

fn write_all(conn: &mut AnyConnection, mut out: impl Write, with_admins: bool) -> Result<ExportCounts, ExportError> {
    let mut line = |line: &ArchiveLine| -> Result<(), ExportError> {
        serde_json::to_writer(&mut out, line).map_err(io::Error::from)?;
        Ok(out.write_all(b"\n")?)
    };
    line(&ArchiveLine::Format {
        name: FORMAT.to_owned(),
        version: VERSION,
    })?;
    let mut counts = ExportCounts::default();
    let mut after = Cursor::default();
    loop {
        let records = records::page(conn, after)?;
        let Some((last, _)) = records.last() else { break };
        after = *last;
        for (_, record) in &records {
            line(&ArchiveLine::Token(Box::new(TokenLine::from(record))))?;
            counts.tokens += 1;
        }
    }
    if with_admins {
        for record in records::admins(conn)? {
            line(&ArchiveLine::Admin(AdminLine::from(&record)))?;
            counts.admins += 1;
        }
    }
    let ExportCounts { tokens, admins } = counts;
    line(&ArchiveLine::End { tokens, admins })?;
    out.flush()?;
    Ok(counts)
}

impl From<StoreError> for ExportError {
    fn from(error: StoreError) -> Self {
        Self::Service(error.into())
    }
}
