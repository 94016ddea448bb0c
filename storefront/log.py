"""The application's log: one JSON object per line on standard output, ids and never names.

Messages of exceptions may quote what a shopper typed, so only their type and place are written.
"""

import datetime as dt
import logging
import sys
import traceback
from typing import Any

import orjson


class Log:
    """Writes lines that all carry the name of the process."""

    def __init__(self, process: str) -> None:
        self._process = process

    def write(self, event: str, **fields: Any) -> None:
        """Write one line: event and fields (numbers, ids, names from fixed sets)."""
        now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        line = {"time": now, "process": self._process, "event": event, **fields}
        sys.stdout.buffer.write(orjson.dumps(line, default=str) + b"\n")
        sys.stdout.buffer.flush()

    def failure(self, event: str, error: BaseException, **fields: Any) -> None:
        """Write what kind of error came from where; its message stays out."""
        cause = error.__cause__ or error
        frames = traceback.extract_tb(cause.__traceback__) or traceback.extract_tb(
            error.__traceback__
        )
        place = f"{frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else ""
        state = getattr(cause, "sqlstate", None)
        kinds = type(error).__name__ if cause is error else _both(error, cause)
        self.write(event, error=kinds, place=place, sqlstate=state, **fields)

    def take_over_libraries(self) -> None:
        """Send warnings of the libraries through this log, their messages left out."""
        logging.root.handlers = [_Handler(self)]
        logging.root.setLevel(logging.WARNING)


def _both(error: BaseException, cause: BaseException) -> str:
    return f"{type(error).__name__} from {type(cause).__name__}"


def _error_in(arguments: Any) -> BaseException | None:
    """Return the exception that a library passed as an argument of its message."""
    given = arguments if isinstance(arguments, tuple) else ()
    return next((value for value in given if isinstance(value, BaseException)), None)


class _Handler(logging.Handler):
    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write where a library warned; `msg` is its template without the arguments."""
        error = record.exc_info[1] if record.exc_info else _error_in(record.args)
        fields = {"logger": record.name, "level": record.levelname, "template": str(record.msg)}
        if error is not None:
            self._log.failure("library", error, **fields)
        else:
            self._log.write("library", **fields)
