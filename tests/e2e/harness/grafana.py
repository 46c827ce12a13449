# SPDX-License-Identifier: Apache-2.0
"""Reads docs/grafana/uvicorn.json and fills in its queries as Grafana would before it sends them to Prometheus."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.server import ROOT

FILE = ROOT / "docs/grafana/uvicorn.json"
DASHBOARD: dict[str, Any] = json.loads(FILE.read_text())
ROWS = [panel for panel in DASHBOARD["panels"] if panel["type"] == "row"]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
VARIABLES = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
ALL = {name: variable["allValue"] for name, variable in VARIABLES.items() if variable["type"] == "query"}
# For a dashboard over the last hour; with the usual scrape interval, Grafana takes a rate over at least one minute.
BUILT_IN = {"__rate_interval": "1m", "__interval": "15s", "__range": "1h"}


@dataclass(frozen=True)
class Query:
    """`legend` names the labels that distinguish the series."""

    of: str
    expr: str
    legend: str = ""

    def sent(self, **chosen: str) -> str:
        """The query with each variable replaced as Grafana replaces it: a single value becomes a regular expression
        that matches only that value, in a PromQL string. A variable that is not in `chosen` has the value `All`."""
        values = ALL | BUILT_IN
        values |= {name: re.escape(value).replace("\\", "\\\\") for name, value in chosen.items()}
        return re.sub(r"\$(\w+)|\$\{(\w+)\}", lambda found: values[found[1] or found[2]], self.expr)


def queries() -> Iterator[Query]:
    """The queries of the panels and the annotations."""
    for panel in PANELS:
        for target in panel["targets"]:
            yield Query(f"{panel['title']} {target['refId']}", target["expr"], target.get("legendFormat", ""))
    for annotation in DASHBOARD["annotations"]["list"]:
        yield Query(annotation["name"], annotation["expr"], annotation["textFormat"])


def values_of_a_label(name: str) -> tuple[Query, str]:
    """The series and the label that supply a variable's values."""
    found = re.fullmatch(r"label_values\((.*), (\w+)\)", VARIABLES[name]["query"]["query"])
    assert found
    return Query(name, found[1]), found[2]
