"""What may go wrong with a copy, told apart because the answer differs."""

from storewatch.core.errors import BackupError, StorewatchError


class TierError(BackupError):
    """A tier cannot be written or read at present: degraded, to be caught up later."""


class ExistsError(TierError):
    """A key holds other bytes; what is there is never overwritten."""


class MissingObjectError(BackupError):
    """A tier answers, but does not hold the object."""


class DamagedError(BackupError):
    """What was read is not what was written."""


class DecryptionError(BackupError):
    """The identity does not open the object, or the object was altered."""


def one_line(error: Exception) -> str:
    """Return an error as one line; one that nobody planned for carries its type."""
    text = " ".join(str(error).split())
    return text if isinstance(error, StorewatchError) else f"{type(error).__name__}: {text}"
