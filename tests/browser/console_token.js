// Tests of the page and the forms of a token: jobs with their clicks, and contents that are never lost.
"use strict";

const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const { api, assertAppearance, newToken, sites, test } = require("./harness.js");
const {
  button, choice, field, findByName, link, open, openSignedIn, pick, readShownValue, self, signIn, status, title, waitForText,
} = require("./support/console.js");

const [root] = sites;
const RESUMED = /^Your session had ended, so nothing has been saved\./;

/** Counts the clicks and taps in all pages of a context. */
async function countClicks(page) {
  let clicks = 0;
  await page.context().exposeBinding("tellClick", () => { clicks += 1; });
  await page.context().addInitScript(() => addEventListener("pointerdown", () => window.tellClick(), true));
  return () => clicks;
}

/** Runs the program on the store of the first server. */
function run(args, input) {
  execFileSync(process.env.PROGRAM, [...args, "--database-url", `sqlite:${process.env.ROOT_STORE}`], { input, stdio: "pipe" });
}

/** Adds an admin whose sessions `endSessions` ends. */
function addAdmin(username) {
  const who = { username, password: "a phrase of the day" };
  run(["admin", "add", username, "--password-stdin"], who.password);
  const endSessions = () => {
    who.password += "!";
    run(["admin", "passwd", username, "--password-stdin"], who.password);
  };
  return { who, endSessions };
}

const day = (days) => new Date(Date.now() + days * 24 * 60 * 60 * 1000).toISOString().slice(0, 10);

test("/console: a read-only token for two networks and 90 days takes 4 clicks", async (newPage) => {
  const page = await newPage();
  const clicks = await countClicks(page);
  await open(page, root, "/tokens");
  await signIn(page);
  await title(page, "API tokens");
  const before = clicks();
  await link(page, "Create an API token").click();
  await title(page, "New API token");
  await page.keyboard.type("reader");
  await page.keyboard.press("Tab");
  await page.keyboard.type("10.0.0.0/8\n192.0.2.0/24");
  await pick(page, "Read only");
  const ninety = page.getByRole("radio", { name: /^90 days/ });
  assert.match(await ninety.locator("xpath=..").innerText(), new RegExp(`expires ${day(90)}`));
  await ninety.check();
  await waitForText(page, "1 selected: Read API Token Info");
  await button(page, "Create").click();
  const value = await readShownValue(page, "Token created");
  assert.equal(clicks() - before, 4);
  const [made] = await findByName(root, "reader");
  assert.deepEqual(made.permissions, ["OrganizationAPITokenRead"]);
  assert.deepEqual(made.allowedCIDRBlocks, ["10.0.0.0/8", "192.0.2.0/24"]);
  assert.equal(made.expiresAt.slice(0, 10), day(90));
  assert.ok(!(await page.content()).includes("undefined") && value);
});

test("/console: permissions are chosen by preset, by group, and one by one, and the chosen ones are listed", async (newPage) => {
  const page = await openSignedIn(newPage, root);
  await link(page, "Create an API token").click();
  await waitForText(page, "None selected");
  await pick(page, "Read and change");
  await waitForText(page, /^2 selected: .*Manage API Tokens/);
  await pick(page, "Choose from all 39");
  assert.equal(await page.getByRole("checkbox", { checked: true }).count(), 2);
  await button(page, "Select all: AI and MCP").click();
  await waitForText(page, /^12 selected: /);
  await button(page, "Clear: AI and MCP").click();
  await waitForText(page, /^2 selected: /);
  // Every permission has a name of its own beside that of the API.
  const labels = await page.locator("[data-permission] [lang=en]").allInnerTexts();
  assert.equal(labels.length, 39);
  for (const label of labels) assert.match(label, / /, label);
});

