"""The commands of retention, as a person and a machine call them."""

import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import timedelta
from io import StringIO

import pytest
import yaml
from aged_points import put_point
from backup_damage import flip
from backup_house import House

from storewatch.cli.main import main
from storewatch.core.clock import utc_now

DAY = timedelta(days=1)


@pytest.fixture
def house_with_file(files_house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setenv("STOREWATCH_HOME", str(files_house.home))
    files_house.raw["drill"]["references"] = []
    files_house.raw["tiers"].pop()
    files_house.raw["tiers"][0]["retention"] = {"last": 1, "minimum": 1}
    return files_house


@dataclass
class Answer:
    """What a command printed, and how it ended."""

    returncode: int
    stdout: str
    stderr: str


def storewatch(house: House, *words: str) -> Answer:
    file = house.home / "storewatch.yaml"
    if not file.exists():
        call("--config", str(file), "init")
        settings = yaml.safe_load(file.read_text())
        settings["backup"] = json.loads(json.dumps(house.raw, default=str))
        file.write_text(yaml.safe_dump(settings))
    return call("--config", str(file), "backup", *words)


def call(*words: str) -> Answer:
    output, errors = StringIO(), StringIO()
    with redirect_stdout(output), redirect_stderr(errors), pytest.raises(SystemExit) as ended:
        main(list(words))
    return Answer(int(str(ended.value.code)), output.getvalue(), errors.getvalue())


def test_a_dry_run_says_why_each_one_stays_and_a_prune_does_it(house_with_file: House) -> None:
    made = [put_point(house_with_file.settings, utc_now() - age * DAY) for age in (3, 2, 1)]
    pinned = storewatch(house_with_file, "pin", made[0].id, "--reason", "audit")
    assert pinned.stdout == f"{made[0].id} is pinned in local: audit\n", pinned.stderr
    dry = storewatch(house_with_file, "prune", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "pinned: audit" in dry.stdout
    assert "no rule wants it" in dry.stdout
    plan = json.loads(storewatch(house_with_file, "prune", "--dry-run", "--json").stdout)
    assert [point["keep"] for point in plan["local"]["points"]] == [True, False, True]
    done = storewatch(house_with_file, "prune", "--json")
    assert done.returncode == 0, done.stdout
    (evidence,) = json.loads(done.stdout)
    assert (evidence["kind"], evidence["subject"], evidence["verdict"]) == (
        "prune",
        "local",
        "PASS",
    )
    assert f"{made[1].id} of " in " ".join(evidence["notes"])
    assert "no longer pinned in local" in storewatch(house_with_file, "unpin", made[0].id).stdout


def test_sync_verify_and_canary_end_by_their_verdicts(house_with_file: House) -> None:
    made = put_point(house_with_file.settings, utc_now() - 40 * DAY)
    synced = storewatch(house_with_file, "sync", "--tier", "off-site")
    assert synced.returncode == 0, synced.stdout
    assert f"copied: {made.id}" in synced.stdout
    flip(house_with_file.stored("local") / made.id / "a.tar.zst.age")
    sampled = storewatch(house_with_file, "verify", "--sample", "--json")
    assert sampled.returncode == 1
    verdicts = {one["subject"]: one["verdict"] for one in json.loads(sampled.stdout)}
    assert verdicts == {"local": "FAIL", "off-site": "PASS"}
    whole = storewatch(house_with_file, "verify", "--tier", "off-site", made.id)
    assert (whole.returncode, whole.stdout) == (0, f"{made.id} in off-site: whole\n")
    died = storewatch(house_with_file, "canary")  # what was put is sealed for nobody
    assert died.returncode == 1
    assert "does not open it" in died.stdout
    listed = storewatch(house_with_file, "list", "--json")
    (point,) = json.loads(listed.stdout)["points"]
    assert point["standing"]["off-site"]["verified_at"]
    assert point["standing"]["local"]["verified_at"] is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("prune", "--tier", "moon"), "there is no tier 'moon'; use one of local, off-site"),
        (("prune", "--tier", "off-site"), "tier off-site has no retention"),
        (("verify",), "name the tier to read"),
        (("verify", "--sample", "X"), "leave out the id"),
        (("unpin", "latest"), "is no id of a recovery point"),
    ],
)
def test_a_mistake_is_one_line_with_the_valid_form(
    house_with_file: House, words: tuple[str, ...], said: str
) -> None:
    answer = storewatch(house_with_file, *words)
    assert answer.returncode == 2
    assert said in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
