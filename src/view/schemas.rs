//! Schemas of domain types, written by hand because the domain does not depend on OpenAPI.

use std::borrow::Cow;

use serde_json::json;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Array, Object, ObjectBuilder, RefOr, Schema, SchemaFormat, Type,
        schema::{AdditionalProperties, ArrayBuilder, SchemaType},
    },
};

use crate::domain::{
    actor::{ActorKind, Channel},
    audit::Action,
    legacy_phase::LegacyMode,
    legacy_report::Verdict,
    page::TokenState,
    permission::Permission,
    usage::UseOutcome,
};

/// The pattern of a text without control characters that is not blank.
const NAME_PATTERN: &str = r"^[^\x00-\x1F\x7F-\x9F]*[^\s\x00-\x1F\x7F-\x9F][^\x00-\x1F\x7F-\x9F]*$";

/// The schema of a permission name.
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

/// The schema of the body that creates a token in the legacy API, with a required name.
///
/// It is not called `NewLegacyToken`, because generated Go clients construct a `LegacyToken` with a function of that
/// name.
pub struct LegacyTokenCreation;

impl PartialSchema for LegacyTokenCreation {
    fn schema() -> RefOr<Schema> {
        let flag = || ObjectBuilder::new().schema_type(SchemaType::from_iter([Type::Boolean, Type::Null]));
        ObjectBuilder::new()
            .property("name", name())
            .property(
                "read",
                flag().description(Some("Whether the token may read tokens; false if absent")),
            )
            .property(
                "change",
                flag().description(Some("Whether the token may modify tokens; false if absent")),
            )
            .required("name")
            .examples([json!({ "name": "informational name", "read": true, "change": false })])
            .into()
    }
}

impl ToSchema for LegacyTokenCreation {}

/// Returns the schema of a name.
pub fn name() -> Object {
    name_schema(Type::String.into())
}

/// Returns the schema of an optional name, where null counts as absent.
pub fn name_or_null() -> Object {
    name_schema(SchemaType::from_iter([Type::String, Type::Null]))
}

fn name_schema(schema_type: SchemaType) -> Object {
    ObjectBuilder::new()
        .schema_type(schema_type)
        .description(Some(
            "The name of the token, normalized to NFC; it has a visible character, and no format characters except \
                joiners between letters",
        ))
        .min_length(Some(1))
        .max_length(Some(255))
        .pattern(Some(NAME_PATTERN))
        .build()
}

/// Returns the schema of a description.
pub fn description() -> Object {
    string()
        .description(Some(
            "The description of the token: what it is for. It may have several lines",
        ))
        .max_length(Some(1000))
        .build()
}

/// Returns the schema of an owner.
pub fn owner() -> Object {
    string()
        .description(Some("The person or team to ask about the token"))
        .max_length(Some(255))
        .build()
}

/// Returns the schema of a description in a body, where null clears it.
pub fn description_or_null() -> Object {
    or_null(
        description(),
        "The description of the token: what it is for. It may have several lines. An empty text or null clears it",
    )
}

/// Returns the schema of an owner in a body, where null clears it.
pub fn owner_or_null() -> Object {
    or_null(
        owner(),
        "The person or team to ask about the token. An empty text or null clears it",
    )
}

fn or_null(text: Object, description: &str) -> Object {
    ObjectBuilder::from(text)
        .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .description(Some(description))
        .build()
}

/// Returns the schema of a list of CIDR blocks.
pub fn cidr_blocks() -> Array {
    let one = string()
        .format(Some(SchemaFormat::Custom("cidr".to_owned())))
        .examples(["10.0.0.0/8", "2001:db8::/32"]);
    ArrayBuilder::new()
        .items(one)
        .description(Some(
            "The CIDR blocks that the token may be used from, at most 100. If empty, it may be used from any address",
        ))
        .build()
}

/// Returns the schema of an IP address.
///
/// It has no format: there is none for both versions, and generators do not agree on a choice between two.
pub fn ip_address() -> Object {
    string()
        .description(Some(
            "The IPv4 or IPv6 address of the client that presented the value. Without it, a token that is limited to \
             CIDR blocks is inactive",
        ))
        .examples(["10.0.0.7", "2001:db8::7"])
        .build()
}

/// Returns the schema of a token state in a filter.
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

/// Returns the schema of an audit action.
pub fn action() -> Object {
    let names = Action::ALL.iter().map(|action| action.name());
    string().enum_values(Some(names)).build()
}

/// Returns the schema of a channel.
pub fn channel() -> Object {
    string().enum_values(Some(Channel::ALL.map(Channel::name))).build()
}

/// Returns the schema of the reason why a use of a token was refused.
pub fn refusal_reason() -> Object {
    let reasons = UseOutcome::ALL
        .into_iter()
        .filter(|outcome| *outcome != UseOutcome::Accepted);
    string().enum_values(Some(reasons.map(UseOutcome::name))).build()
}

/// Returns the schema of the details of an audit event.
pub fn details() -> Object {
    ObjectBuilder::new()
        .description(Some("The details of the change, without secrets"))
        .additional_properties(Some(AdditionalProperties::FreeForm(true)))
        .build()
}

/// The schema of an actor.
pub struct ActorSchema;

impl PartialSchema for ActorSchema {
    fn schema() -> RefOr<Schema> {
        let id = string().description(Some(
            "An admin's name, a token's ID, or the name of the system component",
        ));
        let kind = string()
            .description(Some("The kind of actor that id identifies"))
            .enum_values(Some(ActorKind::ALL.map(ActorKind::name)));
        ObjectBuilder::new()
            .property("id", id)
            .property("type", kind)
            .required("id")
            .required("type")
            .into()
    }
}

impl ToSchema for ActorSchema {
    fn name() -> Cow<'static, str> {
        "Actor".into()
    }
}

/// A GraphQL response.
#[derive(ToSchema)]
#[expect(dead_code, reason = "async-graphql writes it")]
pub struct GraphqlResponse {
    /// The result; null if it cannot be computed
    data: Option<serde_json::Map<String, serde_json::Value>>,
    /// The errors, if any
    #[schema(required = false, nullable = false)]
    errors: Option<Vec<GraphqlError>>,
}

/// An error of a GraphQL request.
#[derive(ToSchema)]
#[expect(dead_code, reason = "async-graphql writes it")]
pub struct GraphqlError {
    /// The message
    message: String,
}

fn string() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}
