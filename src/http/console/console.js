// What the console's pages do beyond what they do without it: it adds conveniences, and nothing depends on it.
"use strict";

for (const element of document.querySelectorAll(".only-with-script")) element.hidden = false;

const fill = (text, ...values) => values.reduce((filled, value) => filled.replace("{}", () => value), text);

/** Fills a text with a number, in the singular form (before `|`) for 1. */
function count(text, counted) {
  const [singular, plural = singular] = text.split("|");
  return fill(counted === 1 ? singular : plural, counted);
}

// A page that answers a form has the address of a page of its own: loading it again must not send that form again.
const answer = document.querySelector("[data-address]");
if (answer) history.replaceState(null, "", answer.dataset.address);

const pad = (number) => String(number).padStart(2, "0");
/** A time in the zone of the browser, as a field for a date and a time has it. */
const localText = (time) =>
  `${time.getFullYear()}-${pad(time.getMonth() + 1)}-${pad(time.getDate())}T${[time.getHours(), time.getMinutes(), time.getSeconds()].map(pad).join(":")}`;

// Times in evidence are exact: in the time zone of the browser, with UTC as the tooltip.
for (const time of document.querySelectorAll("time[data-local]")) {
  const at = new Date(time.dateTime);
  time.textContent = localText(at).replace("T", " ");
}
const zone = new Intl.DateTimeFormat(document.documentElement.lang, { timeZoneName: "short" }).formatToParts().find((part) => part.type === "timeZoneName");
for (const element of document.querySelectorAll(".zone")) element.textContent = zone.value;

for (const button of document.querySelectorAll("[data-copy]")) {
  const field = document.getElementById(button.dataset.copy);
  const select = () => (field.select ? field.select() : getSelection().selectAllChildren(field));
  field.addEventListener("focus", select);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(field.value ?? field.textContent);
    } catch {
      // Without HTTPS there is no clipboard but this one.
      select();
      document.execCommand("copy");
    }
    button.textContent = button.dataset.copied;
    button.focus();
  });
}

// A menu closes when the focus or a click moves elsewhere.
const menus = [...document.querySelectorAll(".menu")];
const close = (except) => menus.filter((menu) => menu !== except).forEach((menu) => { menu.open = false; });
document.addEventListener("click", (event) => close(event.target.closest(".menu")));
document.addEventListener("focusin", (event) => close(event.target.closest(".menu")));
document.addEventListener("keydown", (event) => {
  const open = menus.find((menu) => menu.open);
  if (event.key !== "Escape" || !open) return;
  close();
  open.querySelector("summary").focus();
});

for (const search of document.querySelectorAll("[data-filter]")) {
  search.addEventListener("input", () => {
    const wanted = search.value.trim().toLowerCase();
    for (const group of document.querySelectorAll(".group")) {
      const labels = [...group.querySelectorAll("[data-permission]")];
      for (const label of labels) label.hidden = !label.textContent.toLowerCase().includes(wanted);
      group.hidden = labels.every((label) => label.hidden);
    }
  });
  search.addEventListener("keydown", (event) => event.key === "Enter" && event.preventDefault());
}

// The filters of a list are applied as they are chosen.
for (const select of document.querySelectorAll(".filters select")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}

// A complete token value or ID opens its token as soon as it is pasted.
const COMPLETE = /tbk_[\w-]{49}(?![\w-])|^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
for (const field of document.querySelectorAll("[data-value]")) {
  field.addEventListener("paste", (event) => {
    const pasted = event.clipboardData.getData("text").trim().match(COMPLETE);
    if (!pasted) return;
    event.preventDefault();
    field.value = pasted[0];
    field.form.requestSubmit();
  });
}

// The number of selected tokens, and all of a page at once.
for (const form of document.querySelectorAll("[data-selection]")) {
  const boxes = [...form.querySelectorAll("[name=id]")];
  const page = form.querySelector("[data-select-page]"), all = form.querySelector("[data-select-all]");
  const status = form.querySelector("[data-selected]");
  if (!status) continue;
  const show = () => {
    const checked = boxes.filter((box) => box.checked).length;
    page.checked = checked === boxes.length;
    page.indeterminate = checked > 0 && !page.checked;
    status.textContent = all?.checked || !checked ? "" : fill(status.dataset.selected, checked);
  };
  page.addEventListener("change", () => boxes.forEach((box) => { box.checked = page.checked; }));
  form.addEventListener("change", show);
  show();
}

