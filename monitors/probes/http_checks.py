"""Whether a response is a success: status, version, TLS, patterns over headers and body.

Pure decisions in blackbox_exporter's order. Source: its prober/http.go.
"""

from dataclasses import dataclass

from monitors.probes.body import Body
from monitors.probes.format import HeaderMatch, HttpModule
from monitors.probes.report import Report

Headers = list[tuple[str, str]]
"""Names in lower case with their values, in the order of the response."""


@dataclass(slots=True)
class Response:
    """The final response. `broken` says why its body could not be read whole, "" when it was."""

    status: int
    version: str
    secure: bool
    headers: Headers
    body: Body
    broken: str


def judge(settings: HttpModule, response: Response, report: Report) -> bool:
    """Return whether the response is what the module asks for; the report says why not."""
    success = _status(settings, response.status, report)
    if success and looks_at_headers(settings):
        success = _headers_match(settings, response.headers, report)
    if response.broken:
        success = report.fail(response.broken)
    elif success and patterns_over_body(settings):
        success = _body_matches(settings, response.body.text, report)
    if settings.valid_http_versions and response.version not in settings.valid_http_versions:
        success = report.fail(f"the version is {response.version}")
    if settings.fail_if_ssl and response.secure:
        success = report.fail("the final request was made over TLS")
    if settings.fail_if_not_ssl and not response.secure:
        success = report.fail("the final request was not made over TLS")
    return success


def patterns_over_body(settings: HttpModule) -> bool:
    """Return whether the module looks into the body."""
    return bool(settings.fail_if_body_matches_regexp or settings.fail_if_body_not_matches_regexp)


def looks_at_headers(settings: HttpModule) -> bool:
    """Return whether the module looks at response headers."""
    return bool(settings.fail_if_header_matches or settings.fail_if_header_not_matches)


def _status(settings: HttpModule, status: int, report: Report) -> bool:
    if settings.valid_status_codes:
        valid = status in settings.valid_status_codes
        wanted = ", ".join(map(str, settings.valid_status_codes))
    else:
        valid, wanted = 200 <= status < 300, "2xx"
    return valid or report.fail(f"the status is {status}, not {wanted}")


def _body_matches(settings: HttpModule, text: str, report: Report) -> bool:
    for pattern in settings.fail_if_body_matches_regexp:
        if pattern.search(text):
            return _by_pattern(report, f"the body matches {pattern.pattern!r}")
    for pattern in settings.fail_if_body_not_matches_regexp:
        if not pattern.search(text):
            return _by_pattern(report, f"the body does not match {pattern.pattern!r}")
    return True


def _headers_match(settings: HttpModule, headers: Headers, report: Report) -> bool:
    for check in settings.fail_if_header_matches:
        values = _values(check, headers)
        if not values and not check.allow_missing:
            return _by_pattern(report, f"there is no header {check.header}")
        if any(check.regexp.search(value) for value in values):
            return _by_pattern(report, f"{check.header} matches {check.regexp.pattern!r}")
    for check in settings.fail_if_header_not_matches:
        values = _values(check, headers)
        if not values and not check.allow_missing:
            return _by_pattern(report, f"there is no header {check.header}")
        if values and not any(check.regexp.search(value) for value in values):
            return _by_pattern(report, f"{check.header} does not match {check.regexp.pattern!r}")
    return True


def _values(check: HeaderMatch, headers: Headers) -> list[str]:
    wanted = check.header.lower()
    return [value for name, value in headers if name == wanted]


def _by_pattern(report: Report, reason: str) -> bool:
    report.values["probe_failed_due_to_regex"] = 1
    return report.fail(reason)
