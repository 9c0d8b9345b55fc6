// Uses tokens with the client that @hey-api/openapi-ts wrote.
import { deepStrictEqual, ok, strictEqual } from "node:assert";
import { createClient } from "./tokenbridge/client";
import {
  createApiToken,
  deleteApiToken,
  getApiToken,
  introspect,
  listApiTokens,
  revoke,
  rotateApiToken,
  updateApiToken,
} from "./tokenbridge";

const NAME = "made by hey-api";
// Addresses, and whether the token may be used from them.
const ADDRESSES: [string, boolean][] = [
  ["10.0.0.7", true],
  ["192.0.2.7", false],
  ["2001:db8::7", false],
];

async function main() {
  const client = createClient({
    baseUrl: process.env.BASE_URL,
    auth: (scheme) => (scheme.type === "apiKey" ? process.env.TOKEN : undefined),
  });

  const { data: created } = await createApiToken({
    client,
    body: { name: NAME, permissions: ["OrganizationAPITokenRead"], allowedCIDRBlocks: ["10.0.0.0/8"] },
  });
  ok(created?.value);
  strictEqual(created.expiresAt, null);
  console.log("created:", created.id);

  const { data: page } = await listApiTokens({ client, query: { nameEquals: NAME, limit: 10 } });
  deepStrictEqual(page?.results.map((token) => token.id), [created.id]);

  const path = { id: created.id };
  const once = { client, path, headers: { "Idempotency-Key": created.id }, body: { gracePeriodSeconds: 60 } };
  const { data: lost } = await rotateApiToken(once);
  // The repetition does not rotate again, and returns a fresh value.
  const { data: rotated } = await rotateApiToken(once);
  ok(lost?.value && rotated?.value && rotated.value !== lost.value && rotated.rotatedAt);
  strictEqual(rotated.rotatedAt, lost.rotatedAt);
  const value: string = rotated.value;

  const { data: updated } = await updateApiToken({ client, path, body: { name: `${NAME}, renamed`, owner: "ops", expiresAt: null } });
  strictEqual(updated?.name, `${NAME}, renamed`);

  async function isActive(token: string, address: string) {
    const { data: state } = await introspect({ client, body: { token, client_ip: address } });
    return state?.active;
  }
  for (const [address, active] of ADDRESSES) strictEqual(await isActive(value, address), active, address);
  strictEqual(await isActive(lost.value, "10.0.0.7"), false);

  // The first value is in its grace period, so it ends alone.
  strictEqual(await isActive(created.value, "10.0.0.7"), true);
  const revoked = await revoke({ client, body: { token: created.value } });
  strictEqual(revoked.response?.status, 200);
  strictEqual(await isActive(created.value, "10.0.0.7"), false);

  const { data: disabled } = await updateApiToken({ client, path, body: { disabled: true } });
  ok(disabled?.disabledAt && disabled.owner === "ops");
  strictEqual(await isActive(value, "10.0.0.7"), false);

  const deleted = await deleteApiToken({ client, path });
  strictEqual(deleted.response?.status, 204);
  const { response, error } = await getApiToken({ client, path });
  strictEqual(response?.status, 404);
  console.log("after the deletion:", error?.message);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
