// Tests of sessions, admins, and cross-site forms of the console.
"use strict";

const assert = require("node:assert/strict");
const { admin, api, newToken, sites, test } = require("./harness.js");
const { button, field, link, fillNewPassword, open, self, signIn, openSignedIn, status, title, waitForText } = require("./support/console.js");

const [root] = sites;
const OVER = "Your session has ended. Sign in to continue.";
const RESUMED = "Your session had ended, so nothing has been saved. Check the form and send it again.";
const FORGED = /^The page has expired, or the form came from another site\./;

const sessionOf = async (page) => (await page.context().cookies()).find((cookie) => cookie.name === "tokenbridge_session");

/** Submits a form after its hidden key was changed or removed. */
async function forge(page, name, key) {
  const pressed = button(page, name);
  await pressed.evaluate((element, other) => {
    const field = element.form.elements.namedItem("formKey");
    if (other === undefined) field.remove();
    else field.value = other;
  }, key);
  await pressed.click();
}

for (const site of sites) {
  test(`${site.base}/console: the session is a cookie that no script sees, and ends by signing out in every tab`, async (newPage) => {
    const page = await newPage({ expected: [status(403)] });
    await open(page, site, "/audit?channel=console");
    await title(page, "Sign in");
    assert.equal(await sessionOf(page), undefined);
    await signIn(page, { ...admin, password: "wrong" });
    await waitForText(page, "The user name or password is wrong.");
    assert.equal(await field(page, "User name").inputValue(), admin.username);
    assert.equal(await field(page, "Password").inputValue(), "");
    await signIn(page);
    // The requested page.
    await title(page, "Audit log");
    assert.equal(page.url(), `${site.url}/console/audit?channel=console`);

    const { value, ...cookie } = await sessionOf(page);
    assert.deepEqual(cookie, {
      name: "tokenbridge_session", domain: new URL(site.url).hostname, path: `${site.base}/console`, expires: -1,
      httpOnly: true, secure: false, sameSite: "Strict",
    });
    assert.equal(await page.evaluate(() => document.cookie), "");
    const kept = await page.evaluate(() => [localStorage.length, sessionStorage.length]);
    assert.deepEqual(kept, [0, 0]);

    const other = await page.context().newPage();
    await open(other, site, "/legacy");
    await title(other, "Legacy API");
    await button(page, "Sign out").click();
    await waitForText(page, "You have signed out.");
    assert.equal(await sessionOf(page), undefined);
    await link(other, "Admins").click();
    await title(other, "Sign in");
    await page.goBack();
    await title(page, "Sign in");
    // The old cookie is no longer valid.
    await page.context().addCookies([{ ...cookie, value }]);
    await open(page, site);
    await waitForText(page, OVER);
  });
}

test("/console: whose password is changed, or who is removed, is out in the other browser", async (newPage) => {
  const ops = { username: "ops & co", password: "the first phrase" };
  const page = await openSignedIn(newPage, root);
  await link(page, "Admins").click();
  await field(page, "User name").fill(ops.username);
  await fillNewPassword(page, ops.password);
  await button(page, "Add an admin").click();
  await waitForText(page, "The admin has been added.");

  const other = await openSignedIn(newPage, root, { who: ops, expected: [status(403)] });
  await title(other, "API tokens");
  await link(page, `Change password ${ops.username}`).click();
  await title(page, `Change the password of '${ops.username}'`);
  await field(page, "Your own password").fill(admin.password);
  await fillNewPassword(page, "the second phrase");
  await button(page, "Change password").click();
  await waitForText(page, "The password has been changed, and all sessions of that admin have ended.");

  await link(other, "Audit log").click();
  await waitForText(other, OVER);
  await signIn(other, ops);
  await waitForText(other, "The user name or password is wrong.");
  ops.password = "the second phrase";
  await signIn(other, ops);
  await title(other, "Audit log");

  await link(page, `Remove ${ops.username}`).click();
  await title(page, `Remove '${ops.username}'?`);
  await field(page, "Type the name to confirm").fill(ops.username);
  await button(page, "Remove").click();
  await waitForText(page, "The admin has been removed.");
  await link(other, "API tokens").click();
  await waitForText(other, OVER);
  await signIn(other, ops);
  await waitForText(other, "The user name or password is wrong.");
});

