from storewatch.pages import Curve, Span, chart


def test_a_chart_without_points_says_so() -> None:
    assert "nothing was measured" in chart([Curve("p95", "line", [(0, None)])])


def test_a_gap_in_a_curve_stays_a_gap() -> None:
    drawn = chart([Curve("p95", "line", [(0, 1.0), (1, None), (2, 1.0)])])
    path = drawn.split(' d="')[1].split('"')[0]
    assert path.count("M") == 2
    assert "L" not in path


def test_the_ticks_are_round_numbers_within_the_axis() -> None:
    drawn = chart([Curve("p95", "line", [(0, 0.0), (143.6, 0.037)])], "s")
    assert ">20 s</text>" in drawn
    assert ">10 ms</text>" in drawn
    assert ">160 s</text>" not in drawn


def test_an_axis_may_have_marks_of_its_own() -> None:
    drawn = chart([Curve("p", "line", [(0, 1.0), (2, 2.0)])], x_marks=[(0, "0 %"), (1, "90 %")])
    places = [float(part.split('"')[0]) for part in drawn.split('class="tick" x="')[1:]]
    texts = [part.split(">")[1].split("<")[0] for part in drawn.split('class="tick"')[1:]]
    found = dict(zip(texts, places, strict=True))
    assert [text for text in texts if text.endswith("%")] == ["0 %", "90 %"]
    assert found["90 %"] == (found["0 %"] + 908) / 2  # half of the way to the right edge


def test_labels_are_escaped_and_narrow_spans_keep_theirs_for_hovering() -> None:
    spans = [Span("<script>", 0, 90), Span("narrow", 50, 50.1)]
    drawn = chart([Curve("<b>", "line", [(0, 1.0), (100, 2.0)])], spans=spans)
    assert "<script>" not in drawn
    assert "<b>" not in drawn
    assert "<title>narrow</title>" in drawn
    assert 'y="24">narrow</text>' not in drawn
