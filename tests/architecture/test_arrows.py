import subprocess
import sys
from pathlib import Path

from repository import PACKAGES, ROOT

LINT = Path(sys.executable).with_name("lint-imports")


def test_imports_point_one_way() -> None:
    done = subprocess.run(
        [LINT, "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def test_every_package_of_the_tree_is_under_the_rules() -> None:
    with_code = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    assert with_code == set(PACKAGES)
