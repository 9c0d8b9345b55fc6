// Helpers of the console tests.
"use strict";

const assert = require("node:assert/strict");
const { admin, api } = require("../harness.js");

/** The console message of the browser for a page with that status. */
const status = (number) => new RegExp(`status of ${number}`);

/** The label of the search box of the token list. */
const SEARCH = "Find a token by name, owner, ID, or value";

const button = (page, name) => page.getByRole("button", { name, exact: true });
const link = (page, name) => page.getByRole("link", { name, exact: true });
const choice = (page, name) => page.getByRole("combobox", { name, exact: true });
const field = (page, name) => page.getByLabel(name, { exact: true });

/** Waits for the page with that title. */
const title = (page, name) => loaded(page, page.getByRole("heading", { level: 1, name, exact: true }));

/** Waits for a page that contains a sentence. */
const waitForText = (page, text) => loaded(page, page.getByText(text).first());

async function loaded(page, element) {
  await element.waitFor();
  await page.waitForLoadState();
}

async function open(page, site, path = "") {
  await page.goto(`${site.url}/console${path}`);
}

/** Fills in the sign-in form. */
async function signIn(page, { username, password } = admin) {
  await field(page, "User name").fill(username);
  await field(page, "Password").fill(password);
  await button(page, "Sign in").click();
}

/** Signs in, and returns the page of tokens. `options` are those of `newPage`, and the admin. */
async function openSignedIn(newPage, site, { who = admin, ...options } = {}) {
  const page = await newPage(options);
  await open(page, site, "/tokens");
  await signIn(page, who);
  await title(page, "API tokens");
  return page;
}

/** Chooses "Edit", "Rotate", or "Delete" in the menu of a token in the list. */
async function choose(page, name, item) {
  await field(page, `Actions for ${name}`).click();
  await link(page, item).click();
}

/** Chooses a radio button by the beginning of its label. */
const pick = (page, label) => page.getByRole("radio", { name: new RegExp(`^${label}`) }).check();

/** Creates a token from the list, and returns the displayed value. */
async function create(page, name) {
  await link(page, "Create an API token").click();
  await field(page, "Name").fill(name);
  await button(page, "Create").click();
  return readShownValue(page, "Token created");
}

/** Rotates a token from the list, and returns the displayed value. `grace` is the grace period to select. */
async function rotate(page, name, grace = "None – revoke now") {
  await choose(page, name, "Rotate");
  await title(page, `Rotate '${name}'?`);
  await choice(page, "Keep the old value working for").selectOption(grace);
  await button(page, "Rotate").click();
  return readShownValue(page, "Token rotated");
}

async function readShownValue(page, heading) {
  await title(page, heading);
  const value = await field(page, "Token value").inputValue();
  assert.match(value, /^tbk_/);
  return value;
}

/** Fills in the two fields of a new password. */
async function fillNewPassword(page, password, again = password) {
  await field(page, "New password").fill(password);
  await field(page, "Confirm password").fill(again);
}

/** Gets the token with this value. */
const self = (site, key) => api(site, "GET", "/api-tokens/self", { key });

async function assertRefused(site, key) {
  await assert.rejects(self(site, key), /: 401$/);
}

/** The tokens with that name. */
async function findByName(site, name) {
  const { results } = await api(site, "GET", "/api-tokens");
  return results.filter((token) => token.name === name);
}

module.exports = {
  SEARCH, button, choice, choose, create, field, link, findByName, fillNewPassword, open, assertRefused, rotate, self, readShownValue, pick, signIn, openSignedIn, status, title, waitForText,
};
