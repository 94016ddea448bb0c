"""Targets: a comparison with a bound, and what a measurement is worth against it."""

import operator
import re
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What a measurement or a rehearsal is worth. Missing data is never a pass."""

    PASS = "PASS"  # noqa: S105 - a verdict, not a password
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    INVALID = "INVALID"

    @property
    def exit_code(self) -> int:
        """The exit code of a command that ends with this verdict."""
        return {"PASS": 0, "FAIL": 1}.get(self.value, 3)


_SEVERITY = [Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL, Verdict.INVALID]


def worst(verdicts: list[Verdict]) -> Verdict:
    """Return the worst verdict (INVALID, FAIL, INCONCLUSIVE, PASS); of none, INCONCLUSIVE."""
    return max(verdicts, key=_SEVERITY.index, default=Verdict.INCONCLUSIVE)


_OPERATORS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
}
_FORM = re.compile(r"\s*(<=|>=|<|>|=)\s*(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*")


@dataclass(frozen=True, slots=True)
class Target:
    """A bound that a measurement is judged by, such as `< 0.2`."""

    comparison: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> "Target":
        """Read a target.

        Raises:
            ValueError: the text is not a comparison and a number.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not a target; write a comparison and a number: '< 0.2'")
        return cls(match[1], float(match[2]))

    def judge(self, value: float | None) -> Verdict:
        """Return PASS or FAIL for a value, INCONCLUSIVE for a missing one or NaN."""
        if value is None or value != value:  # NaN is the one number unequal to itself
            return Verdict.INCONCLUSIVE
        return Verdict.PASS if _OPERATORS[self.comparison](value, self.bound) else Verdict.FAIL

    def __str__(self) -> str:
        return f"{self.comparison} {self.bound:g}"
