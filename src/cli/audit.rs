//! `tokenbridge audit`.

use std::{num::NonZeroU32, time::Duration};

use clap::ValueEnum;

use super::{CliError, call, output};
use crate::{
    domain::{
        actor::Channel,
        audit::{Action, EventFilter, EventOrder, RecordedEvent},
        clock::Timestamp,
        page::PageSize,
        token::TokenId,
    },
    http::{
        audit_events::view::{csv_header, push_csv_row, to_json_line},
        observe::error_chain,
    },
    service::{Error, Service, audit::EventTail},
    settings::StoreSettings,
    startup::open_service,
};

/// Interval between polls of the store for new events.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

#[derive(clap::Args)]
pub struct Audit {
    /// Only events at or after this time, such as 2030-01-31T12:00:00Z
    #[arg(long, value_name = "T", value_parser = parse_time)]
    since: Option<Timestamp>,
    /// Only events before this time
    #[arg(long, value_name = "T", value_parser = parse_time, conflicts_with = "follow")]
    until: Option<Timestamp>,
    /// Only events of this actor: an admin's name, a token's ID, or cli
    #[arg(long, value_name = "ID")]
    actor: Option<String>,
    /// Only events about the token with this ID
    #[arg(long, value_name = "ID", value_parser = parse_token_id)]
    token: Option<TokenId>,
    /// Only events with this action, such as token.deleted
    #[arg(long, value_name = "ACTION", value_parser = parse_action)]
    action: Option<Action>,
    /// Only events through this channel, such as api-tokens
    #[arg(long, value_name = "CHANNEL", value_parser = parse_channel)]
    channel: Option<Channel>,
    /// Number of latest events to print, or all
    #[arg(long, value_name = "N", default_value = "100", value_parser = parse_limit)]
    limit: Limit,
    /// Print new events as they are written, until interrupted
    #[arg(long)]
    follow: bool,
    /// Output format
    #[arg(long, default_value = "table")]
    output: AuditFormat,
    #[command(flatten)]
    store: StoreSettings,
}

/// The format in which events are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AuditFormat {
    /// For people.
    Table,
    /// A JSON object a line.
    Json,
    /// RFC 4180.
    Csv,
}

#[derive(Clone, Copy, Debug)]
pub enum Limit {
    All,
    Last(NonZeroU32),
}

pub async fn run(audit: Audit) -> Result<(), CliError> {
    let service = open_service(&audit.store, false)?;
    let filter = EventFilter {
        since: audit.since,
        until: audit.until,
        actor: audit.actor,
        token_id: audit.token,
        action: audit.action,
        channel: audit.channel,
    };
    output::print_bytes(audit.output.header().as_bytes())?;
    if !audit.follow {
        return print_last(&service, &filter, audit.limit, i64::MAX, audit.output).await;
    }
    let mut tail = EventTail::default();
    let last = loop {
        if let Some(last) = service.start_tail(&call(), &mut tail).await? {
            break last;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    };
    print_last(&service, &filter, audit.limit, last, audit.output).await?;
    follow(&service, &filter, &mut tail, audit.output).await
}

/// Prints the latest events with IDs of at most `up_to`.
async fn print_last(
    service: &Service,
    filter: &EventFilter,
    limit: Limit,
    up_to: i64,
    format: AuditFormat,
) -> Result<(), CliError> {
    let (call, order) = (call(), EventOrder::OldestFirst);
    let mut after = match limit {
        Limit::All => None,
        Limit::Last(count) => {
            let before = service.find_tail_cursor(&call, filter.clone(), count.get());
            before.await?
        }
    };
    loop {
        let page = service.list_events(&call, filter.clone(), order, after, PageSize::MAX);
        let mut page = page.await?;
        page.events.retain(|event| event.id <= up_to);
        format.print(&page.events)?;
        if page.next.is_none() {
            return Ok(());
        }
        after = page.next;
    }
}

/// Prints new events until interrupted. Retries while the store is unavailable.
async fn follow(
    service: &Service,
    filter: &EventFilter,
    tail: &mut EventTail,
    format: AuditFormat,
) -> Result<(), CliError> {
    let mut is_waiting = false;
    loop {
        match service.poll_tail(&call(), filter.clone(), tail).await {
            Ok(events) => {
                is_waiting = false;
                format.print(&events)?;
                if events.len() == PageSize::MAX.get() {
                    continue;
                }
            }
            Err(error @ Error::Unavailable(_)) => {
                if !is_waiting {
                    eprintln!("tokenbridge: retrying: {}", error_chain(&error));
                }
                is_waiting = true;
            }
            Err(other) => return Err(other.into()),
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

impl AuditFormat {
    fn header(self) -> String {
        match self {
            Self::Table => columns("TIME", "ACTOR", "CHANNEL", "CLIENT", "ACTION", "TOKEN", "DETAILS"),
            Self::Csv => csv_header(),
            Self::Json => String::new(),
        }
    }

    fn print(self, events: &[RecordedEvent]) -> Result<(), CliError> {
        let mut text = String::new();
        for recorded in events {
            match self {
                Self::Table => text.push_str(&row(recorded)),
                Self::Csv => push_csv_row(recorded, &mut text),
                Self::Json => text.push_str(&to_json_line(recorded)?),
            }
        }
        output::print_bytes(text.as_bytes())
    }
}

fn row(recorded: &RecordedEvent) -> String {
    let event = &recorded.event;
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    columns(
        &event.at.to_string(),
        event.actor.as_ref().map_or("-", |actor| actor.id.as_str()),
        event.origin.channel.name(),
        &or_none(event.origin.client.map(|client| client.to_string())),
        event.action.name(),
        &or_none(event.token_id.map(|id| id.to_string())),
        &event.details.to_string(),
    )
}

/// Formats a line of the table. The columns have fixed widths that fit most values, because later lines are not known
/// yet.
fn columns(time: &str, actor: &str, channel: &str, client: &str, action: &str, token: &str, details: &str) -> String {
    format!("{time:27}  {actor:12}  {channel:14}  {client:15}  {action:22}  {token:36}  {details}\n")
}

fn parse_time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse("time", text).map_err(|invalid| invalid.to_string())
}

fn parse_token_id(text: &str) -> Result<TokenId, String> {
    TokenId::parse(text).ok_or_else(|| "must be a UUID, such as d0ea6653-05e2-4d51-9d89-665cdfe86be6".to_owned())
}

fn parse_action(text: &str) -> Result<Action, String> {
    Action::parse(text).map_err(|invalid| invalid.to_string())
}

fn parse_channel(text: &str) -> Result<Channel, String> {
    Channel::parse(text).map_err(|invalid| invalid.to_string())
}

fn parse_limit(text: &str) -> Result<Limit, String> {
    if text == "all" {
        return Ok(Limit::All);
    }
    let count = text.parse().map(Limit::Last);
    count.map_err(|_| "must be a number of at least 1, or all".to_owned())
}
