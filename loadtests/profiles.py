"""The shapes that load can have: `loadtests.profiles.<name>` of storewatch.yaml."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from loadtests.arrivals import HOLD, WARM_UP, Stage
from loadtests.ladder import Ladder
from loadtests.recording import Recording, read_recording
from storewatch.schema import BesidePath, Duration, Section, TargetField

RECOVERY = "recovery"
MOST_STEPS = 20  # of a breakpoint that says no number of its own
# Source: TPC-W 1.8: 5, 20 and 50 % of the interactions order, the rest browses. A journey orders
# as a whole, so here these are shares of journeys.
MIXES: dict[str, dict[str, float]] = {
    "browsing": {"browse": 55, "search": 40, "checkout": 5},
    "shopping": {"browse": 40, "search": 40, "checkout": 20},
    "ordering": {"browse": 25, "search": 25, "checkout": 50},
}
MOST_PER_S = 10_000
Rate = Annotated[float, Field(gt=0, le=MOST_PER_S)]
Shape = Literal["constant", "ramp", "spike", "rehearsal", "steps", "breakpoint", "replay", "closed"]
# shape -> (keys that it needs, keys that it may have)
_KEYS: dict[str, tuple[set[str], set[str]]] = {
    "constant": ({"rate"}, {"hold"}),
    "ramp": ({"rate", "to"}, {"rise", "hold"}),
    "spike": ({"rate"}, {"factor", "rise", "hold", "fall", "recovery"}),
    "rehearsal": ({"peak"}, {"factor", "rise", "hold", "fall", "recovery"}),
    "steps": ({"rate", "by", "steps"}, {"hold"}),
    "breakpoint": ({"rate", "by"}, {"steps", "hold", "pause", "precision"}),
    "replay": ({"file"}, set()),
    "closed": ({"users"}, {"think_time", "hold"}),
}
_ALWAYS = {"shape", "mix", "spacing", "warm_up", "targets"}


class ProfileSettings(Section):
    """How journeys arrive and for how long. Arrivals are open, a slow shop slows none of them.

    Attributes:
        shape: `constant`; `ramp` goes from `rate` to `to` within `rise`; `spike` is a flash sale,
            `factor` times the rate within `rise`, back within `fall`, and `recovery` is watched;
            `rehearsal` is `factor` times the `peak` that is expected; `steps` goes up `by` so many,
            `steps` times; `breakpoint` does so until a target breaks, then halves the gap until it
            is known to a `precision`; `replay` takes the arrivals, or the rates, of `file`.
            Of `closed`, so many `users` think for `think_time` and then take a journey: a slow shop
            slows them, as it slows people who wait for it.
        rate: journeys per second, at first.
        factor: 10 of a spike, 1.5 of a rehearsal.
        think_time: the mean of an exponential distribution, cut at ten times that, as in TPC-W.
        warm_up: left out of the figures of the run, as are ramps; `hold` counts from their end.
        mix: journeys and their weights, or one of `MIXES`; empty for the journey that is named on
            the command line.
        spacing: `even`, or `poisson` as independent shoppers come.
        targets: of this profile, beside or instead of those of all.
    """

    shape: Shape = "constant"
    rate: Rate | None = None
    to: Rate | None = None
    by: Rate | None = None
    peak: Rate | None = None
    users: int | None = Field(default=None, ge=1, le=100_000)
    steps: int | None = Field(default=None, ge=1, le=100)
    factor: float | None = Field(default=None, gt=1)
    warm_up: Duration = 5.0
    rise: Duration = 10.0
    hold: Duration = 60.0
    fall: Duration = 10.0
    recovery: Duration = 60.0
    pause: Duration = 5.0
    precision: float = Field(default=0.05, gt=0, le=0.5)
    think_time: Duration = 7.0
    file: BesidePath | None = None
    mix: dict[str, Annotated[float, Field(gt=0)]] = {}
    spacing: Literal["even", "poisson"] = "even"
    targets: dict[str, TargetField] = {}

    @field_validator("mix", mode="before")
    @classmethod
    def _preset(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value not in MIXES:
            raise ValueError(
                f"no mix {value!r}; write one of {', '.join(MIXES)}, or journeys with their weights"
            )
        return MIXES[value]

    @model_validator(mode="after")
    def _keys_fit_the_shape(self) -> Self:
        needed, allowed = _KEYS[self.shape]
        given = {key for key in self.model_fields_set if getattr(self, key) is not None}
        if missing := sorted(needed - given):
            raise ValueError(f"a {self.shape} profile needs {', '.join(missing)}")
        if foreign := sorted(given - needed - allowed - _ALWAYS):
            keys = ", ".join(sorted(needed | allowed))
            raise ValueError(f"a {self.shape} profile has no {', '.join(foreign)}; it has {keys}")
        self.recording()
        return self

    def stages(self) -> tuple[Stage, ...]:
        """Return what happens one after the other."""
        if recording := self.recording():
            return recording.stages(self.warm_up)
        rate = self.rate or 0.0
        warm_up = Stage(WARM_UP, self.warm_up, rate, rate, counts=False)
        if self.shape == "ramp":
            to = self.to or 0.0
            ramp = Stage("ramp", self.rise, rate, to, counts=False)
            return (warm_up, ramp, Stage(HOLD, self.hold, to, to))
        if self.shape == "spike":
            return self._peak(rate, rate * (self.factor or 10.0))
        if self.shape == "rehearsal":
            peak = self.peak or 0.0
            return self._peak(peak / 10, peak * (self.factor or 1.5))
        if self.shape == "breakpoint":
            return (warm_up,)
        if self.shape == "closed":
            users = self.users or 0
            coming = Stage(WARM_UP, self.warm_up, 0, users, counts=False)
            return (coming, Stage(HOLD, self.hold, users, users))
        if self.shape == "steps":
            levels = [rate + number * (self.by or 0.0) for number in range(self.steps or 0)]
            held = (Stage(f"step-{n}", self.hold, at, at) for n, at in enumerate(levels, 1))
            return (warm_up, *held)
        return (warm_up, Stage(HOLD, self.hold, rate, rate))

    def _peak(self, calm: float, peak: float) -> tuple[Stage, ...]:
        return (
            Stage(WARM_UP, self.warm_up, calm, calm, counts=False),
            Stage("rise", self.rise, calm, peak, counts=False),
            Stage("peak", self.hold, peak, peak),
            Stage("fall", self.fall, peak, calm, counts=False),
            Stage(RECOVERY, self.recovery, calm, calm, counts=False),
        )

    def held_for(self, hold_s: float) -> "ProfileSettings":
        """Return the same profile with another hold.

        Raises:
            ValueError: its shape has none.
        """
        needed, allowed = _KEYS[self.shape]
        if "hold" not in needed | allowed:
            raise ValueError(f"a {self.shape} profile has no hold")
        return self.model_copy(update={"hold": hold_s})

    def ladder(self) -> Ladder | None:
        """Return how a breaking point is looked for after the stages; None where it is not."""
        if self.shape != "breakpoint":
            return None
        rate, by, steps = self.rate or 0.0, self.by or 0.0, self.steps or MOST_STEPS
        return Ladder(rate, by, steps, self.hold, self.pause, self.precision)

    @property
    def think_s(self) -> float | None:
        """What users think on average; None where arrivals are open."""
        return self.think_time if self.shape == "closed" else None

    def recording(self) -> Recording | None:
        """Return what is replayed; None where nothing is.

        Raises:
            ValueError: the file cannot be read, or a line makes no sense.
        """
        if self.file is None:
            return None
        try:
            return read_recording(self.file.read_text().splitlines(), MOST_PER_S)
        except OSError as error:
            raise ValueError(f"{self.file} cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise ValueError(f"{self.file}: {error}") from None
