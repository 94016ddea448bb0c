import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from repository import PACKAGES, ROOT, files

NAMES = {
    "storewatch/templates/starter.yaml",
    "storewatch/store/migrations/versions/0001_incidents.py",
    "alerting/rules/symptoms.yaml",
    "alerting/slos/shop.yaml",
    "runbooks/pages/CheckoutFailing.md",
    "chaos/experiments/primary-killed.yaml",
    "loadtests/templates/report.html",
    "console/templates/overview.html",
    "storefront/demo/schema.sql",
    "storefront/engines/nginx.conf",
    "storefront/templates/front.html",
    "storefront/static/shop.css",
}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the tree without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    words = ["-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = folder.glob("storewatch-*.whl")
    return found


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content in a folder outside the tree."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def storewatch(installed: Path, folder: Path, *words: str) -> str:
    """Run the installed program in a folder and return what it printed."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("STOREWATCH_")}
    done = subprocess.run(
        [sys.executable, "-m", "storewatch.cli.main", *words],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(installed), "STOREWATCH_HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_has_our_packages_and_nothing_else_at_its_top(wheel: Path) -> None:
    top = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == set(PACKAGES)


def test_the_wheel_has_every_file_of_our_packages(wheel: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    ours = {str(p.relative_to(ROOT)) for package in PACKAGES for p in files(ROOT / package)}
    assert packed == ours
    assert packed >= NAMES


def test_the_program_is_an_entry_point(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (entries,) = (n for n in archive.namelist() if n.endswith(".dist-info/entry_points.txt"))
    assert "storewatch = storewatch.cli.main:main" in archive.read(entries).decode()


def test_an_installed_storewatch_is_not_the_tree(installed: Path, tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-c", "import storewatch, backup; print(storewatch.__file__)"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.startswith(str(installed))


def test_an_installed_storewatch_helps_and_says_its_version(
    installed: Path, tmp_path: Path
) -> None:
    assert "Usage: storewatch" in storewatch(installed, tmp_path, "--help")
    (metadata,) = installed.glob("storewatch-*.dist-info")
    version = metadata.name.removeprefix("storewatch-").removesuffix(".dist-info")
    assert storewatch(installed, tmp_path, "--version").strip() == f"storewatch {version}"


def test_an_installed_storewatch_works_outside_the_tree(installed: Path, tmp_path: Path) -> None:
    storewatch(installed, tmp_path, "init")
    assert "is right" in storewatch(installed, tmp_path, "check")
    assert "no unresolved incidents" in storewatch(installed, tmp_path, "incident", "list")
    assert "CheckoutFailing" in storewatch(installed, tmp_path, "runbook", "list")
    assert "alert: Watchdog" in storewatch(installed, tmp_path, "render", "prometheus", "--rules")
