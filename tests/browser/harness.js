// harness.js NAME…: runs the tests of these files in this directory, by default of all, and prints "N passed, M failed".
// SITES has the URLs of the servers, ADMIN_PASSWORD the password of their admin, and SCREENSHOTS the directory for pictures.
// PROGRAM is the program, and ROOT_STORE the SQLite file of the first server.
"use strict";

const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const { mkdirSync, readFileSync, readdirSync } = require("node:fs");
const path = require("node:path");
const { chromium } = require("playwright-core");

const ARGUMENTS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync";
// Generous, so that tests do not fail on a busy machine.
const SECONDS_A_TEST = 120, SECONDS_A_STEP = 30;
// The exit code for a crash of Chromium itself, which is not a defect of the pages.
const CRASHED = 3;
/** Widths of phones, tablets, and desks, and those around the breakpoints of the style sheets. */
const WIDTHS = [320, 375, 768, 1000, 1024, 1176, 1280, 1600];
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const admin = { username: "admin", password: process.env.ADMIN_PASSWORD };
// The URL and the context path (base, "" at the root) of each server.
const servers = process.env.SITES.split(" ").map((url) => ({ url, base: new URL(url).pathname.replace(/\/$/, "") }));
const origins = servers.map((site) => new URL(site.url).origin);
// Tests do not change the last server: it stays empty.
const sites = servers.slice(0, -1), newSite = servers.at(-1);
const tests = [];
let browser;
// True once Chromium has exited or a page has crashed unexpectedly.
let crashed = false;

/** Adds a test, which fails if it throws, or if a page of `newPage` has a problem. */
function test(name, run) {
  tests.push({ name, run });
}

/** Sends a request without the browser, with the key or as the admin, and returns the JSON of the response. */
async function api(site, method, where, { body, key } = {}) {
  const credentials = key ? { "X-API-Key": key } : { Authorization: `Basic ${btoa(`${admin.username}:${admin.password}`)}` };
  const answer = await fetch(site.url + where, {
    method, headers: { "Content-Type": "application/json", ...credentials }, body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(SECONDS_A_STEP * 1000),
  });
  assert.ok(answer.ok, `${method} ${where}: ${answer.status}`);
  return answer.json();
}

/** Creates a token with both token permissions. */
const newToken = (site, name) => api(site, "POST", "/api-tokens", { body: { name } });

/** Imports tokens with any history into the first server; `tokens` have the format of an export. */
function importTokens(tokens) {
  const format = { name: "tokenbridge-export", version: 1 }, end = { tokens: tokens.length, admins: 0 };
  const lines = [{ format }, ...tokens.map((token) => ({ token })), { end }];
  const input = lines.map((line) => JSON.stringify(line)).join("\n");
  execFileSync(process.env.PROGRAM, ["import", "-", "--database-url", `sqlite:${process.env.ROOT_STORE}`], { input, stdio: "pipe" });
}

// A page in a separate context, and its problems. `options` are those of Playwright's newContext.
async function open(options) {
  const context = await browser.newContext(options);
  const problems = [], requests = [];
  context.setDefaultTimeout(SECONDS_A_STEP * 1000);
  const request = (url) => {
    requests.push(url);
    const { protocol, origin } = new URL(url);
    if (!["data:", "blob:"].includes(protocol) && !origins.includes(origin)) problems.push(`request to another host: ${url}`);
  };
  context.on("request", (one) => request(one.url()));
  context.on("requestfailed", (one) => {
    const { errorText } = one.failure();
    // The page was left before all of its requests completed.
    if (errorText !== "net::ERR_ABORTED") problems.push(`request failed: ${one.method()} ${one.url()}: ${errorText}`);
  });
  context.on("console", (one) => one.type() === "error" && problems.push(`console: ${one.text()} (${one.location().url})`));
  context.on("weberror", (one) => problems.push(`uncaught: ${one.error().message}`));
  context.on("page", (one) => one.on("websocket", (socket) => request(socket.url().replace(/^ws/, "http"))));
  await context.exposeBinding("tellViolation", (_, text) => problems.push(`policy: ${text}`));
  await context.addInitScript(() => {
    const tell = window.tellViolation;
    document.addEventListener("securitypolicyviolation", (event) => tell(`${event.effectiveDirective} blocks ${event.blockedURI}`));
  });
  context.on("page", (one) => one.on("crash", () => { crashed = true; }));
  const page = await context.newPage();
  return { context, page, problems, requests, script: options.javaScriptEnabled ?? true };
}

// The unexpected problems of a page, and the expected ones that did not occur.
async function findUnexpected({ page, problems, script }, expected) {
  // Waits for pending events of the page. Without JavaScript, there are no timers.
  await page.evaluate((timers) => timers && new Promise((done) => setTimeout(done)), script);
  return [
    ...problems.filter((one) => !expected.some((pattern) => pattern.test(one))),
    ...expected.filter((pattern) => !problems.some((one) => pattern.test(one))).map((pattern) => `expected, and not there: ${pattern}`),
  ];
}

