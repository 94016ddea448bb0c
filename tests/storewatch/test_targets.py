import pytest

from storewatch.core.targets import Target, Verdict, worst


@pytest.mark.parametrize(
    ("text", "value", "verdict"),
    [
        ("< 0.2", 0.19, Verdict.PASS),
        ("< 0.2", 0.2, Verdict.FAIL),
        ("<= 30", 30, Verdict.PASS),
        ("= 0", 0, Verdict.PASS),
        ("= 0", 1, Verdict.FAIL),
        (">= 1", 0, Verdict.FAIL),
        ("> 0.95", 0.96, Verdict.PASS),
    ],
)
def test_a_target_judges_a_value(text: str, value: float, verdict: Verdict) -> None:
    assert Target.parse(text).judge(value) is verdict


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_a_missing_value_is_never_a_pass(missing: float | None) -> None:
    assert Target.parse("= 0").judge(missing) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("text", ["0.2", "<", "less than 2", "< 2 s", "=> 1"])
def test_what_is_no_target_is_refused_with_the_valid_form(text: str) -> None:
    with pytest.raises(ValueError, match="write a comparison and a number"):
        Target.parse(text)


def test_the_worst_verdict_wins_and_none_is_inconclusive() -> None:
    assert worst([Verdict.PASS, Verdict.INCONCLUSIVE]) is Verdict.INCONCLUSIVE
    assert worst([Verdict.INCONCLUSIVE, Verdict.FAIL]) is Verdict.FAIL
    assert worst([Verdict.FAIL, Verdict.INVALID, Verdict.PASS]) is Verdict.INVALID
    assert worst([]) is Verdict.INCONCLUSIVE


def test_exit_codes_follow_the_verdict() -> None:
    assert [v.exit_code for v in Verdict] == [0, 1, 3, 3]
