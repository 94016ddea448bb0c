"""What one probe learnt: its metrics, and for those who ask why, its steps."""

import functools
import time

METRICS = {
    "probe_success": "Whether the probe succeeded",
    "probe_duration_seconds": "How long the probe took, in seconds",
    "probe_dns_lookup_time_seconds": "Time taken to resolve the target's name",
    "probe_ip_protocol": "IP protocol of the probe: 4 or 6, 0 without an address",
    "probe_ip_addr_hash": "Hash of the target's IP address: it changes when the address does",
    "probe_http_duration_seconds": "Duration of the request by phase, summed over all redirects",
    "probe_http_status_code": "Status code of the response, 0 without one",
    "probe_http_version": "HTTP version of the response",
    "probe_http_content_length": "Content length as the response states it, -1 when it does not",
    "probe_http_uncompressed_body_length": "Bytes of the response's body, uncompressed",
    "probe_http_redirects": "Number of redirects",
    "probe_http_ssl": "Whether the final request was made over TLS",
    "probe_http_last_modified_timestamp_seconds": "Last-Modified of the response",
    "probe_failed_due_to_regex": "Whether the probe failed because of a pattern",
    "probe_ssl_earliest_cert_expiry": "Earliest expiry of the certificates that were sent",
    "probe_ssl_last_chain_expiry_timestamp_seconds": "Expiry of the verified chain that lasts",
    "probe_ssl_last_chain_info": "The server's own certificate",
    "probe_tls_version_info": "The TLS version that was spoken",
    "probe_tls_cipher_info": "The TLS cipher suite that was spoken",
    "probe_dns_duration_seconds": "Duration of the DNS request by phase",
    "probe_dns_answer_rrs": "Records in the answer section",
    "probe_dns_authority_rrs": "Records in the authority section",
    "probe_dns_additional_rrs": "Records in the additional section",
    "probe_dns_query_succeeded": "Whether the query was answered at all",
    "probe_dns_serial": "Serial number of the zone",
    "probe_icmp_duration_seconds": "Duration of the echo by phase",
    "probe_icmp_reply_hop_limit": "Hop limit (TTL) of the reply",
    "storewatch_probe_tls_verified": "Whether the server's certificate verifies",
}
"""Every metric of a probe with its description. All but the last are blackbox_exporter's."""

_HEADS = {name: f"# HELP {name} {text}\n# TYPE {name} gauge\n" for name, text in METRICS.items()}


@functools.lru_cache(256)
def _template(
    names: tuple[str, ...], seconds: tuple[str, ...], phased: str, phases: tuple[str, ...]
) -> str:
    """Return a page without its numbers; durations are written to the microsecond."""
    page = "".join(f"{_HEADS[name]}{name} %s\n" for name in names)
    page += "".join(f"{_HEADS[name]}{name} %.6f\n" for name in seconds)
    if phases:
        page += _HEADS[phased]
    return page + "".join(f'{phased}{{phase="{phase}"}} %.6f\n' for phase in phases)


def escaped(text: str) -> str:
    """Return a label's value as the exposition format writes it."""
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


class Report:
    """The metrics of one probe while it runs.

    `values` are metrics that are whole numbers, or numbers as text; `seconds` are durations;
    `phases` are durations by phase, told by the metric `phased`; `infos` maps a metric that is 1
    to its labels. `deadline` is monotonic. `error` is why the probe failed; `steps` are noted for
    those who asked for an explanation.

    A probe costs a tenth of a millisecond, and half of that is Python: hence numbers that need no
    search for their shortest text, and one template for all pages of a kind.
    """

    __slots__ = (
        "deadline",
        "error",
        "explain",
        "infos",
        "phased",
        "phases",
        "seconds",
        "steps",
        "values",
    )

    def __init__(self, deadline: float, *, explain: bool = False) -> None:
        self.deadline = deadline
        self.explain = explain
        self.error = ""
        self.values: dict[str, int | str] = {"probe_success": 0}
        self.seconds: dict[str, float] = {"probe_duration_seconds": 0.0}
        self.phased = ""
        self.phases: dict[str, float] = {}
        self.infos: dict[str, dict[str, str]] = {}
        self.steps: list[str] = []

    @property
    def remaining_s(self) -> float:
        """Seconds until the probe must have ended; never negative."""
        return max(0.0, self.deadline - time.monotonic())

    def step(self, message: str, **details: object) -> None:
        """Note a step for those who asked for an explanation."""
        if self.explain:
            told = "".join(f" {key}={value!r}" for key, value in details.items())
            now = time.time()
            clock = time.strftime("%H:%M:%S", time.gmtime(now))
            self.steps.append(f"{clock}.{int(now % 1 * 1e6):06d} {message}{told}")

    def fail(self, reason: str, **details: object) -> bool:
        """Say why the probe failed, the first reason counts; return False, the verdict."""
        self.error = self.error or reason
        self.step(reason, **details)
        return False

    def text(self) -> str:
        """Return the metrics in Prometheus' text format, durations to the microsecond."""
        values, seconds, phases = self.values, self.seconds, self.phases
        template = _template(tuple(values), tuple(seconds), self.phased, tuple(phases))
        page = template % (*values.values(), *seconds.values(), *phases.values())
        for name, labels in self.infos.items():
            told = ",".join(f'{key}="{escaped(value)}"' for key, value in labels.items())
            page += f"{_HEADS[name]}{name}{{{told}}} 1\n"
        return page