// After an action, the list is where it was. Loading it again does not repeat the notice.
const list = document.querySelector("[data-selection]");
const listURL = new URL(location.href);
for (const name of ["done", "count"]) listURL.searchParams.delete(name);
if (list) {
  addEventListener("pagehide", () => sessionStorage.setItem("list", JSON.stringify([listURL.search, scrollY])));
  const [search, top] = JSON.parse(sessionStorage.getItem("list") ?? "[]");
  if (document.querySelector("[data-done]") && search === listURL.search) scrollTo(0, top);
}
if (document.querySelector("[data-done]")) history.replaceState(null, "", listURL);

/** The 16-bit words of an IPv6 address, or nothing. */
function words(text) {
  const halves = text.split("::");
  if (halves.length > 2) return null;
  const parse = (half) => {
    const parts = half ? half.split(":") : [];
    const last = parts.at(-1);
    if (last?.includes(".")) {
      const bytes = octets(last);
      if (!bytes) return null;
      parts.splice(-1, 1, ((bytes[0] << 8) | bytes[1]).toString(16), ((bytes[2] << 8) | bytes[3]).toString(16));
    }
    return parts.every((part) => /^[0-9a-f]{1,4}$/i.test(part)) ? parts.map((part) => parseInt(part, 16)) : null;
  };
  const [head, tail] = [parse(halves[0]), parse(halves[1] ?? "")];
  if (!head || !tail) return null;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return null;
  return [...head, ...Array(missing).fill(0), ...tail];
}

/** The bytes of an IPv4 address, or nothing. */
function octets(text) {
  const parts = text.split(".");
  const right = parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && part < 256);
  return right ? parts.map(Number) : null;
}

/** Clears the bits of units of `size` bits that are behind a prefix. */
function masked(units, size, prefix) {
  return units.map((unit, index) => {
    const bits = Math.min(Math.max(prefix - index * size, 0), size);
    return unit & ~(2 ** (size - bits) - 1);
  });
}

/** What is wrong with one CIDR block, or how it will be saved. The server decides; this only says it sooner. */
function checkBlock(text) {
  const [address, prefix, ...rest] = text.split("/");
  const v4 = octets(address), v6 = v4 ? null : words(address);
  const bits = v4 ? 32 : 128;
  if (!v4 && !v6) return { bad: true };
  if (prefix === undefined) return { bad: true, write: `${text}/${bits}` };
  if (rest.length || !/^(0|[1-9]\d{0,2})$/.test(prefix) || Number(prefix) > bits) return { bad: true };
  const length = Number(prefix);
  // An IPv4-mapped block is saved as the IPv4 block that it stands for.
  const mapped = v6 && length >= 96 && v6.slice(0, 6).join() === "0,0,0,0,0,65535";
  const [bytes, ofV4] = mapped ? [v6.slice(6).flatMap((word) => [word >> 8, word & 255]), length - 96] : [v4, length];
  if (bytes) {
    const saved = `${masked(bytes, 8, ofV4).join(".")}/${ofV4}`;
    return saved === text ? {} : { saved };
  }
  const network = masked(v6, 16, length);
  const written = network.map((word) => word.toString(16)).join(":");
  // A URL shortens zeros as RFC 5952 does.
  const saved = `${new URL(`http://[${written}]`).hostname.slice(1, -1)}/${prefix}`;
  return network.some((word, index) => word !== v6[index]) ? { saved } : {};
}

for (const area of document.querySelectorAll("[data-blocks]")) {
  const live = document.querySelector("#blocks-live ul");
  const say = () => {
    const blocks = area.value.split(/[\s,]+/).filter(Boolean);
    const checked = blocks.map((text) => ({ text, ...checkBlock(text) }));
    const lines = checked.filter((one) => one.bad || one.saved).slice(0, 5).map((one) => {
      const { bad, savedAs, write } = area.dataset;
      if (one.saved) return ["", fill(savedAs, one.text, one.saved)];
      return ["bad", fill(bad, one.text) + (one.write ? fill(write, one.write) : "")];
    });
    if (!lines.length && blocks.length) lines.push(["good", count(area.dataset.good, blocks.length)]);
    live.replaceChildren(...lines.map(([name, text]) => Object.assign(document.createElement("li"), { className: name, textContent: text })));
    if (checked.some((one) => one.bad)) area.setAttribute("aria-invalid", "true");
    else area.removeAttribute("aria-invalid");
  };
  area.addEventListener("input", say);
}

