"""Tokens, and documents that hold one of their own in every field, wherever the kind of the field lets one be told from
another."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from federation.policies.tiers import Tier
from federation.records.base import FieldSpec, RecordType
from federation.records.codes import load
from federation.records.kinds import Context

CODES = load()
CONTEXT = Context(CODES)


class Mint:
    """Makes tokens, each one once. `salt` makes those of one world differ from another's."""

    def __init__(self, salt: str = "") -> None:
        self._salt = salt
        self._counts: dict[str, int] = {}

    def _next(self, purpose: str) -> int:
        self._counts[purpose] = self._counts.get(purpose, -1) + 1
        return self._counts[purpose]

    def word(self) -> str:
        """A word of eight letters and digits."""
        digest = hashlib.sha256(f"{self._salt}{self._next('word')}".encode()).digest()
        letters = "0123456789abcdefghijklmnopqrstuvwxyz"
        return "cny" + "".join(letters[byte % 36] for byte in digest[:5])

    def number(self) -> int:
        """A number of nine digits."""
        digest = hashlib.sha256(f"{self._salt}n{self._next('number')}".encode()).digest()
        return 700_000_001 + int.from_bytes(digest[:4], "big") % 99_999_000

    def places(self) -> int:
        """A number of six digits."""
        digest = hashlib.sha256(f"{self._salt}p{self._next('places')}".encode()).digest()
        return 400_000 + int.from_bytes(digest[:4], "big") % 99_999

    def pick(self, purpose: str, choices: Sequence[Any]) -> Any:
        """The next of some choices, in turn."""
        return choices[(self._next(purpose) + len(self._salt)) % len(choices)]

    def subdivision(self) -> str:
        """A subdivision of a country that no other token is in."""
        return self.pick("subdivision", SUBDIVISIONS)

    def quarter(self) -> tuple[int, int]:
        """A year and the middle month of a quarter that no other period is in."""
        at = self._next("quarter")
        return 2030 + at // 4, 2 + 3 * (at % 4)

    def year(self) -> int:
        """A year that no other period is in."""
        return 2060 + self._next("year")

    def month(self) -> tuple[int, int]:
        """A month that no other `verified_on` is in."""
        at = self._next("month")
        return 1905 + at // 12, 1 + at % 12

    def day(self, year: int) -> str:
        """A day within a year and those after it that no other day field has."""
        moment = datetime(year, 1, 1, tzinfo=UTC) + timedelta(days=self._next(f"day{year}"))
        return moment.date().isoformat()


def _one_subdivision_a_country() -> tuple[str, ...]:
    """The middle subdivision of each country."""
    found: dict[str, list[str]] = {}
    for code in CODES.codes("area"):
        area = CODES.area(code)
        if area is not None and area.level == "subdivision" and area.parent and len(code) <= 6:
            found.setdefault(area.parent, []).append(code)
    return tuple(each[len(each) // 2] for each in found.values())


SUBDIVISIONS = _one_subdivision_a_country()


def value_of(mint: Mint, spec: FieldSpec, *, past: bool = False) -> Any:
    """A home value for a field, unlike any other. `past`: days that lie before those of expiry."""
    kind: Any = spec.kind
    name = type(kind).__name__
    makers: dict[str, Any] = {
        "Text": lambda: f"{spec.name.replace('_', ' ').title()} {mint.word()}.",
        "Line": lambda: f"{spec.name.title()} {mint.word()}",
        "Url": lambda: f"https://{mint.word()}.example/",
        "Code": lambda: mint.pick(kind.codes, CODES.codes(kind.codes)),
        "Codes": lambda: [mint.pick(kind.codes, CODES.codes(kind.codes))],
        "Tag": lambda: f"fr-x-{mint.word()}",
        "Languages": lambda: [f"sw-x-{mint.word()}", f"arb-x-{mint.word()}"],
        "Flag": lambda: mint.pick("flag", (True, False)),
        "Whole": lambda: kind.least + mint.pick(f"whole{kind.most}", range(min(kind.most - kind.least, 4000))),
        "Day": lambda: mint.day(1902 if past else 2196),
        "Period": lambda: _period(mint, spec, past),
        "Amount": lambda: _amount(mint),
        "AmountBand": lambda: {"value": str(mint.pick("band", (500, 2000, 7000, 20000))), "currency": "EUR"},
        "Count": mint.number,
        "Place": mint.subdivision,
        "Places": lambda: [mint.subdivision(), mint.subdivision()],
        "Contact": lambda: (
            {part: f"{mint.word()} {part}" for part in ("person", "email", "phone", "address", "note")}
            | {"relay": f"relay-{mint.word()}"}
        ),
        "Party": lambda: {"name": f"Party {mint.word()}", kind.key: mint.pick(kind.codes, CODES.codes(kind.codes))},
        "Openings": lambda: {
            "state": mint.pick(kind.codes, CODES.codes(kind.codes)),
            "free": mint.places(),
            "total": 900_000,
            "waiting": 1,
        },
        "Series": lambda: f"FREQ=MONTHLY;COUNT={mint.number()}",
        "Tally": lambda: {code: mint.number() for code in CODES.codes(kind.codes)[:2]},
        "Organisers": lambda: [
            {"name": f"Org {mint.word()}", "kind": CODES.codes(kind.codes)[0], "consented": True},
            {"name": f"Org {mint.word()}", "kind": CODES.codes(kind.codes)[1], "consented": False},
        ],
        "Pseudonym": lambda: f"Network {mint.word()}",
        "Translations": lambda: None,
        "Instant": lambda: None,
    }
    return makers[name]()


def _period(mint: Mint, spec: FieldSpec, past: bool) -> dict[str, str]:
    steps = spec.step_names
    if spec.name == "verified_on":
        year, month = mint.month()
        return {"start": f"{year}-{month:02d}-11", "end": f"{year}-{month:02d}-13"}
    if "year" in steps:
        year = mint.year()
        return {"start": f"{year}-02-11", "end": f"{year}-08-13"}
    year, month = mint.quarter()
    year -= 120 if past else 0  # before anything expires
    return {"start": f"{year}-{month:02d}-11", "end": f"{year}-{month:02d}-13"}


def _amount(mint: Mint) -> dict[str, str]:
    low, high = sorted((mint.number(), mint.number()))
    return {"minimum": str(low), "maximum": str(high), "currency": "EUR"}


def document_of(mint: Mint, record_type: RecordType, *, past: bool = False) -> dict[str, Any]:
    """A home document with a value in every field and translations of every text that may leave."""
    document: dict[str, Any] = {}
    for name, spec in record_type.fields.items():
        value = value_of(mint, spec, past=past)
        if value is not None:
            document[name] = value
    if past:
        document["valid_until"] = mint.day(2025)
    else:
        document["valid_until"] = mint.day(2198)
    texts = [spec.name for spec in texts_of(record_type) if spec.name in document]
    document["translations"] = {"sw": {name: f"Maandishi {mint.word()}" for name in texts}}
    document["originals"] = {"kind": f"original {mint.word()}"}
    return document


def texts_of(record_type: RecordType) -> list[FieldSpec]:
    """The texts of a type that may leave, so that they may be translated."""
    return [
        spec for spec in record_type.fields.values() if spec.kind.name == "text" and spec.steps[0].tier < Tier.SEALED
    ]
