"""Reads /metrics with the parser of Prometheus' own Python client."""

import os
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

with urllib.request.urlopen(f"{os.environ['BASE_URL']}/metrics", timeout=30) as answer:
    kind, text = answer.headers["Content-Type"], answer.read().decode()
families = list(text_string_to_metric_families(text))
samples = sum(len(family.samples) for family in families)
print(f"{kind}: {len(families)} metrics, {samples} samples")
assert kind.startswith("text/plain") and families
for family in families:
    assert family.name.startswith(("tokenbridge_", "process_")), family.name
    assert family.documentation, f"{family.name} has no HELP"
    assert family.type != "unknown", f"{family.name} has no TYPE"
    if family.type == "counter":
        # The parser removes _total from the family's name if it is present.
        assert f"# TYPE {family.name}_total counter" in text, f"{family.name} does not end in _total"
