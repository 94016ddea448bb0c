"""What the edge's requests are counted as."""

import os
import time
from pathlib import Path

import pytest
from edge_log import Edge, line, stamped
from watching import one


def test_requests_are_counted_by_route_method_and_status(edge: Edge) -> None:
    edge.write(line(), line(), line(status=503), line(method="POST", route="/checkout"))
    families = edge.scrape()
    assert one(families, "storewatch_edge_requests_total", route="/product/{id}", status="200") == 2
    assert one(families, "storewatch_edge_requests_total", route="/product/{id}", status="503") == 1
    assert one(families, "storewatch_edge_requests_total", route="/checkout", method="POST") == 1


def test_known_routes_are_there_at_zero_before_the_first_request(edge: Edge) -> None:
    families = edge.scrape()
    for status in ("200", "500", "502", "503", "504"):
        assert (
            one(
                families,
                "storewatch_edge_requests_total",
                route="/product/{id}",
                method="GET",
                status=status,
            )
            == 0
        )
    count = "storewatch_edge_request_duration_seconds_count"
    assert one(families, count, route="/product/{id}", status_class="5xx") == 0


def test_latency_falls_into_buckets_with_bounds_at_both_service_levels(edge: Edge) -> None:
    edge.write(*(line(seconds=s) for s in (0.2, 0.2001, 1.9, 2.0, 11.0)))
    bucket = "storewatch_edge_request_duration_seconds_bucket"
    families = edge.scrape()

    def below(bound: str) -> float:
        return one(families, bucket, route="/product/{id}", status_class="2xx", le=bound)

    assert [below(b) for b in ("0.1", "0.2", "0.3", "2.0", "10.0", "+Inf")] == [0, 1, 2, 4, 4, 5]
    total = one(
        families, "storewatch_edge_request_duration_seconds_sum", route="/product/{id}",
        status_class="2xx",
    )  # fmt: skip
    assert total == pytest.approx(15.3001)


@pytest.mark.parametrize(
    "bad",
    [
        "not json\n",
        "[]\n",
        "7\n",
        "\n",
        '{"route": "/", "method": "GET", "status": 200}\n',
        line(status=99),
        line(status=7000),
        line(seconds=-1),
        line().replace("200", '"200"'),
        line().replace("0.05", '"0.05"'),
        line().replace('"/product/{id}"', '["/"]'),
        "\x00\xff\n",
    ],
)
def test_a_malformed_line_is_counted_and_the_next_is_understood(edge: Edge, bad: str) -> None:
    edge.write(line(), bad, line())
    families = edge.scrape()
    assert one(families, "storewatch_edge_malformed_lines_total") == 1
    assert one(families, "storewatch_edge_requests_total", route="/product/{id}", status="200") == 2


@pytest.mark.parametrize("kind", ["pipe", "folder", "dangling link"])
def test_a_log_that_is_no_file_costs_the_edge_alone_and_at_once(tmp_path: Path, kind: str) -> None:
    log = tmp_path / "access.json"
    if kind == "pipe":
        os.mkfifo(log)
    elif kind == "folder":
        log.mkdir()
    else:
        log.symlink_to(tmp_path / "none")
    edge = Edge(tmp_path)
    started = time.monotonic()
    with pytest.raises(OSError):
        edge.scrape()
    assert time.monotonic() - started < 0.5
    assert [f.name for f in edge.collector.down()] == ["storewatch_edge_up"]


def test_a_log_of_garbage_is_counted_as_such_and_in_time(edge: Edge) -> None:
    with edge.log.open("wb") as file:
        for _ in range(50):
            file.write(os.urandom(20_000) + b"\n" + b'{"route":' * 1000 + b"\n")
    edge.write(stamped(1))
    started = time.monotonic()
    families = edge.scrape()
    assert time.monotonic() - started < 1
    assert one(families, "storewatch_edge_malformed_lines_total") > 100
    assert one(families, "storewatch_edge_requests_total", route="/product/{id}", status="200") == 1


def test_new_routes_of_the_settings_count_into_the_histogram_that_was_kept(edge: Edge) -> None:
    edge.write(line())
    edge.scrape()
    edge.settings = edge.settings.model_copy(
        update={"routes": ("GET /product/{id}", "HEAD /product/{id}")}
    )
    edge.restart()
    edge.write(line(method="HEAD"))
    name = "storewatch_edge_request_duration_seconds_count"
    assert one(edge.scrape(), name, route="/product/{id}", status_class="2xx") == 2


def test_routes_beyond_the_maximum_are_counted_together(tmp_path: Path) -> None:
    (tmp_path / "access.json").touch()
    edge = Edge(tmp_path, maximum_routes=10)
    edge.write(*(line(route=f"/raw/{number}") for number in range(1000)))
    families = edge.scrape()
    routes = {s.labels["route"] for f in families for s in f.samples if "route" in s.labels}
    assert len(routes) == 11
    assert one(families, "storewatch_edge_requests_total", route="other") == 991


def test_statuses_beyond_any_measure_are_counted_by_class(tmp_path: Path) -> None:
    (tmp_path / "access.json").touch()
    edge = Edge(tmp_path, maximum_routes=10)
    methods = ("GET", "POST", "PUT", "DELETE")
    edge.write(
        *(
            line(route=f"/{route}", method=method, status=status)
            for route in range(20)
            for method in methods
            for status in range(100, 600)
        )
    )
    families = edge.scrape()
    counts = [s for f in families for s in f.samples if s.name == "storewatch_edge_requests_total"]
    assert len(counts) <= 10 * 20 + 5
    assert sum(s.value for s in counts) == 20 * 4 * 500


def test_methods_nobody_knows_are_counted_together(edge: Edge) -> None:
    edge.write(*(line(method=f"M{number}", route="/") for number in range(50)))
    assert edge.count(route="/", method="other") == 50


def test_a_full_disk_for_the_state_does_not_hide_the_counts(edge: Edge) -> None:
    edge.write(line())
    edge.collector._state_file = edge.state.parent / "no such folder" / "edge.json"
    assert edge.count(route="/product/{id}", status="200") == 1
