"""`backup restore`, `backup list` and `backup wal` as a person and a supervisor call them."""

import io
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from loopback import free_port
from wal_house import WalHouse, archiving, eventually, recovered

from backup.backup import run_backup
from storewatch.cli.main import main
from storewatch.core.targets import Verdict

Command = Callable[..., tuple[int, str, str]]
ROOT = Path(__file__).parents[2]


def argv(house: WalHouse, *words: object) -> list[str]:
    """Return the command line over a configuration of the test's own."""
    file = house.home / "storewatch.yaml"
    raw: dict[str, Any] = yaml.safe_load((ROOT / "storewatch.yaml").read_text())
    for path in ("probes.yaml", "storefront"):  # that the other sections read
        if not (house.home / path).exists():
            (house.home / path).symlink_to(ROOT / path)
    raw["backup"] = json.loads(json.dumps(house.raw, default=str))
    file.write_text(yaml.safe_dump(raw))
    return [sys.executable, "-m", "storewatch.cli.main", "--config", str(file), *map(str, words)]


@pytest.fixture
def command(
    wal_house: WalHouse, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Run a command to its end; exit code, standard output and error."""
    monkeypatch.setenv("STOREWATCH_HOME", str(wal_house.home))
    secrets = set(_variables((ROOT / "storewatch.yaml").read_text())) - {"STOREWATCH_HOME"}
    for name in secrets:
        monkeypatch.setenv(name, "x" * 16)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    wal_house.raw["drill"]["port"] = free_port()

    def call(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(argv(wal_house, *words)[3:])
        told = capsys.readouterr()
        return int(str(ended.value.code)), told.out, told.err

    return call


def _variables(text: str) -> list[str]:
    return [part.split("}")[0] for part in text.split("${")[1:]]


def test_restore_asks_nothing_in_scripts_and_refuses_what_could_hurt(
    wal_house: WalHouse, command: Command
) -> None:
    with archiving(wal_house):
        assert run_backup(wal_house.settings, wal_house.evidence).verdict == Verdict.PASS
        wal_house.primary.mark(1)
        wal_house.archived_until_now()
    target = wal_house.home / "x"
    restore = ("backup", "restore", "--tier", "local", "--target")
    refusals = {
        "nobody can be asked here": (target,),
        "is no target; use latest, a time": (target, "--to", "yesterday", "--yes"),
        "is not empty": (wal_house.home, "--yes"),
        "lies in the data folder": (wal_house.primary.data / "new", "--yes"),
        "is a port of production": (target, "--port", wal_house.primary.port, "--yes"),
        "there is no tier 'moon'": (target, "--tier", "moon", "--yes"),
        "lies beyond the archived WAL": (target, "--to", "2999-01-01T00:00:00Z", "--yes"),
        "no usable base backup 01X": (target, "--point", "01X", "--to", "latest", "--yes"),
    }
    for line, words in refusals.items():
        code, out, error = command(*restore, *words)
        assert (code, out) == (2, ""), error
        assert line in error
        assert len(error.splitlines()) == 1
        assert not target.exists()
    code, out, error = command(*restore, target, "--to", "latest", "--yes", "--json")
    assert code == 0, error
    told = json.loads(out)
    assert (told["target"], told["wal_segments"] > 0) == ("latest", True)
    with recovered(wal_house, target, told["port"]) as server:
        assert server.marks() == [1]
    code, out, error = command("backup", "list", "--json")
    assert code == 0, error
    point = json.loads(out)["points"][0]
    assert point["restorable"]["local"]["to"] >= point["restorable"]["local"]["from"]
    assert "restorable to" in command("backup", "list")[1]


def test_the_archiver_ends_cleanly_on_sigterm(wal_house: WalHouse, command: Command) -> None:
    del command  # its environment is what we want
    child = subprocess.Popen(argv(wal_house, "backup", "wal"), cwd=ROOT)
    eventually(lambda: wal_house.status().state == "receiving")
    child.send_signal(signal.SIGTERM)
    assert child.wait(60) == 0
    assert wal_house.status().state == "stopped"
    query = "SELECT count(*) FROM pg_stat_replication"
    eventually(lambda: wal_house.primary.execute(query) == 0)
