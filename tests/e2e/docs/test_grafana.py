# SPDX-License-Identifier: Apache-2.0
"""The Grafana dashboard, checked without Grafana: it is complete and agrees with the documents.

test_integrations.py sends its queries to a real Prometheus."""

import itertools
import json
import re
from typing import Any

from harness.grafana import BUILT_IN, DASHBOARD, PANELS, ROWS, VARIABLES, queries
from harness.server import ROOT

PAGE = (ROOT / "docs/integrations.md").read_text()
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
METRICS = set(re.findall(r"`((?:uvicorn|http_server|target)_\w+)`(?=[^\n]*\| (?:gauge|counter|histogram) \|)", PAGE))


def test_it_can_be_imported_anywhere() -> None:
    """The reader chooses the data source, and nothing in it belongs to one Grafana."""
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", DASHBOARD["uid"])
    assert DASHBOARD["title"]
    assert "id" not in DASHBOARD
    assert 36 <= DASHBOARD["schemaVersion"] <= 39  # data sources by uid; the version of Grafana 10.4
    assert VARIABLES["datasource"] | {"type": "datasource", "query": "prometheus"} == VARIABLES["datasource"]
    named = [
        *PANELS,
        *(target for panel in PANELS for target in panel["targets"]),
        *DASHBOARD["annotations"]["list"],
        *(variable for variable in VARIABLES.values() if variable["type"] == "query"),
    ]
    assert [one for one in named if one["datasource"] != SOURCE] == []
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD))) - set(BUILT_IN)
    assert used - {"__all"} == set(VARIABLES)


def test_panels_are_laid_out() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    titles = [panel["title"] for panel in DASHBOARD["panels"]]
    assert len(titles) == len(set(titles))
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        assert 0 <= at["x"] <= 24 - at["w"], panel["title"]
        covered = set(itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])))
        assert not covered & cells, f"{panel['title']} overlaps another panel"
        cells |= covered
    # Grafana puts a panel into the row above it, and closes gaps.
    tops = [panel["gridPos"]["y"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert tops == sorted(tops)
    assert len(cells) == 24 * (max(y for _, y in cells) + 1)
    assert [row["title"][-1] for row in ROWS] == ["?"] * len(ROWS)


def unit(panel: dict[str, Any]) -> str:
    of_a_heatmap: str = panel["options"].get("yAxis", {}).get("unit", "")
    return of_a_heatmap or panel["fieldConfig"]["defaults"]["unit"]


def test_every_panel_explains_itself() -> None:
    for panel in PANELS:
        title = panel["title"]
        assert panel["description"].endswith("."), title
        assert len(panel["description"]) > 40, title
        assert unit(panel) in {"none", "short", "s", "bytes", "reqps", "percentunit"}, title
        letters = [target["refId"] for target in panel["targets"]]
        assert letters == list("ABCDEFGHIJ"[: len(letters)]), title
        if panel["type"] == "timeseries":
            assert [target for target in panel["targets"] if not target.get("legendFormat")] == [], title
            assert panel["options"]["legend"]["showLegend"], title
    for page in re.findall(r"docs/[\w/]+\.md", json.dumps(PANELS)):
        assert (ROOT / page).exists()
    for alert in re.findall(r"Uvicorn[A-Z]\w+", json.dumps(PANELS)):
        assert f"alert: {alert}\n" in PAGE


def test_overrides_and_columns_name_existing_series() -> None:
    """Grafana ignores unknown names without an error."""
    for panel in PANELS:
        names = {target.get("legendFormat", "") for target in panel["targets"]}
        columns = {f"Value #{target['refId']}" for target in panel["targets"]}
        for transformation in panel.get("transformations", []):
            options = transformation["options"]
            renamed = options.get("renameByName", {})
            assert {name for name in renamed if name.startswith("Value")} in (set(), columns), panel["title"]
            assert set(options.get("indexByName", {})) == set(renamed), panel["title"]
            names |= set(renamed.values())
        for override in panel["fieldConfig"]["overrides"]:
            matcher = override["matcher"]
            pattern = (
                matcher["options"].strip("/") if matcher["id"] == "byRegexp" else re.escape(matcher["options"]) + "$"
            )
            assert [name for name in names if re.match(pattern, name)], f"{panel['title']}: {matcher}"
        for column in panel["options"].get("sortBy", []):
            assert column["displayName"] in names, panel["title"]


def test_queries_select_only_the_chosen_servers() -> None:
    """Each selects by every variable that applies: `up` has no target, and metrics of a server have no endpoint."""
    for query in queries():
        selected = re.findall(r"(\w+)\{([^}]*)\}", query.expr)
        assert selected, query.of
        for metric, matchers in selected:
            wanted = ['instance=~"$instance"', 'target=~"$target"']
            wanted += ['endpoint=~"$endpoint"'] if metric.startswith("http_") else []
            assert matchers.split(",")[: len(wanted)] == wanted, query.of
        assert set(re.findall(r"\[(.*?)\]", query.expr)) <= {"$__rate_interval", "$__range"}, query.of


def test_every_metric_is_shown_somewhere() -> None:
    shown = {metric for query in queries() for metric in re.findall(r"(\w+)\{", query.expr)}
    assert {re.sub(r"_(bucket|sum|count)$", "", metric) for metric in shown} == METRICS


def test_thresholds_equal_those_of_the_alerts() -> None:
    marked = {
        panel["title"]: [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]][1:]
        for panel in PANELS
        if "thresholds" in panel["fieldConfig"]["defaults"]
    }
    [share] = re.findall(r"alert: UvicornFails\n.*? > ([\d.]+)\n", PAGE, re.DOTALL)
    [slow] = re.findall(r"alert: UvicornIsSlow\n.*? > ([\d.]+)\n", PAGE, re.DOTALL)
    assert marked["Share that fails"] == [float(share)]
    assert marked["Durations"] == marked["95% by endpoint"] == [float(slow)]
    assert marked["Queue depth"] == marked["Undercount"] == [1]
