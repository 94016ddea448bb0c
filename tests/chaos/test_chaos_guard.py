from chaos.guard import refusal
from chaos.settings import ChaosSettings


def settings(**values: object) -> ChaosSettings:
    return ChaosSettings.model_validate(values)


def test_nothing_is_allowed_unless_the_environment_is_named() -> None:
    said = refusal(ChaosSettings(), [])
    assert said is not None
    assert said.startswith("chaos.environment 'production' is not in chaos.allowed_environments (")


def test_an_environment_that_others_are_allowed_for_is_refused() -> None:
    said = refusal(settings(environment="live", allowed_environments=["demo", "test"]), [])
    assert said is not None
    assert "(demo, test)" in said


def test_an_allowed_environment_where_nothing_fires_is_let_through() -> None:
    assert refusal(settings(environment="demo", allowed_environments=["demo"]), []) is None


def test_any_alert_that_fires_refuses() -> None:
    allowed = settings(environment="demo", allowed_environments=["demo"])
    said = refusal(allowed, [{"alertname": "Watchdog"}, {"alertname": "RedisDown"}])
    assert said == "firing before the fault: RedisDown; a fault needs a healthy shop"


def test_an_alert_without_a_name_refuses_too() -> None:
    allowed = settings(environment="demo", allowed_environments=["demo"])
    assert refusal(allowed, [{"severity": "page"}]) is not None


def test_tolerated_alerts_may_fire() -> None:
    allowed = settings(
        environment="demo", allowed_environments=["demo"], tolerated_alerts=["Budget"]
    )
    assert refusal(allowed, [{"alertname": "Budget"}]) is None
    assert refusal(allowed, [{"alertname": "Watchdog"}]) is not None
