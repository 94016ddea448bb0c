from itertools import islice

from loadtests.arrivals import constant, shopper_number


def test_arrivals_come_evenly_and_none_at_the_end_or_after() -> None:
    assert list(constant(4, 1.0)) == [0.0, 0.25, 0.5, 0.75]


def test_arrivals_do_not_drift_over_an_hour() -> None:
    moments = list(constant(3, 3600))
    assert len(moments) == 3 * 3600
    assert moments[-1] == (3 * 3600 - 1) / 3


def test_a_rate_below_one_arrives_once_in_a_while() -> None:
    assert list(islice(constant(0.1, 100), 3)) == [0.0, 10.0, 20.0]


def test_load_never_takes_the_shoppers_of_timed_journeys_and_proofs() -> None:
    numbers = [shopper_number(arrival) for arrival in range(5000)]
    assert len(set(numbers)) == len(numbers)
    assert {number % 500 for number in numbers} == set(range(480))
