// Tests of Swagger UI at /docs, for admins and tokens.
"use strict";

const assert = require("node:assert/strict");
const { admin, api, assertAppearance, newToken, screenshot, sites, test } = require("./harness.js");

const LEGACY = "/rest/agent-config/1.0/tokens";

async function docs(page, site) {
  await page.goto(`${site.url}/docs`);
  await page.locator(".opblock").first().waitFor();
}

/** Fills in the dialog "Authorize" for one of the schemes. */
async function authorize(page, scheme, values) {
  await page.locator(".auth-wrapper .authorize").click();
  const form = page.locator(".auth-container", { has: page.locator("code", { hasText: scheme }) });
  for (const [index, value] of values.entries()) await form.locator("input").nth(index).fill(value);
  await form.getByRole("button", { name: "Apply credentials" }).click();
  await form.getByRole("heading", { name: "Authorized" }).waitFor();
  await page.locator(".close-modal").click();
}

/** Clicks "Try it out" and "Execute", and returns the request, and the displayed status and body, which equal the response. */
async function execute(page, site, method, where) {
  const ofPath = page.locator(".opblock", { has: page.locator(`[data-path="${where}"]`) });
  const block = ofPath.filter({ has: page.locator(".opblock-summary-method", { hasText: method }) });
  await block.locator(".opblock-summary-control").click();
  await block.getByRole("button", { name: "Try it out" }).click();
  const answered = page.waitForResponse((one) => one.request().method() === method && one.url().split("?")[0] === site.url + where);
  await block.getByRole("button", { name: "Execute" }).click();
  const answer = await answered;
  const live = block.locator(".live-responses-table tbody");
  await block.getByRole("button", { name: "Execute" }).evaluate((button) => button.scrollIntoView());
  const status = parseInt(await live.locator(".response-col_status").first().innerText(), 10);
  const body = JSON.parse(await live.locator(".highlight-code code").first().innerText());
  assert.equal(status, answer.status());
  assert.deepEqual(body, await answer.json());
  return { status, body, sent: answer.request() };
}

/** Executes an operation, which must succeed, and returns the headers of the request. */
async function list(page, site) {
  const { id } = await newToken(site, "listed in /docs");
  const { status, body, sent } = await execute(page, site, "GET", "/api-tokens");
  assert.equal(status, 200);
  assert.ok(body.results.some((one) => one.id === id), `the token is not in the list of ${sent.url()}`);
  return sent.headers();
}

async function legacyList(page, site) {
  const { id } = await newToken(site, "listed in /docs");
  const { status, body, sent } = await execute(page, site, "GET", LEGACY);
  assert.equal(status, 200);
  assert.ok(body.some((one) => one.uuid === id), `the token is not in the list of ${sent.url()}`);
  return sent.headers();
}

async function createToken(page, site) {
  const { components } = await api(site, "GET", "/openapi.json");
  const { example } = components.schemas["APITokenAPI.NewAPIToken"];
  const { status, body, sent } = await execute(page, site, "POST", "/api-tokens");
  assert.equal(status, 200);
  assert.deepEqual(sent.postDataJSON(), example);
  assert.equal((await api(site, "GET", `/api-tokens/${body.id}`)).name, example.name);
  if (!site.base) await screenshot(page, `docs-${sent.headers()["x-api-key"] ? "key" : "basic"}`);
  return sent.headers();
}

for (const site of sites) {
  const name = `${site.base}/docs`;

  test(`${name} lists the operations of the document`, async (newPage) => {
    const page = await newPage();
    await docs(page, site);
    const { paths } = await api(site, "GET", "/openapi.json");
    const expected = Object.entries(paths).flatMap(([where, operations]) =>
      Object.keys(operations).filter((key) => key !== "parameters").map((method) => `${method.toUpperCase()} ${where}`));
    const shown = await page.locator(".opblock").evaluateAll((blocks) => blocks.map((block) =>
      `${block.querySelector(".opblock-summary-method").textContent} ${block.querySelector("[data-path]").dataset.path}`));
    assert.ok(expected.length > 20, `the document has ${expected.length} operations`);
    assert.deepEqual(shown.sort(), expected.sort());
  });

  test(`${name}: calls by BasicAuth`, async (newPage) => {
    const page = await newPage();
    await docs(page, site);
    await authorize(page, "BasicAuth", [admin.username, admin.password]);
    for (const call of site.base ? [list] : [legacyList, createToken, list]) {
      const headers = await call(page, site);
      assert.match(headers.authorization, /^Basic /);
      assert.equal(headers["x-api-key"], undefined);
    }
  });
}

const [root] = sites;

// What the markup of Swagger UI itself violates: buttons in the head of an operation, levels of headings, and the unlabeled
// list of servers.
const LIBRARY = ["heading-order", "nested-interactive", "select-name"];

for (const colorScheme of ["light", "dark"]) {
  for (const width of [1280, 375]) {
    test(`/docs, ${colorScheme}, ${width} px: it fits, and axe finds nothing`, async (newPage) => {
      const page = await newPage({ colorScheme, viewport: { width, height: 800 } });
      await docs(page, root);
      await assertAppearance(page, `docs-${colorScheme}-${width}`, colorScheme, LIBRARY);
    });
  }
}

test("/docs: calls by ApiKeyAuth, and a refusal without it", async (newPage) => {
  const { value } = await newToken(root, "by key in /docs");
  const page = await newPage({ expected: [/status of 401/] });
  await docs(page, root);
  assert.equal((await execute(page, root, "GET", "/api-tokens/self")).status, 401);
  await authorize(page, "ApiKeyAuth", [value]);
  for (const call of [createToken, list]) {
    const headers = await call(page, root);
    assert.equal(headers["x-api-key"], value);
    assert.equal(headers.authorization, undefined);
  }
});

// The response has a Basic challenge: the browser must not prompt for credentials.
test("/docs shows that a legacy call without credentials is refused", async (newPage) => {
  const page = await newPage({ expected: [/status of 401/] });
  await docs(page, root);
  assert.equal((await execute(page, root, "GET", LEGACY)).status, 401);
});
