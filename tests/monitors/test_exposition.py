from prometheus_client.core import HistogramMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from monitors.exposition import exposition
from monitors.families import counter, gauge, plain_counter, unknown, value


def test_every_type_is_written_under_the_name_that_carries_it() -> None:
    histogram = HistogramMetricFamily("seconds", "S.")
    histogram.add_metric([], [("0.2", 1), ("+Inf", 2)], sum_value=0.5)
    page = exposition(
        [
            counter("requests", "R.", [({}, 3)]),
            plain_counter("pg_stat_database_xact_commit", "C.", [({"datname": "shop"}, 5)]),
            unknown("pg_static", "V.", [({}, 1)]),
            value("up", "U.", 1),
            histogram,
        ]
    ).decode()
    types = [line.removeprefix("# TYPE ") for line in page.splitlines() if "# TYPE" in line]
    assert types == [
        "requests_total counter",
        "pg_stat_database_xact_commit counter",
        "pg_static untyped",
        "up gauge",
        "seconds histogram",
    ]
    assert 'pg_stat_database_xact_commit{datname="shop"} 5.0\n' in page
    assert 'seconds_bucket{le="+Inf"} 2.0\n' in page


def test_labels_and_help_survive_whatever_is_in_them() -> None:
    nasty = 'a"b\\c\nd\N{SNOWMAN}'
    page = exposition([gauge("g", "one\ntwo \\ three", [({"x": nasty}, float("nan"))])]).decode()
    (family,) = text_string_to_metric_families(page)
    assert family.samples[0].labels == {"x": nasty}
    assert family.samples[0].value != family.samples[0].value
    assert family.documentation == "one\ntwo \\ three"


def test_a_family_without_samples_leaves_no_trace() -> None:
    assert exposition([gauge("g", "G.", [])]) == b""
