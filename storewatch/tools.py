"""Programs that pip cannot give: found on PATH, else unpacked from Debian's packages without root.

Unpacked programs are kept below the virtual environment (`share/storewatch/tools`), so that they
are fetched once and go when it goes.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from storewatch.core.errors import UnreachableError

# program -> (names it goes by, Debian package, what to say where neither is possible)
PROGRAMS = {
    "prometheus": (("prometheus",), "prometheus", "Prometheus 2.42 or newer"),
    "promtool": (("promtool",), "prometheus", "Prometheus 2.42 or newer"),
    "alertmanager": (
        ("prometheus-alertmanager", "alertmanager"),
        "prometheus-alertmanager",
        "Alertmanager 0.25 or newer",
    ),
    "amtool": (("amtool",), "prometheus-alertmanager", "Alertmanager 0.25 or newer"),
    # Peers, which only benchmarks and differential tests ask for.
    **{
        name: (
            (f"prometheus-{name.replace('_', '-')}", name),
            f"prometheus-{name.replace('_', '-')}",
            name,
        )
        for name in ("blackbox_exporter", "node_exporter", "postgres_exporter", "redis_exporter")
    },
    "mtail": (("mtail",), "mtail", "mtail"),
    "zstd": (("zstd",), "zstd", "zstd"),
    "age": (("age",), "age", "age"),
}


def tools_folder() -> Path:
    """Return where unpacked programs are kept: $STOREWATCH_TOOLS, else below the environment."""
    configured = os.environ.get("STOREWATCH_TOOLS")
    return Path(configured) if configured else Path(sys.prefix) / "share" / "storewatch" / "tools"


def find_program(name: str) -> Path:
    """Return the path of a program of `PROGRAMS`, unpacking its Debian package when needed.

    Raises:
        UnreachableError: it is not on PATH and cannot be unpacked; the line says what to install.
    """
    names, package, product = PROGRAMS[name]
    for candidate in names:
        if found := shutil.which(candidate):
            return Path(found)
    folder = tools_folder() / package
    if not folder.exists():
        _unpack(package, folder, product)
    for candidate in names:
        if (path := folder / "usr" / "bin" / candidate).exists():
            return path
    raise UnreachableError(f"the package {package} holds no {name}; install {product} on PATH")


def working_folder(program: Path) -> Path:
    """Return the folder that an unpacked program wants to be started in (see `_relocate`)."""
    share = program.parent.parent / "share" / "prometheus" / "alertmanager"
    unpacked = program.is_relative_to(tools_folder())
    return share if unpacked and share.is_dir() else Path("/")


def _relocate(root: Path) -> None:
    """Let Debian's Alertmanager find its templates where it was unpacked.

    Debian takes the templates out of the program and has it read them from one absolute path. In
    our copy that path becomes one of the same length that means the working folder.
    """
    compiled_in = b"/usr/share/prometheus/alertmanager"
    relative = b"./" * (len(compiled_in) // 2)
    assert len(relative) == len(compiled_in)
    for program in (root / "usr" / "bin").glob("prometheus-alertmanager"):
        content = program.read_bytes()
        program.unlink()  # it may be a hard link
        program.write_bytes(content.replace(compiled_in, relative))
        program.chmod(0o755)


def _unpack(package: str, folder: Path, product: str) -> None:
    """Fetch and unpack one Debian package into the folder, whole or not at all."""
    advice = f"install {product} and put it on PATH (Debian, Ubuntu: apt-get install {package})"
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise UnreachableError(f"{package} is not on PATH and this is no Debian; {advice}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{package}.") as scratch:
        root = Path(scratch)
        for part in ("state/lists/partial", "cache/archives/partial", "out"):
            (root / part).mkdir(parents=True)
        apt = [
            "apt-get",
            "-q",
            f"-oDir::State={root}/state",
            f"-oDir::Cache={root}/cache",
            "-oDir::State::status=/var/lib/dpkg/status",
            "-oDebug::NoLocking=1",
            "-oAPT::Sandbox::User=",
        ]
        # A third-party source that does not answer fails `update`, yet the package may be had.
        _run([*apt, "update"], root)
        fetched = _run([*apt, "download", package], root)
        archives = list(root.glob("*.deb"))
        if not archives:
            reason = (fetched.stderr.strip().splitlines() or ["no archive came"])[-1]
            raise UnreachableError(f"{package} could not be fetched ({reason}); {advice}")
        unpacked = _run(["dpkg", "-x", str(archives[0]), "out"], root)
        if unpacked.returncode:
            raise UnreachableError(f"{archives[0].name} could not be unpacked; {advice}")
        _relocate(root / "out")
        try:
            (root / "out").chmod(0o755)
            (root / "out").rename(folder)
        except OSError:
            if not folder.exists():  # else another process was first; its copy is as good
                raise


def _run(argv: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(
        argv, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