test("/console: who changes their own password stays signed in", async (newPage) => {
  const own = { username: "own", password: "the first phrase" };
  const page = await openSignedIn(newPage, root);
  await link(page, "Admins").click();
  await field(page, "User name").fill(own.username);
  await fillNewPassword(page, own.password);
  await button(page, "Add an admin").click();
  await waitForText(page, "The admin has been added.");
  await button(page, "Sign out").click();
  await signIn(page, own);
  await link(page, "Admins").click();
  await link(page, "Change password own").click();
  await title(page, "Your account");
  await field(page, "Current password").fill(own.password);
  await fillNewPassword(page, "the second phrase");
  await button(page, "Change password").click();
  await waitForText(page, "Your password has been changed. Your other sessions have ended.");
  // Admins may remove themselves unless they are the last one.
  await link(page, "Admins").click();
  await link(page, "Remove own").click();
  await field(page, "Type the name to confirm").fill("own");
  await button(page, "Remove").click();
  await waitForText(page, OVER);
});

test("/console takes no form whose key is wrong", async (newPage) => {
  const { id, value } = await newToken(root, "not to be forged");
  const page = await openSignedIn(newPage, root, { expected: [status(403)] });
  const stranger = await newPage();
  await open(stranger, root, "/sign-in");
  const strange = await stranger.locator("[name=formKey]").inputValue();
  const all = async () => [(await api(root, "GET", "/api-tokens")).results, await api(root, "GET", `/api-tokens/${id}`)];
  const before = await all();
  for (const [path, name, fill] of [
    ["/tokens/new", "Create", () => field(page, "Name").fill("forged")],
    [`/tokens/${id}/edit`, "Save", () => field(page, "Name").fill("forged")],
    [`/tokens/${id}/rotate`, "Rotate"],
    [`/tokens/${id}/delete`, "Delete token", () => field(page, "Type the name of the token to delete it").fill("not to be forged")],
    ["/admins", "Add an admin", () => field(page, "User name").fill("forged").then(() => fillNewPassword(page, "a long enough one"))],
    ["/account", "Change password", () => field(page, "Current password").fill(admin.password).then(() => fillNewPassword(page, "a long enough one"))],
    ["/tokens", "Sign out"],
  ]) {
    for (const key of [undefined, strange]) {
      await open(page, root, path);
      await fill?.();
      await forge(page, name, key);
      // The form of a token is shown again, for it may be from an earlier session.
      await waitForText(page, ["Create", "Save"].includes(name) ? RESUMED : FORGED);
    }
  }
  await link(page, "Go to the overview").click();
  await title(page, "Overview");
  assert.deepEqual(await all(), before);
  assert.equal((await self(root, value)).id, id);
  await link(page, "Admins").click();
  assert.equal(await page.getByRole("rowheader", { name: "forged" }).count(), 0);
});

// The pages of other sites are fulfilled here, without requests to them.
for (const [origin, has, outcome] of [
  // A page on another port is same-site: its forms send the cookie, but not the key.
  ["http://127.0.0.1:9999", "a cookie", (page) => waitForText(page, FORGED)],
  // A page of another site sends no cookie: the form is rejected, and the browser is redirected to the page of the token.
  ["http://elsewhere.test", "no cookie", (page) => title(page, "wanted elsewhere")],
]) {
  test(`/console takes no form from ${origin}, which sends ${has}`, async (newPage) => {
    const { id, value } = await newToken(root, "wanted elsewhere");
    const expected = [new RegExp(`request to another host: ${origin}/`), ...(has === "a cookie" ? [status(403)] : [])];
    const page = await openSignedIn(newPage, root, { expected });
    const target = `${root.url}/console/tokens/${id}/delete`;
    const form = `<form method="post" action="${target}"><input name="confirm" value="wanted elsewhere"><button>Win a prize</button></form>`;
    await page.route(`${origin}/`, (route) => route.fulfill({ contentType: "text/html", body: form }));
    await page.goto(`${origin}/`);
    const sent = page.waitForRequest(target);
    await button(page, "Win a prize").click();
    assert.equal("cookie" in (await (await sent).allHeaders()), has === "a cookie");
    await outcome(page);
    assert.equal((await self(root, value)).id, id);
  });
}

test("/console: a link of another site leads to its page, by the sign-in for those who have not signed in", async (newPage) => {
  const origin = "http://elsewhere.test";
  const expected = [new RegExp(`request to another host: ${origin}/`)];
  for (const open of [openSignedIn, (make, _, options) => make(options)]) {
    const page = await open(newPage, root, { expected });
    const body = `<a href="${root.url}/console/audit?channel=console">See this</a>`;
    await page.route(`${origin}/`, (route) => route.fulfill({ contentType: "text/html", body }));
    await page.goto(`${origin}/`);
    await link(page, "See this").click();
    if (open !== openSignedIn) {
      await title(page, "Sign in");
      await signIn(page);
    }
    await title(page, "Audit log");
    assert.equal(page.url(), `${root.url}/console/audit?channel=console`);
  }
});
