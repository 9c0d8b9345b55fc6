// Tests of the tokens in the console.
"use strict";

const assert = require("node:assert/strict");
const { admin, api, newToken, sites, test } = require("./harness.js");
const {
  SEARCH, button, choice, choose, create, field, link, findByName, open, assertRefused, rotate, self, readShownValue, pick, openSignedIn, status, title,
  waitForText,
} = require("./support/console.js");

const [root] = sites;
const DAY = 24 * 60 * 60 * 1000;

/** The row of a token in the list. */
const row = (page, name) => page.getByRole("row").filter({ has: link(page, name) });

/** The checkbox of a permission, by its display name. */
const permission = (page, shown) => page.getByRole("checkbox", { name: new RegExp(`^${shown}`) });

const focused = (page) => page.evaluate(() => document.activeElement.getAttribute("aria-label") ?? document.activeElement.innerText);

for (const site of sites) {
  test(`${site.base}/console: a token from its making to its end, by clicks`, async (newPage) => {
    const name = "deployer <b>&amp;</b>";
    const page = await openSignedIn(newPage, site, { permissions: ["clipboard-read", "clipboard-write"], expected: [status(400)] });
    // With an offset of half a day, so that the number of days stays the same, and with seconds, which the browser preserves.
    const expires = `${new Date(Date.now() + 9.5 * DAY).toISOString().slice(0, 16)}:30`;

    await link(page, "Create an API token").click();
    await title(page, "New API token");
    await field(page, "Name").fill(name);
    await pick(page, "Choose from all 39");
    await field(page, "Find a permission").fill("read a");
    assert.equal(await page.getByRole("checkbox").count(), 2);
    await permission(page, "Read Alerts").check();
    await field(page, "Find a permission").fill("");
    await permission(page, "Manage Users").check();
    await field(page, "Allowed networks (CIDR)").fill("127.0.0.1/8\n10.0.0.0/8");
    await pick(page, "On a date");
    await field(page, "Date and time (UTC)").fill(expires);
    await button(page, "Create").click();
    const first = await readShownValue(page, "Token created");
    const made = await self(site, first);
    assert.deepEqual(made.permissions, ["AlertRead", "UserModify"]);
    assert.deepEqual(made.allowedCIDRBlocks, ["127.0.0.0/8", "10.0.0.0/8"]);
    assert.deepEqual([made.name, made.expiresAt], [name, `${expires}Z`]);

    await button(page, "Copy").click();
    await button(page, "Copied").waitFor();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), first);
    const opened = page.context().waitForEvent("page");
    await link(page, "Try it in the playground").click();
    const playground = await opened;
    await playground.getByRole("textbox", { name: "Request headers" }).fill(`X-API-Key: ${first}`);
    assert.equal(playground.url(), `${site.url}/public/graphql`);
    await playground.close();

    await link(page, "Done").click();
    const shown = await row(page, name).innerText();
    for (const part of ["Expiring", "2 permissions", "2 networks", "just now", "by admin", "in 9 days"]) {
      assert.ok(shown.includes(part), `${part} in ${shown}`);
    }

    await choose(page, name, "Edit");
    await title(page, `Edit '${name}'`);
    const renamed = `${name} 2`;
    await field(page, "Name").fill(renamed);
    await permission(page, "Manage Users").uncheck();
    await pick(page, "Never");
    await button(page, "Save").click();
    await waitForText(page, "Changes saved.");
    const edited = await self(site, first);
    assert.deepEqual([edited.name, edited.permissions, edited.expiresAt], [renamed, ["AlertRead"], null]);
    assert.deepEqual(edited.allowedCIDRBlocks, made.allowedCIDRBlocks);

    await choose(page, renamed, "Rotate");
    await title(page, `Rotate '${renamed}'?`);
    await link(page, "Cancel").click();
    const second = await rotate(page, renamed, "1 hour");
    await waitForText(page, /^The old value works until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\.$/);
    assert.notEqual(second, first);
    for (const value of [first, second]) assert.equal((await self(site, value)).id, made.id);
    await link(page, "Done").click();
    const third = await rotate(page, renamed);
    await waitForText(page, "The old value no longer works.");
    for (const value of [first, second]) await assertRefused(site, value);
    assert.equal((await self(site, third)).id, made.id);
    await link(page, "Done").click();

    await choose(page, renamed, "Delete");
    await title(page, `Delete '${renamed}'?`);
    await field(page, "Type the name of the token to delete it").fill(name);
    await button(page, "Delete token").click();
    await waitForText(page, "That is not the name of this token.");
    assert.equal((await self(site, third)).id, made.id);
    await field(page, "Type the name of the token to delete it").fill(renamed);
    await button(page, "Delete token").click();
    await waitForText(page, "The token has been deleted and no longer works.");
    await assertRefused(site, third);
    assert.equal(await row(page, renamed).count(), 0);
  });
}

