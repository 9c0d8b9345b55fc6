//! Schemas of what the domain defines, and so cannot be derived here.

use std::borrow::Cow;

use serde_json::json;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        AllOfBuilder, Array, KnownFormat, Object, ObjectBuilder, Ref, RefOr, Schema, SchemaFormat, Type,
        schema::{AdditionalProperties, AnyOfBuilder, ArrayBuilder, SchemaType},
    },
};

use crate::domain::{
    actor::{ActorKind, Channel},
    audit::Action,
    legacy_phase::LegacyMode,
    legacy_report::Verdict,
    page::TokenState,
    permission::Permission,
};

/// No control character, and not only blanks.
const NAME_PATTERN: &str = r"^[^\x00-\x1F\x7F-\x9F]*[^\s\x00-\x1F\x7F-\x9F][^\x00-\x1F\x7F-\x9F]*$";

/// The schema of the name of a permission.
pub struct PermissionName;

impl PartialSchema for PermissionName {
    fn schema() -> RefOr<Schema> {
        let names = Permission::ALL.iter().map(|permission| permission.name());
        string().enum_values(Some(names)).into()
    }
}

impl ToSchema for PermissionName {
    fn name() -> Cow<'static, str> {
        "Permission".into()
    }
}

/// The schema of a body that makes a token of `/api-tokens`: that of an update, and it must have a name.
pub struct NewApiToken;

impl PartialSchema for NewApiToken {
    fn schema() -> RefOr<Schema> {
        AllOfBuilder::new()
            .item(Ref::from_schema_name("APITokenAPI.ModifyAPIToken"))
            .item(ObjectBuilder::new().required("name"))
            .examples([json!({ "name": "deployer", "allowedCIDRBlocks": ["10.0.0.0/8"] })])
            .into()
    }
}

impl ToSchema for NewApiToken {
    fn name() -> Cow<'static, str> {
        "APITokenAPI.NewAPIToken".into()
    }
}

/// The schema of a body that makes a token of the legacy API: it must have a name.
pub struct NewLegacyToken;

impl PartialSchema for NewLegacyToken {
    fn schema() -> RefOr<Schema> {
        let flag = || ObjectBuilder::new().schema_type(SchemaType::from_iter([Type::Boolean, Type::Null]));
        ObjectBuilder::new()
            .property("name", name())
            .property(
                "read",
                flag().description(Some("Whether the token reads; false if absent")),
            )
            .property(
                "change",
                flag().description(Some("Whether the token changes; false if absent")),
            )
            .required("name")
            .examples([json!({ "name": "informational name", "read": true, "change": false })])
            .into()
    }
}

impl ToSchema for NewLegacyToken {}

/// The schema of a name.
pub fn name() -> Object {
    name_schema(Type::String.into())
}

/// The schema of a name where null is as good as nothing.
pub fn name_or_null() -> Object {
    name_schema(SchemaType::from_iter([Type::String, Type::Null]))
}

fn name_schema(schema_type: SchemaType) -> Object {
    ObjectBuilder::new()
        .schema_type(schema_type)
        .description(Some(
            "The name of the token, normalized to NFC; it has a visible character, and no format characters save joiners between letters",
        ))
        .min_length(Some(1))
        .max_length(Some(255))
        .pattern(Some(NAME_PATTERN))
        .build()
}

/// The schema of a list of CIDR blocks.
pub fn cidr_blocks() -> Array {
    let one = string()
        .format(Some(SchemaFormat::Custom("cidr".to_owned())))
        .examples(["10.0.0.0/8", "2001:db8::/32"]);
    ArrayBuilder::new()
        .items(one)
        .description(Some(
            "The CIDR blocks that the token may be used from, at most 100; from everywhere if there are none",
        ))
        .build()
}

/// The schema of an IP address.
pub fn ip_address() -> Schema {
    let of = |format| string().format(Some(SchemaFormat::KnownFormat(format)));
    AnyOfBuilder::new()
        .item(of(KnownFormat::Ipv4))
        .item(of(KnownFormat::Ipv6))
        .description(Some(
            "The address from which it was shown; without it, a token that is limited to CIDR blocks is inactive",
        ))
        .into()
}

/// The schema of a state in a filter.
pub fn token_state() -> Object {
    string()
        .enum_values(Some(TokenState::ALL.map(TokenState::name)))
        .build()
}

/// Returns the schema of the legacy API's state.
pub fn legacy_state() -> Object {
    let names = LegacyMode::ALL.map(LegacyMode::name).into_iter().chain(["brownout"]);
    string().enum_values(Some(names)).build()
}

/// Returns the schema of the legacy report's verdict.
pub fn verdict() -> Object {
    string().enum_values(Some(Verdict::ALL.map(Verdict::name))).build()
}

/// The schema of what an audit event tells of.
pub fn action() -> Object {
    let names = Action::ALL.iter().map(|action| action.name());
    string().enum_values(Some(names)).build()
}

/// The schema of a channel.
pub fn channel() -> Object {
    string().enum_values(Some(Channel::ALL.map(Channel::name))).build()
}

/// The schema of what changed.
pub fn details() -> Object {
    ObjectBuilder::new()
        .description(Some("What changed: never a secret"))
        .additional_properties(Some(AdditionalProperties::FreeForm(true)))
        .build()
}

/// The schema of an actor.
pub fn actor() -> Object {
    let id = string().description(Some("An admin's name, a token's id, or the part of the system"));
    let kind = string()
        .description(Some("What id identifies"))
        .enum_values(Some(ActorKind::ALL.map(ActorKind::name)));
    ObjectBuilder::new()
        .property("id", id)
        .property("type", kind)
        .required("id")
        .required("type")
        .build()
}

/// A GraphQL response.
#[derive(ToSchema)]
#[expect(dead_code, reason = "async-graphql writes it")]
pub struct GraphqlResponse {
    /// What was asked for
    data: Option<serde_json::Map<String, serde_json::Value>>,
    /// What went wrong
    #[schema(required = false, nullable = false)]
    errors: Option<Vec<GraphqlError>>,
}

/// Something that went wrong in a GraphQL call.
#[derive(ToSchema)]
#[expect(dead_code, reason = "async-graphql writes it")]
pub struct GraphqlError {
    /// What
    message: String,
}

fn string() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}
