"""Kinds of values that the settings of this package are made of."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from storewatch.schema import parse_duration

_NUMBERS, _NAMES = r"[\d*,/-]+", r"[\d*,/A-Za-z-]+"
_CRON = re.compile(r"\s+".join([_NUMBERS] * 3 + [_NAMES] * 2))
NAME_FORM = r"^[a-z0-9][a-z0-9-]{0,39}$"


def _schedule(value: str) -> str:
    if not _CRON.fullmatch(value.strip()):
        try:
            parse_duration(value)
        except ValueError:
            raise ValueError(
                f"{value!r} is no schedule; write an interval such as 15m, or five cron fields "
                "such as '30 2 * * *'"
            ) from None
    return value


def _absolute(value: Path) -> Path:
    if not value.is_absolute():
        raise ValueError(
            f"{value} is relative; write ${{STOREWATCH_HOME}}/{value} or an absolute path"
        )
    return value


Folder = Annotated[Path, AfterValidator(_absolute)]
"""An absolute path, so that it means the same to every process."""

Schedule = Annotated[str, AfterValidator(_schedule)]
"""An interval (`15m`) or five cron fields in UTC (`30 2 * * *`)."""
