"""Syntax of codes, language tags, dates and lists, for values of our own and from outside.

No value may stand in an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from typing import Any

from federation.errors import BadInput
from federation.records.codes import CodeLists

LIST_CAP = 100
"""The most entries of a list value."""

_DAY = re.compile(r"(?:19|20|21)[0-9]{2}-[0-9]{2}-[0-9]{2}")
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+:.\-/]{0,63}")
_TAG = re.compile(
    r"(?:[a-z]{2,3}(?:-[A-Za-z]{3}){0,3}|[a-z]{4,8})(?:-[A-Za-z]{4})?(?:-(?:[A-Za-z]{2}|[0-9]{3}))?"
    r"(?:-(?:[A-Za-z0-9]{5,8}|[0-9][A-Za-z0-9]{3}))*(?:-[0-9A-WY-Za-wy-z](?:-[A-Za-z0-9]{2,8})+)*"
    r"(?:-x(?:-[A-Za-z0-9]{1,8})+)?"
)


def iso_day(value: object) -> date:
    """The date of a text like 2024-05-01, from 1900 to 2199, or BadInput."""
    if isinstance(value, str) and _DAY.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise BadInput("This must be a date like 2024-05-01.")


def checked_list(value: object) -> list[Any]:
    """A list that is not empty and not too long, without doubles of its members' kind, or BadInput."""
    if not isinstance(value, (list, tuple)):
        raise BadInput("This must be a list.")
    if not 0 < len(value) <= LIST_CAP:
        raise BadInput(f"This list must hold from 1 to {LIST_CAP} entries.")
    return list(value)


def known_code(value: object, codes: str, lists: CodeLists) -> str:
    """A code of our own: it must be in the list. BadInput names the list."""
    if not isinstance(value, str) or not lists.known(codes, value):
        raise BadInput(f"This must be a code of the list {codes}.")
    return value


def accepted_code(value: object) -> str:
    """A code from outside, known or not, or BadInput."""
    if not isinstance(value, str) or not _CODE.fullmatch(value):
        raise BadInput("This is not a code.")
    return value


def accepted_tag(value: object) -> str:
    """A language tag in the syntax of BCP 47, or BadInput."""
    if not isinstance(value, str) or len(value) > 64 or not _TAG.fullmatch(value):
        raise BadInput("This must be a language tag like sw, pt-BR or zh-Hant.")
    return value


def known_tag(value: object, lists: CodeLists) -> str:
    """A language tag of our own in its usual case; its primary subtag must be known."""
    if not isinstance(value, str):
        raise BadInput("This must be a language tag like sw, pt-BR or zh-Hant.")
    head, *rest = value.strip().replace("_", "-").split("-")
    shaped = [head.lower()]
    single = False
    for subtag in rest:
        if single or len(subtag) > 4 or len(subtag) < 2 or not subtag.isalpha():
            shaped.append(subtag.lower())
        else:
            shaped.append({2: subtag.upper(), 4: subtag.title()}.get(len(subtag), subtag.lower()))
        single = single or len(subtag) == 1
    tag = accepted_tag("-".join(shaped))
    primary = lists.primary(tag)
    if not lists.known("language", primary):
        raise BadInput("This language is not in ISO 639.")
    return "-".join([primary, *shaped[1:]])


def closure_text(codes: Iterable[str]) -> str:
    """Codes in the form in which they are matched: `|a|b|`."""
    return "|" + "|".join(codes) + "|"
