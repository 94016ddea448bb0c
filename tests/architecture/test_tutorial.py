import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from loopback import free_port
from repository import ROOT

PAGES = ROOT / "docs" / "tutorial"
TUTORIAL = (PAGES / "watch-your-own-shop.md").read_text()
_FILE = re.compile(r"^(`{3,})\w+ (\{[^\n]*\})\n(.*?)^\1$", re.M | re.S)
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def page() -> str:
    """The page whose files are tried; tests of other pages say so by `page`."""
    return TUTORIAL


@pytest.fixture
def shop(tmp_path: Path, page: str) -> Iterator[Path]:
    """The page's folder with its files, its shop running on a free port."""
    ports = {port: str(free_port()) for port in set(re.findall(r"38\d{3}", page))}
    for match in _FILE.finditer(page):
        text = match[3].replace("/srv/my-shop", str(tmp_path)).replace("hold: 20s", "hold: 2s")
        for old, new in ports.items():
            text = text.replace(old, new)
        path = tmp_path / json.loads(match[2])["file"]
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    process = subprocess.Popen([sys.executable, "shop.py"], cwd=tmp_path)
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", int(ports["38080"]))).close()
            break
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline
    yield tmp_path
    process.kill()
    process.wait()


@pytest.fixture
def run(shop: Path) -> Run:
    """Run storewatch in the tutorial's folder."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("STOREWATCH_")}
    environment = {**kept, "STOREWATCH_HOME": str(shop / "var")}

    def run_(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "storewatch.cli.main", *words]
        return subprocess.run(
            argv, cwd=shop, env=environment, capture_output=True, text=True, check=False
        )

    return run_


def test_the_files_of_the_tutorial_work_together(shop: Path, run: Run) -> None:
    checked = run("check")
    assert checked.stdout.strip() in TUTORIAL, checked.stderr

    loaded = run("load", "run", "checkout", "--json")
    assert json.loads(loaded.stdout)["measurements"], loaded.stderr
    steps = {m["name"] for m in json.loads(loaded.stdout)["measurements"]}
    assert {"p95_s.product", "p95_s.place_order", "p95_s.confirm"} <= steps

    (shop / "broken").touch()
    broken = json.loads(run("load", "run", "checkout", "--json").stdout)
    assert ("error_ratio", 1.0) in {(m["name"], m["value"]) for m in broken["measurements"]}
    repaired = run("runbook", "run", "CheckoutFailing")
    assert repaired.returncode == 0, repaired.stdout
    assert not (shop / "broken").exists()


def test_the_backup_of_the_tutorial_is_whole(shop: Path, run: Run) -> None:
    assert run("backup", "run").returncode == 2  # nobody could open it
    made = run("backup", "keys")
    assert "age1" in made.stdout, made.stderr
    assert run("backup", "keys").stdout == made.stdout
    assert run("backup", "run").returncode == 0
    assert run("backup", "verify", "--tier", "local").stdout.strip().endswith("in local: whole")


@pytest.mark.parametrize(
    "page",
    [(PAGES / name).read_text() for name in ("forms-with-csrf.md", "graphql.md")],
    ids=["forms with CSRF", "GraphQL"],
)
def test_a_shop_of_another_kind_is_tried_watched_and_loaded_as_its_page_says(
    shop: Path, run: Run
) -> None:
    tried = run("check", "--live")
    assert tried.returncode == 0, tried.stdout + tried.stderr
    loaded = json.loads(run("load", "run", "checkout", "--json").stdout)
    figures = {m["name"]: m["value"] for m in loaded["measurements"]}
    assert figures["error_ratio"] == 0
    assert figures["requests"] > 5

    (shop / "broken").touch()
    tried = run("check", "--live")
    assert tried.returncode == 1
    assert "place_order" in tried.stdout or "log_in" in tried.stdout
