#!/usr/bin/env python3
"""The checks of tests/watch/run on the servers, Prometheus, and the dashboard: one command per check, with exit code 0 if it holds."""

import base64
import http.client
import json
import math
import os
import random
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
import uuid

LEGACY = [f"/rest/{name}/{version}" for name in ("agent-config", "agent") for version in ("1.0", "latest")]
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
# Labels and metrics that Prometheus adds.
ADDED_LABELS = {"job", "instance"}
BUILT_IN_METRICS = {"up"}
# Values for Grafana's variables. Days and hours become minutes and seconds, because there is no older data.
VARIABLES = {
    "$job": "tokenbridge",
    "$instance": ".*",
    "$channel": ".*",
    "$__rate_interval": "20s",
    "$__interval": "20s",
    "30d:1h": "1m:1s",
}
# Maximum number of series of one server, regardless of the number of requests.
MAX_SERIES = 600
# After one request of each kind, random requests add few combinations of channel, method, and status.
MAX_NEW_SERIES = 40


class CheckFailed(Exception):
    """The check failed."""


def expect(holds, message):
    if not holds:
        raise CheckFailed(message)


# HTTP


def call(address, method, path, headers=None, body=None):
    """The status, headers, and body of a response."""
    connection = http.client.HTTPConnection(address, timeout=20)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def basic(name, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def admin():
    return {**basic("admin", os.environ["TOKENBRIDGE_ADMIN_PASSWORD"]), "Content-Type": "application/json"}


def ask(prometheus, path, **parameters):
    """The data of a response of Prometheus' API."""
    url = f"http://{prometheus}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        raise CheckFailed(f"{parameters}: {json.load(error).get('error')}") from error


def traffic(*servers):
    """Sends requests through every channel."""

    def expect_status(expected, method, path, headers=None, body=None):
        status, _, text = call(server, method, path, headers, json.dumps(body) if body else None)
        expect(status == expected, f"{method} {path}: {status} instead of {expected}: {text}")
        return json.loads(text) if text.startswith("{") else None

    for server in servers:
        for prefix in LEGACY:
            made = expect_status(200, "POST", f"{prefix}/tokens/", admin(), {"name": "watched", "read": True})
            expect_status(200, "GET", f"{prefix}/tokens", admin())
            expect_status(200, "PUT", f"{prefix}/tokens/{made['uuid']}", admin(), {"change": True})
            expect_status(204, "DELETE", f"{prefix}/tokens/{made['uuid']}", admin())
        made = expect_status(200, "POST", "/api-tokens", admin(), {"name": "watched"})
        away = expect_status(200, "POST", "/api-tokens", admin(), {"name": "away", "allowedCIDRBlocks": ["192.0.2.0/24"]})
        key = {"X-API-Key": made["value"]}
        expect_status(200, "GET", "/api-tokens/self", key)
        for _ in range(3):
            expect_status(200, "GET", "/verify", key)
        expect_status(401, "GET", "/verify", {"X-API-Key": away["value"]})
        expect_status(401, "GET", "/verify", {"X-API-Key": "wrong"})
        expect_status(401, "GET", "/verify")
        # The same wrong password counts once.
        for attempt in range(11):
            status, _, _ = call(server, "GET", "/api-tokens", basic("unknown", f"wrong {attempt}"))
            expect(status in (401, 429), f"a wrong login: {status}")
        expect_status(429, "GET", "/api-tokens", basic("unknown", "wrong again"))
        expect_status(404, "GET", "/nothing/here")


# The text format


def series_of(text):
    """The name and labels of each series."""
    found = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, labels = re.fullmatch(r"([\w:]+)(?:\{(.*)\})? \S+", line).groups()
            found.append((name, dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or ""))))
    return found


def scrape(server):
    status, _, text = call(server, "GET", "/metrics")
    expect(status == 200, f"/metrics: {status}")
    return text


# Expressions

KEYWORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan"}


def parts(expression):
    """The selectors of an expression, as name and matchers, and its grouping labels."""
    labels = set()

    def grouped(match):
        labels.update(re.findall(r"\w+", match.group(2)))
        return " "

    strings = []

    def held(match):
        strings.append(match.group(1))
        return f"\0{len(strings) - 1}\0"

    rest = re.sub(r'"([^"]*)"', held, expression)
    rest = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)", grouped, rest)
    rest = re.sub(r"\[[^\]]*\]|\boffset\s+\w+", " ", rest)
    selectors = []
    for match in re.finditer(r"\b([A-Za-z_:][\w:]*)\b\s*(\(|\{[^}]*\})?", rest):
        name, tail = match.group(1), match.group(2) or ""
        if tail == "(" or name.lower() in KEYWORDS:
            continue
        matchers = [(a, op, strings[int(at)]) for a, op, at in re.findall(r"(\w+)\s*(=~|!~|!=|=)\s*\0(\d+)\0", tail)]
        selectors.append((name, matchers))
    return selectors, labels


