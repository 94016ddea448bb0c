import re
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from storewatch.config import key_path, load_config, state_folder
from storewatch.core.errors import UsageError
from storewatch.schema import parse_duration

ROOT = Path(__file__).resolve().parents[2]
DEMO = (ROOT / "storewatch.yaml").read_text()

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a configuration whose state folder is the test's own."""
    monkeypatch.setenv("STOREWATCH_HOME", str(tmp_path / "home"))

    shutil.copy(ROOT / "probes.yaml", tmp_path)
    (tmp_path / "storefront").mkdir()
    shutil.copy(ROOT / "storefront" / "business.yaml", tmp_path / "storefront")

    def write_(text: str) -> Path:
        path = tmp_path / "storewatch.yaml"
        path.write_text(text)
        return path

    return write_


def refusal(path: Path) -> list[str]:
    with pytest.raises(UsageError) as caught:
        load_config(path)
    assert caught.value.exit_code == 2
    return str(caught.value).splitlines()


def changed(old: str, new: str) -> str:
    assert old in DEMO
    return DEMO.replace(old, new, 1)


MISTAKES = {
    "an unknown key": (
        "console:\n", "console:\n  colour: red\n",
        r"console\.colour: unknown key",
    ),
    "a wrong type": (
        "  port: 18600", "  port: often",
        r"console\.port: 'often': .*integer",
    ),
    "a bad duration": (
        "hold: 40s", "hold: 40 parsecs",
        r"loadtests\.profiles\.baseline\.hold: '40 parsecs': not a duration; .* 250ms, 5s, 1h30m",
    ),
    "a number without a unit": (
        "hold: 40s", "hold: 40",
        r"loadtests\.profiles\.baseline\.hold: 40: not a duration",
    ),
    "a bad target": (
        '"< 0.2"', '"fast"',
        r"loadtests\.targets\.p95_s: 'fast': .*write a comparison and a number",
    ),
    "two tiers of one name": (
        "name: off-site", "name: cloud",
        r"backup\.tiers: two tiers are called 'cloud'",
    ),
    "two processes of one name": (
        "{name: pay-beta,", "{name: pay-alpha,",
        r"processes: two processes are named pay-alpha",
    ),
    "an unreachable journey": (
        "storefront.journeys:checkout", "storefront.journeys:teleport",
        r"monitors\.journeys\[0\]\.journey: 'storefront.journeys:teleport': .*module:function",
    ),
    "an unreachable journey of a load test": (
        "search: storefront.journeys:search", "search: storefront.journeys:seek",
        r"loadtests\.journeys\.search: .*no function 'seek'; write module:function",
    ),
    "a secret that is not set": (
        "${CONSOLE_TOKEN}", "${NOBODY_SET_THIS}",
        r"console\.token: \$\{NOBODY_SET_THIS\} is not set; export NOBODY_SET_THIS",
    ),
    "a proof that does not exist": (
        "proofs: [primary-killed,", "proofs: [moon-falls,",
        r"no proof 'moon-falls'; chaos\.proofs has: primary-killed",
    ),
    "a folder outside of the state folder": (
        "fresh: [shop,", "fresh: [../shop,",
        r"demo\.fresh: not a folder of the state folder",
    ),
    "a missing section": (
        "console:\n", "konsole:\n",
        r"console: missing; this key is required",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_with_file_key_path_value_and_form(
    mistake: str, write: Write
) -> None:
    old, new, expected = MISTAKES[mistake]
    lines = refusal(write(changed(old, new)))
    assert any(re.search(expected, line) for line in lines), lines
    assert all(line.startswith("storewatch.yaml: ") for line in lines)


def test_the_demo_configuration_is_accepted_and_its_secrets_are_made_once(write: Write) -> None:
    path = write(DEMO)
    first = load_config(path)
    kept = first.home / "secrets.env"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert load_config(path).environment == first.environment
    assert first.settings.console.token == first.environment["CONSOLE_TOKEN"]
    assert len(set(first.environment.values())) == len(first.environment)


def test_a_secret_of_the_environment_wins_over_a_made_up_one(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSOLE_TOKEN", "from-the-environment")
    assert load_config(write(DEMO)).settings.console.token == "from-the-environment"


def test_no_message_shows_a_secret(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORT_SECRET", "hush-hush")
    lines = refusal(write(changed("${CONSOLE_TOKEN}", "${SHORT_SECRET}")))
    assert any("console.token: '${SHORT_SECRET}'" in line for line in lines)
    assert "hush-hush" not in "".join(lines)


def test_a_key_that_is_there_twice_is_refused(write: Write) -> None:
    assert "'console' is there twice" in refusal(write(DEMO + "\nconsole: {}\n"))[0]


def test_what_is_no_yaml_is_refused_with_its_line(write: Write) -> None:
    assert refusal(write("name: demo\n  broken: [\n"))[0].startswith("storewatch.yaml: line 2")


def test_an_empty_file_and_a_missing_one_point_to_init(write: Write, tmp_path: Path) -> None:
    assert "storewatch init" in refusal(write(""))[0]
    assert "storewatch init" in refusal(tmp_path / "nowhere.yaml")[0]


def test_settings_do_not_change_after_they_were_read(write: Write) -> None:
    settings = load_config(write(DEMO)).settings
    with pytest.raises(ValueError, match="frozen"):
        settings.name = "other"  # type: ignore[misc]


def test_the_state_folder_lies_beside_the_configuration_unless_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STOREWATCH_HOME", "/srv/state")
    assert state_folder(tmp_path / "storewatch.yaml") == Path("/srv/state")
    monkeypatch.delenv("STOREWATCH_HOME")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert state_folder(tmp_path / "storewatch.yaml") == tmp_path / "var"


def test_for_root_the_state_folder_is_where_the_engines_user_can_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STOREWATCH_HOME", raising=False)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    tmp_path.chmod(0o700)
    assert state_folder(tmp_path / "storewatch.yaml").parent == Path("/var/tmp")


@pytest.mark.parametrize(
    ("text", "seconds"), [("250ms", 0.25), ("5s", 5), ("1h30m", 5400), ("2d", 172800), ("1.5m", 90)]
)
def test_durations_are_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "-5s", "0s", "5 s", 5, None, "5s later"])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


def test_a_key_path_reads_as_people_write_it() -> None:
    assert key_path(("backup", "tiers", 0, "path")) == "backup.tiers[0].path"


def test_relative_paths_are_taken_from_the_folder_of_the_configuration(
    write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = write(
        changed("loadtests:\n", "runbooks:\n  folders: [pages]\n\nloadtests:\n").replace(
            "alerting:\n", "alerting:\n  slos: [slos/shop.yaml, /etc/slos.yaml]\n", 1
        )
    )
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    settings = load_config(file).settings
    assert settings.runbooks.folders == (file.parent / "pages",)
    assert settings.alerting.slos == (file.parent / "slos/shop.yaml", Path("/etc/slos.yaml"))
