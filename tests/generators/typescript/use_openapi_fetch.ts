// Uses tokens with openapi-fetch and the types that openapi-typescript wrote.
import { deepStrictEqual, ok, strictEqual } from "node:assert";
import createClient from "openapi-fetch";
import type { paths } from "./tokenbridge";

const NAME = "made by openapi-fetch";
// Addresses, and whether the token may be used from them.
const ADDRESSES: [string, boolean][] = [
  ["10.0.0.7", true],
  ["192.0.2.7", false],
  ["2001:db8::7", false],
];

async function main() {
  const client = createClient<paths>({
    baseUrl: process.env.BASE_URL,
    headers: { "X-API-Key": process.env.TOKEN },
  });

  const { data: created } = await client.POST("/api-tokens", {
    body: { name: NAME, permissions: ["OrganizationAPITokenRead"], allowedCIDRBlocks: ["10.0.0.0/8"] },
  });
  ok(created?.value);
  strictEqual(created.expiresAt, null);
  console.log("created:", created.id);

  const { data: page } = await client.GET("/api-tokens", { params: { query: { nameEquals: NAME, limit: 10 } } });
  deepStrictEqual(page?.results.map((token) => token.id), [created.id]);

  const params = { path: { id: created.id } };
  const once = { params: { ...params, header: { "Idempotency-Key": created.id } }, body: { gracePeriodSeconds: 60 } };
  const { data: lost } = await client.POST("/api-tokens/{id}/rotate", once);
  // The repetition does not rotate again, and returns a fresh value.
  const { data: rotated } = await client.POST("/api-tokens/{id}/rotate", once);
  ok(lost?.value && rotated?.value && rotated.value !== lost.value && rotated.rotatedAt);
  strictEqual(rotated.rotatedAt, lost.rotatedAt);
  const value: string = rotated.value;

  const { data: updated } = await client.POST("/api-tokens/{id}", {
    params,
    body: { name: `${NAME}, renamed`, owner: "ops", expiresAt: null },
  });
  strictEqual(updated?.name, `${NAME}, renamed`);

  const headers = { "Content-Type": "application/x-www-form-urlencoded" };
  async function isActive(token: string, address: string) {
    const { data: state } = await client.POST("/introspect", {
      body: { token, client_ip: address },
      headers,
      bodySerializer: (body) => new URLSearchParams(body),
    });
    return state?.active;
  }
  for (const [address, active] of ADDRESSES) strictEqual(await isActive(value, address), active, address);
  strictEqual(await isActive(lost.value, "10.0.0.7"), false);

  // The first value is in its grace period, so it ends alone.
  strictEqual(await isActive(created.value, "10.0.0.7"), true);
  const revoked = await client.POST("/revoke", {
    body: { token: created.value },
    headers,
    bodySerializer: (body) => new URLSearchParams(body),
  });
  strictEqual(revoked.response.status, 200);
  strictEqual(await isActive(created.value, "10.0.0.7"), false);

  const { data: disabled } = await client.POST("/api-tokens/{id}", { params, body: { disabled: true } });
  ok(disabled?.disabledAt && disabled.owner === "ops");
  strictEqual(await isActive(value, "10.0.0.7"), false);

  const deleted = await client.DELETE("/api-tokens/{id}", { params });
  strictEqual(deleted.response.status, 204);
  const { response, error } = await client.GET("/api-tokens/{id}", { params });
  strictEqual(response.status, 404);
  console.log("after the deletion:", error?.message);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
