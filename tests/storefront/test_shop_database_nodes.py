"""One node of the database pair: how it starts, what it runs with, whom it lets in."""

import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from node_roles import primary_and_standby, roles
from shop_stack import Stack, until

from storefront.engines.process import processes_inside


def test_a_second_start_of_a_running_node_leaves_it_alone(shop: Stack) -> None:
    primary, standby = primary_and_standby(shop)
    running = shop.processes[primary]
    shop.environment["SHOP_DB_SHUTDOWN_WAIT_S"] = "1"
    try:
        second = shop.operate("run", primary)
    finally:
        del shop.environment["SHOP_DB_SHUTDOWN_WAIT_S"]
    assert second.returncode == 1
    assert f"{primary} runs already (process {running.pid})" in second.stderr
    assert primary_and_standby(shop) == (primary, standby)


def test_a_stale_lock_whose_process_id_is_somebody_else_now_is_no_obstacle(shop: Stack) -> None:
    _, standby = primary_and_standby(shop)
    lock = shop.settings.shop / standby / "postmaster.pid"
    lines = lock.read_text().split("\n")
    shop.kill(standby)
    lines[0] = str(shop.processes["redis"].pid)
    lock.write_text("\n".join(lines))
    shop.start(standby)
    until(lambda: roles(shop)[standby] == "standby", "the standby")
    shop.wait_synchronous()


def test_passwords_are_on_no_command_line_and_every_connection_needs_one(shop: Stack) -> None:
    values = [value for name, value in shop.environment.items() if name.endswith("PASSWORD")]
    command_lines = _command_lines()
    assert any(str(shop.home) in line for line in command_lines)
    for line in command_lines:
        assert not any(value in line for value in values)
    for name in ("db-a", "db-b"):
        with shop.node(name) as connection:
            rows = connection.execute("SELECT auth_method FROM pg_hba_file_rules").fetchall()
            assert {row["auth_method"] for row in rows} == {"scram-sha-256"}
            shown = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolcanlogin")
            assert all(row["rolpassword"].startswith("SCRAM-SHA-256$") for row in shown)
        passfile = shop.settings.shop / "pgpass" / name
        assert stat.S_IMODE(passfile.stat().st_mode) == 0o600


def _command_lines() -> list[str]:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has just ended
            lines.append(path.read_text(errors="replace"))
    return lines


def test_the_nodes_run_with_what_backups_and_rewinds_need(shop: Stack) -> None:
    expected = {
        "fsync": "on",
        "full_page_writes": "on",
        "wal_log_hints": "on",
        "summarize_wal": "on",
        "data_checksums": "on",
        "shared_preload_libraries": "pg_stat_statements",
        "password_encryption": "scram-sha-256",
    }
    for name in ("db-a", "db-b"):
        with shop.node(name) as connection:
            for setting, value in expected.items():
                row: Any = connection.execute(f"SHOW {setting}").fetchone()
                assert row[setting] == value


def test_the_monitor_reads_figures_but_no_person(shop: Stack) -> None:
    url = shop.settings.database_url("storewatch_monitor", "MONITOR_DB_PASSWORD", target="any")
    with psycopg.connect(url, autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (500,)
        connection.execute("SELECT * FROM storewatch_invariants")
        connection.execute("SELECT query FROM pg_stat_statements LIMIT 1")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT email FROM users")


def stopped_inside(folder: Path) -> psutil.Process | None:
    """Stop a program that works in the folder; None when there is none, or only one that ends."""
    with suppress(psutil.NoSuchProcess):
        for process in map(psutil.Process, processes_inside(folder)):
            process.suspend()
            while process.status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE):
                pass
            if process.status() == psutil.STATUS_STOPPED:
                return process
    return None


def test_a_cluster_killed_half_made_is_made_again_once_its_last_program_has_ended() -> None:
    stack = Stack()
    fresh = stack.settings.shop / "db-a.new"
    try:
        stack.start("db-a")
        orphan = until(lambda: stopped_inside(fresh), "initdb's own server")
        stack.kill("db-a")
        half_made = fresh.stat().st_ino
        stack.start("db-a")
        until(lambda: "waits for the end" in stack.log_of("db-a"), "the second start")
        assert str(orphan.pid) in stack.log_of("db-a")
        assert not (stack.settings.shop / "db-a").exists()
        assert fresh.stat().st_ino == half_made, "thrown away under a program that writes there"
        orphan.resume()
        until(lambda: roles(stack)["db-a"] == "primary", "the primary")
        assert not fresh.exists()
    finally:
        stack.remove()
