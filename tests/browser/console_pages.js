// Tests of the layout of the console.
"use strict";

const assert = require("node:assert/strict");
const { createHash, randomUUID } = require("node:crypto");
const { admin, api, importTokens, assertAppearance, assertFits, newSite, screenshot, sites, test } = require("./harness.js");
const { button, choose, create, field, link, fillNewPassword, open, pick, signIn, openSignedIn, status, title, waitForText } = require("./support/console.js");

const [site] = sites;
const DAY = 24 * 60 * 60 * 1000;
// Names without a line-break opportunity.
const LONG = "AnAgentWithAVeryLongName".repeat(10);
const LONG_ADMIN = { username: "anAdminWithAVeryLongName".repeat(10), password: "a long phrase" };
const day = (days) => new Date(Date.now() + days * DAY).toISOString();

/** A token in the format of an export. */
const past = (name, fields) => ({
  id: randomUUID(), name, permissions: ["AlertRead"], allowedCIDRBlocks: [], valueHash: createHash("sha256").update(name).digest("hex"), graceValues: [],
  createdAt: day(-200), createdBy: { id: "admin", type: "user" }, updatedAt: null, updatedBy: null, rotatedAt: null, lastUsedAt: null, expiresAt: null,
  ...fields,
});

let filled;

/** Creates tokens in every state, and returns the IDs of the one with the most states and of the one with a long name. */
function fill() {
  filled ??= (async () => {
    const permissions = ["AlertModify", "AlertRead", "BulkUpload", "GeneralSettingsModify", "McpServerRead", "UserRead"];
    const blocks = ["10.0.0.0/8", "192.0.2.0/24", "2001:db8:1234:5678:9abc:def0:1234:5678/128", "198.51.100.0/24"];
    const tokens = [
      past("fine", { rotatedAt: day(-1), lastUsedAt: day(0) }),
      past("legacy agent", { valueHash: null, createdBy: { id: "cli", type: "system" } }),
      past("unused and due", { lastUsedAt: day(-100) }),
      past("expired", { expiresAt: day(-1), rotatedAt: day(-2), lastUsedAt: day(-2) }),
      past(LONG, { permissions, allowedCIDRBlocks: blocks, rotatedAt: day(-1), lastUsedAt: day(-1), expiresAt: day(400) }),
      past("배포 자동화 토큰", { rotatedAt: day(-40), createdBy: { id: randomUUID(), type: "api-token" } }),
      past("everything at once", { permissions, allowedCIDRBlocks: blocks, expiresAt: day(10) }),
    ];
    importTokens(tokens);
    await api(site, "GET", "/rest/agent-config/1.0/tokens");
    const idOf = (name) => tokens.find((token) => token.name === name).id;
    return { id: idOf("everything at once"), long: idOf(LONG) };
  })();
  return filled;
}

/** Adds an admin with a long name, if there is none. */
async function addAdmin(page) {
  await open(page, site, "/admins");
  if (await page.getByText(LONG_ADMIN.username).count()) return;
  await field(page, "User name").fill(LONG_ADMIN.username);
  await fillNewPassword(page, LONG_ADMIN.password);
  await button(page, "Add an admin").click();
  await waitForText(page, "The admin has been added.");
}

