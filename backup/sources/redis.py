"""Redis: a snapshot by the replication protocol.

We ask as a replica would (`PSYNC ? -1`) and get the RDB file of one moment with the replication
offset it belongs to. Nothing is left behind on the server's disk.

Source: the replication protocol (https://redis.io/docs/latest/operate/oss_and_stack/management/replication/)
and the RDB format (rdb.h: opcodes 0xFA auxiliary field, 0xFE database, 0xFB sizes).
"""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import redis
from redis.connection import parse_url

from backup.seal import CHUNK_BYTES
from backup.sources.settings import RedisSourceSettings
from backup.sources.source import Captured, OpenObject
from storewatch.core.errors import BackupError

NAME = "redis"
OBJECT = "redis.rdb"
_MAGIC = b"REDIS"
_AUXILIARY, _DATABASE, _SIZES = 0xFA, 0xFE, 0xFB


class RedisSource:
    """The server behind the URL, all its databases."""

    name = NAME

    def __init__(self, settings: RedisSourceSettings) -> None:
        self._settings = settings

    def capture(self, open_object: OpenObject) -> Captured:
        """Stream the snapshot.

        Raises:
            BackupError: the server does not answer, refuses, or ends the snapshot early.
        """
        try:
            with self._connected() as stream:
                return self._snapshot(stream, open_object)
        except (OSError, redis.RedisError, ValueError) as error:
            raise BackupError(f"redis: {error}") from error

    def _snapshot(self, stream: "_Stream", open_object: OpenObject) -> Captured:
        keeps_log = stream.keeps_log()
        word, replication_id, offset = stream.ask("PSYNC", "?", "-1").split()
        if word != "FULLRESYNC":
            raise ValueError(f"answered {word} to PSYNC instead of FULLRESYNC")
        size_bytes = stream.announced_size()
        head = b""
        left = size_bytes
        with open_object(OBJECT, size_bytes) as sink:
            while left:
                chunk = stream.file.read(min(CHUNK_BYTES, left))
                if not chunk:
                    raise ValueError(f"closed the connection {left} bytes before the end")
                head = head or chunk
                left -= len(chunk)
                sink.write(chunk)
        return Captured(
            {
                "object": OBJECT,
                "replication_id": replication_id,
                "offset": int(offset),
                "append_only": keeps_log,
                **first_database(head),
            }
        )

    @contextmanager
    def _connected(self) -> Iterator["_Stream"]:
        parts: dict[str, Any] = dict(
            parse_url(self._settings.url.get_secret_value())  # type: ignore[no-untyped-call]
        )
        address = (parts.get("host", "localhost"), parts.get("port", 6379))
        plain = socket.create_connection(address, timeout=self._settings.timeout)
        with plain:
            secure = self._settings.url.get_secret_value().startswith("rediss://")
            context = ssl.create_default_context() if secure else None
            line = context.wrap_socket(plain, server_hostname=address[0]) if context else plain
            with line, line.makefile("rwb", buffering=CHUNK_BYTES) as file:
                stream = _Stream(file)
                if password := parts.get("password"):
                    stream.ask("AUTH", parts.get("username") or "default", password)
                yield stream


class _Stream:
    """One connection that speaks RESP."""

    def __init__(self, file: Any) -> None:
        self.file: BinaryIO = file

    def ask(self, *words: str) -> str:
        """Send a command and return its simple answer.

        Raises:
            ValueError: the server answered with an error.
        """
        parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
        self.file.write(f"*{len(words)}\r\n{''.join(parts)}".encode())
        self.file.flush()
        answer = self._line()
        if not answer.startswith("+"):
            raise ValueError(f"{words[0]} was answered with {answer.lstrip('-') or 'nothing'}")
        return answer[1:]

    def keeps_log(self) -> bool | None:
        """Tell whether the server keeps an append-only file; None when it does not say."""
        self.file.write(b"*2\r\n$4\r\nINFO\r\n$11\r\npersistence\r\n")
        self.file.flush()
        line = self._line()
        if not line.startswith("$"):
            return None
        text = self.file.read(int(line[1:]) + len(b"\r\n"))
        return b"aof_enabled:1" in text

    def announced_size(self) -> int:
        """Wait for the snapshot and return its bytes; newlines keep the line alive meanwhile."""
        while not (line := self._line()):
            pass
        if not line.startswith("$"):
            raise ValueError(f"no snapshot: {line.lstrip('-')}")
        return int(line[1:])

    def _line(self) -> str:
        line = self.file.readline(4096)
        if not line:
            raise ValueError("closed the connection")
        return line.decode(errors="replace").strip()


def first_database(head: bytes) -> dict[str, Any]:
    """Read version and key count from the beginning of an RDB file.

    Returns:
        redis_version, and of the first database that has keys its number, keys and keys that
        expire (keys 0 for an empty server).

    Raises:
        ValueError: this is no RDB file.
    """
    if not head.startswith(_MAGIC):
        raise ValueError("what came is no RDB file")
    at = len(_MAGIC) + 4
    facts: dict[str, Any] = {"redis_version": "", "database": 0, "keys": 0, "expiring": 0}
    try:
        while head[at] == _AUXILIARY:
            key, at = _string(head, at + 1)
            value, at = _string(head, at)
            if key == b"redis-ver":
                facts["redis_version"] = value.decode(errors="replace")
        if head[at] == _DATABASE:
            facts["database"], at = _length(head, at + 1)
            if head[at] == _SIZES:
                facts["keys"], at = _length(head, at + 1)
                facts["expiring"], at = _length(head, at)
    except IndexError:
        raise ValueError("the RDB file ends in its own header") from None
    return facts


def _length(data: bytes, at: int) -> tuple[int, int]:
    kind = data[at] >> 6
    if kind == 0:
        return data[at] & 0x3F, at + 1
    if kind == 1:
        return (data[at] & 0x3F) << 8 | data[at + 1], at + 2
    width = 4 if data[at] == 0x80 else 8
    return int.from_bytes(data[at + 1 : at + 1 + width], "big"), at + 1 + width


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    if data[at] >> 6 == 3:  # a small integer: 0xC0, 0xC1, 0xC2 for 1, 2, 4 bytes
        width = 1 << (data[at] & 0x3F)
        number = int.from_bytes(data[at + 1 : at + 1 + width], "little", signed=True)
        return str(number).encode(), at + 1 + width
    size, at = _length(data, at)
    return data[at : at + size], at + size
