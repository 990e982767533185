"""The rules for names and labels, and the words for what breaks them (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

Causes = Iterator[tuple[str, str]]
"""Paths of fields, and what is wrong with them."""


@dataclass(frozen=True)
class Style:
    """A rule for names."""

    pattern: re.Pattern[str]
    longest: int
    words: str


def _style(pattern: str, longest: int, words: str) -> Style:
    return Style(
        re.compile(pattern), longest, f"{words}, regex used for validation is '{pattern}')"
    )


LABEL = _style(
    "[a-z0-9]([-a-z0-9]*[a-z0-9])?",
    63,
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc'",
)
SERVICE_LABEL = _style(
    "[a-z]([-a-z0-9]*[a-z0-9])?",
    63,
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
    "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123'",
)
SUBDOMAIN = _style(
    r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*",
    253,
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com'",
)
_LABEL_VALUE = _style(
    "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?",
    63,
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  "
    "or '12345'",
)
_LABEL_NAME = _style(
    "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]",
    63,
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc'",
)


def check(field: str, name: str, style: Style) -> Causes:
    """Check a name."""
    if len(name) > style.longest:
        yield field, f'Invalid value: "{name}": must be no more than {style.longest} characters'
    if not style.pattern.fullmatch(name):
        yield field, f'Invalid value: "{name}": {style.words}'


def check_required(field: str, name: str | None, style: Style) -> Causes:
    """Check a name that must be there."""
    if name:
        yield from check(field, name, style)
    else:
        yield field, "Required value"


def check_labels(field: str, labels: dict[str, str] | None) -> Causes:
    """Check the keys and values of labels."""
    for key, value in (labels or {}).items():
        prefix, slash, name = key.rpartition("/")
        if not _LABEL_NAME.pattern.fullmatch(name) or (
            slash and not SUBDOMAIN.pattern.fullmatch(prefix)
        ):
            yield field, f'Invalid value: "{key}": {_LABEL_NAME.words}'
        if len(name) > _LABEL_NAME.longest:
            yield field, f'Invalid value: "{key}": name part must be no more than 63 characters'
        yield from check(field, value or "", _LABEL_VALUE)
