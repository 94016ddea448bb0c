"""Settings -> Alertmanager's configuration: who is told of what, and when nobody is.

The tree, in the order in which it is asked: the watchdog's heartbeat; test notifications; failed
notifications by another road than the one that fails; maintenance windows, each with a copy of
what follows, muted; routes of one's own; the desk, which hears of everything.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from alerting.inhibitions import inhibit_rules
from alerting.maintenance import MaintenanceSettings, time_interval
from alerting.prometheus import duration
from alerting.receivers import (
    DESK_PAGE,
    DESK_TICKET,
    HEARTBEAT,
    NOBODY,
    RouteSettings,
    hidden,
    integrations,
)
from alerting.settings import AlertmanagerSettings, AlertSettings, Timing
from alerting.windows import Severity

GROUP_BY = (
    "alertname",
    "collector",
    "instance",
    "integration",
    "invariant",
    "journey",
    "kind",
    "mountpoint",
    "node",
    "part",
    "provider",
    "query",
    "severity",
    "sign",
    "signal",
    "slot_name",
    "sloth_id",
    "spent",
    "subject",
    "target",
    "tier",
)
"""An incident is an alert's name and what tells its instances apart."""

TEST_ALERT, TEST_LABEL = "NotificationTest", "test_receiver"
FAILING = "NotificationsFailing"

Node = dict[str, Any]


def alertmanager_config(settings: AlertSettings, credentials_file: Path) -> dict[str, Any]:
    """Return Alertmanager's configuration.

    Args:
        settings: whom to tell, in which rhythm.
        credentials_file: file (0600) with the bearer token of the desk.
    """
    receivers = _receivers(settings, credentials_file)
    roads, silent = _other_roads(settings, receivers)
    config = {
        "route": {
            "receiver": DESK_TICKET,
            "group_by": list(GROUP_BY),
            **_timing(settings.alertmanager.ticket),
            "routes": [
                _heartbeat_route(),
                _test_route([one["name"] for one in receivers if one["name"] != NOBODY]),
                *roads,
                *_maintained(settings, _distinct(settings.maintenance), []),
                *_told(settings, []),
            ],
        },
        "inhibit_rules": inhibit_rules(settings, silent),
        "receivers": receivers,
    }
    if settings.maintenance:
        config["time_intervals"] = [time_interval(window) for window in settings.maintenance]
    return config


def render_alertmanager(
    settings: AlertSettings, credentials_file: Path, *, secrets: bool = True
) -> str:
    """Return Alertmanager's configuration as YAML.

    Args:
        settings: whom to tell, in which rhythm.
        credentials_file: file (0600) with the bearer token of the desk.
        secrets: whether receivers of one's own keep their secrets; then it belongs into a file
            that only Alertmanager's account reads.
    """
    config = alertmanager_config(settings, credentials_file)
    if not secrets:
        config["receivers"] = [
            hidden(one) if one["name"] in settings.receivers else one for one in config["receivers"]
        ]
    return yaml.dump(config, Dumper=_Plain, sort_keys=False, width=1000, allow_unicode=True)


def alertmanager_argv(
    settings: AlertmanagerSettings, program: Path, config: Path, data: Path
) -> list[str]:
    """Return the command line of an Alertmanager that stands alone."""
    host, port = settings.listen
    return [
        str(program),
        f"--config.file={config}",
        f"--storage.path={data}",
        f"--web.listen-address={host}:{port}",
        "--cluster.listen-address=",
    ]


def roadless(settings: AlertSettings) -> list[str]:
    """Return the integrations whose failure would be told to nobody, not even by a silence."""
    if settings.alertmanager.heartbeat_url:
        return []
    return _other_roads(settings, _receivers(settings, Path()))[1]


def _receivers(settings: AlertSettings, credentials_file: Path) -> list[Node]:
    desk = {
        "url": settings.alertmanager.desk_url,
        "send_resolved": True,
        "max_alerts": 0,
        "http_config": {
            "authorization": {"type": "Bearer", "credentials_file": str(credentials_file)},
            "follow_redirects": False,
        },
    }
    heartbeat: Node = {"name": HEARTBEAT}
    if settings.alertmanager.heartbeat_url:
        url = settings.alertmanager.heartbeat_url
        heartbeat["webhook_configs"] = [{"url": url, "send_resolved": False}]
    return [
        {"name": DESK_PAGE, "webhook_configs": [desk]},
        {"name": DESK_TICKET, "webhook_configs": [desk]},
        heartbeat,
        {"name": NOBODY},
        *({"name": name, **own} for name, own in settings.receivers.items()),
    ]


