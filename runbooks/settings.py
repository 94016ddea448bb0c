"""The section `runbooks:` of storewatch.yaml."""

from pathlib import Path

from storewatch.schema import Duration, Section


class RunbookSettings(Section):
    """Where pages are looked for (own folders first, then the shipped ones), and step time-outs."""

    folders: tuple[Path, ...] = ()
    step_timeout: Duration = 60.0
