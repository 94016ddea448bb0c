"""age keys: recipients seal a backup, the drill host's identity opens it.

Source: the file formats of age (https://age-encryption.org/v1): comments begin with `#`, one key a
line.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyrage

from backup.settings import BackupSettings
from storewatch.core.errors import UsageError
from storewatch.store.files import write_atomic


def ensure_identity(path: Path) -> str:
    """Create an age identity (mode 0600) unless there is one, and return its recipient."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        identity = pyrage.x25519.Identity.generate()
        text = f"# public key: {identity.to_public()}\n{identity}\n"
        write_atomic(path, text.encode(), mode=0o600)
    return str(load_identity(path).to_public())


def ensure_keys(settings: BackupSettings) -> str:
    """Create identity and recipients file of a demo unless they exist; return the recipient.

    In production the two lie on different hosts: only recipients_file is copied to the backup host.
    """
    recipient = ensure_identity(settings.identity_file)
    file = settings.recipients_file
    if file is not None and not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, f"{recipient}\n".encode())
    return recipient


def load_identity(path: Path) -> Any:
    """Read the identity that opens backups.

    Raises:
        UsageError: the file is not there, open to others, or holds no identity.
    """
    try:
        if path.stat().st_mode & 0o077:
            raise UsageError(f"identity {path} is readable by others; run chmod 600 {path}")
        lines = _keys(path)
    except OSError as error:
        raise UsageError(
            f"no identity at {path} ({error.strerror}); a drill needs the age identity there "
            "(age-keygen writes one)"
        ) from error
    try:
        return pyrage.x25519.Identity.from_str(lines[0])
    except (IndexError, pyrage.IdentityError):
        raise UsageError(f"{path} holds no age identity; a line AGE-SECRET-KEY-1...") from None


def load_recipients(settings: BackupSettings) -> list[Any]:
    """Return everybody a backup is sealed to.

    Raises:
        UsageError: there is nobody, or a key is malformed.
    """
    keys: Sequence[str] = settings.recipients
    if settings.recipients_file is not None:
        try:
            keys = [*keys, *_keys(settings.recipients_file)]
        except OSError as error:
            raise UsageError(
                f"no recipients at {settings.recipients_file} ({error.strerror}); write age public "
                "keys there, one a line (age1...)"
            ) from error
    try:
        recipients = [pyrage.x25519.Recipient.from_str(key) for key in keys]
    except pyrage.RecipientError as error:
        raise UsageError(f"a recipient is no age public key ({error}); write age1...") from None
    if not recipients:
        raise UsageError(f"{settings.recipients_file} holds no recipient; write age1... on a line")
    return recipients


def _keys(path: Path) -> list[str]:
    lines = (line.strip() for line in path.read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]
