"""Who can be told: receivers of one's own, in Alertmanager's own keys, and what they must hide."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from alerting.matchers import Matchers, MatcherText, not_empty
from storewatch.schema import Duration, Section

DESK_PAGE, DESK_TICKET, HEARTBEAT, NOBODY = "desk-page", "desk-ticket", "heartbeat", "nobody"
RESERVED = (DESK_PAGE, DESK_TICKET, HEARTBEAT, NOBODY)

# Source: Alertmanager's documentation for 0.25, "Configuration / <receiver>".
_INTEGRATIONS = (
    "discord",
    "email",
    "opsgenie",
    "pagerduty",
    "pushover",
    "slack",
    "sns",
    "telegram",
    "victorops",
    "webex",
    "webhook",
    "wechat",
)
_SECRETS = {
    "api_key",
    "api_secret",
    "api_url",
    "auth_password",
    "auth_secret",
    "bearer_token",
    "bot_token",
    "client_secret",
    "credentials",
    "password",
    "routing_key",
    "secret_key",
    "service_key",
    "token",
    "url",
    "user_key",
    "webhook_url",
}
HIDDEN = "<secret>"


def _known(receiver: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    forms = [f"{name}_configs" for name in _INTEGRATIONS]
    for key in receiver:
        if key not in forms:
            raise ValueError(f"unknown key {key!r}; a receiver has: {', '.join(forms)}")
    if not any(receiver.values()):
        raise ValueError("tells nobody; write such as slack_configs: [{channel: '#shop'}]")
    return receiver


Receiver = Annotated[dict[str, list[dict[str, Any]]], AfterValidator(_known)]
"""Integrations of one receiver, such as {"slack_configs": [{...}]}, handed to Alertmanager."""

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]


class RouteSettings(Section):
    """Which alerts go to whom besides the desk. Times in seconds."""

    matchers: tuple[MatcherText, ...] = ()
    """Conditions on the alert's labels, all of which must hold; none: every alert."""
    receivers: Annotated[tuple[Name, ...], AfterValidator(not_empty)]
    go_on: bool = Field(default=False, alias="continue")
    """Whether the routes below are asked as well once this one matched."""
    group_by: tuple[str, ...] | None = None
    """Labels that messages are bundled by; none: as at the desk."""
    group_wait: Duration | None = None
    group_interval: Duration | None = None
    repeat_interval: Duration | None = None


class InhibitionSettings(Section):
    """A cause whose consequences are not worth telling."""

    source: Matchers
    """Matchers of the cause."""
    target: Matchers
    """Matchers of what it mutes."""
    equal: tuple[str, ...] = ()
    """Labels in which both must agree."""


def integrations(receiver: dict[str, Any]) -> list[str]:
    """Return the integrations of a receiver, as Alertmanager's metrics name them."""
    return [
        key.removesuffix("_configs")
        for key, configs in receiver.items()
        if key.endswith("_configs")
        for _ in configs
    ]


def hidden(node: Any) -> Any:
    """Return a receiver whose secrets are not shown."""
    if isinstance(node, dict):
        return {
            key: HIDDEN if key in _SECRETS and isinstance(value, str) else hidden(value)
            for key, value in node.items()
        }
    return [hidden(one) for one in node] if isinstance(node, list) else node
