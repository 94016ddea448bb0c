"""Backups and restore drills, from their evidence."""

from monitors.dashboards.model import Board, Limits, Panel, Query, Row, either

_VERDICT = 'storewatch_evidence_verdict{{kind=~"{kind}",verdict="PASS"}}'
_PROVEN = "proof|failover"


def measured(kind: str, name: str) -> str:
    """Return the query of a measurement of the newest evidence of a kind, or of a|b."""
    return f'storewatch_evidence_measurement{{kind=~"{kind}",name="{name}"}}'


def verdicts(kind: str, alert: str) -> Panel:
    """Return the panel of the newest verdicts of a kind, or of a|b."""
    return either(
        "Newest verdict",
        Query(_VERDICT.format(kind=kind), "{{subject}}"),
        ("not passed", "PASS"),
        alert=alert,
    )


def _age(kind: str) -> Query:
    passed = f'storewatch_evidence_last_pass_timestamp_seconds{{kind="{kind}"}}'
    return Query(f"time() - max by (subject) ({passed})", "{{subject}}")


def board(limits: Limits) -> Board:
    """Return the dashboard of backups and drills."""
    return Board(
        "storewatch-rehearsals",
        "Backups and drills",
        "A backup is one that was restored. Each number is of the newest evidence.",
        (
            Row(
                "Backups",
                (
                    verdicts("backup", "BackupFailed"),
                    Panel(
                        "Age of the newest good one",
                        (_age("backup"),),
                        unit="s",
                        bounds=((limits.backup_age_s, "red"),),
                        alert="BackupTooOld",
                    ),
                    Panel(
                        "Bytes",
                        (
                            Query(measured("backup", "bytes"), "{{subject}} plain"),
                            Query(measured("backup", "stored_bytes"), "{{subject}} stored"),
                        ),
                        unit="bytes",
                    ),
                ),
            ),
            Row(
                "Restore drills",
                (
                    verdicts("drill", "DrillFailed"),
                    Panel(
                        "Age of the newest that passed",
                        (_age("drill"),),
                        unit="s",
                        bounds=((limits.drill_age_s, "red"),),
                        alert="DrillTooOld",
                    ),
                    Panel(
                        "Recovery time",
                        (Query(measured("drill", "recovery_time_s"), "{{subject}}"),),
                        unit="s",
                        bounds=((limits.recovery_time_s, "red"),),
                    ),
                    Panel(
                        "Recovery point",
                        (Query(measured("drill", "recovery_point_s"), "{{subject}}"),),
                        unit="s",
                        bounds=((limits.recovery_point_s, "red"),),
                    ),
                    Panel(
                        "Where the time goes",
                        tuple(
                            Query(measured("drill", f"{phase}_s"), f"{{{{subject}}}} {phase}")
                            for phase in ("fetch", "decrypt", "restore", "replay", "verify")
                        ),
                        unit="s",
                        stacked=True,
                    ),
                    Panel(
                        "Rows verified",
                        (Query(measured("drill", "rows_verified"), "{{subject}}"),),
                    ),
                ),
            ),
            Row(
                "Proofs and fail-over drills",
                (
                    verdicts(_PROVEN, ""),
                    Panel(
                        "Time to detect",
                        (Query(measured(_PROVEN, "time_to_detect_s"), "{{subject}}"),),
                        unit="s",
                    ),
                    Panel(
                        "Time to recover",
                        (
                            Query(measured(_PROVEN, "time_to_recover_s"), "{{subject}}"),
                            Query(
                                measured(_PROVEN, "time_to_redundancy_s"),
                                "{{subject}} redundant",
                                empty="no proof has a rejoin",
                            ),
                        ),
                        unit="s",
                    ),
                ),
            ),
        ),
    )
