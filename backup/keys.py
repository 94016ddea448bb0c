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
    return str(load_identity(path)[0].to_public())


def rotate_keys(settings: BackupSettings) -> str:
    """Make a new identity, put it before the old ones, and return its recipient.

    What was sealed before still opens, with the identities that stay in the file. In the recipients
    file the new recipient takes the place of the one before; others, such as one in a safe, stay.

    Raises:
        UsageError: there is no identity to follow, or no recipients file to write.
    """
    path, file = settings.identity_file, settings.recipients_file
    before = str(load_identity(path)[0].to_public())
    if file is None:
        raise UsageError(
            "backup.recipients names the keys; give recipients_file instead, so that a rotation "
            "can write it"
        )
    made = pyrage.x25519.Identity.generate()
    recipient = str(made.to_public())
    text = f"# public key: {recipient}\n{made}\n{path.read_text()}"
    write_atomic(path, text.encode(), mode=0o600)
    lines = [line for line in file.read_text().splitlines() if line.strip() != before]
    write_atomic(file, "\n".join([recipient, *lines, ""]).encode())
    return recipient


def ensure_keys(settings: BackupSettings) -> str:
    """Create identity and recipients file unless they exist; return the recipient.

    In production the two lie on different hosts: only recipients_file is copied to the backup host.
    """
    recipient = ensure_identity(settings.identity_file)
    file = settings.recipients_file
    if file is not None and not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, f"{recipient}\n".encode())
    return recipient


def load_identity(path: Path) -> list[Any]:
    """Read the identities that open backups: today's first, then those of before a rotation.

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
            "(`storewatch backup keys` or age-keygen writes one)"
        ) from error
    try:
        identities = [pyrage.x25519.Identity.from_str(line) for line in lines]
    except pyrage.IdentityError:
        raise UsageError(f"{path}: a line is no age identity; write AGE-SECRET-KEY-1...") from None
    if not identities:
        raise UsageError(f"{path} holds no age identity; a line AGE-SECRET-KEY-1...")
    return identities


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
                "keys there, one a line (age1...); `storewatch backup keys` makes a pair"
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
