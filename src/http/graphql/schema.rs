//! The types of the schema, by their published names.

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
    domain::{caller::Call, clock::Timestamp, permission::Permission, token::Token, value::TokenValue},
    http::{State, error::ApiError, observe::error_chain},
    service::tokens::{Rotation, TokenRef},
};

/// How deep a query may be nested: the introspection of the usual tools needs 14.
const MAX_SELECTION_DEPTH: usize = 20;

/// The schema. What a document costs is found out before.
pub static SCHEMA: LazyLock<Schema<Query, Mutation, EmptySubscription>> = LazyLock::new(|| {
    Schema::build(Query, Mutation, EmptySubscription)
        .limit_depth(MAX_SELECTION_DEPTH)
        .extension(BudgetExtension)
        .finish()
});

/// What can be asked.
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

/// What can be changed.
pub struct Mutation;

#[Object]
impl Mutation {
    /// Gives the token that the call is made with a new value. The old one is not valid any more
    #[graphql(name = "rotateAPIToken")]
    async fn rotate_api_token(&self, context: &Context<'_>) -> async_graphql::Result<RotateApiTokenOutput> {
        let (state, call) = (context.data::<Arc<State>>()?, context.data::<Call>()?);
        let rotate = async || {
            let rotated = state
                .service
                .rotate(call.clone(), TokenRef::Itself, Rotation::default())
                .await;
            Arc::new(rotated.map_err(ApiError::from))
        };
        let RotationCell(once) = context.data::<RotationCell>()?;
        Ok(RotateApiTokenOutput(Arc::clone(once.get_or_init(rotate).await)))
    }
}

/// The one rotation of a request. A field that is asked for twice, by fragments or other names, would rotate twice otherwise, and the value in
/// the first answer would not work any more.
#[derive(Default)]
pub struct RotationCell(OnceCell<RotationResult>);

type RotationResult = Arc<Result<(Token, TokenValue), ApiError>>;

/// What a rotation gives. Its failure is that of the field `token`, which can be null.
struct RotateApiTokenOutput(RotationResult);

/// What a rotation gives
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
    /// The CIDR blocks that it may be used from; from everywhere if there are none
    #[graphql(name = "allowedCIDRBlocks")]
    allowed_cidr_blocks: Vec<String>,
    /// When it was made
    created_at: DateTime,
    /// When it expires; null if it does not
    expires_at: Option<DateTime>,
    /// What it is known by
    id: ID,
    /// When it was last used
    last_used_at: Option<DateTime>,
    /// What people call it
    name: String,
    /// What it may do
    permissions: Vec<PermissionName>,
    /// When it was last rotated
    rotated_at: Option<DateTime>,
    /// When it was last changed
    updated_at: Option<DateTime>,
    /// Its value, which is in this answer and nowhere else
    value: Option<String>,
}

impl ApiToken {
    fn new(token: &Token, value: &TokenValue) -> Self {
        Self {
            allowed_cidr_blocks: token.allowed_cidr_blocks.iter().map(ToString::to_string).collect(),
            created_at: DateTime(token.created.at),
            expires_at: token.expires_at.time().map(DateTime),
            id: token.id.to_string().into(),
            last_used_at: token.last_used_at.map(DateTime),
            name: token.name.as_str().to_owned(),
            permissions: token.permissions.iter().map(PermissionName).collect(),
            rotated_at: token.rotated_at.map(DateTime),
            updated_at: token.updated.as_ref().map(|change| DateTime(change.at)),
            value: Some(value.expose().to_owned()),
        }
    }
}

/// A time.
struct DateTime(Timestamp);

/// A time in RFC 3339, in UTC
#[Scalar]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = &value else {
            return Err(InputValueError::expected_type(value));
        };
        Ok(Self(Timestamp::parse("time", text)?))
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

/// A permission, as a value of an enumeration that has all of them: written out because the list of them is the domain's.
struct PermissionName(Permission);

impl OutputType for PermissionName {
    fn type_name() -> Cow<'static, str> {
        "Permission".into()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        registry.create_output_type::<Self, _>(MetaTypeId::Enum, |_| MetaType::Enum {
            name: Self::type_name().into_owned(),
            description: Some("What a token may do".to_owned()),
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

/// The failure of a field. What went wrong here goes to the log.
fn field_error(failure: &ApiError) -> async_graphql::Error {
    if let Some(cause) = failure.cause() {
        log::error!("{}", error_chain(cause));
    }
    let code = failure.code();
    async_graphql::Error::new(failure.message()).extend_with(|_, extensions| extensions.set("code", code))
}
