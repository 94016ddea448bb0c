"""What may go wrong with a copy, told apart because the answer differs."""

from storewatch.core.errors import BackupError


class TierError(BackupError):
    """A tier cannot be written or read at present: degraded, to be caught up later."""


class MissingObjectError(BackupError):
    """A tier answers, but does not hold the object."""


class DamagedError(BackupError):
    """What was read is not what was written."""


class DecryptionError(BackupError):
    """The identity does not open the object, or the object was altered."""
