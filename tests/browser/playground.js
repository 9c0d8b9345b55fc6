// Tests of the playground at /public/graphql.
"use strict";

const assert = require("node:assert/strict");
const { api, assertAppearance, newToken, screenshot, sites, test } = require("./harness.js");

const PLACEHOLDER = "X-API-Key: <ENTER_YOUR_KEY_HERE>";
const REFUSED = /status of 401/;

async function playground(page, site) {
  await page.goto(`${site.url}/public/graphql`);
}

const headers = (page) => page.getByRole("textbox", { name: "Request headers" });
const query = (page) => page.getByRole("textbox", { name: "Query" });
const explorer = (page) => page.getByRole("region", { name: "Schema" });

/** Clicks "Run", and returns the displayed status and body. */
async function run(page) {
  await page.getByRole("button", { name: "Run" }).click();
  await page.locator('#run[aria-disabled="false"]').waitFor();
  const status = await page.locator("#status").innerText();
  return { status: parseInt(status, 10), body: JSON.parse(await page.locator("#response").innerText()) };
}

async function runWith(page, key) {
  await page.getByRole("tab", { name: "Request Headers" }).click();
  await headers(page).fill(`X-API-Key: ${key}`);
  return run(page);
}

/** The fields of a type in the displayed schema. */
async function shownFields(page, type) {
  await explorer(page).getByRole("button", { name: type, exact: true }).last().click();
  await explorer(page).getByRole("heading", { name: type }).waitFor();
  return (await explorer(page).locator(".signature").allInnerTexts()).map((text) => text.split(":")[0]);
}

for (const site of sites) {
  const name = `${site.base}/public/graphql`;

  test(`${name} starts with a placeholder for the key, which the server refuses`, async (newPage) => {
    const page = await newPage({ expected: [REFUSED] });
    await playground(page, site);
    assert.equal(await headers(page).inputValue(), PLACEHOLDER);
    const { status, body } = await run(page);
    assert.equal(status, 401);
    assert.match(body.errors[0].message, /API key/);
    assert.match(await page.locator("#headers-problem").innerText(), /Put your key/);
  });

  test(`${name}: version, schema and rotation by a key, which is kept nowhere`, async (newPage) => {
    const { value: old } = await newToken(site, "by key in the playground");
    const page = await newPage({ expected: [REFUSED] });
    await playground(page, site);

    const { info } = await api(site, "GET", "/openapi.json");
    const first = await runWith(page, old);
    assert.deepEqual(first, { status: 200, body: { data: { generalSettings: { pantherVersion: info.version } } } });

    const body = { query: '{ __type(name: "APIToken") { fields { name } } }' };
    const { data } = await api(site, "POST", "/public/graphql", { body, key: old });
    assert.deepEqual(await shownFields(page, "APIToken"), data.__type.fields.map((field) => field.name));
    if (!site.base) await screenshot(page, "playground-schema");
    await explorer(page).getByRole("button", { name: "Schema" }).click();

    const started = await query(page).inputValue();
    await explorer(page).getByRole("button", { name: "Insert rotateAPIToken" }).click();
    const rotated = await run(page);
    assert.equal(rotated.status, 200);
    const { value } = rotated.body.data.rotateAPIToken.token;
    assert.match(value, /^tbk_/);
    assert.notEqual(value, old);
    if (!site.base) await screenshot(page, "playground-rotation");

    await query(page).fill(started);
    assert.equal((await runWith(page, old)).status, 401);
    assert.deepEqual(await runWith(page, value), first);

    const kept = await page.evaluate(async () => ({
      local: localStorage.length, session: sessionStorage.length, databases: await indexedDB.databases(), caches: await caches.keys(),
      state: history.state, name: window.name,
    }));
    assert.deepEqual(kept, { local: 0, session: 0, databases: [], caches: [], state: null, name: "" });
    assert.deepEqual(await page.context().cookies(), []);
    for (const url of [page.url(), ...page.requests]) assert.ok(!url.includes(old) && !url.includes(value), url);
    await page.reload();
    assert.equal(await headers(page).inputValue(), PLACEHOLDER);
  });
}

for (const colorScheme of ["light", "dark"]) {
  for (const width of [1280, 375]) {
    test(`/public/graphql, ${colorScheme}, ${width} px: it fits, and axe finds nothing`, async (newPage) => {
      const [site] = sites;
      const { value } = await newToken(site, "for the picture");
      const page = await newPage({ expected: [REFUSED], colorScheme, viewport: { width, height: 800 } });
      await playground(page, site);
      // The messages of a refusal, then a response, with the schema.
      await run(page);
      await assertAppearance(page, `playground-${colorScheme}-${width}-refused`, colorScheme);
      await runWith(page, value);
      await shownFields(page, "APIToken");
      await assertAppearance(page, `playground-${colorScheme}-${width}`, colorScheme);
    });
  }
}
