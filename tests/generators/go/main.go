// Uses tokens with the client that openapi-generator wrote.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"scenario/tokenbridge"
)

const name = "made by Go"

func must(problem string, err error) {
	if err != nil {
		log.Fatalf("%s: %v", problem, err)
	}
}

func assert(holds bool, format string, arguments ...any) {
	if !holds {
		log.Fatalf(format, arguments...)
	}
}

func main() {
	configuration := tokenbridge.NewConfiguration()
	configuration.Servers = tokenbridge.ServerConfigurations{{URL: os.Getenv("BASE_URL")}}
	client := tokenbridge.NewAPIClient(configuration)
	key := map[string]tokenbridge.APIKey{"ApiKeyAuth": {Key: os.Getenv("TOKEN")}}
	ctx := context.WithValue(context.Background(), tokenbridge.ContextAPIKeys, key)
	tokens := client.APITokensAPI

	body := tokenbridge.NewAPITokenAPINewAPIToken(name)
	body.SetPermissions([]tokenbridge.Permission{tokenbridge.ORGANIZATION_API_TOKEN_READ})
	body.SetAllowedCIDRBlocks([]string{"10.0.0.0/8"})
	created, _, err := tokens.CreateApiToken(ctx).APITokenAPINewAPIToken(*body).Execute()
	must("create", err)
	assert(created.GetValue() != "" && created.ExpiresAt.Get() == nil, "created: %+v", created)
	fmt.Println("created:", created.Id)

	page, _, err := tokens.ListApiTokens(ctx).NameEquals(name).Limit(10).Execute()
	must("list", err)
	assert(len(page.Results) == 1 && page.Results[0].Id == created.Id, "listed: %+v", page.Results)

	rotation := tokenbridge.NewAPITokenAPIRotateAPIToken()
	rotation.SetGracePeriodSeconds(60)
	rotate := tokens.RotateApiToken(ctx, created.Id).IdempotencyKey(created.Id).APITokenAPIRotateAPIToken(*rotation)
	lost, _, err := rotate.Execute()
	must("rotate", err)
	// The repetition does not rotate again, and returns a fresh value.
	rotated, _, err := rotate.Execute()
	must("repeat the rotation", err)
	assert(rotated.GetValue() != lost.GetValue() && rotated.HasRotatedAt(), "rotated: %+v", rotated)
	assert(rotated.GetRotatedAt().Equal(lost.GetRotatedAt()), "rotated twice: %v", rotated.GetRotatedAt())

	change := tokenbridge.NewAPITokenAPIModifyAPIToken()
	change.SetName(name + ", renamed")
	change.SetOwner("ops")
	change.SetExpiresAtNil()
	updated, _, err := tokens.UpdateApiToken(ctx, created.Id).APITokenAPIModifyAPIToken(*change).Execute()
	must("update", err)
	assert(updated.Name == name+", renamed", "updated: %+v", updated)

	services := client.ForOtherServicesAPI
	isActive := func(value, address string) bool {
		state, _, err := services.Introspect(ctx).Token(value).ClientIp(address).Execute()
		must("introspect", err)
		return state.Active
	}
	for address, active := range map[string]bool{"10.0.0.7": true, "192.0.2.7": false, "2001:db8::7": false} {
		assert(isActive(rotated.GetValue(), address) == active, "from %s", address)
	}
	assert(!isActive(lost.GetValue(), "10.0.0.7"), "the value in the first response")

	// The first value is in its grace period, so it ends alone.
	assert(isActive(created.GetValue(), "10.0.0.7"), "in the grace period")
	_, err = services.Revoke(ctx).Token(created.GetValue()).Execute()
	must("revoke", err)
	assert(!isActive(created.GetValue(), "10.0.0.7"), "after the revocation")

	disabling := tokenbridge.NewAPITokenAPIModifyAPIToken()
	disabling.SetDisabled(true)
	disabled, _, err := tokens.UpdateApiToken(ctx, created.Id).APITokenAPIModifyAPIToken(*disabling).Execute()
	must("disable", err)
	assert(disabled.HasDisabledAt() && disabled.GetOwner() == "ops", "disabled: %+v", disabled)
	assert(!isActive(rotated.GetValue(), "10.0.0.7"), "while disabled")

	_, err = tokens.DeleteApiToken(ctx, created.Id).Execute()
	must("delete", err)
	_, response, err := tokens.GetApiToken(ctx, created.Id).Execute()
	assert(err != nil && response.StatusCode == 404, "after the deletion: %v", response.Status)
	message := err.(*tokenbridge.GenericOpenAPIError).Model().(tokenbridge.Error).Message
	fmt.Println("after the deletion:", message)
}
