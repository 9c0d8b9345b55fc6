// Tests of the jobs of an admin of 2,000 tokens, with their clicks counted. They change many tokens of the first server, so
// this file comes after the others.
"use strict";

const assert = require("node:assert/strict");
const { createHash, randomUUID } = require("node:crypto");
const { api, assertAppearance, importTokens, newToken, sites, test } = require("./harness.js");
const { SEARCH, button, field, link, assertRefused, open, openSignedIn, status, title, waitForText } = require("./support/console.js");

const [site] = sites;
const DAY = 24 * 60 * 60 * 1000;
const day = (days) => new Date(Date.now() + days * DAY).toISOString();
const TOKENS = 2000, UNUSED = 40;

/** The number of clicks, or of taps, since the job began. */
class Clicks {
  count = 0;

  async on(element, act = "click") {
    this.count += 1;
    await element[act]();
  }
}

/** Pastes a text as a user does, without a click: the caller has focused the field. */
async function paste(page, text) {
  // Later, because the page that evaluates this may be left at once.
  await page.evaluate((pasted) => setTimeout(() => {
    const clipboardData = new DataTransfer();
    clipboardData.setData("text", pasted);
    const event = new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true });
    if (document.activeElement.dispatchEvent(event)) document.execCommand("insertText", false, pasted);
  }), text);
}

let seeded;

/** Creates the tokens once, with permissions, networks, and owners of every number. */
function seed() {
  seeded ??= Array.from({ length: TOKENS }, (_, n) => {
    const name = `service ${String(n).padStart(4, "0")} in ${["production", "staging", "the laboratory"][n % 3]}`;
    const used = n < UNUSED ? -100 - n : -(n % 50);
    return {
      id: randomUUID(), name, permissions: ["AlertRead", "BulkUpload", "UserRead"].slice(0, n % 4), valueHash: createHash("sha256").update(name).digest("hex"),
      allowedCIDRBlocks: ["10.0.0.0/8", "192.0.2.0/24", "2001:db8:1234:5678::/64"].slice(0, n % 4), graceValues: [],
      createdAt: day(-300), createdBy: { id: "admin", type: "user" }, updatedAt: null, updatedBy: null, rotatedAt: day(-1), lastUsedAt: day(used),
      expiresAt: n % 5 ? null : day(n % 60 + 1), owner: n % 2 ? "a team with a rather long name" : null,
    };
  });
  if (!seeded.isImported) importTokens(seeded);
  seeded.isImported = true;
  return seeded;
}

const statusLink = (page, name) => page.getByRole("navigation", { name: "Status" }).getByRole("link", { name });

test("/console: a token is found by its ID or its value with one paste", async (newPage) => {
  const [{ id, name }] = seed().slice(-1);
  const { id: ofValue, value } = await newToken(site, "found by its value");
  const page = await openSignedIn(newPage, site);
  await field(page, SEARCH).focus();
  await paste(page, id);
  await page.waitForURL(new RegExp(`/tokens/${id}`));
  await waitForText(page, name);
  await open(page, site, "/tokens");
  await field(page, SEARCH).focus();
  await paste(page, `X-API-Key: ${value}\n`);
  await page.waitForURL(new RegExp(`/tokens/${ofValue}`));
  await waitForText(page, "found by its value");
  for (const url of page.requests) assert.ok(!url.includes(value.slice(4)), url);
});

test("/console on a phone: a leaked value is revoked with a paste and two taps", async (newPage) => {
  seed();
  const { value } = await newToken(site, "leaked");
  const page = await openSignedIn(newPage, site, { viewport: { width: 375, height: 800 }, hasTouch: true });
  const taps = new Clicks();
  await field(page, SEARCH).focus();
  await paste(page, value);
  await page.waitForURL(/\/tokens\/[0-9a-f-]{36}/);
  await taps.on(button(page, "Disable"), "tap");
  await waitForText(page, /has been disabled/);
  await assertRefused(site, value);
  assert.ok(taps.count <= 2, `${taps.count} taps`);
});

