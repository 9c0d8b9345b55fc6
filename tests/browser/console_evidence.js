// Tests of the overview, the audit log, the legacy report, and the account.
"use strict";

const assert = require("node:assert/strict");
const { admin, api, assertAppearance, newToken, sites, test } = require("./harness.js");
const { button, field, fillNewPassword, link, open, openSignedIn, signIn, status, title, waitForText } = require("./support/console.js");

const [root] = sites;

/** Counts the clicks of a job. */
function clicks(page) {
  let counted = 0;
  return { click: async (element) => { counted += 1; await element.click(); }, counted: () => counted };
}

/** Deletes a new token with that name, and returns its ID. */
async function deleted(name) {
  const { id } = await newToken(root, name);
  const answer = await fetch(`${root.url}/api-tokens/${id}`, {
    method: "DELETE", headers: { Authorization: `Basic ${btoa(`${admin.username}:${admin.password}`)}` },
  });
  assert.equal(answer.status, 204);
  return id;
}

for (const script of [true, false]) {
  test(`/console tells who deleted a token, by its name, with 2 clicks ${script ? "with" : "without"} script`, async (newPage) => {
    const name = `deleted last week ${script}`;
    const id = await deleted(name);
    const page = await openSignedIn(newPage, root, { javaScriptEnabled: script });
    const { click, counted } = clicks(page);
    await click(link(page, "Audit log"));
    await field(page, "Token name or ID").fill(name);
    await click(button(page, "Apply"));
    const row = page.getByRole("row").filter({ hasText: "Token deleted" });
    await row.waitFor();
    const text = await row.innerText();
    for (const part of [name, id.slice(0, 8), "admin", "API"]) assert.ok(text.includes(part), `${part} in ${text}`);
    assert.equal(counted(), 2);
    // The short ID, which the page shows, finds its events as well.
    await field(page, "Token name or ID").fill(id.slice(0, 8));
    await button(page, "Apply").click();
    await page.getByRole("row").filter({ hasText: "Token created" }).waitFor();
    assert.equal(await page.getByRole("row").count(), 3);
  });

  test(`/console tells who uses the legacy API with 1 click ${script ? "with" : "without"} script`, async (newPage) => {
    await api(root, "GET", "/rest/agent-config/1.0/tokens");
    const page = await openSignedIn(newPage, root, { javaScriptEnabled: script });
    const { click, counted } = clicks(page);
    await click(link(page, "Legacy API"));
    await title(page, "Legacy API");
    await waitForText(page, "Still in use");
    await waitForText(page, /^(Watched since|Not watched yet)/);
    await page.getByRole("row").filter({ hasText: "GET /rest/agent-config/1.0" }).first().waitFor();
    assert.equal(counted(), 1);
  });
}

test("/console shows times in the zone of the browser, and in UTC without script", async (newPage) => {
  await deleted("of a time");
  const times = async (options) => {
    const page = await openSignedIn(newPage, root, { timezoneId: "Asia/Seoul", ...options });
    await open(page, root, "/audit?token=of+a+time");
    const time = page.locator("tbody time").first();
    const [shown, title, zone] = [await time.innerText(), await time.getAttribute("title"), await page.locator(".zone").innerText()];
    return { shown, title, zone };
  };
  const [local, utc] = [await times({}), await times({ javaScriptEnabled: false })];
  assert.equal(`${utc.shown} UTC`, utc.title);
  assert.deepEqual([utc.zone, local.zone, local.title], ["UTC", "GMT+9", utc.title]);
  assert.equal(Date.parse(`${local.shown.replace(" ", "T")}+09:00`), Date.parse(`${utc.shown.replace(" ", "T")}Z`));
});

test("/console prints audit events with their details, and without what one can do there", async (newPage) => {
  const name = "printed";
  await newToken(root, name);
  const page = await openSignedIn(newPage, root);
  await open(page, root, `/audit?token=${name}`);
  const row = page.getByRole("row").filter({ hasText: "Token created" });
  const detail = row.getByText(`Name: ${name}`);
  assert.equal(await detail.isVisible(), false, "the details are closed");
  const actions = [link(page, "Overview"), button(page, "Sign out"), button(page, "Apply"), link(page, "Download CSV")];
  for (const action of actions) assert.equal(await action.isVisible(), true);
  await page.emulateMedia({ media: "print" });
  assert.equal(await detail.isVisible(), true);
  for (const action of actions) assert.equal(await action.isVisible(), false);
});

test("/console ends the other sessions, and keeps a theme", async (newPage) => {
  const there = await openSignedIn(newPage, root);
  const page = await openSignedIn(newPage, root, { colorScheme: "light", expected: [status(403)] });
  await link(page, "admin").click();
  await title(page, "Your account");
  await button(page, "Sign out everywhere else").click();
  await waitForText(page, "You are signed out everywhere else.");
  await there.reload();
  await waitForText(there, "Your session has ended.");
  const dark = () => page.evaluate(() => getComputedStyle(document.documentElement).colorScheme);
  await link(page, "Dark").click();
  await title(page, "Your account");
  assert.equal(await dark(), "dark");
  await assertAppearance(page, "console-theme-dark", "dark");
  await open(page, root, "/tokens");
  assert.equal(await dark(), "dark");
  await open(page, root, "/account");
  await link(page, "Use the system setting").click();
  await title(page, "Your account");
  assert.equal(await dark(), "light dark");
  // A wrong password changes nothing.
  await field(page, "Current password").fill("wrong");
  await fillNewPassword(page, "a long enough one");
  await button(page, "Change password").click();
  await waitForText(page, "Your own password is wrong. Nothing has changed.");
});

// Each width in both languages and both schemes, but not in every combination, which would take minutes.
const LIGHT_FIRST = [["en", "light"], ["ko", "dark"]], DARK_FIRST = [["en", "dark"], ["ko", "light"]];

for (const [width, combinations] of [[320, LIGHT_FIRST], [375, DARK_FIRST], [1024, LIGHT_FIRST], [1280, DARK_FIRST]]) {
  test(`/console for evidence, ${width} px: every page fits, and axe finds nothing`, async (newPage) => {
    const id = await deleted("AnAgentWithAVeryLongName".repeat(8));
    await api(root, "GET", "/rest/agent-config/1.0/tokens");
    await fetch(`${root.url}/api-tokens/self`, { headers: { "X-API-Key": `tbk_${"A".repeat(49)}` } });
    const page = await newPage({ expected: [status(404)], viewport: { width, height: 900 } });
    await open(page, root);
    await signIn(page);
    await title(page, "Overview");
    for (const [language, colorScheme] of combinations) {
      await page.emulateMedia({ colorScheme });
      for (const [name, path] of [
        ["overview", ""], ["account", "/account"], ["audit", "/audit"], ["audit-token", `/audit?token=${id}&days=7`], ["audit-none", "/audit?token=agent"],
        ["legacy", "/legacy"], ["admins", "/admins"], ["missing", "/nothing"],
      ]) {
        await open(page, root, `${path}${path.includes("?") ? "&" : "?"}lang=${language}`);
        for (const folded of await page.locator("details:not(.menu) > summary").all()) await folded.click();
        await assertAppearance(page, `evidence-${name}-${language}-${colorScheme}-${width}`, colorScheme);
      }
    }
  });
}
