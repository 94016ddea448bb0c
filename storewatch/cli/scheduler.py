"""`scheduler`: run what is due."""

import click

from storewatch.cli.common import config_option, log_to_stderr, parts, say, until_told
from storewatch.core.clock import rfc3339
from storewatch.scheduler import build_scheduler


@click.command()
@config_option
def scheduler() -> None:
    """Run backups and restore drills, and learn seasons, when they are due."""
    log_to_stderr()
    ending = until_told()
    found = parts()
    jobs = build_scheduler(found.config, found.state_url)
    for job in jobs.get_jobs():
        say(f"{job.id}: next at {rfc3339(job.next_run_time)}")
    ending.wait()
    jobs.shutdown(wait=False)
