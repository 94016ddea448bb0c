"""The settings with which a restored PostgreSQL recovers to its target and harms nobody."""

from pathlib import Path

from backup.recovery.target import Kind, RecoveryTarget
from backup.wal.names import format_lsn

WAL_FOLDER = "wal"
_AUTO = "postgresql.auto.conf"
# Commits would wait for a standby that is not there; archiving would write into production's WAL.
_ISOLATION = {
    "listen_addresses": "127.0.0.1",
    "archive_mode": "off",
    "archive_command": "",
    "archive_library": "",
    "primary_conninfo": "",
    "primary_slot_name": "",
    "synchronous_standby_names": "",
}


def write_recovery(
    data: Path, target: RecoveryTarget | None, timeline: int | None, port: int
) -> None:
    """Let the server recover when it is started; `../wal` holds what it reads.

    Args:
        data: the restored data folder.
        target: None for the end of the base backup itself.
        timeline: to follow; None for the base backup's own.
        port: that it will listen on, on 127.0.0.1.
    """
    settings = {**_ISOLATION, "port": str(port), "recovery_target_action": "promote"}
    if target is None:
        settings |= {"restore_command": "false", "recovery_target": "immediate"}
    else:
        settings["restore_command"] = f'cp "../{WAL_FOLDER}/%f" "%p"'
        settings["recovery_target_timeline"] = str(timeline) if timeline else "current"
        settings |= _of(target)
    lines = ["", "# written by storewatch's restore"]
    lines += [f"{name} = {_quoted(value)}" for name, value in settings.items()]
    with (data / _AUTO).open("a") as file:
        file.write("\n".join(lines) + "\n")
    (data / "standby.signal").unlink(missing_ok=True)
    (data / "recovery.signal").touch(mode=0o600)
    for name, content in (("postgresql.conf", ""), ("pg_hba.conf", "local all all peer\n")):
        if not (data / name).exists():  # Debian keeps them elsewhere
            (data / name).write_text(content)


def _of(target: RecoveryTarget) -> dict[str, str]:
    if target.kind == Kind.TIME:
        assert target.at is not None
        return {"recovery_target_time": target.at.isoformat()}
    if target.kind == Kind.LSN:
        # What lies before the position: the state in which pg_current_wal_lsn() said so.
        return {
            "recovery_target_lsn": format_lsn(target.position),
            "recovery_target_inclusive": "off",
        }
    if target.kind == Kind.NAME:
        return {"recovery_target_name": target.name}
    if target.kind == Kind.XID:
        return {"recovery_target_xid": str(target.transaction)}
    return {}


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
