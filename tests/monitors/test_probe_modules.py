"""Module files: each mistake is one line with the file, the key path and the valid form."""

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from monitors.probes.modules import SHIPPED_FILE, load_modules
from monitors.settings import MonitorSettings

REFERENCE = "docs/reference/probes.md"


def refusal(file: Path, text: str) -> str:
    file.write_text(text)
    with pytest.raises(ValueError) as caught:
        load_modules(file)
    return str(caught.value)


def mistake(tmp_path: Path, module: str) -> str:
    """What is said of a module named shop, without the file's name, which begins the line."""
    file = tmp_path / "modules.yml"
    line = refusal(file, f"modules:\n  shop: {module}\n")
    assert "\n" not in line
    assert line.startswith(f"{file}: ")
    return line.removeprefix(f"{file}: ")


@pytest.mark.parametrize(
    ("module", "path"),
    [
        ("{prober: http, colour: red}", "modules.shop.colour"),
        ("{prober: http, http: {colour: red}}", "modules.shop.http.colour"),
        ("{prober: http, http: {tls_config: {ca: x}}}", "modules.shop.http.tls_config.ca"),
        (
            "{prober: http, http: {fail_if_header_matches: [{header: A, regexp: a, mode: b}]}}",
            "modules.shop.http.fail_if_header_matches[0].mode",
        ),
        (
            "{prober: tcp, tcp: {query_response: [{send: a}, {await: b}]}}",
            "modules.shop.tcp.query_response[1].await",
        ),
        (
            "{prober: dns, dns: {query_name: a, validate_answer_rrs: {fail_if: [b]}}}",
            "modules.shop.dns.validate_answer_rrs.fail_if",
        ),
        ("{prober: icmp, icmp: {size: 1}}", "modules.shop.icmp.size"),
        ("{prober: http, tcp: {colour: red}}", "modules.shop.tcp.colour"),
    ],
)
def test_an_unknown_key_is_refused_by_name(tmp_path: Path, module: str, path: str) -> None:
    found = mistake(tmp_path, module)
    assert found == f"{path}: unknown key; see {REFERENCE} for the valid ones"


@pytest.mark.parametrize(
    ("key", "instead"),
    [
        ("oauth2", "give a token in bearer_token_file"),
        ("proxy_url", "probes go to the target itself"),
        ("no_proxy", "probes go to the target itself"),
        ("proxy_from_environment", "probes go to the target itself"),
        ("proxy_connect_header", "probes go to the target itself"),
        ("skip_resolve_phase_with_proxy", "probes go to the target itself"),
        ("fail_if_body_json_matches_cel", "use fail_if_body_matches_regexp"),
        ("fail_if_body_json_not_matches_cel", "use fail_if_body_not_matches_regexp"),
    ],
)
def test_a_key_that_only_blackbox_exporter_knows_is_refused_with_what_to_do(
    tmp_path: Path, key: str, instead: str
) -> None:
    found = mistake(tmp_path, f"{{prober: http, http: {{{key}: x}}}}")
    assert found == f"modules.shop.http.{key}: not supported: {instead}; see {REFERENCE}"


@pytest.mark.parametrize(
    ("module", "path", "instead"),
    [
        ("{prober: grpc}", "prober", "there is no grpc prober"),
        ("{prober: http, grpc: {tls: true}}", "grpc", "there is no grpc prober"),
        (
            "{prober: tcp, tcp: {query_response: [{expect: a, labels: [{name: b, value: c}]}]}}",
            "tcp.query_response[0].labels",
            "matched text is no bounded set of labels",
        ),
    ],
)
def test_what_only_blackbox_exporter_can_do_is_refused_where_it_stands(
    tmp_path: Path, module: str, path: str, instead: str
) -> None:
    found = mistake(tmp_path, module)
    assert found == f"modules.shop.{path}: not supported: {instead}; see {REFERENCE}"


@pytest.mark.parametrize(
    ("module", "path"),
    [
        (
            "{prober: http, http: {fail_if_body_matches_regexp: [ok, '(']}}",
            "http.fail_if_body_matches_regexp[1]",
        ),
        (
            "{prober: http, http: {fail_if_body_not_matches_regexp: ['(?=ahead)']}}",
            "http.fail_if_body_not_matches_regexp[0]",
        ),
        (
            "{prober: http, http: {fail_if_header_matches: [{header: A, regexp: '*'}]}}",
            "http.fail_if_header_matches[0].regexp",
        ),
        (
            "{prober: tcp, tcp: {query_response: [{expect: '['}]}}",
            "tcp.query_response[0].expect",
        ),
        (
            "{prober: dns, dns: {query_name: a, validate_answer_rrs:"
            " {fail_if_matches_regexp: ['a{2000}']}}}",
            "dns.validate_answer_rrs.fail_if_matches_regexp[0]",
        ),
    ],
)
def test_a_pattern_that_go_would_not_take_is_refused(
    tmp_path: Path, module: str, path: str
) -> None:
    found = mistake(tmp_path, module)
    assert found.startswith(f"modules.shop.{path}: not an RE2 pattern (")
    assert found.endswith("); such as ^ready$")