for (const colorScheme of ["light", "dark"]) {
  for (const width of [1280, 375]) {
    const view = { colorScheme, viewport: { width, height: 900 } };
    const variant = `${colorScheme}-${width}`;

    test(`/console of a new server, ${colorScheme}, ${width} px: every page fits, and axe finds nothing`, async (newPage) => {
      const page = await newPage({ expected: [status(403), status(404)], ...view });
      const looks = (name) => assertAppearance(page, `console-${name}-${variant}`, colorScheme);
      await open(page, newSite);
      await looks("sign-in");
      await signIn(page, { username: "unknown", password: "wrong" });
      await waitForText(page, "The user name or password is wrong.");
      await looks("sign-in-refused");
      await signIn(page);
      await waitForText(page, "Create the first token");
      await looks("overview-empty");
      await link(page, "API tokens").click();
      await waitForText(page, "You haven't created any tokens yet");
      await looks("empty");
      await link(page, "Legacy API").click();
      await waitForText(page, "Not observed long enough");
      await looks("legacy-unobserved");
      await link(page, "Admins").click();
      await link(page, "Remove admin").click();
      await waitForText(page, "The last admin cannot be removed.");
      await looks("last-admin");
      await open(page, newSite, "/nothing");
      await waitForText(page, "The address is wrong, or the item was deleted.");
      await looks("missing");
    });

    test(`/console, ${colorScheme}, ${width} px: every page fits, and axe finds nothing`, async (newPage) => {
      const { id, long } = await fill();
      const page = await openSignedIn(newPage, site, { expected: [status(400)], ...view });
      const looks = (name) => assertAppearance(page, `console-${name}-${variant}`, colorScheme);
      await field(page, "Actions for everything at once").click();
      await looks("tokens");
      await open(page, site, "/tokens?search=nothing+such");
      await waitForText(page, "No tokens match");
      await looks("no-match");

      await open(page, site, "/tokens/new");
      await field(page, "Allowed networks (CIDR)").fill("10.1.2.3/8\n10.1.2.3\n2001:db8:1234:5678:9abc:def0:1234:5678/64");
      await looks("new");
      await field(page, "Name").fill(" ");
      await pick(page, "On a date");
      await field(page, "Date and time (UTC)").fill("2020-01-01T00:00");
      await button(page, "Create").click();
      await waitForText(page, "Not saved yet.");
      await looks("new-wrong");
      await open(page, site);
      await create(page, `${LONG}2`);
      await looks("value");
      await link(page, "Done").click();
      await choose(page, `${LONG}2`, "Delete");
      const confirm = field(page, "Type the name of the token to delete it");
      await confirm.fill("something else");
      await button(page, "Delete token").click();
      await waitForText(page, "That is not the name of this token.");
      await looks("delete");
      await confirm.fill(`${LONG}2`);
      await button(page, "Delete token").click();
      await waitForText(page, "The token has been deleted and no longer works.");

      await open(page, site, `/tokens/${id}`);
      await looks("token");
      await link(page, "Edit").click();
      await title(page, "Edit 'everything at once'");
      await looks("edit");
      await open(page, site, `/tokens/${long}`);
      await link(page, "Rotate").click();
      await title(page, `Rotate '${LONG}'?`);
      await looks("rotate");

      await addAdmin(page);
      await looks("admins");
      await link(page, `Change password ${LONG_ADMIN.username}`).click();
      await field(page, "Your own password").fill(admin.password);
      await fillNewPassword(page, "one phrase", "another phrase");
      await button(page, "Change password").click();
      await waitForText(page, "The two passwords differ.");
      await looks("password");
      await open(page, site, `/admins/remove?name=${LONG_ADMIN.username}`);
      await looks("remove");

      await link(page, "Audit log").click();
      await title(page, "Audit log");
      await looks("audit");
      await field(page, "Token name or ID").fill("unknown");
      await button(page, "Apply").click();
      await waitForText(page, "No events match these filters");
      await looks("audit-none");
      await link(page, "Legacy API").click();
      await waitForText(page, "Still in use");
      await looks("legacy");
      await button(page, "Sign out").click();
      await signIn(page, LONG_ADMIN);
      await title(page, "Overview");
      await looks("long-admin");
    });
  }
}

