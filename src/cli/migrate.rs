//! `tokenbridge migrate`.

use std::fmt::Display;

use clap::Args;
use serde_json::json;

use super::{
    CliError,
    output::{self, Format},
};
use crate::{
    settings::{LogFormat, StoreSettings},
    startup::{StartError, logging},
    store::{
        Store,
        transfer::{Contents, count, transfer},
        url::DatabaseUrl,
    },
};

/// Arguments of `migrate`.
#[derive(Args)]
pub struct Migration {
    #[command(flatten)]
    store: StoreSettings,
    /// Copy all data from this database; stop the servers that use it first
    #[arg(long, value_name = "URL", requires = "to", hide_env_values = true)]
    from: Option<DatabaseUrl>,
    /// Copy all data to this database, which must be empty or an earlier copy
    #[arg(long, value_name = "URL", requires = "from", hide_env_values = true)]
    to: Option<DatabaseUrl>,
}

/// Applies migrations; with `--from` and `--to`, copies all data from one store to another.
pub fn run(migration: &Migration, format: Format) -> Result<(), CliError> {
    let _logging = logging::init(LogFormat::Text).map_err(StartError::from)?;
    if let (Some(from), Some(to)) = (&migration.from, &migration.to) {
        return print(format, &transfer_all(&migration.store, from, to)?);
    }
    let url = &migration.store.database_url;
    open(&migration.store, url, true)?;
    let sentence = format!("{url} is up to date");
    output::print_result(
        format,
        &json!({ "database": url.to_string(), "upToDate": true }),
        &sentence,
    )
}

fn open(settings: &StoreSettings, url: &DatabaseUrl, create: bool) -> Result<(), CliError> {
    let (_, applied) = Store::open(url, create, settings.connection_options()).map_err(StartError::from)?;
    for migration in applied {
        log::info!("applied migration {migration} to {url}");
    }
    Ok(())
}

fn transfer_all(settings: &StoreSettings, from: &DatabaseUrl, to: &DatabaseUrl) -> Result<Contents, CliError> {
    open(settings, from, false)?;
    open(settings, to, true)?;
    let connect = |url: &DatabaseUrl| {
        url.connect()
            .map_err(|error| StartError::Store(crate::store::OpenError::Connection(url.to_string(), error.to_string())))
    };
    let (mut source, mut destination) = (connect(from)?, connect(to)?);
    let total = count(&mut source).map_err(crate::service::Error::from)?;
    let bar = output::progress_bar(total);
    let contents = transfer(&mut source, &mut destination, |moved| bar.set_position(moved))?;
    bar.finish_and_clear();
    Ok(contents)
}

fn print(format: Format, contents: &Contents) -> Result<(), CliError> {
    match format {
        Format::Json => output::print_json(contents),
        Format::Table => {
            let Contents {
                tokens,
                grace_values,
                admins,
                removed_admins,
                audit_events,
                legacy_callers,
                legacy_calls,
                legacy_watch,
                token_uses,
                idempotency_keys,
                digest,
            } = contents;
            let row = |name: &str, value: &dyn Display| [name.to_owned(), value.to_string()];
            output::print_table(&[
                row("tokens", tokens),
                row("values in their grace period", grace_values),
                row("admins", admins),
                row("names of removed admins", removed_admins),
                row("audit events", audit_events),
                row("legacy callers", legacy_callers),
                row("daily counts of legacy calls", legacy_calls),
                row("days on which the legacy API was watched", legacy_watch),
                row("daily counts of token uses", token_uses),
                row("idempotency keys", idempotency_keys),
                row("digest of both stores", digest),
            ])
        }
    }
}