// The presets of permissions check their boxes, and a box that is checked chooses them one by one.
const selected = document.querySelector("[data-selected]");
if (selected) {
  const boxes = [...document.querySelectorAll("[name=permission]")], presets = [...document.querySelectorAll("[name=preset]")];
  const tell = () => {
    const labels = boxes.filter((box) => box.checked).map((box) => box.nextElementSibling.firstChild.textContent.trim());
    selected.textContent = labels.length ? fill(selected.dataset.selected, labels.length, labels.join(", ")) : selected.dataset.none;
    for (const button of document.querySelectorAll("[data-select]")) {
      const all = [...button.parentElement.querySelectorAll("[name=permission]")].every((box) => box.checked);
      button.textContent = all ? button.dataset.clear : button.dataset.select;
      button.setAttribute("aria-label", `${button.textContent}: ${button.parentElement.querySelector("legend").textContent}`);
    }
  };
  for (const preset of presets) {
    preset.addEventListener("change", () => {
      const names = preset.dataset.permissions?.split(" ");
      if (names) for (const box of boxes) box.checked = names.includes(box.value);
      tell();
    });
  }
  for (const box of boxes) box.addEventListener("change", tell);
  for (const button of document.querySelectorAll("[data-select]")) {
    button.addEventListener("click", () => {
      const group = [...button.parentElement.querySelectorAll("[data-permission]:not([hidden]) [name=permission]")];
      const check = !group.every((box) => box.checked);
      for (const box of group) box.checked = check;
      group[0]?.dispatchEvent(new Event("input", { bubbles: true }));
      tell();
    });
  }
  tell();
}

const utcText = (time) => time.toISOString().slice(0, 19);
const offset = (time) => new Intl.DateTimeFormat("en", { timeZoneName: "shortOffset" }).formatToParts(time).find((part) => part.type === "timeZoneName").value;

// Times are shown in the zone of the browser, with UTC beneath.
for (const time of document.querySelectorAll("time[datetime]:not([data-local])")) {
  const at = new Date(time.dateTime), exact = time.nextElementSibling;
  if (!at.getTimezoneOffset()) continue;
  const local = `${localText(at).replace("T", " ")} ${offset(at)}`;
  if (time.title) time.title = `${local}\n${time.title}`;
  else if (exact) exact.before(Object.assign(document.createElement("small"), { textContent: local }));
}

// The server takes and shows times in UTC; with script, the field has them in the zone of the browser.
for (const input of document.querySelectorAll("[data-utc]")) {
  const label = input.labels[0], hint = document.querySelector("[data-utc-hint]");
  const time = (text, zone = "") => new Date(text + zone);
  const isValid = (date) => !Number.isNaN(date.getTime());
  const ofServer = time(input.defaultValue, "Z");
  // After the page was loaded again, the browser may have restored what was typed.
  if (isValid(ofServer) && time(input.value, "Z").getTime() === ofServer.getTime()) input.value = localText(ofServer);
  label.textContent = fill(label.dataset.local, Intl.DateTimeFormat().resolvedOptions().timeZone);
  const tell = () => {
    const typed = time(input.value);
    hint.textContent = isValid(typed) && typed.getTimezoneOffset() ? fill(hint.dataset.utcHint, utcText(typed).replace("T", " ")) : "";
  };
  input.addEventListener("input", tell);
  input.form.addEventListener("formdata", ({ formData }) => {
    const typed = time(input.value);
    if (isValid(typed)) formData.set(input.name, utcText(typed));
  });
  tell();
}

// Leaving a form that was edited asks first.
for (const form of document.querySelectorAll("[data-keep]")) {
  let edited = "edited" in form.dataset;
  form.addEventListener("input", (event) => { edited ||= Boolean(event.target.name); });
  form.addEventListener("submit", () => { edited = false; });
  for (const link of document.querySelectorAll("[data-discard]")) link.addEventListener("click", () => { edited = false; });
  addEventListener("beforeunload", (event) => edited && event.preventDefault());
}

// Before the session ends, a notice offers to prolong it.
const sessionEnd = document.querySelector("[data-session-end]");
if (sessionEnd) {
  const NOTICE = 5 * 60 * 1000;
  const text = sessionEnd.querySelector("p"), stay = sessionEnd.querySelector("button");
  let timer, end;
  const check = () => {
    clearTimeout(timer);
    const left = end - Date.now();
    sessionEnd.hidden = left > NOTICE;
    if (left <= 0) {
      text.textContent = sessionEnd.dataset.over;
      stay.hidden = true;
    } else {
      timer = setTimeout(check, left > NOTICE ? left - NOTICE : left);
    }
  };
  const endIn = (seconds) => {
    end = Date.now() + seconds * 1000;
    check();
  };
  stay.addEventListener("click", async () => {
    const response = await fetch(sessionEnd.dataset.path).catch(() => null);
    if (response?.ok) endIn(response.redirected ? 0 : Number(await response.text()));
  });
  // A timer does not run while the computer sleeps.
  document.addEventListener("visibilitychange", check);
  endIn(Number(sessionEnd.dataset.sessionEnd));
}