test("/console: 40 tokens that were not used for 90 days are deleted with six clicks at most", async (newPage) => {
  const unused = seed().slice(0, UNUSED);
  const page = await openSignedIn(newPage, site);
  const clicks = new Clicks();
  await clicks.on(statusLink(page, /^Unused for 90 days/));
  await page.waitForURL(/show=unused/);
  // Tests before this one may have left some more.
  const all = page.getByRole("checkbox", { name: /^Select all .* that match$/ });
  const number = (await all.locator("..").innerText()).match(/[\d,]+/)[0];
  assert.ok(Number(number) >= UNUSED, number);
  await clicks.on(all, "check");
  await clicks.on(button(page, "Delete"));
  await title(page, `Delete ${number} tokens?`);
  await page.keyboard.type(number);
  await clicks.on(button(page, "Delete"));
  await waitForText(page, `${number} tokens have been deleted.`);
  assert.match(page.url(), /\/console\/tokens\?show=unused$/);
  assert.ok(clicks.count <= 6, `${clicks.count} clicks`);
  for (const { id } of [unused[0], unused.at(-1)]) await assert.rejects(api(site, "GET", `/api-tokens/${id}`), /: 404$/);
});

test("/console: an action on some tokens of a later page returns to where they were", async (newPage) => {
  seed();
  const page = await openSignedIn(newPage, site);
  await open(page, site, "/tokens?search=service&sort=name");
  await waitForText(page, /^1–50 of /);
  await link(page, "Next page").last().click();
  await waitForText(page, /^51–100 of /);
  const boxes = page.getByRole("rowgroup").last().getByRole("checkbox");
  for (const n of [44, 45, 46]) await boxes.nth(n).check();
  await waitForText(page, "3 selected");
  const [before, top] = [page.url(), await page.evaluate(() => scrollY)];
  assert.ok(top > 100, `${top}`);
  await button(page, "Disable").click();
  await title(page, "Disable 3 tokens?");
  await button(page, "Disable").click();
  await waitForText(page, "3 tokens have been disabled.");
  await page.waitForFunction(() => !location.search.includes("done"));
  assert.equal(page.url(), before);
  const after = await page.evaluate(() => scrollY);
  assert.ok(after > 100, `${after}`);
  assert.ok(await page.getByText("3 tokens have been disabled.").isVisible());
  await field(page, "Select this page").check();
  await waitForText(page, "50 selected");
  await button(page, "Enable").click();
  await title(page, "Enable 50 tokens?");
  await button(page, "Enable").click();
  await waitForText(page, "3 tokens have been enabled.");
  await link(page, "Previous page").first().click();
  await waitForText(page, /^1–50 of /);
});

test("/console: no width from 320 to 1,600 px makes the list scroll sideways", async (newPage) => {
  seed();
  const page = await openSignedIn(newPage, site);
  await open(page, site, "/tokens?owner=a+team+with+a+rather+long+name");
  const wide = [];
  for (let width = 320; width <= 1600; width += 8) {
    await page.setViewportSize({ width, height: 900 });
    const found = await page.evaluate(() => document.documentElement.scrollWidth);
    if (found > width) wide.push(`${found} at ${width}`);
  }
  assert.deepEqual(wide, []);
});

for (const [language, name] of [["English", null], ["Korean", "한국어"]]) {
  for (const colorScheme of ["light", "dark"]) {
    // Each width in both languages and both schemes, but not in every combination, which would take minutes.
    for (const width of (colorScheme === "light") === (name === null) ? [320, 1024] : [375, 1280]) {
      test(`/console in ${language}, ${colorScheme}, ${width} px: the list and its changes fit, and axe finds nothing`, async (newPage) => {
        seed();
        const page = await openSignedIn(newPage, site, { colorScheme, viewport: { width, height: 900 }, expected: [status(400)] });
        if (name) await link(page, name).click();
        const looks = (picture) => assertAppearance(page, `console-many-${picture}-${language}-${colorScheme}-${width}`, colorScheme);
        await open(page, site, "/tokens?owner=a+team+with+a+rather+long+name&search=service");
        await page.getByRole("rowgroup").last().getByRole("checkbox").first().check();
        await looks("list");
        const act = (action) => page.locator(`button[value=${action}]`).click();
        await act("set-expiry");
        await page.locator("select[name=expiry]").waitFor();
        await looks("expiry");
        await page.goBack();
        await act("delete");
        await page.locator("[name=number]").fill("7");
        await page.locator("main button").last().click();
        await page.getByRole("alert").waitFor();
        await looks("delete");
      });
    }
  }
}