def _heartbeat_route() -> Node:
    """Return the route of the pulse.

    Each minute Alertmanager asks whether the last one is older than the time to repeat; sending
    takes a moment, so with a minute for both every second pulse would be left out.
    """
    return {
        "receiver": HEARTBEAT,
        "matchers": ['alertname="Watchdog"'],
        "group_wait": "0s",
        "group_interval": "1m",
        "repeat_interval": "30s",
    }


def _test_route(names: list[str]) -> Node:
    return {
        "receiver": NOBODY,
        "matchers": [f'alertname="{TEST_ALERT}"'],
        "group_by": ["..."],
        "group_wait": "0s",
        "group_interval": "10s",
        "routes": [{"receiver": name, "matchers": [f'{TEST_LABEL}="{name}"']} for name in names],
    }


def _other_roads(settings: AlertSettings, receivers: list[Node]) -> tuple[list[Node], list[str]]:
    """Return routes for failing integrations, and the integrations for which there is none."""
    by_name = {one["name"]: integrations(one) for one in receivers}
    routes, silent = [], []
    for failing in sorted({kind for kinds in by_name.values() for kind in kinds}):
        road = next((name for name in settings.fallbacks if failing not in by_name[name]), None)
        if road is None:
            silent.append(failing)
            continue
        routes.append(
            {
                "receiver": road,
                "matchers": [f'alertname="{FAILING}"', f'integration="{failing}"'],
                "group_wait": "0s",
                "continue": True,
            }
        )
    return routes, silent


def _distinct(windows: Sequence[MaintenanceSettings]) -> list[list[MaintenanceSettings]]:
    """Return the windows by their matchers."""
    found: dict[tuple[str, ...], list[MaintenanceSettings]] = {}
    for window in windows:
        found.setdefault(window.matchers, []).append(window)
    return list(found.values())


def _maintained(
    settings: AlertSettings, windows: list[list[MaintenanceSettings]], muted: list[str]
) -> list[Node]:
    """Return a copy of the tree for each set of windows that an alert may meet together.

    Alertmanager mutes by route and not by alert: whoever meets two windows needs a route that both
    mute.
    """
    nodes = []
    for index, same in enumerate(windows):
        names = [*muted, *(window.name for window in same)]
        inside = [*_maintained(settings, windows[index + 1 :], names), *_told(settings, names)]
        matchers = list(same[0].matchers)
        nodes.append(
            {
                "receiver": DESK_TICKET,
                **({"matchers": matchers} if matchers else {}),
                "mute_time_intervals": names,
                "routes": inside,
            }
        )
    return nodes


def _told(settings: AlertSettings, muted: list[str]) -> list[Node]:
    """Return routes of one's own and the desk's; what meets none is the desk's ticket."""
    mute = {"mute_time_intervals": muted} if muted else {}
    own = [node for route in settings.routes for node in _own(route, mute)]
    page = {**_timing(settings.alertmanager.page), **mute}
    by = [f'{label}="{Severity.PAGE.value}"' for label in ("severity", "sloth_severity")]
    desk = [{"receiver": DESK_PAGE, "matchers": [one], **page} for one in by]
    if not own:
        return desk
    # A route of its own that goes on: whatever is decided inside, the desk is asked next.
    people = {"receiver": NOBODY, "continue": True, "routes": own}
    return [people, *desk, {"receiver": DESK_TICKET, **mute}]


def _own(route: RouteSettings, mute: Node) -> list[Node]:
    """Return one route for each receiver; all but the last go on to the next."""
    times = {
        name: duration(seconds)
        for name in ("group_wait", "group_interval", "repeat_interval")
        if (seconds := getattr(route, name)) is not None
    }
    return [
        {
            "receiver": name,
            **({"matchers": list(route.matchers)} if route.matchers else {}),
            **({"group_by": list(route.group_by)} if route.group_by is not None else {}),
            **times,
            **mute,
            "continue": route.go_on or name != route.receivers[-1],
        }
        for name in route.receivers
    ]


def _timing(timing: Timing) -> dict[str, str]:
    return {name: duration(seconds) for name, seconds in timing}


class _Plain(yaml.SafeDumper):
    """Writes equal parts out in full instead of as YAML aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True
