// Tests of the console without JavaScript.
"use strict";

const assert = require("node:assert/strict");
const { readFileSync } = require("node:fs");
const { newToken, screenshot, sites, test } = require("./harness.js");
const {
  SEARCH, button, choice, choose, create, field, link, fillNewPassword, assertRefused, rotate, self, readShownValue, pick, openSignedIn, status, title, waitForText,
} = require("./support/console.js");

const options = { javaScriptEnabled: false };

for (const site of sites) {
  test(`${site.base}/console without script: a token from its making to its end`, async (newPage) => {
    const page = await openSignedIn(newPage, site, { ...options, expected: [status(400)] });
    await link(page, "Create an API token").click();
    await pick(page, "Choose from all 39");
    assert.equal(await field(page, "Find a permission").isVisible(), false);
    await field(page, "Name").fill("without script");
    await page.getByRole("checkbox", { name: /^Read Alerts/ }).check();
    await field(page, "Allowed networks (CIDR)").fill("127.0.0.1/8 10.0.0.1");
    await pick(page, "On a date");
    await field(page, "Date and time (UTC)").fill("2020-01-01T00:00");
    await button(page, "Create").click();
    await waitForText(page, "Not saved yet. Correct the following:");
    await waitForText(page, "10.0.0.1 is not a CIDR block; use 10.0.0.1/32.");
    await waitForText(page, "Enter a time in the future.");
    if (!site.base) await screenshot(page, "console-no-script");
    await field(page, "Allowed networks (CIDR)").fill("127.0.0.1/8 10.0.0.1/32");
    await pick(page, "Never");
    await button(page, "Create").click();
    const value = await readShownValue(page, "Token created");
    assert.equal(await button(page, "Copy").count(), 0);
    const { permissions, allowedCIDRBlocks } = await self(site, value);
    assert.deepEqual([permissions, allowedCIDRBlocks], [["AlertRead"], ["127.0.0.0/8", "10.0.0.1/32"]]);
    await link(page, "Done").click();

    await choose(page, "without script", "Edit");
    await field(page, "Name").fill("no script");
    await button(page, "Save").click();
    await waitForText(page, "Changes saved.");
    const second = await rotate(page, "no script");
    await assertRefused(site, value);
    assert.equal((await self(site, second)).name, "no script");
    await link(page, "Done").click();
    await choose(page, "no script", "Delete");
    await field(page, "Type the name of the token to delete it").fill("no script");
    await button(page, "Delete token").click();
    await waitForText(page, "The token has been deleted and no longer works.");
    await assertRefused(site, second);
    await button(page, "Sign out").click();
    await waitForText(page, "You have signed out.");
  });
}

const [root] = sites;

test("/console without script: the list is searched, filtered and sorted", async (newPage) => {
  for (const name of ["zeta plain", "Alpha plain"]) await newToken(root, name);
  const page = await openSignedIn(newPage, root, options);
  const names = async () => (await page.getByRole("rowheader").getByRole("link").allInnerTexts());
  await field(page, SEARCH).fill("PLAIN");
  await page.getByText("More filters").click();
  await choice(page, "Sort by").selectOption("Name, Z to A");
  await button(page, "Apply").click();
  await page.waitForURL(/sort=-name/);
  assert.deepEqual(await names(), ["zeta plain", "Alpha plain"]);
  await page.getByRole("navigation", { name: "Status" }).getByRole("link", { name: /^Expired/ }).click();
  await waitForText(page, "No tokens match");
  await link(page, "Show all tokens").first().click();
  await link(page, "zeta plain").waitFor();
});

test("/console without script: a value opens its token, and the tokens that match are deleted together", async (newPage) => {
  const page = await openSignedIn(newPage, root, { ...options, expected: [status(400), status(400)] });
  for (const name of ["batch one", "batch two"]) await newToken(root, name);
  const { value } = await newToken(root, "batch three");
  await field(page, SEARCH).fill(value.slice(0, 30));
  await button(page, "Search").click();
  await waitForText(page, "This is not a valid token value.");
  await field(page, SEARCH).fill(value);
  await button(page, "Search").click();
  await waitForText(page, "batch three");
  assert.match(page.url(), /\/console\/tokens\/[0-9a-f-]{36}$/);
  await link(page, "API tokens").click();
  await field(page, SEARCH).fill("batch");
  await button(page, "Search").click();
  await page.getByLabel("Select all 3 tokens that match").check();
  await button(page, "Delete").click();
  await title(page, "Delete 3 tokens?");
  await field(page, "Type 3 to confirm").fill("2");
  await button(page, "Delete").click();
  await waitForText(page, "That is not the number of selected tokens.");
  await field(page, "Type 3 to confirm").fill("3");
  await button(page, "Delete").click();
  await waitForText(page, "3 tokens have been deleted.");
  await assertRefused(root, value);
  for (const url of page.requests) assert.ok(!url.includes("tbk_"), url);
});

test("/console without script: an admin is added and removed", async (newPage) => {
  const page = await openSignedIn(newPage, root, { ...options, expected: [status(400)] });
  const row = page.getByRole("rowheader", { name: "plain" });
  await link(page, "Admins").click();
  await field(page, "User name").fill("plain");
  await fillNewPassword(page, "a long phrase", "another phrase");
  await button(page, "Add an admin").click();
  await waitForText(page, "The two passwords differ.");
  assert.equal(await row.count(), 0);
  await fillNewPassword(page, "a long phrase");
  await button(page, "Add an admin").click();
  await waitForText(page, "The admin has been added.");
  await row.waitFor();
  await link(page, "Remove plain").click();
  await field(page, "Type the name to confirm").fill("plain");
  await button(page, "Remove").click();
  await waitForText(page, "The admin has been removed.");
  assert.equal(await row.count(), 0);
});

test("/console without script: the audit log is filtered and downloaded", async (newPage) => {
  const page = await openSignedIn(newPage, root, options);
  await create(page, "audited");
  await link(page, "Audit log").click();
  await choice(page, "Event").selectOption("token.created");
  await choice(page, "Via").selectOption("console");
  await button(page, "Apply").click();
  await page.waitForURL(/action=token.created/);
  const cells = await page.getByRole("rowheader").allInnerTexts();
  assert.ok(cells.length && cells.every((text) => text === "Token created"), `${cells}`);

  const download = async (name) => {
    const [file] = await Promise.all([page.waitForEvent("download"), link(page, name).click()]);
    return { name: file.suggestedFilename(), text: readFileSync(await file.path(), "utf8") };
  };
  const csv = await download("Download CSV");
  assert.equal(csv.name, "audit-events.csv");
  assert.equal(csv.text.trimEnd().split("\r\n").length, cells.length + 1);
  const json = await download("Download JSON");
  assert.equal(json.name, "audit-events.json");
  const events = JSON.parse(json.text);
  assert.deepEqual(events.map((event) => [event.action, event.channel]), cells.map(() => ["token.created", "console"]));
});