for (const script of [true, false]) {
  const how = script ? "with" : "without";

  test(`/console ${how} script: a form outlives its session`, async (newPage) => {
    const { who, endSessions } = addAdmin(`keeper ${how}`);
    const page = await openSignedIn(newPage, root, { who, javaScriptEnabled: script, expected: [status(403)] });
    const name = `kept ${how} script`;
    await link(page, "Create an API token").click();
    await field(page, "Name").fill(name);
    await field(page, "Description").fill("a line\nand another");
    await pick(page, "Read only");
    await pick(page, "30 days");
    endSessions();
    await button(page, "Create").click();
    await waitForText(page, "What you entered is kept and shown again after you sign in.");
    if (script) await assertAppearance(page, "console-held", "light");
    await signIn(page, who);
    await waitForText(page, RESUMED);
    if (script) {
      assert.equal(page.url(), `${root.url}/console/tokens/new`);
      await assertAppearance(page, "console-resumed", "light");
    }
    assert.equal((await findByName(root, name)).length, 0);
    assert.equal(await field(page, "Description").inputValue(), "a line\nand another");
    await button(page, "Create").click();
    await readShownValue(page, "Token created");
    const [made] = await findByName(root, name);
    assert.deepEqual([made.permissions, made.expiresAt.slice(0, 10)], [["OrganizationAPITokenRead"], day(30)]);
  });
}

test("/console: a second save shows both versions", async (newPage) => {
  const { id } = await newToken(root, "edited twice");
  const page = await openSignedIn(newPage, root, { expected: [status(409)] });
  for (const [choose, saved] of [["Save mine", "mine"], ["Keep the saved version", "theirs again"]]) {
    await open(page, root, `/tokens/${id}/edit`);
    await field(page, "Name").fill("mine");
    await field(page, "Owner").fill("me");
    await api(root, "POST", `/api-tokens/${id}`, { body: { name: saved === "mine" ? "theirs" : saved } });
    await button(page, "Save").click();
    await waitForText(page, "This token changed while you were editing it.");
    await assertAppearance(page, "console-conflict", "light");
    await page.getByRole(choose === "Save mine" ? "button" : "link", { name: choose, exact: true }).click();
    await title(page, "API tokens");
    assert.equal((await api(root, "GET", `/api-tokens/${id}`)).name, saved);
  }
});

test("/console: leaving an edited form asks first", async (newPage) => {
  const page = await openSignedIn(newPage, root);
  await link(page, "Create an API token").click();
  await field(page, "Name").fill("half");
  const asked = [];
  page.on("dialog", (dialog) => {
    asked.push(dialog.type());
    return asked.length > 1 ? dialog.accept() : dialog.dismiss();
  });
  await link(page, "Audit log").click();
  await page.waitForTimeout(0);
  assert.equal(await field(page, "Name").inputValue(), "half");
  await link(page, "Audit log").click();
  await title(page, "Audit log");
  assert.deepEqual(asked, ["beforeunload", "beforeunload"]);
  // A form that is unchanged, or sent, asks nothing.
  await link(page, "API tokens").click();
  await link(page, "Create an API token").click();
  await link(page, "Audit log").click();
  await title(page, "Audit log");
  assert.equal(asked.length, 2);
});

test("/console: before the session ends, one click prolongs it", async (newPage) => {
  const page = await newPage();
  await page.clock.install();
  await open(page, root, "/tokens");
  await signIn(page);
  await title(page, "API tokens");
  const stay = button(page, "Stay signed in");
  await page.clock.fastForward("24:00");
  assert.equal(await stay.isVisible(), false);
  await page.clock.fastForward("02:00");
  await waitForText(page, "Your session ends in less than 5 minutes.");
  await assertAppearance(page, "console-session-end", "light");
  await stay.click();
  await stay.waitFor({ state: "hidden" });
  await page.clock.fastForward("24:00");
  assert.equal(await stay.isVisible(), false);
  await page.clock.fastForward("07:00");
  await waitForText(page, "Your session has ended.");
});

test("/console: times are local, with UTC beneath", async (newPage) => {
  const page = await openSignedIn(newPage, root, { timezoneId: "Asia/Seoul" });
  await link(page, "Create an API token").click();
  await field(page, "Name").fill("in Seoul");
  await pick(page, "On a date");
  const expires = field(page, "Date and time (Asia/Seoul)");
  await expires.fill("2031-01-02T08:30");
  await waitForText(page, "2031-01-01 23:30:00 UTC");
  await button(page, "Create").click();
  await readShownValue(page, "Token created");
  const [made] = await findByName(root, "in Seoul");
  assert.equal(made.expiresAt, "2031-01-01T23:30:00Z");
  await open(page, root, `/tokens/${made.id}`);
  assert.match(await page.locator("dd", { hasText: "2031" }).innerText(), /2031-01-02 08:30:00 GMT\+9\n2031-01-01 23:30:00 UTC$/);
  await link(page, "Edit").click();
  assert.match(await expires.inputValue(), /^2031-01-02T08:30/);
  await button(page, "Save").click();
  await waitForText(page, "Changes saved.");
  assert.equal((await api(root, "GET", `/api-tokens/${made.id}`)).expiresAt, made.expiresAt);
});

