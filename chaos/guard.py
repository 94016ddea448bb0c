"""May a fault be injected here and now? Default: no."""

from collections.abc import Sequence

from chaos.settings import ChaosSettings
from storewatch.core.parts import Labels


def refusal(settings: ChaosSettings, firing: Sequence[Labels]) -> str | None:
    """Return why nothing may be injected, None when it may.

    Args:
        settings: the environment must be on its own allow-list; tolerated alerts may fire.
        firing: labels of the alerts that fire now.
    """
    if settings.environment not in settings.allowed_environments:
        allowed = ", ".join(settings.allowed_environments) or "empty"
        return (
            f"chaos.environment {settings.environment!r} is not in chaos.allowed_environments"
            f" ({allowed}); name it there if faults may be injected"
        )
    names = sorted(
        {labels.get("alertname", "an alert without a name") for labels in firing}
        - set(settings.tolerated_alerts)
    )
    if names:
        return f"firing before the fault: {', '.join(names)}; a fault needs a healthy shop"
    return None
