//! `tokenbridge token …`.

mod create;
mod update;
mod usage;

use std::time::Duration;

use clap::{Args, Subcommand};
use secrecy::ExposeSecret;
use serde_json::json;

use super::{
    CliError, call,
    output::{self, Format, ReportFormat},
    password::read_value,
};
use crate::{
    domain::{
        annotation::Owner,
        clock::Timestamp,
        page::{ColumnFilter, Cursor, PageSize, TokenFilter, TokenState},
        permission::Permission,
        precondition::Precondition,
        search::SearchFilter,
        token::{Token, TokenId},
        value::TokenValue,
    },
    service::{
        Service,
        tokens::{Rotation, TokenRef},
    },
    settings::StoreSettings,
    startup::open_service,
    view::{api_token::ApiToken, token_csv},
};

#[derive(Subcommand)]
pub enum TokenCommand {
    /// Create a token and print its value, which is not shown again
    Create(create::Create),
    /// Change the given fields of a token
    Update(update::Update),
    /// Refuse every use of a token until it is enabled; its value and its settings stay
    Disable {
        /// ID of the token
        id: TokenId,
        #[command(flatten)]
        store: StoreSettings,
    },
    /// Allow the use of a disabled token again
    Enable {
        /// ID of the token
        id: TokenId,
        #[command(flatten)]
        store: StoreSettings,
    },
    /// List tokens, oldest first
    List {
        #[command(flatten)]
        filters: Filters,
        #[command(flatten)]
        gate: Gate,
        #[command(flatten)]
        store: StoreSettings,
    },
    /// Show a token
    Show {
        /// ID of the token
        id: TokenId,
        #[command(flatten)]
        store: StoreSettings,
    },
    /// Show the token of a value, read from the first line of standard input or, on a terminal, at a prompt
    Lookup {
        #[command(flatten)]
        store: StoreSettings,
    },
    /// Show the use of a token in the last 90 days
    Usage {
        /// ID of the token
        id: TokenId,
        #[command(flatten)]
        store: StoreSettings,
    },
    /// Replace the value of a token and print the new one; a legacy token gets its first value
    Rotate {
        /// ID of the token
        id: TokenId,
        /// Seconds for which the previous value stays valid
        #[arg(long, value_name = "N", default_value = "0", value_parser = clap::value_parser!(u64).range(..=604_800))]
        grace_period_seconds: u64,
        #[command(flatten)]
        store: StoreSettings,
    },
    /// Delete one token, or all tokens that match the filters, if there are as many as --expected;
    /// they stop working immediately
    Delete {
        /// ID of the token
        #[arg(required_unless_present_any = DELETE_FLAGS, conflicts_with_all = DELETE_FLAGS)]
        id: Option<TokenId>,
        #[command(flatten)]
        filters: Filters,
        #[command(flatten)]
        gate: Gate,
        /// Number of tokens that the filters match; without it, or if it is wrong, the command
        /// fails and reports the number
        #[arg(long, value_name = "N")]
        expected: Option<u64>,
        #[command(flatten)]
        store: StoreSettings,
    },
}

/// The group of all [`Filters`], and the number that they must match.
const DELETE_FLAGS: [&str; 2] = ["filters", "expected"];

#[derive(Args)]
#[group(id = "filters")]
pub struct Filters {
    /// Only tokens whose name contains this text (case-insensitive)
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Only tokens with exactly this name
    #[arg(long, value_name = "TEXT")]
    name_equals: Option<String>,
    /// Only tokens with exactly this owner
    #[arg(long, value_name = "TEXT")]
    owner: Option<String>,
    /// Only tokens that this actor created: the name of an admin, the ID of a token, or cli
    #[arg(long, value_name = "ID")]
    created_by: Option<String>,
    /// Only tokens with this permission
    #[arg(long, value_name = "P")]
    permission: Option<Permission>,
    /// Only tokens in this state: active, disabled, expired, never-used, or legacy
    #[arg(long, value_name = "S")]
    state: Option<TokenState>,
    /// Only tokens last used before this time, or created before it and never used
    #[arg(long, value_name = "T")]
    unused_since: Option<Timestamp>,
    /// Only tokens that expire before this time
    #[arg(long, value_name = "T")]
    expires_before: Option<Timestamp>,
}

/// The setting of the servers that decides which tokens are active.
#[derive(Args)]
pub struct Gate {
    /// Count tokens without a value as active, as servers with this flag do
    #[arg(long)]
    legacy_uuid_auth: bool,
}

impl Filters {
    fn filter(self, gate: &Gate) -> TokenFilter {
        let Self {
            name,
            name_equals,
            owner,
            created_by,
            permission,
            state,
            unused_since,
            expires_before,
        } = self;
        let search = SearchFilter {
            text: None,
            name: name.filter(|name| !name.is_empty()),
            permission,
            network: None,
        };
        let columns = ColumnFilter {
            name_equals,
            owner,
            created_by,
            state,
            unused_since,
            expires_before,
            value_older_than: None,
            legacy_uuid_auth: gate.legacy_uuid_auth,
        };
        TokenFilter { search, columns }
    }
}

