"""Backups go on after a fail-over: another timeline, the same system."""

import subprocess
from pathlib import Path

import psycopg
from backup_engines import PASSWORD, ending, until
from backup_house import House
from loopback import free_port

from backup.backup import run_backup
from backup.catalogue import list_recovery_points
from backup.drill import run_drill
from backup.recovery.point_in_time import restore_to
from storewatch.core.targets import Verdict
from storewatch.store.postgres_programs import find_postgres
from storewatch.store.unprivileged import demote_kwargs, own, unprivileged_user


def promoted(house: House, port: int) -> "subprocess.Popen[bytes]":
    """Start the newest recovery point as a server of its own, on the next timeline."""
    restore_to(house.settings, "local", house.home / "new")
    data = house.home / "new" / "postgres"
    (house.home / "new").chmod(0o711)
    (data / "recovery.signal").touch()
    user = unprivileged_user()
    own(data, user)
    programs: Path = find_postgres(None, house.settings.programs_cache)
    settings = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
    settings |= {"restore_command": "false"}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return subprocess.Popen(
        [programs / "postgres", "-D", data, *options],
        stderr=subprocess.DEVNULL,
        cwd="/",
        **demote_kwargs(user),
    )


def takes_writes(port: int) -> bool:
    """Tell whether a server is up and a primary."""
    try:
        with psycopg.connect(
            f"host=127.0.0.1 port={port} user=postgres dbname=shop target_session_attrs=read-write",
            password=PASSWORD,
        ):
            return True
    except psycopg.OperationalError:
        return False


def test_a_backup_of_the_promoted_server_is_restored_on_its_timeline(house: House) -> None:
    del house.raw["tiers"][1:]
    run_backup(house.settings, house.evidence)
    port = free_port()
    with ending(promoted(house, port)) as process:
        until(lambda: takes_writes(port), process)
        # The first node is down now; the URL names both, as the shop's does.
        url = house.shop.url.replace(f":{house.shop.postgres_port},", ":1,")
        house.raw["sources"]["postgres"]["url"] = url.replace(":1/shop", f":{port}/shop")
        made = run_backup(house.settings, house.evidence)
        assert made.verdict == Verdict.PASS, made.notes
    points = list_recovery_points(house.settings).points
    new, old = (point.manifest.sources["postgres"] for point in points)
    assert new["timeline"] > old["timeline"]
    assert new["system_identifier"] == old["system_identifier"]
    drilled = run_drill(house.settings, "local", house.evidence)
    assert drilled.verdict == Verdict.PASS, drilled.notes
