"""The section `runbooks:` of storewatch.yaml."""

from storewatch.schema import BesidePath, Duration, Section


class RunbookSettings(Section):
    """Where pages are looked for (own folders first, then the shipped ones), and step time-outs."""

    folders: tuple[BesidePath, ...] = ()
    step_timeout: Duration = 60.0