@pytest.mark.parametrize(
    ("module", "path", "form"),
    [
        ("{}", ".prober", "missing; this key is required"),
        ("5", "", "not a mapping; write key: value"),
        ("{prober: gopher}", ".prober", "'http', 'tcp', 'dns' or 'icmp'"),
        ("{prober: http, timeout: soon}", ".timeout", "such as 250ms, 5s, 1h30m"),
        ("{prober: http, http: [get]}", ".http", "not a mapping; write key: value"),
        (
            "{prober: http, http: {valid_status_codes: 200}}",
            ".http.valid_status_codes",
            "not a list; write its entries in brackets, such as [200, 204]",
        ),
        (
            "{prober: http, http: {valid_status_codes: [fine]}}",
            ".http.valid_status_codes[0]",
            "a valid integer",
        ),
        (
            "{prober: http, http: {valid_http_versions: [HTTP/3]}}",
            ".http.valid_http_versions[0]",
            "'HTTP/1.0', 'HTTP/1.1' or 'HTTP/2.0'",
        ),
        ("{prober: http, http: {method: 'GET /'}}", ".http.method", "'^[A-Z]+$'"),
        ("{prober: http, http: {compression: zip}}", ".http.compression", "'gzip', 'deflate'"),
        ("{prober: http, http: {body_size_limit: much}}", ".http.body_size_limit", "such as 10MB"),
        ("{prober: http, http: {follow_redirects: 7}}", ".http.follow_redirects", "valid boolean"),
        (
            "{prober: http, http: {preferred_ip_protocol: ip5}}",
            ".http.preferred_ip_protocol",
            "'ip4' or 'ip6'",
        ),
        (
            "{prober: http, http: {tls_config: {min_version: SSL3}}}",
            ".http.tls_config.min_version",
            "'TLS10', 'TLS11', 'TLS12' or 'TLS13'",
        ),
        (
            "{prober: http, http: {tls_config: {cert_file: a.pem}}}",
            ".http.tls_config",
            "cert_file and key_file belong together; give both or neither",
        ),
        (
            "{prober: http, http: {bearer_token: a, basic_auth: {username: b}}}",
            ".http",
            "at most one of basic_auth, authorization and bearer_token(_file)",
        ),
        ("{prober: http, http: {body: a, body_file: b}}", ".http", "at most one of body and"),
        ("{prober: dns}", "", "needs a section dns with a query_name"),
        ("{prober: dns, dns: {query_type: A}}", ".dns.query_name", "missing; this key is required"),
        ("{prober: dns, dns: {query_name: a, query_type: Z}}", ".dns", "write query_type: A"),
        ("{prober: dns, dns: {query_name: a, valid_rcodes: [Z]}}", ".dns", "[NOERROR]"),
        (
            "{prober: dns, dns: {query_name: a, dns_over_tls: true}}",
            ".dns",
            "dns_over_tls needs transport_protocol: tcp",
        ),
        ("{prober: icmp, icmp: {ttl: 256}}", ".icmp.ttl", "less than or equal to 255"),
        ("{prober: icmp, icmp: {payload_size: 70000}}", ".icmp.payload_size", "equal to 65000"),
    ],
)
def test_a_bad_value_is_refused_with_what_is_right(
    tmp_path: Path, module: str, path: str, form: str
) -> None:
    where, _, what = mistake(tmp_path, module).partition(": ")
    assert where == f"modules.shop{path}"
    assert form in what


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("", "modules: missing; a module file begins with `modules:`"),
        ("modules: [a]", "modules: missing; a module file begins with `modules:`"),
        ("modules: {}\nmodule: {}", f"module: unknown key; see {REFERENCE}"),
        ("modules:\n\ta: b", "not YAML: "),
        ("modules: {a: {prober: http, prober: tcp}}", "the key 'prober' is twice"),
    ],
)
def test_a_file_that_is_no_module_file_is_one_line(tmp_path: Path, text: str, form: str) -> None:
    file = tmp_path / "modules.yml"
    line = refusal(file, text)
    assert line.startswith(f"{file}: ")
    assert form in line
    assert "\n" not in line


def test_every_mistake_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "modules.yml"
    text = "modules:\n  a: {prober: http, x: 1}\n  b: {prober: tcp, timeout: soon}\n"
    first, second = refusal(file, text).split("; " + str(file))
    assert "modules.a.x: unknown key" in first
    assert second.startswith(": modules.b.timeout: not a duration")


def test_a_mistake_does_not_repeat_a_secret(tmp_path: Path) -> None:
    for account in ("{username: a, password: [sesame]}", "a:sesame", "{sesame: a}"):
        found = mistake(tmp_path, f"{{prober: http, http: {{basic_auth: {account}}}}}")
        assert found.startswith("modules.shop.http.basic_auth")
        assert account == "{sesame: a}" or "sesame" not in found


def test_the_settings_refuse_a_module_file_by_the_same_line(tmp_path: Path) -> None:
    file = tmp_path / "modules.yml"
    line = refusal(file, "modules: {shop: {prober: http, http: {proxy_url: x}}}")
    with pytest.raises(ValidationError) as caught:
        MonitorSettings.model_validate({"probes": {"modules": str(file)}})
    assert line in caught.value.errors()[0]["msg"]


def test_a_module_of_a_file_takes_the_place_of_a_built_in_one(tmp_path: Path) -> None:
    file = tmp_path / "modules.yml"
    file.write_text("modules: {http_2xx: {prober: tcp}, shop: {prober: http, http: }}")
    found = load_modules(file)
    assert set(found) == {*yaml.safe_load(SHIPPED_FILE.read_text())["modules"], "shop"}
    assert found["http_2xx"].settings.prober == "tcp"
    assert found["shop"].settings.http.method == "GET"
