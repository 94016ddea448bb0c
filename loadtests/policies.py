"""What a release must show before it goes live: `loadtests.policies.<name>` of storewatch.yaml."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from storewatch.schema import Duration, Section

MIX = "mix"  # the first half of a load test's subject where no single journey is named
ALL = "all"
_SUBJECT = r"^[^/\s]+/[^/\s]+$"
# What a requirement asks, and the keys that may stand beside it.
_BESIDE: dict[str, set[str]] = {
    "load": {"times", "hold", "workers"},
    "compare": {"first_release"},
    "drill": set(),
    "proof": set(),
    "error_budget": set(),
}


class RequiredDrillSettings(Section):
    """A restore drill: one run now, or the newest, which must be a PASS that began `within`."""

    within: Duration | None = None


class RequiredProofSettings(Section):
    """A proof of `chaos.proofs` that was run before: the newest must be a PASS of this age."""

    name: str
    within: Duration


class ErrorBudgetSettings(Section):
    """Error budgets of which at least this share must be left; `slo` is an id, or `all`."""

    slo: str = ALL
    # Source: our own; below a tenth, one bad release of the usual kind spends the budget.
    least: float = Field(default=0.1, ge=0, lt=1)


class RequirementSettings(Section):
    """One thing that a release must show; exactly one of the first five keys says what.

    Attributes:
        load: a journey, or `mix`, and a profile: `checkout/baseline`. It is run now.
        compare: with the last release that passed the same policy, by the runs of such a subject.
        drill: `run` restores now; `within` looks at the newest drill.
        proof: looks at the newest of a proof.
        error_budget: asks Prometheus.
        times: how often in a row a load test is run; comparisons need five or more.
        hold: of the profile, where it is another one: a soak of a given length.
        workers: processes on this machine that make the load together.
        first_release: what a comparison is worth while no release has passed the policy.
    """

    load: Annotated[str, Field(pattern=_SUBJECT)] | None = None
    compare: Annotated[str, Field(pattern=_SUBJECT)] | None = None
    drill: RequiredDrillSettings | None = None
    proof: RequiredProofSettings | None = None
    error_budget: ErrorBudgetSettings | None = None
    times: int = Field(default=1, ge=1, le=100)
    hold: Duration | None = None
    workers: int = Field(default=1, ge=1, le=256)
    first_release: Literal["pass", "inconclusive"] = "inconclusive"

    @field_validator("drill", mode="before")
    @classmethod
    def _now_or_before(cls, value: Any) -> Any:
        if isinstance(value, dict | RequiredDrillSettings):
            return value
        if value != "run":
            raise ValueError("write run, or {within: 24h}")
        return {}

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Self:
        asked = [key for key in _BESIDE if getattr(self, key) is not None]
        if len(asked) != 1:
            raise ValueError(
                f"has {' and '.join(asked) or 'nothing to require'};"
                f" write exactly one of {', '.join(_BESIDE)}"
            )
        allowed = {*asked, *_BESIDE[asked[0]]}
        if foreign := sorted(self.model_fields_set - allowed - set(_BESIDE)):
            keys = ", ".join(sorted(_BESIDE[asked[0]])) or "none"
            raise ValueError(f"{asked[0]} has no {foreign[0]}; beside it may stand: {keys}")
        return self

    @property
    def subject(self) -> str | None:
        """The subject of the load tests that are run or compared; None for other requirements."""
        return self.load or self.compare

    @property
    def title(self) -> str:
        """What a person calls it; distinct within a policy."""
        if self.load and self.hold is not None:
            return f"load {self.load}, hold {self.hold:g} s"
        if self.subject:
            return f"{'load' if self.load else 'compare'} {self.subject}"
        if self.proof is not None:
            return f"proof {self.proof.name}"
        if self.error_budget is not None:
            return f"error budget {self.error_budget.slo}"
        return "newest restore drill" if self.drill and self.drill.within else "restore drill"


Policy = Annotated[tuple[RequirementSettings, ...], Field(min_length=1)]


def parted(subject: str) -> tuple[str | None, str]:
    """Return the journey, None for the mix, and the profile of a load test's subject."""
    journey, _, profile = subject.partition("/")
    return (None if journey == MIX else journey), profile
