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

    var rotated = tokens.rotateApiToken(
        ApiTokensApi.APIRotateApiTokenRequest.newBuilder()
            .id(created.getId())
            .apITokenAPIRotateAPIToken(new APITokenAPIRotateAPIToken().gracePeriodSeconds(60))
            .build());
    check(!rotated.getValue().equals(created.getValue()) && rotated.getRotatedAt() != null, rotated.getId());

    var updated = tokens.updateApiToken(
        ApiTokensApi.APIUpdateApiTokenRequest.newBuilder()
            .id(created.getId())
            .apITokenAPIModifyAPIToken(new APITokenAPIModifyAPIToken().name(NAME + ", renamed").owner("ops"))
            .build());
    check(updated.getName().equals(NAME + ", renamed"), updated);

    for (var expected : Map.of("10.0.0.7", true, "192.0.2.7", false, "2001:db8::7", false).entrySet()) {
      var found = services.introspect(
          ForOtherServicesApi.APIIntrospectRequest.newBuilder()
              .token(rotated.getValue())
              .clientIp(expected.getKey())
              .build());
      check(found.getActive().equals(expected.getValue()), expected.getKey());
    }

    var disabled = tokens.updateApiToken(
        ApiTokensApi.APIUpdateApiTokenRequest.newBuilder()
            .id(created.getId())
            .apITokenAPIModifyAPIToken(new APITokenAPIModifyAPIToken().disabled(true))
            .build());
    check(disabled.getDisabledAt() != null && "ops".equals(disabled.getOwner()), disabled);
    var state = services.introspect(
        ForOtherServicesApi.APIIntrospectRequest.newBuilder()
            .token(rotated.getValue())
            .clientIp("10.0.0.7")
            .build());
    check(!state.getActive(), "while disabled");

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
