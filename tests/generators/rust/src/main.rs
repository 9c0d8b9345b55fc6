//! Uses tokens with the client that openapi-generator wrote.

use std::{env, error::Error};

use tokenbridge_client::{
    apis::{
        api_tokens_api::{
            self as tokens, CreateApiTokenParams, DeleteApiTokenParams, GetApiTokenParams, ListApiTokensParams,
            RotateApiTokenParams, UpdateApiTokenParams,
        },
        configuration::{ApiKey, Configuration},
        for_other_services_api::{self as services, IntrospectParams, RevokeParams},
        Error as ApiError,
    },
    models::{ApiTokenApiModifyApiToken, ApiTokenApiNewApiToken, ApiTokenApiRotateApiToken, Permission},
};

const NAME: &str = "made by Rust";

async fn is_active(client: &Configuration, value: &str, address: &str) -> Result<bool, Box<dyn Error>> {
    let parameters = IntrospectParams {
        token: value.to_owned(),
        client_ip: Some(address.to_owned()),
    };
    Ok(services::introspect(client, parameters).await?.active)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = Configuration {
        base_path: env::var("BASE_URL")?,
        api_key: Some(ApiKey {
            prefix: None,
            key: env::var("TOKEN")?,
        }),
        ..Configuration::default()
    };

    let body = ApiTokenApiNewApiToken {
        permissions: Some(vec![Permission::OrganizationApiTokenRead]),
        allowed_cidr_blocks: Some(vec!["10.0.0.0/8".to_owned()]),
        ..ApiTokenApiNewApiToken::new(NAME.to_owned())
    };
    let parameters = CreateApiTokenParams {
        api_token_api_new_api_token: body,
        idempotency_key: None,
    };
    let created = tokens::create_api_token(&client, parameters).await?;
    assert!(created.expires_at.is_none());
    let first = created.value.ok_or("no value")?;
    let id = created.id.to_string();
    println!("created: {id}");

    let parameters = ListApiTokensParams {
        name_equals: Some(NAME.to_owned()),
        limit: Some(10),
        cursor: None,
        name: None,
        owner: None,
        created_by: None,
        permission: None,
        state: None,
        unused_since: None,
        expires_before: None,
    };
    let page = tokens::list_api_tokens(&client, parameters).await?;
    let listed: Vec<_> = page.results.iter().map(|token| token.id).collect();
    assert_eq!(listed, [created.id]);

    let rotation = ApiTokenApiRotateApiToken {
        grace_period_seconds: Some(60),
        ..Default::default()
    };
    let parameters = RotateApiTokenParams {
        id: id.clone(),
        if_match: None,
        idempotency_key: Some(id.clone()),
        api_token_api_rotate_api_token: Some(rotation),
    };
    let lost = tokens::rotate_api_token(&client, parameters.clone()).await?;
    // The repetition does not rotate again, and returns a fresh value.
    let rotated = tokens::rotate_api_token(&client, parameters).await?;
    assert!(rotated.value != lost.value && rotated.rotated_at.is_some());
    assert_eq!(rotated.rotated_at, lost.rotated_at);
    let (value, lost) = (rotated.value.ok_or("no value")?, lost.value.ok_or("no value")?);

    let change = ApiTokenApiModifyApiToken {
        name: Some(format!("{NAME}, renamed")),
        owner: Some(Some("ops".to_owned())),
        // The outer option is the presence of the field, the inner one its value: null.
        expires_at: Some(None),
        ..Default::default()
    };
    let parameters = UpdateApiTokenParams {
        id: id.clone(),
        if_match: None,
        api_token_api_modify_api_token: change,
    };
    let updated = tokens::update_api_token(&client, parameters).await?;
    assert_eq!(updated.name, format!("{NAME}, renamed"));

    for (address, active) in [("10.0.0.7", true), ("192.0.2.7", false), ("2001:db8::7", false)] {
        assert_eq!(is_active(&client, &value, address).await?, active, "from {address}");
    }
    assert!(!is_active(&client, &lost, "10.0.0.7").await?, "the value in the first response");

    // The first value is in its grace period, so it ends alone.
    assert!(is_active(&client, &first, "10.0.0.7").await?, "in the grace period");
    let parameters = RevokeParams {
        token: first.clone(),
        token_type_hint: None,
    };
    services::revoke(&client, parameters).await?;
    assert!(!is_active(&client, &first, "10.0.0.7").await?, "after the revocation");

    let parameters = UpdateApiTokenParams {
        id: id.clone(),
        if_match: None,
        api_token_api_modify_api_token: ApiTokenApiModifyApiToken {
            disabled: Some(true),
            ..Default::default()
        },
    };
    let disabled = tokens::update_api_token(&client, parameters).await?;
    assert!(disabled.disabled_at.is_some() && disabled.owner.as_deref() == Some("ops"));
    assert!(!is_active(&client, &value, "10.0.0.7").await?, "while disabled");

    tokens::delete_api_token(
        &client,
        DeleteApiTokenParams {
            id: id.clone(),
            if_match: None,
        },
    )
    .await?;
    match tokens::get_api_token(
        &client,
        GetApiTokenParams {
            id,
            if_none_match: None,
        },
    )
    .await
    {
        Err(ApiError::ResponseError(refused)) if refused.status == 404 => {
            println!("after the deletion: {}", refused.content);
            Ok(())
        }
        other => Err(format!("after the deletion: {other:?}").into()),
    }
}
