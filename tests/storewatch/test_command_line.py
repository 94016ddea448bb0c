import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


def storewatch(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "storewatch.cli.main", *words],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with the starter configuration."""
    assert storewatch("init", cwd=tmp_path).returncode == 0
    return tmp_path


def test_the_starter_configuration_passes_the_check(shop: Path) -> None:
    checked = storewatch("check", cwd=shop)
    assert checked.returncode == 0, checked.stderr
    assert "is right" in checked.stdout


def test_init_leaves_an_existing_file_alone(shop: Path) -> None:
    (shop / "storewatch.yaml").write_text("mine")
    again = storewatch("init", cwd=shop)
    assert again.returncode == 2
    assert "is there already" in again.stderr
    assert (shop / "storewatch.yaml").read_text() == "mine"


def test_journeys_may_lie_beside_the_configuration(shop: Path) -> None:
    (shop / "journeys.py").write_text("def checkout(shopper):\n    shopper.get('/')\n")
    settings = yaml.safe_load((shop / "storewatch.yaml").read_text())
    settings["loadtests"]["journeys"] = {"checkout": "journeys:checkout"}
    journey = {"name": "checkout", "journey": "journeys:checkout", "base_url": "http://127.0.0.1:9"}
    settings["monitors"]["journeys"] = [journey]
    (shop / "storewatch.yaml").write_text(yaml.safe_dump(settings))
    checked = storewatch("--config", str(shop / "storewatch.yaml"), "check", cwd=Path("/"))
    assert checked.returncode == 0, checked.stderr


def test_a_misspelt_command_is_answered_with_the_right_one(tmp_path: Path) -> None:
    answer = storewatch("bakup", "run", cwd=tmp_path)
    assert answer.returncode == 2
    assert answer.stderr == "storewatch: no command 'bakup'; did you mean 'backup'?\n"


def test_a_missing_configuration_is_one_line(tmp_path: Path) -> None:
    answer = storewatch("status", cwd=tmp_path)
    assert answer.returncode == 2
    assert len(answer.stderr.splitlines()) == 1
    assert "storewatch init" in answer.stderr


def test_the_version_is_the_installed_one(tmp_path: Path) -> None:
    assert storewatch("--version", cwd=tmp_path).stdout == "storewatch 0.1.0\n"


def test_a_stopped_stack_is_shown_and_ends_with_4(shop: Path) -> None:
    answer = storewatch("status", "--json", cwd=shop)
    assert answer.returncode == 4
    assert {row["state"] for row in json.loads(answer.stdout)} == {"STOPPED"}


def test_what_needs_a_running_stack_says_how_to_start_it(shop: Path) -> None:
    answer = storewatch("processes", "restart", "desk", cwd=shop)
    assert answer.returncode == 4
    assert "storewatch up --detach" in answer.stderr


def test_an_unknown_process_is_answered_with_the_known_ones(shop: Path) -> None:
    answer = storewatch("processes", "stop", "desc", cwd=shop)
    assert answer.returncode == 2
    assert "this stack has: prometheus, alertmanager, exporter, desk" in answer.stderr


def test_backup_without_its_section_says_what_is_missing(shop: Path) -> None:
    answer = storewatch("backup", "run", cwd=shop)
    assert answer.returncode == 2
    assert "backup: missing" in answer.stderr


def test_rendered_configurations_are_the_same_each_time(shop: Path) -> None:
    for words in (("prometheus",), ("prometheus", "--rules"), ("alertmanager",)):
        first, second = (storewatch("render", *words, cwd=shop) for _ in range(2))
        assert first.returncode == 0
        assert first.stdout == second.stdout
        assert yaml.safe_load(first.stdout)


def test_down_of_what_is_not_up_says_so(shop: Path) -> None:
    answer = storewatch("down", cwd=shop)
    assert answer.returncode == 0
    assert answer.stdout == "nothing was running\n"