/** Checks that axe finds no violation in the page, except of the rules `except`. */
async function axe(page, except = []) {
  await page.evaluate(AXE);
  const rules = Object.fromEntries(except.map((rule) => [rule, { enabled: false }]));
  const { violations } = await page.evaluate((enabled) => window.axe.run(document, { resultTypes: ["violations"], rules: enabled }), rules);
  const found = violations.flatMap((one) => one.nodes.map((node) => `${one.id} at ${node.target.join(" ")}: ${node.failureSummary}`));
  assert.deepEqual(found, [], "axe");
}

/** Takes a picture, and checks the color scheme, that the page fits the window, and that axe finds no violation. */
async function assertAppearance(page, picture, colorScheme, except) {
  await screenshot(page, picture);
  const { text, wide, width } = await page.evaluate(() => ({
    text: getComputedStyle(document.body).color.match(/\d+/g).slice(0, 3).map(Number),
    wide: document.documentElement.scrollWidth, width: window.innerWidth,
  }));
  // axe compares it with its background.
  assert.equal(Math.max(...text) < 128 ? "light" : "dark", colorScheme, `the text is rgb(${text})`);
  assert.ok(wide <= width, `${picture}: the page is ${wide} px wide in a window of ${width} px`);
  await axe(page, except);
}

/**
 * Checks that the page fits windows of any width, and that every link and control is within them, or in a part that
 * scrolls and takes the focus.
 */
async function assertFits(page, name) {
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 900 });
    const { wide, outside } = await page.evaluate(() => {
      const isOutside = (element) => {
        const { left, right, width } = element.getBoundingClientRect();
        return width > 1 && (left < 0 || right > window.innerWidth + 0.5);
      };
      const controls = [...document.querySelectorAll("a, button, input, select, textarea, summary")];
      const shown = controls.filter((one) => one.checkVisibility() && !one.closest("[tabindex='0']"));
      return { wide: document.documentElement.scrollWidth, outside: shown.filter(isOutside).map((one) => one.outerHTML) };
    });
    assert.ok(wide <= width, `${name}: the page is ${wide} px wide in a window of ${width} px`);
    assert.deepEqual(outside, [], `${name}: outside of a window of ${width} px`);
  }
}

/** Takes a picture of the window. */
async function screenshot(page, name) {
  await page.screenshot({ path: path.join(process.env.SCREENSHOTS, `${name}.png`) });
}

async function runOne({ name, run }, number) {
  const opened = [], began = performance.now(), wrong = [];
  let timer;
  // `expected`: patterns of problems that the page must have.
  const newPage = async ({ expected = [], ...options } = {}) => {
    const one = await open(options);
    opened.push({ ...one, expected });
    return Object.assign(one.page, { requests: one.requests });
  };
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${SECONDS_A_TEST} s`)), SECONDS_A_TEST * 1000);
  });
  try {
    await Promise.race([run(newPage), limit]);
  } catch (error) {
    wrong.push(error.message);
  }
  clearTimeout(timer);
  for (const [index, one] of opened.entries()) {
    try {
      wrong.push(...(await findUnexpected(one, one.expected)));
      if (wrong.length) await screenshot(one.page, `failed-${number}-${index}`);
    } catch (error) {
      wrong.push(error.message);
    }
    await one.context.close().catch(() => {});
  }
  console.log(`${wrong.length ? "FAILED " : "ok     "} ${name} (${((performance.now() - began) / 1000).toFixed(1)} s)`);
  for (const one of wrong) console.log(one.replace(/^/gm, "          "));
  return !wrong.length;
}

async function main(subjects) {
  mkdirSync(process.env.SCREENSHOTS, { recursive: true });
  const all = readdirSync(__dirname).filter((file) => file.endsWith(".js")).map((file) => path.basename(file, ".js"));
  const others = all.filter((name) => name !== path.basename(__filename, ".js"));
  for (const subject of subjects.length ? subjects : others) require(`./${subject}.js`);
  browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ARGUMENTS.split(" ") });
  browser.on("disconnected", () => { crashed = true; });
  let passed = 0;
  for (const [number, one] of tests.entries()) {
    passed += await runOne(one, number + 1);
    if (crashed) {
      console.log("Chromium crashed");
      process.exit(CRASHED);
    }
  }
  await browser.close();
  console.log(`\n${passed} passed, ${tests.length - passed} failed`);
  process.exitCode = passed && passed === tests.length ? 0 : 1;
}

module.exports = { admin, api, axe, importTokens, assertAppearance, assertFits, newSite, newToken, screenshot, sites, test };
if (require.main === module) main(process.argv.slice(2));
