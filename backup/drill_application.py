"""The application on top of the restored data: started, asked whether it is ready, walked."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote, urlsplit

import requests
from psycopg.conninfo import conninfo_to_dict

from backup.children import ending_with_us
from backup.drill_checks import Check
from backup.drill_redis import find_redis_server, served
from backup.drill_scratch import APPLICATION, refuse_held
from backup.manifest import Manifest
from backup.restore import place_of
from backup.settings import ApplicationSettings, BackupSettings
from storewatch.core.commands import resolve
from storewatch.core.errors import BackupError
from storewatch.core.parts import JourneyWalker
from storewatch.store.unprivileged import User, demote_kwargs, own, reachable, unprivileged_user

_POLL_S = 0.1
_ASK_S = 2.0
_STOP_S = 10.0
_OURS = ("PATH", "PYTHONPATH", "VIRTUAL_ENV", "LANG", "LC_ALL", "TZ")
"""All that the application gets of our environment: nothing in it leads to production."""


@contextmanager
def restored_application(
    settings: BackupSettings, application: ApplicationSettings, manifest: Manifest, folder: Path
) -> Iterator[float]:
    """Run restored Redis and the application while inside; yield the seconds until it was ready.

    The restored PostgreSQL runs already. Whatever happens, both have ended afterwards.

    Args:
        settings: of the package.
        application: how it is started.
        manifest: of what was restored.
        folder: to which.

    Raises:
        BackupError: the port is taken, or the application or Redis does not come up.
    """
    refuse_held(application.port, "drill.application.url")
    begun = time.monotonic()
    own_folder = folder / APPLICATION
    own_folder.mkdir(mode=0o700)
    variables = {"DRILL_FOLDER": str(own_folder), "DRILL_FILES": str(folder)}
    with ExitStack() as stack:
        if settings.sources.postgres is not None:
            name = conninfo_to_dict(settings.sources.postgres.url.get_secret_value())["dbname"]
            port = settings.drill.port
            variables["DRILL_POSTGRES_PORT"] = str(port)
            variables["DRILL_DATABASE_URL"] = (
                f"postgresql://127.0.0.1:{port}/{quote(str(name), safe='')}?sslmode=disable"
            )
        if settings.sources.redis is not None and "redis" in manifest.sources:
            facts = manifest.sources["redis"]
            redis = served(
                place_of(manifest.record(facts["object"]), folder),
                facts["database"],
                find_redis_server(settings.drill.redis_server),
                folder,
                settings.drill.start_timeout,
                settings.sources.redis.url,
            )
            variables |= stack.enter_context(redis)
        stack.enter_context(_running(application, variables, own_folder))
        yield time.monotonic() - begun


def walk_journeys(application: ApplicationSettings, walk: JourneyWalker | None) -> Iterator[Check]:
    """Walk each journey once."""
    parts = urlsplit(application.url)
    for journey in application.journeys:
        name = f"journey {journey}"
        if walk is None:
            yield Check(name, False, "nobody is here to walk it")
            continue
        wrong = walk(journey, f"{parts.scheme}://{parts.netloc}")
        yield Check(name, not wrong, wrong or "walked on the restored data")


@contextmanager
def _running(
    application: ApplicationSettings, variables: Mapping[str, str], folder: Path
) -> Iterator[None]:
    command = resolve(application.command)
    user = _account(command[0])
    own(folder, user)
    for files in folder.parent.glob("files-*"):
        own(files, user)
    log = folder.with_name("application.log")
    with log.open("wb") as out:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=_environment(application, variables, folder),
                start_new_session=True,
                preexec_fn=ending_with_us(signal.SIGKILL),
                **demote_kwargs(user),
            )
        except OSError as error:
            who = f" as user {user.name}" if user else ""
            raise BackupError(f"{command[0]} cannot be started{who}: {error.strerror}") from None
    try:
        _wait(application, process, log)
        yield
    finally:
        _end(process)


def _account(program: str) -> User | None:
    """Return the account of the restored servers, None (our own) where it cannot run the program.

    A Python below /root is such a program.

    Raises:
        BackupError: there is no such program.
    """
    found = shutil.which(program)
    if found is None:
        raise BackupError(f"drill.application.command: there is no program {program}")
    user = unprivileged_user()
    return user if reachable(Path(found), user) else None


def _environment(
    application: ApplicationSettings, variables: Mapping[str, str], folder: Path
) -> dict[str, str]:
    """Return the environment; `{DRILL_...}` in a configured value stands for the variable."""
    environment = {name: os.environ[name] for name in _OURS if name in os.environ}
    environment |= {"HOME": str(folder), **variables}
    for name, secret in application.environment.items():
        value = secret.get_secret_value()
        for variable, meant in variables.items():
            value = value.replace(f"{{{variable}}}", meant)
        environment[name] = value
    return environment


def _wait(application: ApplicationSettings, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + application.start_timeout
    with requests.Session() as session:
        session.trust_env = False
        while True:
            answer = _answer(session, application.url)
            if answer == "ready":
                return
            try:
                process.wait(_POLL_S)
            except subprocess.TimeoutExpired:
                if time.monotonic() < deadline:
                    continue
                raise BackupError(
                    f"{application.url} was not ready after {application.start_timeout:g} s, it "
                    f"{answer}; {_last_line(log)}"
                ) from None
            raise BackupError(
                f"the application ended with status {process.returncode}: {_last_line(log)}"
            )


def _answer(session: requests.Session, url: str) -> str:
    try:
        status = session.get(url, timeout=_ASK_S, allow_redirects=False).status_code
    except requests.RequestException:
        return "does not answer"
    return "ready" if 200 <= status < 300 else f"answers {status}"


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the application and the processes that it started."""
    for one in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, one)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_S)
