//! `tokenbridge audit`.

use std::{num::NonZeroU32, str::FromStr, time::Duration};

use super::{
    CliError, call,
    output::{self, ReportFormat},
};
use crate::{
    domain::{
        actor::{Channel, Origin},
        audit::{Action, AuditEvent, EventFilter, EventOrder, RecordedEvent},
        clock::Timestamp,
        errors::error_chain,
        name::TokenName,
        page::PageSize,
        token::TokenId,
    },
    service::{Error, Service, audit::EventTail},
    settings::StoreSettings,
    startup::open_service,
    view::audit_event::{csv_header, push_csv_row, to_json_line},
};

/// Interval between polls of the store for new events.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

#[derive(clap::Args)]
pub struct Audit {
    /// Only events at or after this time, such as 2030-01-31T12:00:00Z
    #[arg(long, value_name = "T")]
    since: Option<Timestamp>,
    /// Only events before this time
    #[arg(long, value_name = "T", conflicts_with = "follow")]
    until: Option<Timestamp>,
    /// Only events of this actor: an admin's name, a token's ID, cli, or server
    #[arg(long, value_name = "ID")]
    actor: Option<String>,
    /// Only events about the token with this ID
    #[arg(long, value_name = "ID")]
    token: Option<TokenId>,
    /// Only events about tokens that had exactly this name after the event
    #[arg(long, value_name = "NAME")]
    token_name: Option<String>,
    /// Only events with this action, such as token.deleted
    #[arg(long, value_name = "ACTION")]
    action: Option<Action>,
    /// Only events through this channel, such as api-tokens
    #[arg(long, value_name = "CHANNEL")]
    channel: Option<Channel>,
    /// Number of latest events to print, or all
    #[arg(long, value_name = "N", default_value = "100")]
    limit: Limit,
    /// Print new events as they are written, until interrupted
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    store: StoreSettings,
}

/// The number of latest events to print.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    All,
    Last(NonZeroU32),
}

impl FromStr for Limit {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "all" => Ok(Self::All),
            number => number
                .parse()
                .map(Self::Last)
                .map_err(|_| "must be a number of at least 1, or all"),
        }
    }
}

pub async fn run(audit: Audit, format: ReportFormat) -> Result<(), CliError> {
    let service = open_service(&audit.store, false)?;
    let filter = EventFilter {
        since: audit.since,
        until: audit.until,
        actor: audit.actor,
        token_id: audit.token,
        token_id_prefix: None,
        token_name: audit.token_name,
        action: audit.action,
        channel: audit.channel,
    };
    output::print_bytes(header(format).as_bytes())?;
    if !audit.follow {
        return print_last(&service, &filter, audit.limit, i64::MAX, format).await;
    }
    let mut tail = EventTail::default();
    let last = loop {
        if let Some(last) = service.start_tail(&call(), &mut tail).await? {
            break last;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    };
    print_last(&service, &filter, audit.limit, last, format).await?;
    follow(&service, &filter, &mut tail, format).await
}

/// Prints the latest events with IDs of at most `up_to`.
async fn print_last(
    service: &Service,
    filter: &EventFilter,
    limit: Limit,
    up_to: i64,
    format: ReportFormat,
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
        print(format, &page.events)?;
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
    format: ReportFormat,
) -> Result<(), CliError> {
    let mut is_waiting = false;
    loop {
        match service.poll_tail(&call(), filter.clone(), tail).await {
            Ok(events) => {
                is_waiting = false;
                print(format, &events)?;
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

fn header(format: ReportFormat) -> String {
    match format {
        ReportFormat::Table => columns([
            "TIME", "ACTOR", "CHANNEL", "CLIENT", "ACTION", "TOKEN", "NAME", "DETAILS",
        ]),
        ReportFormat::Csv => csv_header(),
        ReportFormat::Json => String::new(),
    }
}

fn print(format: ReportFormat, events: &[RecordedEvent]) -> Result<(), CliError> {
    let mut text = String::new();
    for recorded in events {
        match format {
            ReportFormat::Table => text.push_str(&row(recorded)),
            ReportFormat::Csv => push_csv_row(recorded, &mut text),
            ReportFormat::Json => text.push_str(&to_json_line(recorded)?),
        }
    }
    output::print_bytes(text.as_bytes())
}

fn row(recorded: &RecordedEvent) -> String {
    let RecordedEvent { id: _, event } = recorded;
    let AuditEvent {
        at,
        actor,
        origin: Origin { channel, client },
        action,
        token_id,
        token_name,
        details,
    } = event;
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    columns([
        &at.to_string(),
        actor.as_ref().map_or("-", |actor| actor.id.as_str()),
        channel.name(),
        &or_none(client.map(|client| client.to_string())),
        action.name(),
        &or_none(token_id.map(|id| id.to_string())),
        token_name.as_ref().map_or("-", TokenName::as_str),
        &details.to_string(),
    ])
}

/// Formats a line of the table. The columns have fixed widths that fit most values, because later
/// lines are not known yet.
fn columns([time, actor, channel, client, action, token, name, details]: [&str; 8]) -> String {
    format!("{time:27}  {actor:12}  {channel:14}  {client:15}  {action:22}  {token:36}  {name:20}  {details}\n")
}
