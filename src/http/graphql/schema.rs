//! The schema. The names of its types and fields are those that Panther publishes.

use std::{
    borrow::Cow,
    sync::{Arc, LazyLock},
};

use async_graphql::{
    Context, ContextSelectionSet, EmptySubscription, ErrorExtensions, ID, InputValueError, InputValueResult, Name,
    Object, OutputType, Positioned, Scalar, ScalarType, Schema, ServerResult, SimpleObject, Value,
    parser::types::Field,
    registry::{Deprecation, MetaEnumValue, MetaType, MetaTypeId, Registry},
};

use tokio::sync::OnceCell;

use super::budget::BudgetExtension;
use crate::{
    domain::{
        caller::Call, clock::Timestamp, errors::error_chain, permission::Permission, token::Token, value::TokenValue,
    },
    http::{State, error::ApiError},
    service::tokens::{Rotation, TokenRef},
};

/// Maximum depth of a query. Common introspection queries need 14.
const MAX_SELECTION_DEPTH: usize = 20;

/// The schema. The cost of a document is checked before it gets here.
pub static SCHEMA: LazyLock<Schema<Query, Mutation, EmptySubscription>> = LazyLock::new(|| {
    Schema::build(Query, Mutation, EmptySubscription)
        .limit_depth(MAX_SELECTION_DEPTH)
        .extension(BudgetExtension)
        .finish()
});

/// The root of queries.
pub struct Query;

#[Object]
impl Query {
    /// The settings of the server
    async fn general_settings(&self) -> GeneralSettings {
        GeneralSettings {
            panther_version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// The settings of the server
#[derive(SimpleObject)]
struct GeneralSettings {
    /// The version of the server, which is tokenbridge
    panther_version: &'static str,
}

/// The root of mutations.
pub struct Mutation;

#[Object]
impl Mutation {
    /// Rotates the token that authenticates the request. The previous value stops working
    /// immediately
    #[graphql(name = "rotateAPIToken")]
    async fn rotate_api_token(&self, context: &Context<'_>) -> async_graphql::Result<RotateApiTokenOutput> {
        let (state, call) = (context.data::<Arc<State>>()?, context.data::<Call>()?);
        let rotate = async || {
            let rotated = state
                .service
                .rotate(call.clone(), TokenRef::Itself, Rotation::default(), None)
                .await;
            Arc::new(rotated.map_err(ApiError::from))
        };
        let RotationCell(once) = context.data::<RotationCell>()?;
        Ok(RotateApiTokenOutput(Arc::clone(once.get_or_init(rotate).await)))
    }
}

/// The single rotation of a request. Otherwise a mutation that is selected twice, with aliases or
/// fragments, would rotate twice, and the value in the first result would be invalid.
#[derive(Default)]
pub struct RotationCell(OnceCell<RotationResult>);

type RotationResult = Arc<Result<(Token, TokenValue), ApiError>>;

/// The result of a rotation. An error belongs to the nullable field `token`.
struct RotateApiTokenOutput(RotationResult);

/// The result of a rotation
#[Object(name = "RotateAPITokenOutput")]
impl RotateApiTokenOutput {
    /// The token, with its new value
    async fn token(&self) -> Option<async_graphql::Result<ApiToken>> {
        Some(match self.0.as_ref() {
            Ok((token, value)) => Ok(ApiToken::new(token, value)),
            Err(failure) => Err(field_error(failure)),
        })
    }
}

/// A token
#[derive(SimpleObject)]
#[graphql(name = "APIToken")]
struct ApiToken {
    /// The CIDR blocks that the token may be used from. If empty, it may be used from any address
    #[graphql(name = "allowedCIDRBlocks")]
    allowed_cidr_blocks: Vec<String>,
    /// When the token was created
    created_at: DateTime,
    /// When the token expires, or null if it does not
    expires_at: Option<DateTime>,
    /// The token ID
    id: ID,
    /// When the token was last used
    last_used_at: Option<DateTime>,
    /// The token name
    name: String,
    /// The permissions of the token
    permissions: Vec<PermissionName>,
    /// When the token was last rotated
    rotated_at: Option<DateTime>,
    /// When the token was last changed
    updated_at: Option<DateTime>,
    /// The token value. It is returned once and never shown again
    value: Option<String>,
}

impl ApiToken {
    fn new(token: &Token, value: &TokenValue) -> Self {
        let Token {
            id,
            name,
            permissions,
            allowed_cidr_blocks,
            has_value: _,
            created,
            updated,
            rotated_at,
            last_used_at,
            expires_at,
            // Panther's type lacks the others.
            description: _,
            owner: _,
            disabled_at: _,
            version: _,
        } = token;
        Self {
            allowed_cidr_blocks: allowed_cidr_blocks.iter().map(ToString::to_string).collect(),
            created_at: DateTime(created.at),
            expires_at: expires_at.time().map(DateTime),
            id: id.to_string().into(),
            last_used_at: last_used_at.map(DateTime),
            name: name.as_str().to_owned(),
            permissions: permissions.iter().map(PermissionName).collect(),
            rotated_at: rotated_at.map(DateTime),
            updated_at: updated.as_ref().map(|change| DateTime(change.at)),
            value: Some(value.expose().to_owned()),
        }
    }
}

/// A timestamp.
struct DateTime(Timestamp);

/// An RFC 3339 timestamp in UTC
#[Scalar]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = &value else {
            return Err(InputValueError::expected_type(value));
        };
        Ok(Self(text.parse()?))
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

/// A permission, as a value of a GraphQL enum. The enum is built by hand because the domain defines
/// the list.
struct PermissionName(Permission);

impl OutputType for PermissionName {
    fn type_name() -> Cow<'static, str> {
        "Permission".into()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        registry.create_output_type::<Self, _>(MetaTypeId::Enum, |_| MetaType::Enum {
            name: Self::type_name().into_owned(),
            description: Some("A permission of a token".to_owned()),
            enum_values: Permission::ALL
                .iter()
                .map(|permission| (permission.name().to_owned(), enum_value(*permission)))
                .collect(),
            visible: None,
            inaccessible: false,
            tags: Vec::new(),
            rust_typename: Some(std::any::type_name::<Self>()),
            directive_invocations: Vec::new(),
            requires_scopes: Vec::new(),
        })
    }

    async fn resolve(&self, _: &ContextSelectionSet<'_>, _: &Positioned<Field>) -> ServerResult<Value> {
        Ok(Value::Enum(Name::new(self.0.name())))
    }
}

fn enum_value(permission: Permission) -> MetaEnumValue {
    MetaEnumValue {
        name: permission.name().to_owned(),
        description: Some(permission.display_name().to_owned()),
        deprecation: Deprecation::NoDeprecated,
        visible: None,
        inaccessible: false,
        tags: Vec::new(),
        directive_invocations: Vec::new(),
    }
}

/// Converts an error to a field error. Logs its cause, which clients do not see.
fn field_error(failure: &ApiError) -> async_graphql::Error {
    if let Some(cause) = failure.cause() {
        log::error!("{}", error_chain(cause));
    }
    let code = failure.code();
    async_graphql::Error::new(failure.message()).extend_with(|_, extensions| extensions.set("code", code))
}