def matches(labels, matcher):
    label, operator, value = matcher
    if operator == "=":
        return labels.get(label, "") == value
    if operator == "=~":
        return re.fullmatch(value, labels.get(label, "")) is not None
    # A negative matcher needs no series with that value, but the label must exist.
    return label in labels


def check_names(expression, live, where):
    selectors, grouped = parts(expression)
    expect(selectors, f"{where}: no metric in {expression}")
    known = set(ADDED_LABELS)
    for name, matchers in selectors:
        if name in BUILT_IN_METRICS:
            continue
        of_name = [labels for other, labels in live if other == name]
        expect(of_name, f"{where}: there is no metric {name}")
        known.update(*of_name)
        matchers = [matcher for matcher in matchers if matcher[0] not in ADDED_LABELS]
        for matcher in matchers:
            expect(any(matcher[0] in labels for labels in of_name), f"{where}: {name} has no label {matcher[0]}")
        expect(
            any(all(matches(labels, matcher) for matcher in matchers) for labels in of_name),
            f"{where}: no series is {name} with {matchers}",
        )
    expect(grouped <= known, f"{where}: no metric has the label {grouped - known}: {expression}")
    return len(selectors)


def rules(prometheus):
    found = [rule for group in ask(prometheus, "rules")["groups"] for rule in group["rules"]]
    expect(found, "Prometheus has loaded no rules")
    return found


def fill_in_variables(text):
    for variable, value in VARIABLES.items():
        text = text.replace(variable, value)
    expect("$" not in text, f"a variable that is not known here: {text}")
    return text


def panels(path):
    with open(path, encoding="utf-8") as file:
        board = json.load(file)
    return board, [panel for panel in board["panels"] if panel["type"] != "row"]


def names(prometheus, board_path, *scraped):
    live = []
    for path in scraped:
        with open(path, encoding="utf-8") as file:
            live += series_of(file.read())
    board, shown = panels(board_path)
    selectors = sum(check_names(rule["query"], live, rule["name"]) for rule in rules(prometheus))
    for panel in shown:
        for target in panel["targets"]:
            selectors += check_names(fill_in_variables(target["expr"]), live, panel["title"])
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]).groups()
            selectors += check_names(f"sum by ({label}) ({fill_in_variables(selector)})", live, f"variable {variable['name']}")
    print(f"note: {selectors} selectors")


def alerts(prometheus):
    loaded = rules(prometheus)
    for rule in loaded:
        ask(prometheus, "query", query=rule["query"])
        expect(rule["health"] == "ok", f"{rule['name']}: {rule['health']}: {rule.get('lastError')}")
        expect({"summary", "description"} <= rule["annotations"].keys(), f"{rule['name']} does not say what to do")
        severity = rule["labels"].get("severity")
        expect(severity in ("critical", "warning", "info"), f"{rule['name']}: severity {severity}")
        with open("deploy/prometheus/tokenbridge.rules.test.yml", encoding="utf-8") as file:
            tests = re.findall(rf'alertname="{rule["name"]}".*\n.*\n( *exp_samples:.*)', file.read())
        fires = sum("[]" not in samples for samples in tests)
        expect(0 < fires < len(tests), f"{rule['name']}: {fires} of {len(tests)} tests are that it fires")
    print(f"note: {len(loaded)} alerts")


def dashboard(prometheus, board_path):
    count = 0
    for panel in panels(board_path)[1]:
        for target in panel["targets"]:
            expression = fill_in_variables(target["expr"])
            result = ask(prometheus, "query", query=expression)["result"]
            where = f"{panel['title']}: {expression}"
            expect(result, f"{where}: nothing")
            expect(any(not math.isnan(float(series["value"][1])) for series in result), f"{where}: no numbers")
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                expect(all(label in series["metric"] for series in result), f"{where}: no label {label}")
            count += 1
    print(f"note: {count} expressions")


def layout(board_path):
    """Each panel has a title, a description, and a unit, and overlaps no other."""
    board, shown = panels(board_path)
    identities = [panel["id"] for panel in board["panels"]]
    expect(len(set(identities)) == len(identities), "two panels have one id")
    expect(board["uid"] and board["schemaVersion"] and "id" not in board, "head")
    variables = {variable["name"] for variable in board["templating"]["list"]}
    taken = {}
    for panel in board["panels"]:
        at = panel["gridPos"]
        expect(at["x"] + at["w"] <= 24, f"{panel['title']} is too wide")
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                other = taken.setdefault((x, y), panel["title"])
                expect(other == panel["title"], f"{panel['title']} lies on {other}")
    for panel in shown:
        title, defaults = panel["title"], panel["fieldConfig"]["defaults"]
        expect(panel["description"], f"{title}: no description")
        expect(panel["datasource"]["uid"] == "${datasource}", f"{title}: a data source of its own")
        expect("unit" in defaults or "mappings" in defaults or panel["type"] == "heatmap" or title == "Version", f"{title}: no unit")
        references = [target["refId"] for target in panel["targets"]]
        expect(len(set(references)) == len(references), f"{title}: two targets have one refId")
        used = set(re.findall(r"\$\{?([a-z]+)", json.dumps(panel)))
        expect(used <= variables, f"{title}: {used - variables}")
    print(f"note: {len(shown)} panels")


