import java.util.List;
import java.util.Map;
import tokenbridge.ApiClient;
import tokenbridge.ApiException;
import tokenbridge.api.ApiTokensApi;
import tokenbridge.api.ForOtherServicesApi;
import tokenbridge.model.APITokenAPIModifyAPIToken;
import tokenbridge.model.APITokenAPINewAPIToken;
import tokenbridge.model.APITokenAPIRotateAPIToken;
import tokenbridge.model.Permission;

/** Uses tokens with the client that openapi-generator wrote. */
public final class Scenario {
  private static final String NAME = "made by Java";

  private static void check(boolean holds, Object seen) {
    if (!holds) {
      throw new AssertionError(seen);
    }
  }

  private static boolean isActive(ForOtherServicesApi services, String value, String address) throws ApiException {
    return services
        .introspect(ForOtherServicesApi.APIIntrospectRequest.newBuilder().token(value).clientIp(address).build())
        .getActive();
  }

  public static void main(String[] arguments) throws ApiException {
    ApiClient client = new ApiClient();
    client.updateBaseUri(System.getenv("BASE_URL"));
    client.setRequestInterceptor(request -> request.header("X-API-Key", System.getenv("TOKEN")));
    ApiTokensApi tokens = new ApiTokensApi(client);
    ForOtherServicesApi services = new ForOtherServicesApi(client);

    var body = new APITokenAPINewAPIToken()
        .name(NAME)
        .permissions(List.of(Permission.ORGANIZATION_API_TOKEN_READ))
        .allowedCIDRBlocks(List.of("10.0.0.0/8"));
    var created = tokens.createApiToken(
        ApiTokensApi.APICreateApiTokenRequest.newBuilder().apITokenAPINewAPIToken(body).build());
    check(created.getValue() != null && created.getExpiresAt() == null, created.getId());
    System.out.println("created: " + created.getId());

    var page = tokens.listApiTokens(
        ApiTokensApi.APIListApiTokensRequest.newBuilder().nameEquals(NAME).limit(10).build());
    check(page.getResults().size() == 1 && page.getResults().get(0).getId().equals(created.getId()), page);

    var rotation = ApiTokensApi.APIRotateApiTokenRequest.newBuilder()
        .id(created.getId())
        .idempotencyKey(created.getId().toString())
        .apITokenAPIRotateAPIToken(new APITokenAPIRotateAPIToken().gracePeriodSeconds(60))
        .build();
    var lost = tokens.rotateApiToken(rotation);
    // The repetition does not rotate again, and returns a fresh value.
    var rotated = tokens.rotateApiToken(rotation);
    check(!rotated.getValue().equals(lost.getValue()), rotated.getId());
    check(rotated.getRotatedAt() != null && rotated.getRotatedAt().equals(lost.getRotatedAt()), rotated.getRotatedAt());

    var updated = tokens.updateApiToken(
        ApiTokensApi.APIUpdateApiTokenRequest.newBuilder()
            .id(created.getId())
            .apITokenAPIModifyAPIToken(new APITokenAPIModifyAPIToken().name(NAME + ", renamed").owner("ops"))
            .build());
    check(updated.getName().equals(NAME + ", renamed"), updated);

    for (var expected : Map.of("10.0.0.7", true, "192.0.2.7", false, "2001:db8::7", false).entrySet()) {
      check(isActive(services, rotated.getValue(), expected.getKey()) == expected.getValue(), expected.getKey());
    }
    check(!isActive(services, lost.getValue(), "10.0.0.7"), "the value in the first response");

    // The first value is in its grace period, so it ends alone.
    check(isActive(services, created.getValue(), "10.0.0.7"), "in the grace period");
    services.revoke(ForOtherServicesApi.APIRevokeRequest.newBuilder().token(created.getValue()).build());
    check(!isActive(services, created.getValue(), "10.0.0.7"), "after the revocation");

    var disabled = tokens.updateApiToken(
        ApiTokensApi.APIUpdateApiTokenRequest.newBuilder()
            .id(created.getId())
            .apITokenAPIModifyAPIToken(new APITokenAPIModifyAPIToken().disabled(true))
            .build());
    check(disabled.getDisabledAt() != null && "ops".equals(disabled.getOwner()), disabled);
    check(!isActive(services, rotated.getValue(), "10.0.0.7"), "while disabled");

    tokens.deleteApiToken(ApiTokensApi.APIDeleteApiTokenRequest.newBuilder().id(created.getId()).build());
    try {
      tokens.getApiToken(ApiTokensApi.APIGetApiTokenRequest.newBuilder().id(created.getId()).build());
      throw new AssertionError("the token still exists");
    } catch (ApiException refused) {
      check(refused.getCode() == 404, refused);
      System.out.println("after the deletion: " + refused.getResponseBody());
    }
  }
}
