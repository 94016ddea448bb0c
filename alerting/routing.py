"""Who would be told of an alert, and why: Alertmanager's decisions, made here and explained.

Source: Alertmanager 0.25, dispatch/route.go (matching), inhibit/inhibit.go; a test compares with
`amtool config routes test`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from alerting.maintenance import MaintenanceSettings
from alerting.matchers import all_match
from alerting.receivers import NOBODY, integrations
from storewatch.core.parts import Labels

_INHERITED = ("receiver", "group_by", "group_wait", "group_interval", "repeat_interval")


@dataclass(frozen=True, slots=True)
class Told:
    """A receiver that an alert would go to.

    Attributes:
        receiver: its name.
        integrations: how it is told: webhook, slack, email.
        path: matchers of each route on the way that asks for something; none: every alert.
        group: labels by which the alert is bundled with others, with their values.
        timing: group_wait, group_interval and repeat_interval.
        muted_by: maintenance windows in which it is not told.
    """

    receiver: str
    integrations: tuple[str, ...]
    path: tuple[str, ...]
    group: Mapping[str, str]
    timing: Mapping[str, str]
    muted_by: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as one JSON object."""
        return {
            "receiver": self.receiver,
            "integrations": list(self.integrations),
            "path": list(self.path),
            "group": dict(self.group),
            **self.timing,
            "muted_by": list(self.muted_by),
        }


def told(config: Mapping[str, Any], labels: Labels) -> list[Told]:
    """Return who would be told, in order; a receiver that does nothing is left out.

    Args:
        config: Alertmanager's configuration.
        labels: of the alert.
    """
    receivers = {one["name"]: tuple(integrations(one)) for one in config["receivers"]}
    found = []
    for path, route in _match(config["route"], labels, {}, ()):
        name = route["receiver"]
        if name == NOBODY:
            continue
        found.append(
            Told(
                receiver=name,
                integrations=receivers[name],
                path=path,
                group=_group(route["group_by"], labels),
                timing={key: route[key] for key in _INHERITED[2:]},
                muted_by=tuple(route.get("mute_time_intervals", ())),
            )
        )
    return found


def _match(
    route: Mapping[str, Any], labels: Labels, above: Mapping[str, Any], path: tuple[str, ...]
) -> list[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Return the routes that an alert ends at, each complete with what it inherits."""
    matchers = tuple(route.get("matchers", ()))
    if not all_match(matchers, labels):
        return []
    own = {**{key: above[key] for key in _INHERITED if key in above}, **route}
    path = (*path, *([" ".join(matchers)] if matchers else []))
    found = []
    for child in route.get("routes", ()):
        deeper = _match(child, labels, own, path)
        found += deeper
        if deeper and not child.get("continue"):
            break
    return found or [(path, own)]


def _group(by: Sequence[str], labels: Labels) -> dict[str, str]:
    names = sorted(labels) if "..." in by else by
    return {name: labels[name] for name in names if name in labels}


@dataclass(frozen=True, slots=True)
class Muted:
    """A reason for which nobody, or not everybody, would be told.

    Attributes:
        why: in words.
        now: whether it holds at this moment; None where that cannot be known.
    """

    why: str
    now: bool | None

    def to_json(self) -> dict[str, Any]:
        """Return it as one JSON object."""
        return {"why": self.why, "now": self.now}


def inhibited(
    config: Mapping[str, Any], labels: Labels, firing: Iterable[Labels] | None
) -> list[Muted]:
    """Return the causes that would mute an alert.

    Args:
        config: Alertmanager's configuration.
        labels: of the alert.
        firing: labels of the alerts that fire now; None: not known.
    """
    alerts = None if firing is None else list(firing)
    found = []
    for rule in config["inhibit_rules"]:
        source, target = tuple(rule["source_matchers"]), tuple(rule["target_matchers"])
        # What is a cause and a consequence of one rule at once is not muted by its like.
        if not all_match(target, labels) or all_match(source, labels):
            continue
        equal = rule.get("equal", ())
        agreeing = "".join(f', {name}="{labels.get(name, "")}"' for name in equal)
        now = alerts and any(
            all_match(source, other)
            and all(other.get(name, "") == labels.get(name, "") for name in equal)
            for other in alerts
        )
        found.append(
            Muted(
                f"while {', '.join(source)}{agreeing} fires", None if alerts is None else bool(now)
            )
        )
    return found


def maintained(
    windows: Sequence[MaintenanceSettings], answers: Sequence[Told], now: datetime
) -> list[Muted]:
    """Return the maintenance windows that mute some of the answers."""
    names = {name for one in answers for name in one.muted_by}
    return [
        Muted(
            f"in maintenance {window.name}: {', '.join(day[:3] for day in window.weekdays)}"
            f" {', '.join(window.times)} {window.time_zone}",
            window.active(now),
        )
        for window in windows
        if window.name in names
    ]
