import subprocess
from pathlib import Path

import pytest

from storewatch import tools
from storewatch.core.errors import UnreachableError


def executable(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_a_program_on_path_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = executable(tmp_path / "promtool")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert tools.find_program("promtool") == mine


def test_without_apt_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("STOREWATCH_TOOLS", str(tmp_path / "tools"))
    with pytest.raises(UnreachableError, match=r"install Prometheus 2\.42 or newer") as caught:
        tools.find_program("prometheus")
    assert caught.value.exit_code == 4


def test_a_package_that_cannot_be_fetched_leaves_nothing_half_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executable(tmp_path / "bin" / "apt-get", "#!/bin/sh\necho 'E: no network' >&2; exit 100\n")
    executable(tmp_path / "bin" / "dpkg")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("STOREWATCH_TOOLS", str(tmp_path / "tools"))
    monkeypatch.setattr("shutil.which", only_in(tmp_path / "bin"))
    with pytest.raises(UnreachableError, match="E: no network"):
        tools.find_program("alertmanager")
    assert list((tmp_path / "tools").iterdir()) == []


def only_in(folder: Path):  # type: ignore[no-untyped-def]
    def which(name: str) -> str | None:
        return str(folder / name) if (folder / name).exists() else None

    return which


def test_the_unpacked_alertmanager_starts_in_its_working_folder(tmp_path: Path) -> None:
    program = tools.find_program("alertmanager")
    config = tmp_path / "am.yml"
    config.write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
    started = subprocess.Popen(
        [program, f"--config.file={config}", f"--storage.path={tmp_path}",
         "--web.listen-address=127.0.0.1:0", "--cluster.listen-address="],
        cwd=tools.working_folder(program), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert started.stderr is not None
    try:
        lines = []
        for line in started.stderr:
            lines.append(line)
            if "Listening on" in line or "level=error" in line:
                break
        assert "Completed loading of configuration file" in "".join(lines)
        assert "failed to parse templates" not in "".join(lines)
    finally:
        started.terminate()
        started.wait()
