"""Quantities as numbers and back."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kube.quantity import amount, readable


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", 2),
        ("500m", Fraction(1, 2)),
        ("1.5Gi", 3 * 2**29),
        ("2G", 2 * 10**9),
        ("1e3", 1000),
        ("100k", 100_000),
        ("3n", Fraction(3, 10**9)),
    ],
)
def test_quantities_are_numbers(text: str, value: Fraction) -> None:
    assert amount(text) == value


@pytest.mark.parametrize("text", ["", "much", "4GB", "4 Gi", "Gi"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a Kubernetes quantity"):
        amount(text)


@pytest.mark.parametrize(
    ("text", "size", "words"),
    [
        ("4", False, "4"),
        ("1500m", False, "1.5"),
        ("1536Mi", True, "1.5Gi"),
        ("100", True, "100"),
        ("0", True, "0"),
        ("8Ei", True, "8Ei"),
    ],
)
def test_numbers_are_quantities_people_read(text: str, size: bool, words: str) -> None:
    assert readable(amount(text), size=size) == words


@given(st.integers(0, 2**60), st.booleans())
def test_what_is_printed_is_read_as_about_the_same(value: int, size: bool) -> None:
    printed = amount(readable(Fraction(value), size=size))
    assert abs(printed - value) <= Fraction(value, 100)
