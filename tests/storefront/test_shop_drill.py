"""The reference shop is backed up, restored, and walked through on the restored data."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from shop_stack import Stack, free_ports

from backup.backup import run_backup
from backup.drill import run_drill
from backup.keys import ensure_keys
from backup.settings import BackupSettings
from storewatch.core.evidence import Evidence
from storewatch.core.targets import Verdict
from storewatch.store.evidence import EvidenceStore
from storewatch.walking import walk_journey

JOURNEYS = [f"storefront.journeys:{name}" for name in ("browse", "search", "account")]
APPLICATION_SECRETS = ("SHOP_DB_PASSWORD", "REDIS_PASSWORD", "PAYMENT_API_KEY", "SHOP_ADMIN_TOKEN")


def application(shop: Stack, port: int) -> dict[str, Any]:
    """Return the section as a shop would write it: nothing in it is an address of production."""
    return {
        "command": ["python", "-m", "storefront.app", "app-1"],
        "environment": {
            "STOREWATCH_HOME": "{DRILL_FOLDER}",
            "SHOP_PORT_APP_1": str(port),
            "SHOP_PORT_DB_A": "{DRILL_POSTGRES_PORT}",
            "SHOP_PORT_DB_B": "{DRILL_POSTGRES_PORT}",
            "SHOP_PORT_REDIS": "{DRILL_REDIS_PORT}",
            "SHOP_PORT_PAY_ALPHA": "1",
            "SHOP_PORT_PAY_BETA": "1",
            **{name: shop.environment[name] for name in APPLICATION_SECRETS},
        },
        "url": f"http://127.0.0.1:{port}/ready",
        "start_timeout": "30s",
        "journeys": JOURNEYS,
    }


@pytest.fixture(scope="module")
def raw(running_shop: Stack) -> Iterator[dict[str, Any]]:
    """Settings over a fresh backup of the running shop."""
    home = Path(tempfile.mkdtemp(prefix="shop-drill-", dir="/var/tmp"))
    home.chmod(0o711)
    secret, settings = running_shop.environment, running_shop.settings
    nodes = ",".join(f"127.0.0.1:{settings.port(name)}" for name in ("db-a", "db-b"))
    found: dict[str, Any] = {
        "spool": home / "spool",
        "recipients_file": home / "recipients.txt",
        "identity_file": home / "identity.txt",
        "minimum_free_bytes": 1_000_000,
        "zstd_level": 1,
        "sources": {
            "postgres": {
                "url": f"postgresql://storewatch_backup:{secret['BACKUP_DB_PASSWORD']}@{nodes}/shop"
                "?target_session_attrs=read-write",
                "tables": [{"name": "categories"}],
                "settle": "100ms",
            },
            "redis": {
                "url": f"redis://:{secret['REDIS_PASSWORD']}@127.0.0.1:{settings.port('redis')}/0"
            },
        },
        "tiers": [{"name": "local", "kind": "folder", "path": home / "local"}],
        "drill": {
            "scratch": home / "scratch",
            "tier": "local",
            "invariants_view": "storewatch_invariants",
        },
    }
    found["drill"]["port"], port = free_ports(2)
    found["drill"]["application"] = application(running_shop, port)
    parsed = BackupSettings.model_validate(found)
    ensure_keys(parsed)
    assert run_backup(parsed, EvidenceStore(home)).verdict is Verdict.PASS
    yield found
    shutil.rmtree(home)


def drill(raw: dict[str, Any], **changed: Any) -> Evidence:
    """Drill with a changed application; nothing of it may be left."""
    section = {**raw["drill"]["application"], **changed}
    settings = BackupSettings.model_validate(
        {**raw, "drill": {**raw["drill"], "application": section}}
    )
    scratch = settings.drill.scratch
    drilled = run_drill(settings, "local", EvidenceStore(scratch.parent), walk=walk_journey)
    assert [one.name for one in scratch.iterdir()] == ["lock"]
    listening = {one.laddr.port for one in psutil.net_connections("tcp") if one.status == "LISTEN"}
    application = settings.drill.application
    assert application is not None
    assert not listening & {settings.drill.port, application.port}
    return drilled


def test_the_shop_opens_and_is_walked_through_on_the_restored_data(raw: dict[str, Any]) -> None:
    cache = redis.Redis.from_url(raw["sources"]["redis"]["url"])
    before = cache.dbsize()
    drilled = drill(raw)
    assert cache.dbsize() <= before  # no session and no cart came to production
    assert drilled.verdict is Verdict.PASS, drilled.notes
    assert 0 < drilled.value("application_up_s") < drilled.value("recovery_time_s")
    assert drilled.value("checks_passed") >= 5 + len(JOURNEYS)


def test_an_application_that_ends_at_once_fails_the_drill_and_says_why(raw: dict[str, Any]) -> None:
    environment = {**raw["drill"]["application"]["environment"], "PAYMENT_API_KEY": ""}
    drilled = drill(raw, environment=environment)
    assert drilled.verdict is Verdict.FAIL
    assert drilled.value("recovery_time_s") is None
    (note,) = (one for one in drilled.notes if one.startswith("application: "))
    assert "ended with status 1: app-1: PAYMENT_API_KEY is not set" in note


def test_an_application_that_does_not_get_ready_fails_the_drill(raw: dict[str, Any]) -> None:
    environment = {**raw["drill"]["application"]["environment"], "SHOP_PORT_REDIS": "1"}
    drilled = drill(raw, environment=environment, start_timeout="4s")
    assert drilled.verdict is Verdict.FAIL
    (note,) = (one for one in drilled.notes if one.startswith("application: "))
    assert "was not ready after 4 s, it answers 503" in note


def test_a_journey_that_fails_on_the_restored_data_fails_the_drill_by_name(
    raw: dict[str, Any],
) -> None:
    drilled = drill(raw, journeys=["storefront.journeys:checkout"])  # no provider takes money
    assert drilled.verdict is Verdict.FAIL
    assert drilled.value("checks_failed") == 1
    assert any("journey storefront.journeys:checkout: place_order" in n for n in drilled.notes)


def test_what_the_application_started_ends_with_the_drill(raw: dict[str, Any]) -> None:
    away = (
        "import os, subprocess, sys; subprocess.Popen(['sleep', '977'], start_new_session=True);"
        " os.execv(sys.executable, [sys.executable, '-m', 'storefront.app', 'app-1'])"
    )
    drilled = drill(raw, command=["python", "-c", away])
    assert drilled.verdict is Verdict.PASS, drilled.notes
    left = [
        one for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] == ["sleep", "977"]
    ]
    assert left == []


def test_a_port_that_somebody_holds_is_not_taken_for_the_application(
    shop: Stack, raw: dict[str, Any]
) -> None:
    address = f"http://127.0.0.1:{shop.settings.port('app-1')}/ready"
    section = {**raw["drill"]["application"], "url": address}
    settings = BackupSettings.model_validate(
        {**raw, "drill": {**raw["drill"], "application": section}}
    )
    store = EvidenceStore(settings.drill.scratch.parent)
    drilled = run_drill(settings, "local", store, walk=walk_journey)
    assert drilled.verdict is Verdict.FAIL
    assert any("is in use by" in note and "drill.application.url" in note for note in drilled.notes)
