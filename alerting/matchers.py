"""Matchers of labels, as Alertmanager writes them: severity="page", team=~"web|shop".

Source: Alertmanager's documentation, "Configuration / <matcher>".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator

from storewatch.core.parts import Labels

_FORM = re.compile(
    r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*(?:"((?:\\.|[^"\\])*)"|([^"]*?))\s*'
)
_ESCAPES = {r"\"": '"', r"\\": "\\", r"\n": "\n"}


@dataclass(frozen=True, slots=True)
class Matcher:
    """A condition on one label; a label that is not there is empty."""

    label: str
    operator: str
    value: str

    @classmethod
    def parse(cls, text: str) -> "Matcher":
        """Read a matcher.

        Raises:
            ValueError: it is none.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            raise ValueError(f'{text!r} is no matcher; write severity="page" or team=~"web|shop"')
        quoted = match[3]
        value = match[4] if quoted is None else re.sub(r"\\.", _unescape, quoted)
        matcher = cls(match[1], match[2], value)
        if "~" in matcher.operator:
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(f"{text!r}: no regular expression ({error})") from None
        return matcher

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether labels meet the condition; expressions match the whole value."""
        value = labels.get(self.label, "")
        if "~" in self.operator:
            found = re.fullmatch(self.value, value) is not None
        else:
            found = value == self.value
        return found != self.operator.startswith("!")

    def __str__(self) -> str:
        escaped = self.value.replace("\\", "\\\\").replace('"', r"\"").replace("\n", r"\n")
        return f'{self.label}{self.operator}"{escaped}"'


def _unescape(match: re.Match[str]) -> str:
    return _ESCAPES.get(match[0], match[0])


def all_match(matchers: tuple[str, ...], labels: Labels) -> bool:
    """Return whether labels meet all conditions; no condition is met by all."""
    return all(Matcher.parse(text).matches(labels) for text in matchers)


def _matcher(text: str) -> str:
    return str(Matcher.parse(text))


MatcherText = Annotated[str, AfterValidator(_matcher)]
"""A matcher in Alertmanager's notation, normalised."""


def not_empty(values: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse an empty list, after what is in it was judged."""
    if not values:
        raise ValueError("an empty list; name at least one")
    return values


Matchers = Annotated[tuple[MatcherText, ...], AfterValidator(not_empty)]
"""At least one matcher."""
