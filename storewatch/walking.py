"""One walk of a journey outside its timer, for proofs and for a drill's application."""

from monitors.journeys import JourneyPlan, JourneyResult, JourneyTimer
from storewatch.core.errors import BackupError
from storewatch.core.journey import load_journey

_SHOPPERS = (470, 479)
"""Nobody else walks as these; the shop that they walk through is a restored one anyway."""
_LONGEST_S = 30.0


def walk_journey(journey: str, base_url: str) -> str:
    """Walk a journey once; return what went wrong, "" when it succeeded.

    Args:
        journey: as module:function.
        base_url: of the application.

    Raises:
        BackupError: there is no such journey.
    """
    try:
        function = load_journey(journey)
    except ValueError as error:
        raise BackupError(f"backup.drill.application.journeys: {error}") from None
    plan = JourneyPlan(journey, function, base_url, None, _LONGEST_S, _LONGEST_S, _SHOPPERS)
    return what_went_wrong(JourneyTimer(plan).walk_once())


def what_went_wrong(result: JourneyResult) -> str:
    """Return what went wrong in a walk, "" for nothing."""
    return "" if result.outcome == "ok" else result.error or result.outcome
