from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest
from apscheduler.schedulers.background import BackgroundScheduler

from storewatch.cli.main import cli
from storewatch.config import Config, load_config
from storewatch.core.errors import StorewatchError
from storewatch.scheduler import build_scheduler, forget_jobs, run_command, trigger

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setenv("STOREWATCH_HOME", str(tmp_path / "home"))
    return load_config(ROOT / "storewatch.yaml")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'jobs.db'}"


def started(config: Config, url: str) -> BackgroundScheduler:
    """A scheduler that runs nothing by itself."""
    scheduler = build_scheduler(config, url)
    scheduler.pause()
    return scheduler


def test_an_interval_and_a_cron_line_become_triggers_in_utc() -> None:
    now = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)
    assert trigger("15m").interval == timedelta(minutes=15)
    due = trigger("30 2 * * *").get_next_fire_time(None, now)
    assert due == datetime(2026, 11, 22, 2, 30, tzinfo=UTC)


def test_every_job_is_a_command_that_there_is(config: Config, url: str) -> None:
    scheduler = started(config, url)
    for job in scheduler.get_jobs():
        group, *words = job.id.split()
        command = cli.get_command(click.Context(cli), group)
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), words.pop(0))
        assert command is not None, job.id
        known = {name for parameter in command.params for name in parameter.opts}
        assert {*words, "--json"} <= known, job.id
    scheduler.shutdown()


def test_late_runs_are_caught_up_once_and_never_overlap(config: Config, url: str) -> None:
    scheduler = started(config, url)
    jobs = {job.id: job for job in scheduler.get_jobs()}
    assert {"backup run", "drill run --scheduled", "drill sabotage", "anomaly run"} <= set(jobs)
    assert "backup prune" not in jobs  # no tier of the demo has a retention
    for job in jobs.values():
        assert job.coalesce
        assert job.max_instances == 1
        assert job.misfire_grace_time is None
    scheduler.shutdown()


def test_only_people_dump_and_fail_over_unless_there_is_a_schedule(
    config: Config, url: str
) -> None:
    first = started(config, url)
    assert {"backup dump", "drill failover"} & {job.id for job in first.get_jobs()} == set()
    first.shutdown()
    backup = config.settings.backup
    assert backup is not None
    schedule = backup.schedule.model_copy(update={"dump": "24h", "failover": "30 3 1 * *"})
    backup = backup.model_copy(update={"schedule": schedule})
    settings = config.settings.model_copy(update={"backup": backup})
    second = started(replace(config, settings=settings), url)
    assert {"backup dump", "drill failover"} <= {job.id for job in second.get_jobs()}
    second.shutdown()


def test_a_restart_keeps_the_run_that_was_due(config: Config, url: str) -> None:
    first = started(config, url)
    due = datetime.now(UTC) + timedelta(seconds=77)
    first.modify_job("backup run", next_run_time=due)
    first.shutdown()
    second = started(config, url)
    assert second.get_job("backup run").next_run_time == due
    second.shutdown()


def test_forgotten_jobs_are_due_anew(config: Config, url: str) -> None:
    first = started(config, url)
    first.modify_job("backup run", next_run_time=datetime(2020, 1, 1, tzinfo=UTC))
    first.shutdown()
    forget_jobs(url)
    second = started(config, url)
    assert second.get_job("backup run").next_run_time > datetime.now(UTC)
    second.shutdown()


def test_a_run_that_fails_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "storewatch.yaml"
    broken.write_text("console: {}\n")
    with pytest.raises(StorewatchError, match=r"backup run: status 2: .*console"):
        run_command(str(broken), "backup run")