pub async fn run(command: TokenCommand, output: ReportFormat) -> Result<(), CliError> {
    match command {
        TokenCommand::Create(arguments) => create::create(arguments, output.try_into()?).await,
        TokenCommand::Update(arguments) => update::update(arguments, output.try_into()?).await,
        TokenCommand::Disable { id, store } => update::set_disabled(id, true, &store, output.try_into()?).await,
        TokenCommand::Enable { id, store } => update::set_disabled(id, false, &store, output.try_into()?).await,
        TokenCommand::List { filters, gate, store } => {
            let service = open_service(&store, false)?;
            list(&service, filters.filter(&gate), output).await
        }
        TokenCommand::Show { id, store } => {
            let format = output.try_into()?;
            let token = open_service(&store, false)?.get(&call(), TokenRef::Id(id)).await?;
            print(format, &token, None)
        }
        TokenCommand::Lookup { store } => {
            let format = output.try_into()?;
            let service = open_service(&store, false)?;
            let token = service.lookup(&call(), read_value()?.expose_secret()).await?;
            print(format, &token, None)
        }
        TokenCommand::Usage { id, store } => {
            let format = output.try_into()?;
            let service = open_service(&store, false)?;
            usage::print(format, &service.usage(&call(), TokenRef::Id(id)).await?)
        }
        TokenCommand::Rotate {
            id,
            grace_period_seconds,
            store,
        } => {
            rotate(
                id,
                Duration::from_secs(grace_period_seconds),
                &store,
                output.try_into()?,
            )
            .await
        }
        TokenCommand::Delete {
            id,
            filters,
            gate,
            expected,
            store,
        } => {
            let format = output.try_into()?;
            let service = open_service(&store, false)?;
            match id {
                Some(id) => delete(&service, id, format).await,
                None => delete_matching(&service, filters.filter(&gate), expected, format).await,
            }
        }
    }
}

async fn rotate(id: TokenId, grace_period: Duration, store: &StoreSettings, format: Format) -> Result<(), CliError> {
    let rotation = Rotation {
        grace_period,
        expires_at: None,
        precondition: Precondition::None,
    };
    let service = open_service(store, false)?;
    let (token, value) = service.rotate(call(), TokenRef::Id(id), rotation, None).await?;
    print(format, &token, Some(&value))
}

async fn delete(service: &Service, id: TokenId, format: Format) -> Result<(), CliError> {
    service.delete(call(), TokenRef::Id(id), Precondition::None).await?;
    output::print_result(format, &json!({ "deleted": 1 }), &format!("deleted token {id}"))
}

async fn delete_matching(
    service: &Service,
    filter: TokenFilter,
    expected: Option<u64>,
    format: Format,
) -> Result<(), CliError> {
    let deleted = service.delete_matching(call(), filter, expected).await?;
    let plural = if deleted == 1 { "" } else { "s" };
    let sentence = format!("deleted {deleted} token{plural}");
    output::print_result(format, &json!({ "deleted": deleted }), &sentence)
}

async fn list(service: &Service, filter: TokenFilter, format: ReportFormat) -> Result<(), CliError> {
    let mut after = Some(Cursor::default());
    let mut first = true;
    while let Some(cursor) = after {
        let page = service.list(&call(), filter.clone(), cursor, PageSize::MAX).await?;
        match format {
            ReportFormat::Json => {
                for token in &page.tokens {
                    output::print_bytes(if first { b"[\n" } else { b",\n" })?;
                    first = false;
                    output::print_bytes(&serde_json::to_vec(&ApiToken::from(token)).unwrap_or_default())?;
                }
            }
            ReportFormat::Csv => {
                let header = first.then(token_csv::header);
                first = false;
                let rows = header.into_iter().chain(page.tokens.iter().map(token_csv::row));
                output::print_bytes(rows.collect::<String>().as_bytes())?;
            }
            ReportFormat::Table => {
                let header = ["ID", "NAME", "OWNER", "PERMISSIONS", "LAST USED", "EXPIRES"].map(str::to_owned);
                let header = first.then_some(header);
                first = false;
                output::print_table(
                    &header
                        .into_iter()
                        .chain(page.tokens.iter().map(row))
                        .collect::<Vec<_>>(),
                )?;
            }
        }
        after = page.next;
    }
    match format {
        ReportFormat::Json => output::print_bytes(if first { b"[]\n" } else { b"\n]\n" }),
        ReportFormat::Csv | ReportFormat::Table => Ok(()),
    }
}

fn row(token: &Token) -> [String; 6] {
    let or_never = |time: Option<Timestamp>| time.map_or_else(|| "never".to_owned(), |time| time.to_string());
    [
        token.id.to_string(),
        token.name.as_str().to_owned(),
        token.owner.as_ref().map(Owner::as_str).unwrap_or_default().to_owned(),
        token.permissions.to_string(),
        or_never(token.last_used_at),
        or_never(token.expires_at.time()),
    ]
}

fn print(format: Format, token: &Token, value: Option<&TokenValue>) -> Result<(), CliError> {
    let shown = value.map_or_else(|| ApiToken::from(token), |value| ApiToken::with_value(token, value));
    match format {
        Format::Json => output::print_json(&shown),
        Format::Table => print_fields(&shown),
    }
}

fn print_fields(shown: &ApiToken) -> Result<(), CliError> {
    let fields = serde_json::to_value(shown).unwrap_or_default();
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Null => "never".to_owned(),
        serde_json::Value::Array(entries) => entries
            .iter()
            .filter_map(|entry| entry.as_str())
            .collect::<Vec<_>>()
            .join(" "),
        serde_json::Value::Object(actor) => {
            let part = |name| actor.get(name).and_then(|part| part.as_str()).unwrap_or_default();
            format!("{} {}", part("type"), part("id"))
        }
        other => other.to_string(),
    };
    let rows = fields
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| [name.clone(), text(value)]);
    output::print_table(&rows.collect::<Vec<_>>())
}
