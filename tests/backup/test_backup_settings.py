"""Mistakes in the section backup: are refused with the valid form."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from backup.keys import ensure_identity
from backup.settings import BackupSettings

GOOD: dict[str, Any] = {
    "spool": "/s/spool",
    "recipients_file": "/s/recipients.txt",
    "identity_file": "/s/identity.txt",
    "sources": {
        "postgres": {"url": "postgresql://u:secret-word@a:1111,b:2222/shop"},
        "files": [{"name": "images", "path": "/s/images"}],
    },
    "tiers": [
        {"name": "local", "kind": "folder", "path": "/s/local"},
        {
            "name": "cloud",
            "kind": "s3",
            "endpoint_url": "http://127.0.0.1:1",
            "bucket": "b",
            "access_key": "a",
            "secret_key": "secret-word",
        },
    ],
    "drill": {"tier": "cloud", "scratch": "/s/scratch"},
}


def test_the_defaults_are_the_customers_numbers() -> None:
    settings = BackupSettings.model_validate(GOOD)
    assert str(settings.drill.targets.recovery_time_s) == "<= 7200"
    assert settings.drill.port == 18439
    assert "secret-word" not in repr(settings)


def _tiers(raw: dict[str, Any]) -> None:
    raw["tiers"][1]["name"] = "local"


def _port(raw: dict[str, Any]) -> None:
    raw["drill"]["port"] = 2222


MISTAKES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "two tiers of one name": (_tiers, "two tiers are called 'local'"),
    "production's port": (_port, "drill.port 2222 is a port of production"),
    "unknown tier": (lambda r: r["drill"].update(tier="moon"), "is no tier; use local, cloud"),
    "no tier": (lambda r: r.update(tiers=[]), "at least 1 item"),
    "unknown key": (lambda r: r.update(colour="red"), "Extra inputs"),
    "unknown kind": (lambda r: r["tiers"][0].update(kind="tape"), "'folder', 's3'"),
    "relative path": (
        lambda r: r.update(spool="spool"),
        "spool is relative; write ${STOREWATCH_HOME}/spool",
    ),
    "no recipients": (lambda r: r.pop("recipients_file"), "nobody could open the backup"),
    "no source": (lambda r: r.update(sources={}), "nothing to back up"),
    "bad schedule": (lambda r: r.update(schedule={"drill": "often"}), "five cron fields"),
    "no cron": (lambda r: r.update(schedule={"drill": "at two in the night"}), "five cron"),
    "bad URL": (lambda r: r["sources"]["postgres"].update(url="shop"), "not a PostgreSQL URL"),
    "bad endpoint": (lambda r: r["tiers"][1].update(endpoint_url="s3.example"), "https?"),
    "foreign reference": (
        lambda r: r["drill"].update(references=[{"query": "SELECT 1", "files": "videos"}]),
        "sources.files has images",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_refused_with_the_valid_form(mistake: str) -> None:
    change, said = MISTAKES[mistake]
    raw = deepcopy(GOOD)
    change(raw)
    with pytest.raises(ValidationError) as caught:
        BackupSettings.model_validate(raw)
    assert said in str(caught.value)


@pytest.mark.parametrize("schedule", ["15m", "1h30m", "30 2 * * *", "*/5 * * * mon-fri"])
def test_a_schedule_is_an_interval_or_cron(schedule: str) -> None:
    assert BackupSettings.model_validate(GOOD | {"schedule": {"backup": schedule}})


def test_an_identity_is_made_once_and_only_for_its_owner(tmp_path: Path) -> None:
    recipient = ensure_identity(tmp_path / "keys" / "identity.txt")
    assert recipient.startswith("age1")
    assert ensure_identity(tmp_path / "keys" / "identity.txt") == recipient
    assert (tmp_path / "keys" / "identity.txt").stat().st_mode & 0o777 == 0o600
