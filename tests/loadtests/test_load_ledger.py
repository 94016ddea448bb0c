from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loadtests.arrivals import Stage
from loadtests.books import Books, Capture, ShopOrder
from loadtests.ledger import Reconciliation, read_ledger, reconcile
from loadtests.recorder import Recorder
from storewatch.core.clock import utc_now
from storewatch.core.errors import LoadError
from storewatch.core.evidence import Evidence
from storewatch.core.targets import Verdict

KEYS = ("key-0", "key-1", "key-2")
TOLD = [
    {"order_id": f"o{n}", "idempotency_key": key, "amount_cents": 500} for n, key in enumerate(KEYS)
]
KEPT = [ShopOrder(f"o{n}", key, "paid", 500) for n, key in enumerate(KEYS)]
PAID = [Capture("alpha", f"o{n}", 500) for n in range(3)]
STATES = ("paid", "shipped", "refunded")


def books(
    told: Sequence[dict[str, Any]] = TOLD,
    kept: Sequence[ShopOrder] = KEPT,
    paid: Sequence[Capture] = PAID,
    oversold: int = 0,
) -> Reconciliation:
    return reconcile(KEYS, told, Books(list(kept), list(paid), oversold), STATES)


def failures(found: Reconciliation) -> set[str]:
    return {m.name for m in found.measurements() if m.verdict is Verdict.FAIL}


def test_books_that_agree_have_nothing_to_tell() -> None:
    found = books()
    assert found.acknowledged == 3
    assert found.notes() == []
    assert failures(found) == set()


def test_an_acknowledged_order_that_the_database_lacks_is_lost() -> None:
    found = books(kept=KEPT[:2])
    assert found.lost == ("o2",)
    assert failures(found) == {"orders_lost"}
    assert found.notes() == ["lost: o2"]


def test_an_acknowledged_order_in_the_wrong_state_is_lost() -> None:
    assert books(kept=[*KEPT[:2], replace(KEPT[2], state="cancelled")]).lost == ("o2",)


def test_an_acknowledged_order_that_nobody_captured_is_lost() -> None:
    assert books(paid=PAID[:2]).lost == ("o2",)


def test_a_refunded_order_needs_no_capture_any_more() -> None:
    found = books(kept=[*KEPT[:2], replace(KEPT[2], state="refunded")], paid=PAID[:2])
    assert found.notes() == []


def test_one_key_with_two_orders_in_the_database_is_duplicated() -> None:
    found = books(kept=[*KEPT, ShopOrder("o9", "key-1", "placed", 500)])
    assert found.duplicated == ("key-1",)
    assert failures(found) == {"orders_duplicated"}
    assert found.notes() == ["duplicated: key-1"]


def test_one_key_acknowledged_as_two_orders_is_duplicated() -> None:
    twice = {"order_id": "o9", "idempotency_key": "key-1", "amount_cents": 500}
    found = books(
        told=[*TOLD, twice],
        kept=[*KEPT, ShopOrder("o9", "another", "paid", 500)],
        paid=[*PAID, Capture("alpha", "o9", 500)],
    )
    assert found.duplicated == ("key-1",)


def test_the_same_acknowledgement_twice_is_one_order() -> None:
    found = books(told=[*TOLD, TOLD[0]])
    assert found.acknowledged == 3
    assert found.notes() == []


@pytest.mark.parametrize("provider", ["alpha", "beta"])
def test_two_captures_are_a_double_charge_at_one_provider_and_across_two(provider: str) -> None:
    found = books(paid=[*PAID, Capture(provider, "o1", 500)])
    assert found.double_charged == ("o1",)
    assert failures(found) == {"double_charges"}
    assert found.notes() == ["charged twice: o1"]


def test_an_order_kept_at_another_amount_than_the_shopper_was_told_is_named() -> None:
    found = books(kept=[replace(KEPT[0], amount_cents=501), *KEPT[1:]])
    assert found.wrong_amount == ("o0",)
    assert failures(found) == {"wrong_amounts"}
    assert found.notes() == ["wrong amount: o0"]


def test_a_capture_of_another_amount_than_the_shopper_was_told_is_named() -> None:
    assert books(paid=[Capture("alpha", "o0", 1), *PAID[1:]]).wrong_amount == ("o0",)


def test_units_sold_beyond_the_stock_fail() -> None:
    assert failures(books(oversold=2)) == {"oversold_units"}


def test_the_measurements_carry_the_names_that_others_read() -> None:
    assert [m.name for m in books().measurements()] == [
        "orders_acknowledged",
        "orders_lost",
        "orders_duplicated",
        "double_charges",
        "wrong_amounts",
        "oversold_units",
    ]


def test_at_most_five_of_a_kind_are_named() -> None:
    many = [{**TOLD[0], "order_id": f"x{n}"} for n in range(7)]
    (lost, _) = books(told=many, kept=[], paid=[]).notes()
    assert lost == "lost: x0, x1, x2, x3, x4"


def test_the_ledger_is_on_disk_before_anything_else_happens(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, [Stage("hold", 1.0, 1, 1)])
    recorder.attempted("key-0")
    assert read_ledger(tmp_path / "ledger.jsonl") == (["key-0"], [])
    recorder.order(TOLD[0])
    assert read_ledger(tmp_path / "ledger.jsonl") == (["key-0"], [TOLD[0]])
    recorder.write(0.0, 1.0)


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_last_line_cut_off_by_a_crash_is_left_out(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "ledger.jsonl"
    whole = b'{"attempt": "key-0"}\n{"attempt": "key-1"}\n'
    path.write_bytes(whole[:-cut])
    assert read_ledger(path) == (["key-0"], [])


def test_a_broken_line_in_the_middle_is_an_error_and_not_the_end(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text('{"attempt": "key-0"}\n{"attem\n{"order": {"order_id": "o1"}}\n')
    with pytest.raises(LoadError, match=r"ledger\.jsonl: line 2 is broken"):
        read_ledger(path)


def test_lost_orders_fail_the_evidence_by_name() -> None:
    evidence = Evidence("id", "load", "s", utc_now(), 1.0, tuple(books(kept=[]).measurements()))
    assert evidence.verdict is Verdict.FAIL
    assert evidence.value("orders_lost") == 3