# Alerts and targets


def up(prometheus, *servers):
    targets = ask(prometheus, "targets", state="active")["activeTargets"]
    states = {target["labels"]["instance"]: (target["health"], target["lastError"]) for target in targets}
    expect(states == {server: ("up", "") for server in servers}, f"{states}")
    # Rates need two scrapes.
    result = ask(prometheus, "query", query="min(count_over_time(up[1m]))")["result"]
    expect(result and float(result[0]["value"][1]) >= 2, "not scraped twice yet")


def active_alerts(prometheus):
    return [(one["labels"], one["state"], one["annotations"]) for one in ask(prometheus, "alerts")["alerts"]]


def alert(prometheus, name, instance, *states):
    found = [
        state
        for labels, state, _ in active_alerts(prometheus)
        if labels["alertname"] == name and instance in ("", labels.get("instance"))
    ]
    expect(set(found) <= set(states) and bool(found) == bool(states), f"{name} is {found or 'quiet'}")


def quiet(prometheus):
    found = {labels["alertname"] for labels, _, _ in active_alerts(prometheus)}
    expect(found == {"TokenbridgeLegacyUsed"}, f"{sorted(found)}")


def check_annotations(prometheus):
    found = active_alerts(prometheus)
    for labels, _, annotations in found:
        for text in annotations.values():
            expect(not re.search(r"<no value>|<error|\{\{|  ", text), f"{labels['alertname']}: {text}")
    print(f"note: {len({labels['alertname'] for labels, _, _ in found})} alerts are raised now")


# Cardinality


def random_calls(server):
    """Sends one request of each kind, and then 300 random ones."""
    chance = random.Random()
    words = set()

    def word():
        made = "".join(chance.choice("bcdfghjklmnpqrstvwxz") for _ in range(12))
        words.add(made)
        return made

    def identity():
        made = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        words.add(made)
        return made

    def one(method, path, headers, name):
        headers = {**headers, "User-Agent": word(), "X-Request-Id": word(), "Referer": word()}
        if method in ("POST", "PUT"):
            body = json.dumps({"name": name, "read": True})
        else:
            body = None
        _, answered, text = call(server, method, path, headers, body)
        words.update(re.findall(r'"(?:uuid|id|value)":"([^"]{12,})"', text))
        words.update(filter(None, (answered.get("X-Token-Id"), answered.get("X-Token-Name"))))

    def paths():
        return [prefix + tail for prefix in LEGACY for tail in ("/tokens", f"/tokens/{identity()}", f"/{word()}")] + [
            "/api-tokens",
            "/api-tokens/self",
            f"/api-tokens/{identity()}",
            f"/api-tokens/{identity()}/rotate",
            f"/api-tokens?name={word()}",
            "/verify",
            f"/verify?require={word()}",
            f"/{word()}",
            f"/{word()}/{identity()}?{word()}={word()}",
            f"/metrics/{word()}",
        ]

    def callers():
        return [{}, admin(), {"X-API-Key": word()}, {"Authorization": f"Bearer {word()}"}]

    for method in METHODS:
        for path in paths():
            for headers in callers():
                one(method, path, headers, word())
    before = len(series_of(scrape(server)))
    for _ in range(300):
        method = chance.choice([*METHODS, word().upper(), word().upper()])
        # Each name is used once: repeated failures of one name would all be throttled.
        headers = chance.choice([*callers(), basic(word(), word())])
        one(method, chance.choice(paths()), headers, word())
    text = scrape(server)
    after = len(series_of(text))
    print(f"note: {before} series before, {after} after; {len(words)} values that must not be there")
    expect(after - before <= MAX_NEW_SERIES, f"{after - before} series more")
    expect(after <= MAX_SERIES, f"{after} series")
    found = [one for one in words if one.lower() in text.lower()]
    expect(not found, f"in the text: {found}")


def guess(server):
    for _ in range(150):
        status, _, _ = call(server, "GET", "/verify", {"X-API-Key": str(random.getrandbits(64))})
        expect(status == 401, f"a guessed value: {status}")


COMMANDS = {
    "guess": guess,
    "traffic": traffic,
    "names": names,
    "alerts": alerts,
    "dashboard": dashboard,
    "layout": layout,
    "up": up,
    "alert": alert,
    "quiet": quiet,
    "check_annotations": check_annotations,
    "random": random_calls,
}

if __name__ == "__main__":
    try:
        COMMANDS[sys.argv[1]](*sys.argv[2:])
    except CheckFailed as wrong:
        sys.exit(str(wrong))
