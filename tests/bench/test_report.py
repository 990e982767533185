import json

import pytest

from bench.report import (
    Aim,
    Figure,
    Samples,
    aims,
    between_marks,
    in_detail,
    of_sizes,
    side_by_side,
)


@pytest.fixture
def samples():
    taken = Samples()
    taken.add("fast", {"start": 100.0, "round trip": [5.0, 6.0, 7.0]})
    taken.add("fast", {"start": 300.0})
    taken.add("fast", {"start": 120.0})
    taken.add("slow", {"start": 240.0})
    return taken


def test_medians_stand_side_by_side_and_what_was_not_measured_is_left_open(samples):
    assert side_by_side(samples, ["fast", "never", "slow"]).splitlines() == [
        "|  | fast | slow |",
        "| --- | --- | --- |",
        "| start → first result, ms | 120 | 240 |",
        "| cell, back to back, ms | 6 | – |",
    ]


def test_a_pages_table_is_replaced_and_nothing_else():
    page = "# Title\n\n<!-- bench -->\nold\n<!-- /bench -->\nend\n"
    replaced = between_marks(page, "| new |")
    assert replaced == "# Title\n\n<!-- bench -->\n\n| new |\n\n<!-- /bench -->\nend\n"
    assert between_marks(replaced, "| new |") == replaced
    with pytest.raises(ValueError, match="has no <!-- bench -->"):
        between_marks("# Title", "| new |")


def test_details_tell_number_and_spread(samples):
    assert "| start → first result, ms | fast | 3 | 120 | 300 | 100 | 300 |" in in_detail(samples)


def test_a_ratio_of_constant_samples_has_no_spread():
    taken = Samples()
    taken.add("a", {"start": [50.0] * 12})
    taken.add("b", {"start": [100.0] * 12})
    assert taken.ratio("start", "a", "b") == (0.5, 0.5, 0.5)


def test_a_ratio_of_widely_spread_samples_has_a_wide_interval():
    taken = Samples()
    taken.add("a", {"start": [float(ms) for ms in range(100, 1100, 100)]})
    taken.add("b", {"start": [500.0] * 10})
    ratio, low, high = taken.ratio("start", "a", "b")
    assert low < 0.9 < ratio < 1.3 < high


def test_aims_are_judged_by_medians_and_skipped_where_an_arm_is_missing(samples):
    wanted = (
        Aim("start", "fast", "slow", 0.4),
        Aim("round trip", "fast", None, 6.0),
        Aim("start", "fast", "missing", 1.0),
    )
    rows = aims(samples, wanted).splitlines()[2:]
    assert len(rows) == 2
    assert rows[0].startswith("| start: fast / slow | 0.5 |")
    assert rows[0].endswith("| ≤ 0.4 | **no** |")
    assert rows[1] == "| round trip: fast | 6 |  | ≤ 6 | yes |"


def test_a_run_goes_on_where_an_earlier_part_ended(samples, tmp_path):
    samples.write(tmp_path / "run.json")
    further = Samples()
    further.add("slow", {"start": 260.0})
    further.read(tmp_path / "run.json")
    assert further.taken["start"] == {"slow": [260.0, 240.0], "fast": [100.0, 300.0, 120.0]}
    assert further.facts["taken"] == samples.facts["taken"]
    assert json.loads((tmp_path / "run.json").read_text())["samples"]["start"]["slow"] == [240.0]


def test_each_size_has_its_figures():
    figures = of_sizes([Figure("late", "lateness", "s")], [8, 2, 8])
    assert figures == [
        Figure("late of 2", "2 workers: lateness", "s"),
        Figure("late of 8", "8 workers: lateness", "s"),
    ]


def test_with_something_on_top_means_are_compared():
    taken = Samples()
    taken.add("a", {"start": [float(ms) for ms in range(100, 1100, 100)]})
    taken.add("b", {"start": [float(ms) for ms in range(50, 1050, 100)]})
    difference, low, high = taken.difference("start", "a", "b")
    assert low < 0 < difference == 50 < high
    (row,) = aims(taken, [Aim("start", "a", "b", 1.0, more=100)]).splitlines()[2:]
    assert row.startswith("| start: a − b | 50 | ")
    assert row.endswith("| ≤ 100 | yes |")