for (const script of [true, false]) {
  test(`/console shows a value once ${script ? "with" : "without"} script`, async (newPage) => {
    const page = await openSignedIn(newPage, root, { javaScriptEnabled: script, expected: script ? [] : [/ERR_CACHE_MISS/] });
    const name = `once ${script}`;
    const isGone = async (value, heading) => {
      await title(page, heading);
      assert.ok(!(await page.content()).includes(value), "the value is still there");
      assert.equal((await self(root, value)).name, name);
    };
    // Without JavaScript, reloading the response to a form submits the form again.
    const isShownOnce = async (value, again) => {
      await page.reload();
      await isGone(value, name);
      assert.equal(await page.getByText(again).count(), script ? 0 : 1);
      await link(page, "API tokens").click();
      await isGone(value, "API tokens");
      await page.goBack();
      await isGone(value, name);
      await page.goForward();
      await isGone(value, "API tokens");
    };
    const made = await create(page, name);
    await isShownOnce(made, /^This token already exists\./);
    const rotated = /^This token has changed since you opened the page, so it was not rotated\./;
    await isShownOnce(await rotate(page, name), rotated);
    await assertRefused(root, made);

    const last = await rotate(page, name);
    await link(page, "Done").click();
    await title(page, "API tokens");
    if (script) {
      await page.goBack();
    } else {
      // The browser asks whether to submit the form again, and does so on a reload.
      await assert.rejects(page.goBack(), /ERR_CACHE_MISS/);
      await page.waitForURL("chrome-error://chromewebdata/");
      await page.reload();
      await waitForText(page, rotated);
    }
    await isGone(last, name);
    await page.goBack();
    await isGone(last, `Rotate '${name}'?`);
    assert.equal((await findByName(root, name)).length, 1);
  });
}

test("/console copies a value where the browser has no clipboard for pages", async (newPage) => {
  const page = await openSignedIn(newPage, root);
  await page.context().addInitScript(() => Object.defineProperty(navigator, "clipboard", { value: undefined }));
  await page.reload();
  const value = await create(page, "copied");
  await button(page, "Copy").click();
  await button(page, "Copied").waitFor();
  await link(page, "Done").click();
  await field(page, SEARCH).focus();
  await page.keyboard.press("Control+V");
  await waitForText(page, "copied");
  assert.match(page.url(), /\/console\/tokens\/[0-9a-f-]{36}$/);
  for (const url of page.requests) assert.ok(!url.includes(value), url);
});

// The input, and the stored value if it differs.
const GOOD = [
  ["10.0.0.0/8"], ["10.1.2.3/8", "10.0.0.0/8"], ["192.0.2.77/26", "192.0.2.64/26"], ["192.0.2.1/32"], ["1.2.3.4/0", "0.0.0.0/0"],
  ["2001:db8::/32"], ["2001:db8::1/64", "2001:db8::/64"], ["2001:db8:0:1:ffff::1/63", "2001:db8::/63"], ["::1/128"], ["fe80::1/1", "8000::/1"],
  ["::ffff:10.1.2.3/104", "10.0.0.0/8"], ["::ffff:10.1.2.3/128", "10.1.2.3/32"], ["::ffff:1.2.3.4/95", "::fffe:0:0/95"],
];
const BAD = [
  "10.0.0.0/33", "10.0.0/8", "256.0.0.0/8", "010.0.0.0/8", "10.0.0.0/", "10.0.0.0/8/8", "10.0.0.0/-1", "2001:db8::/129", "1::2::3/64", "12345::/16",
  "::1.2.3/96", "any",
];

