"""Dashboards as Grafana reads them, and the files that provision them.

Source: Grafana's dashboard JSON model, written by grafana-foundation-sdk.
"""

import json
from typing import Any
from urllib.parse import quote

import yaml
from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models

from monitors.dashboards.model import Board, Panel, Query, Variable

SOURCE = "${datasource}"
_HEIGHT = 8
_TAG = "storewatch"

ANNOTATIONS: tuple[tuple[str, str, str, str], ...] = (
    # name, colour, text, a series whose value is a moment in Unix milliseconds
    (
        "Incidents",
        "red",
        "{{alertname}} {{sloth_slo}}{{target}}{{node}}{{journey}}",
        # What only ever was pending disturbed nobody.
        'ALERTS_FOR_STATE{severity="page"} * 1000'
        ' and ignoring (alertstate) ALERTS{severity="page",alertstate="firing"}',
    ),
    (
        "Releases",
        "blue",
        "{{subject}}",
        'storewatch_evidence_timestamp_seconds{kind="release"} * 1000',
    ),
    (
        "Drills and proofs",
        "purple",
        "{{kind}} {{subject}}",
        'storewatch_evidence_timestamp_seconds{kind=~"drill|proof"} * 1000',
    ),
)


def to_grafana(board: Board, runbooks_url: str) -> dict[str, Any]:
    """Return a dashboard's JSON object.

    Args:
        board: what it shows.
        runbooks_url: address of the runbook pages, before `/<alert>`.
    """
    builder = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.description)
        .tags([_TAG])
        .timezone("browser")
        .time("now-3h", "now")
        .refresh("30s")
        .readonly()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("storewatch")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags([_TAG])
            .as_dropdown(True)
            .keep_time(True)
        )
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("Source").type("prometheus")
        )
    )
    for variable in board.variables:
        builder = builder.with_variable(_variable(variable))
    number = 0
    for row in board.rows:
        builder = builder.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            number += 1
            builder = builder.with_panel(_panel(panel, runbooks_url).id(number))
    found: dict[str, Any] = json.loads(json.dumps(builder.build(), cls=JSONEncoder))
    found["annotations"] = {"list": [_annotation(*entry) for entry in ANNOTATIONS]}
    return found


def to_json(content: dict[str, Any]) -> str:
    """Return a dashboard as the text of its file; equal dashboards give equal texts."""
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def provisioning(prometheus_url: str, scrape_interval: str) -> dict[str, str]:
    """Return Grafana's provisioning files by path: the source, and where dashboards lie.

    Args:
        prometheus_url: of the source.
        scrape_interval: in Prometheus' form. `$__rate_interval` is at least four of it; Grafana
            takes 15s where it is not told.
    """
    sources = {
        "apiVersion": 1,
        "datasources": [
            {
                "name": "storewatch",
                "type": "prometheus",
                "access": "proxy",
                "url": prometheus_url,
                "isDefault": True,
                "jsonData": {"httpMethod": "POST", "timeInterval": scrape_interval},
            }
        ],
    }
    providers = {
        "apiVersion": 1,
        "providers": [
            {
                "name": "storewatch",
                "folder": "storewatch",
                "type": "file",
                "disableDeletion": True,
                "allowUiUpdates": False,
                "options": {"path": "/etc/grafana/dashboards/storewatch"},
            }
        ],
    }
    return {
        "provisioning/datasources/storewatch.yaml": yaml.safe_dump(sources, sort_keys=False),
        "provisioning/dashboards/storewatch.yaml": yaml.safe_dump(providers, sort_keys=False),
    }


def _variable(variable: Variable) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(variable.name)
        .label(variable.label)
        .datasource(_source())
        .query(f"label_values({variable.query})")
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
    )


def _panel(panel: Panel, runbooks_url: str) -> Any:
    kinds: dict[str, Any] = {"graph": _graph, "stat": _stat, "table": _table}
    builder = (
        kinds[panel.kind](panel)
        .title(panel.title)
        .description(panel.description)
        .datasource(_source())
        .unit(panel.unit)
        .span(panel.width)
        .height(_HEIGHT)
        .targets([_target(i, q, panel) for i, q in enumerate(panel.queries)])
    )
    if panel.names:
        options = {
            f"{value:g}": models.ValueMappingResult(text=text, color=color)
            for value, text, color in panel.names
        }
        builder = builder.mappings([models.ValueMap(options=options)])
    if panel.bounds:
        builder = builder.thresholds(_thresholds(panel))
    if panel.alert:
        page = f"{runbooks_url}/{quote(panel.alert)}"
        link = dashboard.DashboardLink(f"Runbook {panel.alert}").url(page).target_blank(True)
        builder = builder.links([link])
    return builder


def _graph(panel: Panel) -> timeseries.Panel:
    builder = (
        timeseries.Panel()
        .fill_opacity(30 if panel.stacked else 5)
        .line_width(1)
        .show_points(common_models.VisibilityMode.NEVER)
        .tooltip(common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI))
        .axis_soft_min(0)  # an overspent budget is below
    )
    if panel.stacked:
        stacking = common.StackingConfig().mode(common_models.StackingMode.NORMAL)
        builder = builder.stacking(stacking)
    if panel.bounds:
        line = common.GraphThresholdsStyleConfig().mode(
            common_models.GraphTresholdsStyleMode.DASHED
        )
        builder = builder.thresholds_style(line)
    return builder


def _stat(panel: Panel) -> stat.Panel:
    several = len(panel.queries) > 1 or bool(panel.queries[0].legend)
    mode = (
        common_models.BigValueTextMode.VALUE_AND_NAME
        if several
        else common_models.BigValueTextMode.VALUE
    )
    return (
        stat.Panel()
        .text_mode(mode)
        .graph_mode(common_models.BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def _table(panel: Panel) -> table.Panel:
    del panel
    return table.Panel().show_header(True)


def _target(index: int, query: Query, panel: Panel) -> prometheus.Dataquery:
    builder = (
        prometheus.Dataquery()
        .expr(query.expr)
        .legend_format(query.legend or "__auto")
        .ref_id(chr(ord("A") + index))
        .datasource(_source())
    )
    if panel.kind == "graph":
        return builder.range()
    if panel.kind == "table":
        builder = builder.format("table")
    return builder.instant()


def _thresholds(panel: Panel) -> dashboard.ThresholdsConfig:
    base = "green" if panel.kind != "graph" else "transparent"
    steps = [models.Threshold(value=None, color=base)]
    steps += [models.Threshold(value=value, color=color) for value, color in panel.bounds]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def _source() -> Any:
    return models.DataSourceRef(type_val="prometheus", uid=SOURCE)


def _annotation(name: str, color: str, text: str, expr: str) -> dict[str, Any]:
    return {
        "name": name,
        "datasource": {"type": "prometheus", "uid": SOURCE},
        "enable": True,
        "iconColor": color,
        "expr": expr,
        "step": "60s",
        "titleFormat": name,
        "textFormat": text,
        "useValueForTime": "on",
    }
