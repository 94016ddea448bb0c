"""What `debug=true` explains, and that no secret is among it."""

import base64
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from fault_server import Faults
from probing import ask, blackbox_exporter, exporter, http, secured, tcp, write_modules

SECRET = "sesame"
BASIC = base64.b64encode(f"prober:{SECRET}".encode()).decode()
HTTP = "http://127.0.0.1:{http}"
HEADERS = {
    "X-Api-Key": SECRET,
    "X-Password": SECRET,
    "Cookie": f"session={SECRET}",
    "Authorization": f"Bearer {SECRET}",
}
CREDENTIALS: dict[str, dict[str, Any]] = {
    "basic_auth": {"basic_auth": {"username": "prober", "password": SECRET}},
    "basic_auth with a file": {
        "basic_auth": {"username": "prober", "password_file": "password.txt"}
    },
    "bearer_token": {"bearer_token": SECRET},
    "bearer_token_file": {"bearer_token_file": "password.txt"},
    "authorization": {"authorization": {"credentials": SECRET}},
    "authorization of a type": {"authorization": {"type": "Token", "credentials": SECRET}},
    "headers": {"headers": HEADERS},
}
ACCEPTED = {
    "basic_auth": "/basic",
    "basic_auth with a file": "/basic",
    "bearer_token": "/bearer",
    "bearer_token_file": "/bearer",
    "authorization": "/bearer",
    "headers": "/bearer",
}
MODULES = {
    "plain": http(),
    "pattern": http(fail_if_body_matches_regexp=["wor.d"]),
    "banner": tcp({"expect": "^220 (.*) ready", "send": "hello ${1}"}),
    **{name: http(**keys) for name, keys in CREDENTIALS.items()},
    **{f"{name} over TLS": http(**keys, **secured()) for name, keys in CREDENTIALS.items()},
}


@pytest.fixture(scope="module")
def modules(faults: Faults, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explained")
    (folder / "password.txt").write_text(f"{SECRET}\n")
    return write_modules(folder, faults, MODULES)


@pytest.fixture(scope="module")
def ours(modules: Path) -> Iterator[str]:
    with exporter(modules) as address:
        yield address


@pytest.fixture(scope="module")
def http2(faults: Faults, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a server that speaks HTTP/2: blackbox_exporter's own."""
    folder = tmp_path_factory.mktemp("http2")
    certificate = str(faults.folder / "good.pem")
    tls = {"cert_file": certificate, "key_file": certificate}
    (folder / "web.yml").write_text(yaml.safe_dump({"tls_server_config": tls}))
    modules = write_modules(folder, faults, {"plain": http()})
    with blackbox_exporter(modules, f"--web.config.file={folder}/web.yml") as port:
        yield port


def has_secret(text: str) -> bool:
    return SECRET in text or BASIC in text


def test_an_explanation_has_the_steps_the_metrics_and_the_module(faults: Faults, ours: str) -> None:
    target = faults.fill(f"{HTTP}/once")
    plain = ask(ours, target=target, module="plain")
    explained = ask(ours, target=target, module="plain", debug="true")
    first, *between, last = explained.part("Logs for the probe").splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{6} probing prober='http' timeout_s=2\.0", first)
    assert last.endswith(" succeeded")
    for step in ("asking method='GET'", "> GET /once HTTP/1.1", "< HTTP/1.1 302", "redirected to="):
        assert any(step in line for line in between), step
    metrics = explained.part("Metrics that would have been returned")
    names = [line.rpartition(" ")[0] for line in metrics.splitlines()]
    assert names == [line.rpartition(" ")[0] for line in plain.text.splitlines()]
    assert yaml.safe_load(explained.part("Module configuration")) == MODULES["plain"]


@pytest.mark.parametrize("debug", ["false", "1", ""])
def test_nothing_but_true_asks_for_an_explanation(faults: Faults, ours: str, debug: str) -> None:
    answered = ask(ours, target=faults.fill(f"{HTTP}/ok"), module="plain", debug=debug)
    assert answered.text.startswith("# HELP probe_success")


def test_an_explanation_of_a_failure_ends_with_its_reason(faults: Faults, ours: str) -> None:
    explained = ask(ours, target=faults.fill(f"{HTTP}/ok"), module="pattern", debug="true")
    *_, reason, verdict = explained.part("Logs for the probe").splitlines()
    assert reason.endswith(" the body matches 'wor.d'")
    assert verdict.endswith(" failed")
    assert "\nprobe_success 0\n" in explained.text


def test_an_explanation_tells_a_conversation_line_by_line(faults: Faults, ours: str) -> None:
    explained = ask(ours, target=faults.fill("127.0.0.1:{tcp}"), module="banner", debug="true")
    steps = [one[16:] for one in explained.part("Logs for the probe").splitlines()]
    assert "read line='220 shop.example ready'" in steps
    assert "sending line='hello shop.example'" in steps


@pytest.mark.parametrize("name", ACCEPTED)
def test_credentials_are_sent_and_not_told(
    faults: Faults, ours: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    explained = ask(ours, target=faults.fill(HTTP + ACCEPTED[name]), module=name, debug="true")
    assert "\nprobe_success 1\n" in explained.text
    assert not has_secret(explained.text)
    assert "> Authorization: <secret>" in explained.text
    assert not has_secret(caplog.text)


@pytest.mark.parametrize("name", CREDENTIALS)
def test_credentials_are_not_told_where_http_2_is_spoken(ours: str, http2: int, name: str) -> None:
    target = f"https://localhost:{http2}/-/healthy"
    explained = ask(ours, target=target, module=f"{name} over TLS", debug="true")
    assert "\nprobe_http_version 2\n" in explained.text
    assert "\nprobe_success 1\n" in explained.text
    assert not has_secret(explained.text)


def test_a_module_is_shown_as_written_but_for_its_secrets(faults: Faults, ours: str) -> None:
    target = faults.fill(f"{HTTP}/ok")
    for name, hidden in (
        ("basic_auth", {"basic_auth": {"username": "prober", "password": "<secret>"}}),
        ("bearer_token", {"bearer_token": "<secret>"}),
        (
            "authorization of a type",
            {"authorization": {"type": "Token", "credentials": "<secret>"}},
        ),
        ("headers", {"headers": dict.fromkeys(HEADERS, "<secret>")}),
    ):
        explained = ask(ours, target=target, module=name, debug="true")
        assert yaml.safe_load(explained.part("Module configuration")) == http(**hidden)


def test_a_cookie_that_a_server_sets_is_not_told(faults: Faults, ours: str) -> None:
    explained = ask(ours, target=faults.fill(f"{HTTP}/cookie"), module="plain", debug="true")
    assert "\nprobe_success 1\n" in explained.text
    assert not has_secret(explained.text)


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (f"http://prober:{SECRET}@127.0.0.1:{{http}}/basic", 200),
        (f"http://prober:{SECRET}@127.0.0.1:{{http}}/missing", 404),
        (f"http://prober:{SECRET}@127.0.0.1:{{nobody}}/", 0),
        (f"http://prober:{SECRET}@/", 0),
        (f"http://prober:{SECRET}@127.0.0.1:no-port/", 0),
    ],
)
def test_a_password_in_a_target_is_sent_and_not_told(
    faults: Faults, ours: str, target: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    explained = ask(ours, target=faults.fill(target), module="plain", debug="true")
    assert f"\nprobe_http_status_code {status}\n" in explained.text
    assert not has_secret(explained.text)
    assert bool(caplog.text) == (status != 200)
    assert not has_secret(caplog.text)
