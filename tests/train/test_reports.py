"""Reports as rows, tables and curves."""

import itertools
import sys
from datetime import UTC, datetime
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kube.train import curves
from jupyter_kube.train.reports import Report, Reports
from jupyter_kube.train.series import Series, row_of


def row(number, step=None, rank=0, generation=1, **metrics):
    return [number, generation, rank, 1000.0 + number, step, metrics]


def test_a_report_told_twice_is_there_once():
    reports = Reports()
    assert reports.add("pod-0", [row(1, 10, loss=1.0), row(2, 20, loss=0.5)])
    assert not reports.add("pod-0", [row(1, 10, loss=1.0)])
    assert reports.add("pod-1", [row(1, 10, rank=1, loss=2.0)])
    assert [(r.rank, r.step) for r in reports] == [(0, 10), (0, 20), (1, 10)]
    assert reports.missing == 0


def test_rows_have_rank_generation_time_step_and_metrics(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)  # not to be imported
    reports = Reports()
    reports.add("pod-0", [row(1, 10, loss=1.0), row(2, generation=2, name="x")])
    at = [datetime.fromtimestamp(1000 + number, UTC) for number in (1, 2)]
    assert reports.table() == [
        {"rank": 0, "generation": 1, "time": at[0], "step": 10, "loss": 1.0},
        {"rank": 0, "generation": 2, "time": at[1], "step": None, "name": "x"},
    ]


def test_with_pandas_it_is_a_table_with_all_columns(monkeypatch):
    pandas = ModuleType("pandas")
    pandas.DataFrame = lambda rows, columns: (len(rows), columns)
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    reports = Reports()
    known = ["rank", "generation", "time", "step"]
    assert reports.table() == (0, known)
    reports.add("pod-0", [row(1, loss=1.0), row(2, accuracy=1)])
    assert reports.table() == (2, [*known, "loss", "accuracy"])


def test_what_is_missing_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    reports = Reports()
    reports.add("pod-0", [row(5, loss=1.0), row(9, loss=1.0)])
    with pytest.warns(UserWarning, match="7 of 9 reports are missing"):
        assert len(reports.table()) == 2


def test_many_reports_are_thinned_and_the_newest_stays():
    reports = Reports(most=100)
    for number in range(1, 1000):
        reports.add("pod-0", [row(number)])
        reports.add("pod-1", [row(number, rank=1)])
        assert len(reports) <= 102
    kept = [r.number for r in reports if r.rank == 1]
    assert 20 < len(kept) <= 51
    assert kept[-1] == 999
    assert reports.missing == 2 * 999 - len(reports)


@given(st.integers(1, 3000))
def test_what_a_worker_repeats_is_spread_over_all_and_ends_with_the_newest(count):
    series = Series()
    for step in range(count):
        series.add(row_of(1, 0, 0.0, step, {"loss": 1}))
        series.take()
    numbers = [each[0] for piece in series.repeated() for each in piece]
    assert numbers[-1] == count
    assert len(numbers) <= 201
    assert len(numbers) >= min(count, 100)
    gaps = {b - a for a, b in itertools.pairwise(numbers[:-1])}
    assert len(gaps) <= 1


def report(number, step, value, rank=0):
    return Report(number, 1, rank, 100.0 + number, step, {"loss": value, "name": "<b>"})


def test_curves_are_of_numbers_and_a_step_told_again_has_its_newest_value():
    found = curves.curves(
        [report(1, 1, 3.0), report(2, 2, 2.0), report(3, 1, 2.5), report(4, 3, float("inf"))]
    )
    assert found == {"loss": {0: {1: 2.5, 2: 2.0}}}
    assert curves.curves([report(1, 1, 3.0)]) == {}
    assert curves.curves([report(1, 10**400, 1), report(2, 2, 10**400), report(3, 1, True)]) == {}
    assert curves.curves([report(1, None, 3.0), report(3, None, 2.0)])["loss"][0] == {0: 3, 2: 2}


def test_curves_are_over_epochs_where_there_are_no_steps():
    told = [
        Report(1, 1, 0, time, None, {"epoch": epoch, "epochs": 9, "loss": 1 / epoch})
        for time, epoch in ((5.0, 1), (7.0, 2))
    ]
    assert curves.curves(told) == {"loss": {0: {1: 1.0, 2: 0.5}}}


def test_curves_over_time_begin_with_the_earliest_report_of_any_rank():
    told = [Report(1, 1, rank, 5.0 - rank, None, {"loss": 1.0}) for rank in (0, 1)]
    told += [Report(2, 1, rank, 9.0, None, {"loss": 0.5}) for rank in (0, 1)]
    assert curves.curves(told)["loss"] == {0: {1: 1.0, 5: 0.5}, 1: {0: 1.0, 5: 0.5}}


def test_curves_are_drawn_with_words_for_who_does_not_see_them():
    many = [report(n, n, 1000 - n, rank) for rank in range(20) for n in range(1000)]
    found = curves.curves(many)
    assert sorted(found["loss"]) == list(range(curves.MOST_RANKS))
    assert max(map(len, found["loss"].values())) <= curves.MOST_POINTS
    assert curves.text(found).startswith("loss  █")
    assert curves.text(found).endswith("▁  1000 → 1")
    drawn = curves.svg({"<b>": found["loss"]})
    assert 'aria-label="&lt;b&gt; 1000 → 1"' in drawn
    assert drawn.count("<polyline") == curves.MOST_RANKS
    assert "<title>rank 7: 1000 → 1</title>" in drawn
    assert "<b>" not in drawn
    assert curves.svg({}) == ""


def test_a_flat_curve_is_drawn():
    found = curves.curves([report(1, 1, 2), report(2, 2, 2)])
    assert curves.text(found) == "loss  ▁▁  2 → 2"
    assert "nan" not in curves.svg(found)
