//! `tokenbridge token create`.

use clap::Args;

use super::print;
use crate::{
    cli::{CliError, call, output::Format},
    domain::{
        annotation::{Description, Owner},
        cidr::CidrBlocks,
        clock::Timestamp,
        name::TokenName,
        permission::PermissionSet,
    },
    service::tokens::NewToken,
    settings::{StoreSettings, list_item},
    startup::open_service,
};

/// Arguments of `token create`.
#[derive(Args)]
pub struct Create {
    /// Name of the token
    name: TokenName,
    /// Permission of the token; repeat the flag or separate items by commas [default: the two token
    /// permissions]
    #[arg(
        long = "permission",
        value_name = "P",
        value_delimiter = ',',
        value_parser = list_item(str::parse::<String>)
    )]
    permissions: Vec<String>,
    /// CIDR block from which the token may be used; repeat the flag or separate items by commas
    /// [default: any address]
    #[arg(long = "cidr", value_name = "C", value_delimiter = ',', value_parser = list_item(str::parse::<String>))]
    cidr_blocks: Vec<String>,
    /// Time when the token expires, such as 2030-01-31T12:00:00Z [default: never]
    #[arg(long, value_name = "T")]
    expires_at: Option<Timestamp>,
    /// Description of the token, up to 1000 characters
    #[arg(long, value_name = "TEXT")]
    description: Option<Description>,
    /// Person or team to ask about the token
    #[arg(long, value_name = "TEXT")]
    owner: Option<Owner>,
    #[command(flatten)]
    store: StoreSettings,
}

/// Creates a token and prints it with its value.
pub async fn create(arguments: Create, format: Format) -> Result<(), CliError> {
    let Create {
        name,
        permissions,
        cidr_blocks,
        expires_at,
        description,
        owner,
        store,
    } = arguments;
    let new = NewToken {
        id: None,
        name,
        permissions: (!permissions.is_empty())
            .then(|| PermissionSet::parse(permissions))
            .transpose()?,
        allowed_cidr_blocks: Some(CidrBlocks::parse(cidr_blocks)?),
        expires_at: Some(expires_at.into()),
        description,
        owner,
        disabled: false,
    };
    let (token, value) = open_service(&store, false)?.create(call(), new, None).await?;
    print(format, &token, Some(&value))
}