test("/console says of each block what the server makes of it, as it is typed", async (newPage) => {
  const page = await openSignedIn(newPage, root);
  await link(page, "Create an API token").click();
  await title(page, "New API token");
  const blocks = field(page, "Allowed networks (CIDR)"), live = page.locator("#blocks-live");
  await blocks.pressSequentially("10.1.2.3");
  assert.equal(await live.innerText(), "10.1.2.3 is not a CIDR block; use 10.1.2.3/32");
  assert.equal(await blocks.getAttribute("aria-invalid"), "true");
  await blocks.pressSequentially("/24");
  assert.equal(await live.innerText(), "10.1.2.3/24 will be saved as 10.1.2.0/24");
  assert.equal(await blocks.getAttribute("aria-invalid"), null);
  await blocks.pressSequentially("\n2001:db8::");
  assert.match(await live.innerText(), /^10.1.2.3\/24 will be .*\n2001:db8:: is not a CIDR block; use 2001:db8::\/128$/);

  const hints = [];
  for (const typed of [...GOOD.map(([typed]) => typed), ...BAD]) {
    await blocks.fill(typed);
    hints.push(await live.innerText());
  }
  assert.deepEqual(hints, [
    ...GOOD.map(([typed, saved]) => (saved ? `${typed} will be saved as ${saved}` : "1 valid network")),
    ...BAD.map((typed) => `${typed} is not a CIDR block`),
  ]);
  for (const typed of BAD) {
    await assert.rejects(api(root, "POST", "/api-tokens", { body: { name: "of blocks", allowedCIDRBlocks: [typed] } }), /: 400$/, typed);
  }

  await field(page, "Name").fill("of blocks");
  // As copied from a page.
  await blocks.fill(GOOD.map(([typed]) => typed).join(",\u00a0"));
  assert.equal((await live.innerText()).split("\n").length, 5);
  await button(page, "Create").click();
  await readShownValue(page, "Token created");
  const [made] = await findByName(root, "of blocks");
  assert.deepEqual(made.allowedCIDRBlocks, [...new Set(GOOD.map(([typed, saved = typed]) => saved))]);
});

test("/console by the keyboard alone", async (newPage) => {
  await newToken(root, "by keys");
  const page = await newPage();
  await open(page, root);
  assert.equal(await page.evaluate(() => document.activeElement.name), "name");
  await page.keyboard.type(admin.username);
  await page.keyboard.press("Tab");
  await page.keyboard.type(admin.password);
  await page.keyboard.press("Enter");
  await title(page, "Overview");
  await open(page, root, "/tokens");
  await title(page, "API tokens");

  await page.keyboard.press("Tab");
  assert.equal(await focused(page), "Skip to the content");
  assert.ok((await link(page, "Skip to the content").boundingBox()).y >= 0, "it is not seen");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  assert.equal(await focused(page), "Create an API token");

  const menu = field(page, "Actions for by keys");
  for (const key of ["Enter", "Space"]) {
    await menu.focus();
    await page.keyboard.press(key);
    await link(page, "Rotate").waitFor();
    await page.keyboard.press("Tab");
    assert.equal(await focused(page), "Edit");
    await page.keyboard.press("Escape");
    await link(page, "Edit").waitFor({ state: "hidden" });
    assert.equal(await focused(page), "Actions for by keys");
  }
  // It closes when the focus or a click moves elsewhere, and only one is open at a time.
  await page.keyboard.press("Enter");
  for (const item of ["Edit", "Rotate", "Delete"]) {
    await page.keyboard.press("Tab");
    assert.equal(await focused(page), item);
  }
  await page.keyboard.press("Tab");
  await link(page, "Delete").waitFor({ state: "hidden" });
  await menu.click();
  await page.getByRole("heading", { name: "API tokens" }).click();
  await link(page, "Delete").waitFor({ state: "hidden" });

  await menu.focus();
  for (const key of ["Enter", "Tab", "Tab", "Enter"]) await page.keyboard.press(key);
  await title(page, "Rotate 'by keys'?");
});

test("/console: the list is searched, filtered, and sorted", async (newPage) => {
  for (const name of ["zeta list", "Alpha list"]) await newToken(root, name);
  const page = await openSignedIn(newPage, root);
  const names = async () => (await page.getByRole("rowheader").getByRole("link").allInnerTexts());
  await field(page, SEARCH).fill("LIST");
  await page.keyboard.press("Enter");
  await page.waitForURL(/search=LIST/);
  assert.deepEqual(await names(), ["Alpha list", "zeta list"]);
  await page.getByText("More filters").click();
  await choice(page, "Sort by").selectOption("Name, Z to A");
  await page.waitForURL(/sort=-name/);
  assert.deepEqual(await names(), ["zeta list", "Alpha list"]);
  await link(page, "Name").click();
  await page.waitForURL(/sort=name/);
  assert.deepEqual(await names(), ["Alpha list", "zeta list"]);
  assert.equal(await page.getByRole("columnheader", { name: "Name" }).getAttribute("aria-sort"), "ascending");
  await page.getByRole("navigation", { name: "Status" }).getByRole("link", { name: /^Legacy/ }).click();
  await page.waitForURL(/search=LIST&show=legacy/);
  await title(page, "API tokens");
  await waitForText(page, "No tokens match");
  await link(page, "Show all tokens").first().click();
  await row(page, "zeta list").waitFor();
});
