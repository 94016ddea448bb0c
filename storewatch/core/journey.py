"""Journeys: a shopper's way through the shop, written once, used by probes and by load tests.

A journey is a function over a `Shopper`. What drives the shopper (requests on a timer, Locust
under load) is not the journey's business.
"""

import importlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol


class JourneyFailedError(Exception):
    """The shop did not do what the journey expects; the message names step and expectation."""

    def __init__(self, step: str, message: str) -> None:
        super().__init__(f"{step}: {message}")
        self.step = step
        self.message = message


class Response(Protocol):
    """The part of an HTTP response that journeys may rely on (requests has more)."""

    @property
    def status_code(self) -> int:
        """The HTTP status."""

    @property
    def text(self) -> str:
        """The body as text."""

    @property
    def headers(self) -> Any:
        """The headers; their names are found in any case."""

    def json(self) -> Any:
        """Return the body decoded from JSON."""


class Shopper(Protocol):
    """What a journey sees of its driver.

    `data` carries values in and out of a journey. In: `number` (int, unique within a run and
    partitioned over workers; the same number may come back in another run) and `run` (str, unique
    per run). Out: `attempt` (the idempotency key, set before the order is sent) and `order`
    (an `AcknowledgedOrder` as a dict, set once the shop has acknowledged it).
    """

    data: dict[str, Any]

    def get(self, path: str, *, route: str | None = None, **options: Any) -> Response:
        """GET a path of the shop; `route` is its template where the path carries ids."""

    def post(self, path: str, *, route: str | None = None, **options: Any) -> Response:
        """POST to a path of the shop; options are `json` and `headers`, as in requests."""

    def step(self, name: str) -> AbstractContextManager[None]:
        """Measure what happens inside as one step of the journey."""

    def expect(self, condition: object, message: str) -> None:
        """Raise JourneyFailedError with the message when the condition does not hold."""


Journey = Callable[[Shopper], None]


@dataclass(frozen=True, slots=True)
class AcknowledgedOrder:
    """An order that the shop has confirmed to its customer: from here on it must not be lost."""

    order_id: str
    idempotency_key: str
    amount_cents: int


@dataclass(frozen=True, slots=True)
class StepResult:
    """One step of one journey: name, success, seconds spent, and what went wrong."""

    name: str
    ok: bool
    duration_s: float
    error: str = ""


class SteppingShopper:
    """A Shopper over any HTTP client: keeps the steps, leaves the sending to its driver.

    Args:
        send: called as send(method, path, route, options); returns a Response or raises OSError
            (requests' errors are OSErrors) when there was no answer in time.
        data: the journey's input, see `Shopper`.
    """

    def __init__(
        self,
        send: Callable[[str, str, str | None, dict[str, Any]], Response],
        data: dict[str, Any],
    ) -> None:
        self.data = data
        self.steps: list[StepResult] = []
        self._send = send
        self._step = "start"

    def get(self, path: str, *, route: str | None = None, **options: Any) -> Response:
        """GET a path of the shop."""
        return self._send("GET", path, route, options)

    def post(self, path: str, *, route: str | None = None, **options: Any) -> Response:
        """POST to a path of the shop."""
        return self._send("POST", path, route, options)

    def step(self, name: str) -> AbstractContextManager[None]:
        """Record the step's result; any exception makes it a failed step and ends the journey."""
        self._step = name
        return _Step(self, name)

    def expect(self, condition: object, message: str) -> None:
        """Raise JourneyFailedError when the condition does not hold."""
        if not condition:
            raise JourneyFailedError(self._step, message)


class _Step(AbstractContextManager[None]):
    """A step under way; a class, because a generator's context costs more than the rest of it."""

    __slots__ = ("_name", "_shopper", "_started")

    def __init__(self, shopper: SteppingShopper, name: str) -> None:
        self._shopper = shopper
        self._name = name
        self._started = time.monotonic()

    def __exit__(self, _kind: Any, error: BaseException | None, _trace: Any) -> None:
        if error is None:
            self._record("")
        elif isinstance(error, JourneyFailedError):
            self._record(error.message)
        elif isinstance(error, OSError | ValueError | KeyError | TypeError):
            message = f"{type(error).__name__}: {error}"
            self._record(message)
            raise JourneyFailedError(self._name, message) from error
        elif isinstance(error, Exception):  # a mistake in the journey, which its driver names
            self._record(f"{type(error).__name__}: {error}")

    def _record(self, error: str) -> None:
        took_s = time.monotonic() - self._started
        self._shopper.steps.append(StepResult(self._name, not error, took_s, error))


def load_function(path: str) -> Callable[..., Any]:
    """Return the function of `module:function`.

    Raises:
        ValueError: there is no such module or function; one line that shows the valid form.
    """
    module_name, _, function_name = path.partition(":")
    form = "write module:function, such as storefront.journeys:checkout"
    if not module_name or not function_name:
        raise ValueError(f"{path!r} names no function; {form}")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".replace("\n", " ")
        raise ValueError(f"module {module_name!r} cannot be imported ({reason}); {form}") from error
    found = getattr(module, function_name, None)
    if not callable(found):
        raise ValueError(  # noqa: TRY004 - the path is wrong, not its type
            f"module {module_name!r} has no function {function_name!r}; {form}"
        )
    function: Callable[..., Any] = found
    return function


def load_journey(path: str) -> Journey:
    """Return the journey of `module:function`.

    Raises:
        ValueError: as `load_function`.
    """
    return load_function(path)
