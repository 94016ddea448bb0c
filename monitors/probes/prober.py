"""Which prober a module asks for, within which time, and how the probe is explained."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from monitors.probes.dns import DnsProber
from monitors.probes.http import HttpProber
from monitors.probes.icmp import IcmpProber
from monitors.probes.modules import NamedModule, for_hostname
from monitors.probes.report import Report
from monitors.probes.tcp import TcpProber

_log = logging.getLogger(__name__)

DEFAULT_LIMIT_S = 119.5
"""Where neither the module nor the scrape names a time-out. Source: blackbox_exporter: 120 s,
less half a second."""
_REMEMBERED = 10_000
"""Targets whose last verdict is kept, so that the log tells changes only; and virtual hosts."""

Probe = Callable[[str, NamedModule, Report], Coroutine[Any, Any, bool]]


class Prober:
    """Probes targets by modules on the running loop.

    Args:
        modules: what is known, by name.
        home: the state folder; files of modules lie below it.
    """

    def __init__(self, modules: Mapping[str, NamedModule], home: Path) -> None:
        self._modules = modules
        self._http = HttpProber(home)
        self._probers: dict[str, Probe] = {
            "http": self._http.probe,
            "tcp": _in_a_task(TcpProber(home).probe),
            "dns": _in_a_task(DnsProber(home).probe),
            "icmp": _in_a_task(IcmpProber().probe),
        }
        self._verdicts: dict[tuple[str, str], bool] = {}
        self._hosted: dict[tuple[str, str], NamedModule] = {}

    def module(self, name: str, hostname: str) -> NamedModule:
        """Return a module by its name, for a virtual host where one is named.

        Raises:
            ValueError: there is none of that name, or it names another host itself.
        """
        if module := self._hosted.get((name, hostname)):
            return module
        if (module := self._modules.get(name)) is None:
            raise ValueError(f"no module {name!r}; there are: {', '.join(self._modules)}")
        if not hostname:
            return module
        if len(self._hosted) >= _REMEMBERED:
            self._hosted.clear()
        self._hosted[name, hostname] = module = for_hostname(module, hostname)
        return module

    def close(self) -> None:
        """Break off what is under way."""
        self._http.close()

    async def probe(
        self, target: str, module: NamedModule, limit_s: float | None, *, explain: bool = False
    ) -> Report:
        """Probe a target once and return what was learnt.

        Args:
            target: what is probed, in the form that the prober takes.
            module: how it is probed.
            limit_s: the most that the scrape leaves; None for no bound but the module's.
            explain: whether the report tells its steps.
        """
        timeout_s = min(
            DEFAULT_LIMIT_S if limit_s is None else limit_s, module.settings.timeout or 1e9
        )
        started = time.monotonic()
        report = Report(started + timeout_s, explain=explain)
        report.step("probing", prober=module.settings.prober, timeout_s=timeout_s)
        try:
            success = await self._probers[module.settings.prober](target, module, report)
        except Exception as error:  # noqa: BLE001 - whatever a target does, the exporter lives
            _log.exception("%s by %s", without_password(target), module.name)
            success = report.fail(f"{type(error).__name__}: {error}")
        report.seconds["probe_duration_seconds"] = time.monotonic() - started
        report.values["probe_success"] = int(success)
        report.step("succeeded" if success else "failed")
        self._note(target, module.name, success, report.error)
        return report

    def _note(self, target: str, module: str, success: bool, reason: str) -> None:
        before = self._verdicts.get((target, module))
        if before == success:
            return
        if len(self._verdicts) >= _REMEMBERED:
            self._verdicts.clear()
        self._verdicts[target, module] = success
        if not success:
            _log.warning("%s by %s: %s", without_password(target), module, reason)
        elif before is not None:
            _log.info("%s by %s: succeeds again", without_password(target), module)


def _in_a_task(probe: Probe) -> Probe:
    """Run a probe in a task of its own, which its time-outs need; see `monitors.web`."""

    async def probe_in_a_task(target: str, module: NamedModule, report: Report) -> bool:
        task = asyncio.ensure_future(probe(target, module, report))
        try:
            return await task
        finally:
            task.cancel()

    return probe_in_a_task


def explanation(report: Report, module: NamedModule) -> str:
    """Return what somebody reads who asks why: steps, metrics, the module without secrets."""
    return (
        "Logs for the probe:\n"
        + "".join(f"{step}\n" for step in report.steps)
        + "\n\n\nMetrics that would have been returned:\n"
        + report.text()
        + "\n\n\nModule configuration:\n"
        + module.text
    )


def without_password(target: str) -> str:
    """Return a target as a log may show it."""
    if "@" not in target:
        return target
    parts = urlsplit(target if "://" in target else f"//{target}")
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
