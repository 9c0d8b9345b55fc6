//! `tokenbridge token update`, `disable` and `enable`.

use clap::Args;

use super::print;
use crate::{
    cli::{CliError, call, output::Format},
    domain::{
        Invalid,
        annotation::{Description, Owner},
        cidr::CidrBlocks,
        expiry::Expiry,
        name::TokenName,
        patch::Patch,
        permission::PermissionSet,
        precondition::Precondition,
        token::TokenId,
    },
    service::tokens::{PermissionChange, TokenChanges, TokenRef},
    settings::{StoreSettings, list_item},
    startup::open_service,
};

/// Arguments of `token update`.
#[derive(Args)]
pub struct Update {
    /// ID of the token
    id: TokenId,
    #[command(flatten)]
    changes: Changes,
    #[command(flatten)]
    store: StoreSettings,
}

/// The fields to change.
#[derive(Args)]
#[group(required = true, multiple = true)]
struct Changes {
    /// New name
    #[arg(long, value_name = "TEXT")]
    name: Option<TokenName>,
    /// Permission that the token gets instead of its own; repeat the flag or separate items by
    /// commas; an empty text for none
    #[arg(
        long = "permission",
        value_name = "P",
        value_delimiter = ',',
        value_parser = list_item(str::parse::<String>)
    )]
    permissions: Option<Vec<String>>,
    /// CIDR block that the token gets instead of its own; repeat the flag or separate items by
    /// commas; an empty text for any address
    #[arg(long = "cidr", value_name = "C", value_delimiter = ',', value_parser = list_item(str::parse::<String>))]
    cidr_blocks: Option<Vec<String>>,
    /// Time when the token expires, such as 2030-01-31T12:00:00Z, or never
    #[arg(long, value_name = "T", value_parser = parse_expiry)]
    expires_at: Option<Expiry>,
    /// New description; an empty text removes it
    #[arg(long, value_name = "TEXT")]
    description: Option<Patch<Description>>,
    /// New owner; an empty text removes it
    #[arg(long, value_name = "TEXT")]
    owner: Option<Patch<Owner>>,
}

fn parse_expiry(text: &str) -> Result<Expiry, Invalid> {
    match text {
        "never" => Ok(Expiry::Never),
        time => time.parse().map(Expiry::At),
    }
}

/// Changes a token and prints it.
pub async fn update(arguments: Update, format: Format) -> Result<(), CliError> {
    let Update { id, changes, store } = arguments;
    let Changes {
        name,
        permissions,
        cidr_blocks,
        expires_at,
        description,
        owner,
    } = changes;
    let items = |list: Vec<String>| list.into_iter().filter(|item| !item.is_empty());
    let permissions = permissions
        .map(|names| PermissionSet::parse(items(names)))
        .transpose()?;
    let changes = TokenChanges {
        name,
        permissions: permissions.map(PermissionChange::Replace),
        allowed_cidr_blocks: cidr_blocks.map(|blocks| CidrBlocks::parse(items(blocks))).transpose()?,
        expires_at,
        description: description.unwrap_or_default(),
        owner: owner.unwrap_or_default(),
        disabled: None,
        precondition: Precondition::None,
    };
    apply(id, changes, &store, format).await
}

/// Disables or enables a token and prints it.
pub async fn set_disabled(id: TokenId, disabled: bool, store: &StoreSettings, format: Format) -> Result<(), CliError> {
    let changes = TokenChanges {
        disabled: Some(disabled),
        ..TokenChanges::default()
    };
    apply(id, changes, store, format).await
}

async fn apply(id: TokenId, changes: TokenChanges, store: &StoreSettings, format: Format) -> Result<(), CliError> {
    let service = open_service(store, false)?;
    let token = service.update(call(), TokenRef::Id(id), changes).await?;
    print(format, &token, None)
}
