from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from monitors.settings import MonitorSettings

QUERIES = Path(__file__).parents[2] / "storefront" / "business.yaml"
POSTGRES = {"nodes": [{"name": "db-a"}], "database": "shop", "user": "watch", "password": "s3cret"}
JOURNEY = {"name": "checkout", "journey": "walks:good", "base_url": "https://shop.test"}


def refused(section: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        MonitorSettings.model_validate(section)
    (error,) = caught.value.errors()
    return str(error["msg"])


def test_an_empty_section_watches_the_host_alone() -> None:
    settings = MonitorSettings.model_validate({})
    assert settings.listen == ("127.0.0.1", 18620)
    assert settings.host is not None
    assert (settings.probes.targets, settings.journeys, settings.postgres) == ((), (), None)


def test_durations_are_seconds() -> None:
    settings = MonitorSettings.model_validate({"journeys": [{**JOURNEY, "interval": "5s"}]})
    assert settings.journeys[0].interval == 5


def test_a_secret_is_not_shown() -> None:
    assert "s3cret" not in repr(MonitorSettings.model_validate({"postgres": POSTGRES}))


@pytest.mark.parametrize(
    ("section", "form"),
    [
        ({"listen": "18620"}, "write host:port, such as 127.0.0.1:18620"),
        ({"listen": "127.0.0.1:99999"}, "write host:port"),
        ({"probes": {"targets": [{"name": "A b", "target": "x"}]}}, "such as app-1"),
        ({"probes": {"targets": [{"name": "a", "target": "u:p@x"}]}}, "module's basic_auth"),
        ({"probes": {"targets": [{"name": "a", "target": "a b"}]}}, "write a URL or host:port"),
        ({"probes": {"targets": [{"name": "a", "target": "x"}] * 2}}, "two entries named 'a'"),
        (
            {"probes": {"targets": [{"name": "a", "target": "x", "module": "b"}]}},
            "no module 'b'; there are: http_2xx",
        ),
        ({"probes": {"modules": "none.yaml"}}, "write the path of a module file"),
        ({"edge": {"log": "access.json", "routes": ["/"]}}, "such as GET /product/{id}"),
        ({"journeys": [{**JOURNEY, "journey": "walks:none"}]}, "write module:function"),
        ({"journeys": [JOURNEY, JOURNEY]}, "two entries named 'checkout'"),
        ({"business": {"file": str(QUERIES)}}, "add that section too"),
        (
            {"postgres": POSTGRES, "business": {"file": "none.yaml"}},
            "none.yaml: No such file or directory; write the path of a query file",
        ),
        ({"postgres": {**POSTGRES, "nodes": [{"name": "a", "port": 0}]}}, "greater than 0"),
        ({"http": []}, "Extra inputs are not permitted"),
    ],
)
def test_a_mistake_is_named_with_the_valid_form(section: dict[str, Any], form: str) -> None:
    assert form in refused(section)
