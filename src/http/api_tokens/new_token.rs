//! The schema of the body of create.

use std::borrow::Cow;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use super::ModifyApiToken;

const DESCRIPTION: &str = "\
    The body of a create: the fields of an update, and the name is required.\n\n\
    Absent `permissions`, `allowedCIDRBlocks`, and `expiresAt` are those of the calling token. For an admin, they are \
    the two token permissions, no CIDR blocks, and no expiry";

/// The body of create: that of an update, with a required name.
///
/// It is a schema of its own, because generators do not agree on `allOf` with a schema that only requires a field.
pub struct NewApiToken;

impl PartialSchema for NewApiToken {
    fn schema() -> RefOr<Schema> {
        let mut schema = ModifyApiToken::schema();
        if let RefOr::T(Schema::Object(body)) = &mut schema {
            body.description = Some(DESCRIPTION.to_owned());
            body.required.push("name".to_owned());
        }
        schema
    }
}

impl ToSchema for NewApiToken {
    fn name() -> Cow<'static, str> {
        "APITokenAPI.NewAPIToken".into()
    }
}
