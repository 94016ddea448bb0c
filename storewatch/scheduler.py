"""Backups, drills and the learning of seasons when they are due.

Jobs are kept in the state database. A run that fell into a time when no scheduler lived is caught
up once, however late it is; runs that fell together are one; a run never overlaps itself.
"""

import json
import logging
import os
import subprocess
from pathlib import Path

from apscheduler.events import (
    EVENT_JOB_ERROR,
    EVENT_JOB_MAX_INSTANCES,
    EVENT_JOB_MISSED,
    JobEvent,
)
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from storewatch.config import Config
from storewatch.core.commands import resolve
from storewatch.core.errors import StorewatchError
from storewatch.schema import parse_duration

_log = logging.getLogger(__name__)
_CRON_FIELDS = 5
_TABLE = "jobs"
_REHEARSALS = {
    "backup": "backup run",
    "drill": "drill run --scheduled",
    "sabotage": "drill sabotage",
    "sync": "backup sync",
    "verify": "backup verify --sample",
    "canary": "backup canary",
    "prune": "backup prune",
    "dump": "backup dump",
    "failover": "drill failover",
}
"""Keys of `backup.schedule` and what is run then; one without a schedule is left to people."""


def trigger(schedule: str) -> BaseTrigger:
    """Return the trigger of a schedule: an interval (15m) or five cron fields, in UTC."""
    if len(schedule.split()) == _CRON_FIELDS:
        return CronTrigger.from_crontab(schedule, timezone="UTC")
    return IntervalTrigger(seconds=round(parse_duration(schedule)), timezone="UTC")


def build_scheduler(config: Config, database_url: str) -> BackgroundScheduler:
    """Return a started scheduler with the configured jobs.

    Args:
        config: what is due, and how often.
        database_url: where the jobs are kept; one scheduler only may use it.
    """
    scheduler = BackgroundScheduler(
        timezone="UTC",
        jobstores={"default": SQLAlchemyJobStore(url=database_url, tablename=_TABLE)},
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
    )
    scheduler.add_listener(_alarm, EVENT_JOB_ERROR | EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES)
    scheduler.start(paused=True)
    wanted = _wanted(config)
    for job in scheduler.get_jobs():
        if job.id not in wanted:
            scheduler.remove_job(job.id)
    for command, when in wanted.items():
        _put(scheduler, command, when, [str(config.file), command])
    scheduler.resume()
    return scheduler


def _wanted(config: Config) -> dict[str, BaseTrigger]:
    """Return what is due when: the words after `storewatch`, and a trigger."""
    wanted = {}
    if config.settings.backup is not None:
        schedule = config.settings.backup.schedule
        wanted = {
            command: trigger(when)
            for name, command in _REHEARSALS.items()
            if (when := getattr(schedule, name)) is not None
        }
        if not any(tier.retention for tier in config.settings.backup.tiers):
            del wanted[_REHEARSALS["prune"]]
    if config.settings.alerting.anomaly.signals:
        refit = round(config.settings.alerting.anomaly.refit)
        wanted["anomaly run"] = IntervalTrigger(seconds=refit, timezone="UTC")
    return wanted


def _put(
    scheduler: BackgroundScheduler, identifier: str, when: BaseTrigger, arguments: list[str]
) -> None:
    """Add a job; one that was kept with the same schedule keeps its next run, missed or not."""
    kept = scheduler.get_job(identifier)
    due = {}
    if kept is not None and str(kept.trigger) == str(when):
        due = {"next_run_time": kept.next_run_time}
    scheduler.add_job(run_command, when, arguments, id=identifier, replace_existing=True, **due)


def run_command(config_file: str, command: str) -> None:
    """Run a command in a process of its own; its evidence says how it went.

    Args:
        config_file: of storewatch.
        command: the words after `storewatch`, which name the job too.

    Raises:
        StorewatchError: it ended with FAIL or could not run; the scheduler's listener tells.
    """
    words = resolve(("storewatch", "--config", config_file, *command.split(), "--json"))
    done = subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(config_file).parent,
        env=dict(os.environ),
    )
    if done.returncode:
        raise StorewatchError(
            f"{command}: status {done.returncode}: {_reason(done.stdout, done.stderr)}"
        )
    _log.info("%s: done", command)


def _reason(output: str, errors: str) -> str:
    """Return the notes of the evidence that a command printed, else its last error line."""
    try:
        printed = json.loads(output)
        records = printed if isinstance(printed, list) else [printed]
        return "; ".join(note for record in records for note in record["notes"])
    except (ValueError, KeyError, TypeError):
        return (errors.strip().splitlines() or ["it said nothing"])[-1]


def forget_jobs(database_url: str) -> None:
    """Forget which runs are due, for a shop that begins anew."""
    store = SQLAlchemyJobStore(url=database_url, tablename=_TABLE)
    store.start(None, "forgotten")
    store.remove_all_jobs()
    store.shutdown()


def _alarm(event: JobEvent) -> None:
    """Say aloud what would otherwise only show as evidence that grows old."""
    if event.code == EVENT_JOB_ERROR:
        _log.error("job %s failed: %s", event.job_id, getattr(event, "exception", ""))
    elif event.code == EVENT_JOB_MISSED:
        _log.error("job %s missed its run", event.job_id)
    else:
        _log.error("job %s is still running; this run is left out", event.job_id)