for (const language of ["en", "ko"]) {
  test(`/console in ${language} fits windows of every width, with everything within reach`, async (newPage) => {
    const { id, long } = await fill();
    const page = await openSignedIn(newPage, site, { expected: [status(400), status(404), status(409)] });
    await addAdmin(page);
    const name = `?name=${LONG_ADMIN.username}`;
    const fits = async (place) => {
      await page.evaluate(() => document.querySelectorAll("details:not(.menu)").forEach((folded) => (folded.open = true)));
      await assertFits(page, place);
      await page.setViewportSize({ width: 320, height: 900 });
      await screenshot(page, `fits-${place.replace(/\W+/g, "-").slice(0, 50)}-${language}`);
    };
    await open(page, site, `?lang=${language}`);
    for (const path of [
      "", "/tokens", "/tokens?search=nothing+such", "/tokens?permission=AlertRead&owner=x&network=10.0.0.7", "/tokens?network=x", "/tokens/new",
      `/tokens/${id}`, `/tokens/${long}`, `/tokens/${id}/edit`, `/tokens/${long}/rotate`, `/tokens/${long}/delete`, "/audit", "/audit?since=x",
      "/legacy", "/admins", `/admins/password${name}`, `/admins/role${name}`, `/admins/remove${name}`, "/account", "/nothing",
    ]) {
      await open(page, site, path);
      await fits(path || "/");
    }
    await open(page, site, "/tokens/new");
    await page.locator("#name").fill("a\u202eb");
    await page.locator("[name=preset][value=custom]").check();
    await page.locator("#token .primary").click();
    await page.locator(".refusal").waitFor();
    await fits("wrong");
    await page.locator("#name").fill(LONG);
    await page.locator("#token .primary").click();
    await page.locator("#value").waitFor();
    await fits("value");
    await open(page, site, "/tokens");
    await page.locator("[name=all]").check();
    await page.locator("[name=action][value=delete]").click();
    await page.locator("[name=number]").waitFor();
    await fits("selection");
    await open(page, site, `/tokens/${long}/edit`);
    const { description } = await api(site, "GET", `/api-tokens/${long}`);
    await api(site, "POST", `/api-tokens/${long}`, { body: { description: `${description}.` } });
    await page.locator("#owner").fill(LONG);
    await page.locator("#token .primary").click();
    await page.locator(".compare").waitFor();
    await fits("conflict");
    await page.locator(".who button").click();
    await fits("sign-in");
    await page.locator("[name=name]").fill(LONG_ADMIN.username);
    await page.locator("[name=password]").fill(LONG_ADMIN.password);
    await page.locator("main .primary").click();
    await page.locator(".who").waitFor();
    await fits("long-admin");
  });
}

test("/console in Korean, until English is chosen", async (newPage) => {
  const { id } = await fill();
  const page = await newPage({ locale: "ko-KR", viewport: { width: 375, height: 900 } });
  const language = () => page.locator("html").getAttribute("lang");
  await open(page, site, "/tokens?show=legacy");
  assert.equal(await language(), "ko");
  await assertAppearance(page, "console-korean-sign-in", "light");
  await field(page, "사용자 이름").fill(admin.username);
  await field(page, "비밀번호").fill(admin.password);
  await button(page, "로그인").click();
  await title(page, "API 토큰");
  for (const [name, path] of [
    ["tokens", "/tokens"], ["new", "/tokens/new"], ["token", `/tokens/${id}`], ["edit", `/tokens/${id}/edit`], ["rotate", `/tokens/${id}/rotate`], ["delete", `/tokens/${id}/delete`],
    ["admins", "/admins"], ["account", "/account"], ["audit", "/audit"], ["legacy", "/legacy"], ["overview", ""],
  ]) {
    await open(page, site, path);
    assert.equal(await language(), "ko");
    await assertAppearance(page, `console-korean-${name}`, "light");
  }
  await link(page, "English").click();
  await title(page, "Overview");
  assert.equal(await language(), "en");
  await link(page, "Audit log").click();
  await title(page, "Audit log");
  await link(page, "한국어").click();
  await title(page, "감사 로그");
  assert.equal(await language(), "ko");
});
