"use strict";

const INTROSPECTION = `query IntrospectionQuery {
  __schema { queryType { name } mutationType { name } subscriptionType { name } types { ...FullType } }
}
fragment FullType on __Type {
  kind name description
  fields(includeDeprecated: true) {
    name description args { ...InputValue } type { ...TypeRef } isDeprecated deprecationReason
  }
  inputFields { ...InputValue }
  interfaces { ...TypeRef }
  enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason }
  possibleTypes { ...TypeRef }
}
fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue }
fragment TypeRef on __Type {
  kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name
  ofType { kind name ofType { kind name ofType { kind name } } } } } } }
}`;

const byId = (id) => document.getElementById(id);
const query = byId("query");
const headers = byId("headers");
const variables = byId("variables");
const explorer = byId("explorer");
const search = byId("search");
const narrow = matchMedia("(max-width: 44rem)");

function el(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children.filter((child) => child != null && child !== ""));
  return node;
}

function button(className, text, onClick) {
  const node = el("button", className, text);
  node.type = "button";
  node.addEventListener("click", onClick);
  return node;
}

// ---- what is sent

// The operations of a document with their place in it: enough of GraphQL's grammar to skip strings, comments and fragments.
function operations(text) {
  const found = [];
  let depth = 0, definition = null, previous = null;
  for (const match of text.matchAll(/"""(?:\\"""|[^])*?"""|"(?:\\.|[^"\\\n])*"?|#.*|[@$]?[A-Za-z_]\w*|[{}()[\]]/g)) {
    const token = match[0], end = match.index + token.length;
    if (token[0] === "#") continue;
    if (depth === 0 && !definition && /^[A-Za-z_{]/.test(token)) {
      definition = { kind: token === "{" ? "query" : token, name: "", start: match.index, end: text.length };
      if (/^(query|mutation|subscription)$/.test(definition.kind)) found.push(definition);
    } else if (definition && previous === definition.kind && depth === 0 && /^[A-Za-z_]/.test(token)) {
      definition.name = token;
    }
    if ("{([".includes(token)) depth++;
    if ("})]".includes(token)) {
      depth = Math.max(0, depth - 1);
      if (token === "}" && depth === 0 && definition) {
        definition.end = end;
        definition = null;
      }
    }
    previous = definition && token;
  }
  return found;
}

function chosenOperation() {
  const all = operations(query.value), at = query.selectionStart;
  const inside = all.find((one) => one.start <= at && at <= one.end);
  return { all, one: inside || all.filter((one) => one.start <= at).pop() || all[0] };
}

const NOT_SETTABLE = /^(accept-encoding|connection|content-length|cookie|date|expect|host|origin|referer|te|upgrade|via|(proxy|sec|transfer)-.*)$/i;

function readHeaders() {
  const result = new Headers(), problems = [];
  headers.value.split("\n").forEach((line, index) => {
    if (!line.trim()) return;
    const [, name, value] = /^\s*([\w!#$%&'*+.^`|~-]+)\s*:\s*(.*?)\s*$/.exec(line) || [];
    let wrong = "";
    if (!name) wrong = "it is no header (Name: value)";
    else if (!value) wrong = "it has no value";
    else if (/[^\t\x20-\x7e]/.test(value)) wrong = "its value holds a character that no header may have";
    else if (NOT_SETTABLE.test(name)) wrong = `browsers do not let a page set ${name}`;
    else if (result.has(name)) wrong = `${name} is there already`;
    if (wrong) problems.push(`Line ${index + 1} is not sent: ${wrong}.`);
    else result.set(name, value);
  });
  return { result, problems };
}

function variablesProblem() {
  if (!variables.value.trim()) return "";
  try {
    const value = JSON.parse(variables.value);
    return value && typeof value === "object" && !Array.isArray(value) ? "" : "The variables must be one JSON object: { … }.";
  } catch (error) {
    return `This is not valid JSON. ${error.message}`;
  }
}

function showProblem(field, text) {
  byId(`${field.id}-problem`).textContent = text;
  field.setAttribute("aria-invalid", text ? "true" : "false");
}

function headersProblem() {
  const { problems } = readHeaders(), more = problems.length - 4;
  return [...problems.slice(0, 4), more > 0 ? `And ${more} more.` : ""].join("\n").trim();
}

for (const [field, problem] of [[headers, headersProblem], [variables, variablesProblem]]) {
  field.addEventListener("change", () => showProblem(field, problem()));
  field.addEventListener("input", () => {
    if (field.getAttribute("aria-invalid") === "true") showProblem(field, problem());
  });
}

async function post(body, sent) {
  if (!sent.has("Content-Type")) sent.set("Content-Type", "application/json");
  if (!sent.has("Accept")) sent.set("Accept", "application/json");
  const started = performance.now();
  const answer = await fetch(location.pathname, {
    method: "POST", headers: sent, body, mode: "same-origin", credentials: "omit", cache: "no-store",
  });
  const text = await answer.text();
  let json;
  try { json = JSON.parse(text); } catch { json = undefined; }
  return { answer, text, json, milliseconds: Math.round(performance.now() - started) };
}

function showStatus(className, ...parts) {
  byId("status").replaceChildren(el("span", className, parts.filter(Boolean).join(" · ")));
}

let running = false;

async function run() {
  if (running) return;
  if (!query.value.trim()) {
    showStatus("bad", "Not sent: there is no query");
    return query.focus();
  }
  const wrong = variablesProblem();
  showProblem(variables, wrong);
  if (wrong) {
    selectTab(byId("tab-variables"));
    showStatus("bad", "Not sent: the variables are not valid");
    return variables.focus();
  }
  const { result, problems } = readHeaders();
  showProblem(headers, headersProblem());
  if (problems.length) selectTab(byId("tab-headers"));
  const { all, one } = chosenOperation();
  const parts = [`"query":${JSON.stringify(query.value)}`];
  if (all.length > 1 && one.name) parts.push(`"operationName":${JSON.stringify(one.name)}`);
  // As written, not through JSON.parse, which would round large numbers.
  if (variables.value.trim()) parts.push(`"variables":${variables.value}`);

  setRunning(true);
  try {
    const { answer, text, json, milliseconds } = await post(`{${parts.join(",")}}`, result);
    const errors = Array.isArray(json?.errors) ? json.errors.length : 0;
    showStatus(answer.ok && !errors ? "good" : "bad", `${answer.status} ${answer.statusText}`.trim(), `${milliseconds} ms`,
      errors && (errors === 1 ? "1 error" : `${errors} errors`), problems.length && "not every header was sent");
    byId("response").replaceChildren(json === undefined ? text || "(empty body)" : pretty(text));
    if (answer.status === 401 && /<ENTER_YOUR_KEY_HERE>/.test(headers.value)) {
      showProblem(headers, "Put your key in the place of <ENTER_YOUR_KEY_HERE>.");
      selectTab(byId("tab-headers"));
    }
    if (answer.ok && !schema) loadSchema();
  } catch (error) {
    showStatus("bad", "No answer");
    byId("response").replaceChildren(`The server gave no answer: ${error.message}`);
  }
  setRunning(false);
  if (narrow.matches) byId("response").closest("section").scrollIntoView();
}

function setRunning(now) {
  running = now;
  byId("run").setAttribute("aria-disabled", String(now));
  if (now) showStatus("muted", "Running…");
}

// ---- the response: laid out from its own text, so that numbers and escapes stay as the server wrote them

function pretty(text) {
  const out = document.createDocumentFragment();
  const colored = text.length < 500_000;
  const tokens = text.match(/"(?:\\.|[^"\\])*"|[{}[\],:]|[^\s{}[\],:"]+/g) || [];
  let plain = "", indent = 0;
  const add = (className, token) => {
    if (!colored) return void (plain += token);
    out.append(plain, el("span", className, token));
    plain = "";
  };
  tokens.forEach((token, index) => {
    const next = tokens[index + 1];
    const newline = () => { plain += "\n" + "  ".repeat(indent); };
    if (token === "{" || token === "[") {
      plain += token;
      indent++;
      if (next !== "}" && next !== "]") newline();
    } else if (token === "}" || token === "]") {
      indent--;
      if (tokens[index - 1] !== "{" && tokens[index - 1] !== "[") newline();
      plain += token;
    } else if (token === ",") {
      plain += token;
      newline();
    } else if (token === ":") plain += ": ";
    else if (token[0] === '"') add(next === ":" ? "key" : "string", token);
    else add(/^[-\d]/.test(token) ? "number" : "literal", token);
  });
  out.append(plain);
  return out;
}

// ---- the editor

function type(field, text) {
  field.focus();
  if (!document.execCommand("insertText", false, text)) {
    field.setRangeText(text, field.selectionStart, field.selectionEnd, "end");
    field.dispatchEvent(new Event("input"));
  }
}

let leaving = false;
query.addEventListener("keydown", (event) => {
  if (event.key === "Tab" && !event.shiftKey && !event.ctrlKey && !event.altKey && !event.metaKey && !leaving) {
    event.preventDefault();
    type(query, "  ");
  } else if (event.key === "Enter" && !event.isComposing && !event.ctrlKey && !event.metaKey) {
    const line = query.value.slice(0, query.selectionStart).split("\n").pop();
    event.preventDefault();
    type(query, "\n" + /^\s*/.exec(line)[0] + (/[{(]\s*$/.test(line) ? "  " : ""));
  }
  leaving = event.key === "Escape";
});
query.addEventListener("blur", () => { leaving = false; });

function showEditor() {
  const count = query.value.split("\n").length, lines = byId("lines");
  if (lines.dataset.count !== String(count)) {
    lines.textContent = Array.from({ length: count }, (_, index) => index + 1).join("\n");
    lines.dataset.count = count;
  }
  lines.scrollTop = query.scrollTop;
  const { all, one } = chosenOperation();
  byId("chosen").textContent = all.length > 1 ? `Run calls ${one.name || "the operation without a name"}` : "";
}
for (const name of ["input", "scroll", "keyup", "click", "focus"]) query.addEventListener(name, showEditor);

// ---- the tabs

const tabs = [...document.querySelectorAll("[role=tab]")];

function selectTab(chosen) {
  for (const tab of tabs) {
    tab.setAttribute("aria-selected", String(tab === chosen));
    tab.tabIndex = tab === chosen ? 0 : -1;
    byId(tab.getAttribute("aria-controls")).hidden = tab !== chosen;
  }
}

tabs.forEach((tab, index) => {
  tab.addEventListener("click", () => selectTab(tab));
  tab.addEventListener("keydown", (event) => {
    const to = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const target = tabs[(to + tabs.length) % tabs.length];
    selectTab(target);
    target.focus();
  });
});

// ---- the documentation explorer

let schema = null;
let trail = [];

async function loadSchema() {
  byId("reload").hidden = false;
  if (!schema) explorer.replaceChildren(el("p", "muted", "Loading the schema…"));
  try {
    const { answer, json } = await post(JSON.stringify({ query: INTROSPECTION }), readHeaders().result);
    const loaded = json?.data?.__schema;
    if (!loaded) throw new Error(json?.errors?.[0]?.message || `the server answered ${answer.status}`);
    const roots = [["query", "Queries"], ["mutation", "Mutations"], ["subscription", "Subscriptions"]];
    schema = {
      types: new Map(loaded.types.map((one) => [one.name, one])),
      roots: roots.map(([kind, title]) => ({ kind, title, name: loaded[`${kind}Type`]?.name })).filter((root) => root.name),
    };
    trail = [];
    byId("find").hidden = false;
    showDocs();
  } catch (error) {
    const why = `The schema did not load: ${error.message.replace(/\.$/, "")}.`;
    if (schema) byId("found").textContent = `${why} This is the one from before.`;
    else explorer.replaceChildren(el("p", "bad", `${why} It is tried again after the next call that succeeds.`));
  }
}

const named = (ref) => (ref.ofType ? named(ref.ofType) : schema.types.get(ref.name) || ref);

function wrapped(ref, inner) {
  if (ref.kind === "NON_NULL") return [...wrapped(ref.ofType, inner), "!"];
  return ref.kind === "LIST" ? ["[", ...wrapped(ref.ofType, inner), "]"] : [inner(ref.name)];
}

const typeText = (ref) => wrapped(ref, (name) => name).join("");
const typeLink = (name, field) => button("link", field ? `${name}.${field}` : name, () => go(name, field));

function go(name, field) {
  if (trail[trail.length - 1]?.name === name) trail.pop();
  trail.push({ name, field });
  search.value = "";
  showDocs(true);
}

function showDocs(moved) {
  const words = search.value.trim().toLowerCase(), place = trail[trail.length - 1];
  byId("found").textContent = "";
  explorer.replaceChildren(...(words ? searchView(words) : place ? typeView(place) : rootView()));
  if (!moved) return;
  explorer.scrollTop = 0;
  explorer.querySelector(".mark")?.scrollIntoView({ block: "nearest" });
  const heading = explorer.querySelector("h3");
  heading.tabIndex = -1;
  heading.focus({ preventScroll: Boolean(explorer.querySelector(".mark")) });
}

function notes(one) {
  return [
    one.description && el("p", "description", one.description),
    one.isDeprecated && el("p", "deprecated", `Deprecated: ${one.deprecationReason || "no reason given"}`),
  ].filter(Boolean);
}

function valueItem(value) {
  const defaults = value.defaultValue == null ? "" : ` = ${value.defaultValue}`;
  const type = wrapped(value.type, (name) => typeLink(name));
  return el("li", "", el("div", "signature", `${value.name}: `, ...type, defaults), ...notes(value));
}

function fieldItem(field, root, marked) {
  const signature = el("div", "signature", `${field.name}: `, ...wrapped(field.type, (name) => typeLink(name)));
  const row = el("div", "row", signature);
  if (root) {
    const insert = button("small", "Insert", () => insertOperation(root.kind, field));
    insert.setAttribute("aria-label", `Insert ${field.name}`);
    row.append(insert);
  }
  const inputs = field.args.length ? el("ul", "", ...field.args.map(valueItem)) : null;
  return el("li", marked ? "mark" : "", row, ...notes(field), inputs);
}

const section = (title, className, items) => (items?.length ? [el("h4", "", title), el("ul", className, ...items)] : []);

function rootView() {
  const shown = [...schema.types.values()].filter((one) => !one.name.startsWith("__")).sort((a, b) => a.name.localeCompare(b.name));
  return [
    el("h3", "", "Schema"),
    ...schema.roots.flatMap((root) => section(root.title, "", schema.types.get(root.name).fields.map((field) => fieldItem(field, root)))),
    ...section("All types", "types", shown.map((one) => el("li", "", typeLink(one.name)))),
  ];
}

const KINDS = { OBJECT: "type", INPUT_OBJECT: "input", ENUM: "enum", SCALAR: "scalar", INTERFACE: "interface", UNION: "union" };

function typeView({ name, field: marked }) {
  const one = schema.types.get(name), root = schema.roots.find((other) => other.name === name);
  const before = trail[trail.length - 2]?.name || "Schema";
  const links = (refs) => refs?.map((ref) => el("li", "", typeLink(ref.name)));
  const enumValue = (value) => el("li", marked === value.name ? "mark" : "", el("div", "signature", value.name), ...notes(value));
  return [
    button("link back", `← ${before}`, () => { trail.pop(); showDocs(true); }),
    el("h3", "", el("span", "muted", `${KINDS[one.kind] || ""} `), one.name),
    ...notes(one),
    ...section("Implements", "types", links(one.interfaces)),
    ...section("Possible types", "types", links(one.possibleTypes)),
    ...section("Fields", "", one.fields?.map((field) => fieldItem(field, root, field.name === marked))),
    ...section("Input fields", "", one.inputFields?.map(valueItem)),
    ...section("Values", "", one.enumValues?.map(enumValue)),
  ];
}

function searchView(words) {
  const hits = [];
  for (const one of schema.types.values()) {
    if (one.name.startsWith("__")) continue;
    if (one.name.toLowerCase().includes(words)) hits.push([one.name]);
    for (const member of [...(one.fields || []), ...(one.inputFields || []), ...(one.enumValues || [])]) {
      if (member.name.toLowerCase().includes(words)) hits.push([one.name, member.name]);
    }
  }
  byId("found").textContent = hits.length === 1 ? "1 match" : `${hits.length || "No"} matches`;
  return [el("h3", "", "Found"), el("ul", "results", ...hits.slice(0, 200).map(([name, member]) => el("li", "", typeLink(name, member))))];
}

// ---- operation skeletons

const isRequired = (value) => value.type.kind === "NON_NULL" && value.defaultValue == null;

function selection(ref, depth) {
  const owner = named(ref);
  if (!/^(OBJECT|INTERFACE|UNION)$/.test(owner.kind)) return "";
  const pad = "  ".repeat(depth + 2), lines = [], deeper = [];
  for (const field of owner.fields || []) {
    if (field.isDeprecated || field.args.some(isRequired)) continue;
    if (/^(SCALAR|ENUM)$/.test(named(field.type).kind)) lines.push(pad + field.name);
    else deeper.push(field);
  }
  if (depth < 1 || (!lines.length && depth < 3)) {
    for (const field of deeper) lines.push(pad + field.name + selection(field.type, depth + 1));
  }
  return ` {\n${(lines.length ? lines : [`${pad}__typename`]).join("\n")}\n${"  ".repeat(depth + 1)}}`;
}

function sample(ref, depth = 0) {
  if (ref.kind === "NON_NULL") return sample(ref.ofType, depth);
  if (ref.kind === "LIST") return [];
  const one = named(ref);
  if (one.kind === "ENUM") return one.enumValues[0].name;
  if (one.kind === "INPUT_OBJECT") {
    const needed = depth > 3 ? [] : one.inputFields.filter(isRequired);
    return Object.fromEntries(needed.map((value) => [value.name, sample(value.type, depth + 1)]));
  }
  return { Int: 0, Float: 0, Boolean: false }[one.name] ?? "";
}

function insertOperation(kind, field) {
  const taken = operations(query.value).map((one) => one.name);
  const base = field.name[0].toUpperCase() + field.name.slice(1);
  let name = base;
  for (let count = 2; taken.includes(name); count++) name = base + count;
  const needed = field.args.filter(isRequired);
  const list = (show) => (needed.length ? `(${needed.map(show).join(", ")})` : "");
  const declared = list((value) => `$${value.name}: ${typeText(value.type)}`);
  const passed = list((value) => `${value.name}: $${value.name}`);
  if (needed.length && !variablesProblem()) {
    const samples = Object.fromEntries(needed.map((value) => [value.name, sample(value.type)]));
    variables.value = JSON.stringify({ ...samples, ...JSON.parse(variables.value.trim() || "{}") }, null, 2);
    selectTab(byId("tab-variables"));
  }
  const kept = query.value.trimEnd();
  query.focus();
  query.setSelectionRange(kept.length, query.value.length);
  type(query, `${kept ? "\n\n" : ""}${kind} ${name}${declared} {\n  ${field.name}${passed}${selection(field.type, 0)}\n}`);
  showEditor();
}

// ---- wiring

byId("run").addEventListener("click", run);
byId("reload").addEventListener("click", loadSchema);
search.addEventListener("input", () => showDocs());
// A held key must not call twice: a rotation would take the first answer's new value away.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  if (!event.repeat) run();
});
// A page that the browser kept whole for its Back button would still hold the key.
window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
showEditor();
