"""The family of errors that a user may meet; each is one line and carries its exit code."""


class StorewatchError(Exception):
    """Something the user can act on: what is wrong, where, and what a right value looks like."""

    exit_code = 1


class UsageError(StorewatchError):
    """The command line or the configuration is wrong."""

    exit_code = 2


class UnreachableError(StorewatchError):
    """A needed part (process, server, program) cannot be reached or is not installed."""

    exit_code = 4


class BusyError(StorewatchError):
    """Another run of the same kind holds the lock; it must end first."""


class MonitorError(StorewatchError):
    """Watching failed in a way that is not the watched shop's fault."""


class AlertError(StorewatchError):
    """What was written for alerting (SLOs, a history, a notification) makes no sense."""

    exit_code = 2


class RunbookError(StorewatchError):
    """A runbook page is malformed or one of its steps failed."""


class LoadError(StorewatchError):
    """A load test could not be run or its ledger could not be reconciled."""


class BackupError(StorewatchError):
    """A backup, restore or drill failed; nothing that was there before is lost."""


class ChaosError(StorewatchError):
    """A fault could not be injected, held or undone."""