let used;

/** A token with uses, refused uses, and earlier values; a deleted one. */
function history() {
  used ??= (async () => {
    const body = { name: "with a history", description: "Rolls out releases.\nAsk before you rotate it.", owner: "build team" };
    const made = await api(root, "POST", "/api-tokens", { body });
    for (let count = 0; count < 5; count += 1) await self(root, made.value);
    const change = (fields) => api(root, "POST", `/api-tokens/${made.id}`, { body: fields });
    await change({ disabled: true });
    await assert.rejects(self(root, made.value), /: 401$/);
    await change({ disabled: false, permissions: ["AlertRead", "OrganizationAPITokenRead", "ViewAISkills"], allowedCIDRBlocks: ["127.0.0.0/8", "2001:db8:1234:5678::/64"] });
    const rotated = await api(root, "POST", `/api-tokens/${made.id}/rotate`, { body: { gracePeriodSeconds: 3600 } });
    await api(root, "POST", `/api-tokens/${made.id}/rotate`, { body: { gracePeriodSeconds: 86400 } });
    const gone = await newToken(root, "deleted before");
    await fetch(`${root.url}/api-tokens/self`, { method: "DELETE", headers: { "X-API-Key": gone.value } });
    return { id: made.id, first: made.value, second: rotated.value, gone: gone.id };
  })();
  return used;
}

test("/console: an earlier value is ended on the page of its token", async (newPage) => {
  const { id, first, second } = await history();
  const page = await openSignedIn(newPage, root);
  await open(page, root, `/tokens/${id}`);
  await page.getByRole("button", { name: /^End now/ }).first().click();
  await waitForText(page, "The earlier value no longer works.");
  await assert.rejects(self(root, first), /: 401$/);
  await self(root, second);
  await link(page, "Rotate").click();
  await waitForText(page, /^Used (just now|\d+ minutes? ago) from 127\.0\.0\.1\.$/);
  assert.equal(await choice(page, "Keep the old value working for").inputValue(), "86400");
});

for (const [colorScheme, width, locale] of [["light", 1280, "en"], ["dark", 1024, "en"], ["dark", 375, "en"], ["light", 320, "en"], ["light", 375, "ko"]]) {
  test(`/console: the pages of a token, ${colorScheme}, ${width} px, ${locale}: everything fits, and axe finds nothing`, async (newPage) => {
    const { id, gone } = await history();
    const page = await newPage({ colorScheme, viewport: { width, height: 900 }, expected: [status(410)] });
    await open(page, root, "/tokens");
    await signIn(page);
    await title(page, "API tokens");
    if (locale === "ko") await open(page, root, "/tokens?lang=ko");
    const looks = (name) => assertAppearance(page, `console-token-${name}-${colorScheme}-${width}-${locale}`, colorScheme);
    for (const [name, path] of [
      ["page", `/tokens/${id}`], ["edit", `/tokens/${id}/edit`], ["rotate", `/tokens/${id}/rotate`], ["delete", `/tokens/${id}/delete`],
      ["new", "/tokens/new"], ["gone", `/tokens/${gone}`],
    ]) {
      await open(page, root, path);
      await looks(name);
    }
    await open(page, root, `/tokens/${id}`);
    for (const part of await page.locator("details").all()) await part.evaluate((element) => { element.open = true; });
    await page.locator("#use").scrollIntoViewIfNeeded();
    await looks("use");
    await page.locator(".history").scrollIntoViewIfNeeded();
    await looks("history");
    await open(page, root, "/tokens/new");
    await page.locator("[name=preset][value=custom]").check();
    await page.locator("[name=expiry][value=at]").check();
    await page.locator("[name=permission]").first().check();
    await page.locator("#permissions").scrollIntoViewIfNeeded();
    await looks("choose");
  });
}
