"""The kinds of values that know their precision: period, amount, count, contact.

A coarser step value always contains the finer one. Must never read a clock; rates come in by the code lists.
"""

# ruff: noqa: ARG002  (all kinds share one signature; not every kind needs step and context)
from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Mapping
from datetime import date
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from federation.errors import BadInput
from federation.records.kinds import (
    INT_BOUNDS,
    MAIN,
    TEXT_BOUNDS,
    UNBOUNDED,
    UNKNOWN_NUMBER,
    UNKNOWN_TEXT,
    Cell,
    ColumnSpec,
    Context,
    Kind,
    standard_context,
)
from federation.records.syntax import iso_day
from federation.records.texts import checked_text

_DECIMAL = re.compile(r"(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,3})?")
_CURRENCY = re.compile(r"[A-Z]{3}")
_RELAY = re.compile(r"[A-Za-z0-9_\-]{8,64}")

PERIOD_STEPS = ("exact", "month", "quarter", "year")
PRECISIONS = ("DAY", "MONTH", "QUARTER", "YEAR")
_SPAN = {"month": 1, "quarter": 3, "year": 12}


class Period(Kind):
    """Days from start to end, both within. Home value {"start", "end"}; step value with "precision" too."""

    name = "period"
    graphql = "Period"
    filters = ("from", "to", "is_null")
    ladder = PERIOD_STEPS
    layout = (*TEXT_BOUNDS, ColumnSpec("__p", "text"))
    sortable = True

    def check(self, value: Any, context: Context | None = None) -> dict[str, str]:
        if isinstance(value, str):
            value = {"start": value, "end": value}
        if not isinstance(value, Mapping) or set(value) - {"start", "end", "precision"} or "start" not in value:
            raise BadInput("A period has a start and an end, dates like 2024-05-01.")
        end = value.get("end") or value["start"]
        if iso_day(value["start"]) > iso_day(end):
            raise BadInput("This period ends before it starts.")
        return {"start": value["start"], "end": end}

    def generalise(self, value: Any, step: str, context: Context) -> Any:
        if value is None:
            return None
        held = value.get("precision", "DAY")
        if PRECISIONS.index(held) >= PERIOD_STEPS.index(step):
            return {"start": value["start"], "end": value["end"], "precision": held}
        start, end = _widened(value["start"], value["end"], _SPAN[step])
        return {"start": start, "end": end, "precision": step.upper()}

    def cells(self, value: Any, step: str, context: Context) -> tuple[Cell, ...]:
        return (*UNKNOWN_TEXT, None) if value is None else (value["start"], value["end"], value["precision"])

    def accept(self, wire: Any, step: str = "exact", context: Context | None = None) -> Any:
        if not isinstance(wire, dict) or set(wire) != {"start", "end", "precision"}:
            raise BadInput("A period has start, end and precision.")
        precision = wire["precision"]
        if precision not in PRECISIONS or PRECISIONS.index(precision) < PERIOD_STEPS.index(step):
            raise BadInput("This period is told finer than its step.")
        if iso_day(wire["start"]) > iso_day(wire["end"]):
            raise BadInput("This period ends before it starts.")
        if precision != "DAY" and _widened(wire["start"], wire["end"], _SPAN[precision.lower()]) != (
            wire["start"],
            wire["end"],
        ):
            raise BadInput("This period does not have the precision that it tells.")
        return wire


def _widened(start: str, end: str, months: int) -> tuple[str, str]:
    """First and last day of the whole months, quarters or years that hold both days."""
    first, last = date.fromisoformat(start), date.fromisoformat(end)
    first_month = (first.month - 1) // months * months + 1
    last_month = (last.month - 1) // months * months + months
    return (
        f"{first.year:04d}-{first_month:02d}-01",
        f"{last.year:04d}-{last_month:02d}-{monthrange(last.year, last_month)[1]:02d}",
    )


BAND_EDGES = (Decimal(0), Decimal(1000), Decimal(5000), Decimal(10000), Decimal(50000))
"""Lower edges of the bands in EUR: <1k, 1-5k, 5-10k, 10-50k (50k itself within), >50k."""


class Amount(Kind):
    """Money. Home value {"minimum", "maximum", "currency"}, either bound open, or {"value", "currency"}."""

    name = "amount"
    graphql = "Amount"
    filters = ("at_least", "at_most", "is_null")
    ladder: tuple[str, ...] = ("exact", "band")
    layout = (
        ColumnSpec("__min", "text"),
        ColumnSpec("__max", "text"),
        ColumnSpec("__cur", "text"),
        ColumnSpec("__p", "text"),
        *INT_BOUNDS,
    )
    sortable = True

    def check(self, value: Any, context: Context | None = None) -> dict[str, str | None]:
        if not isinstance(value, Mapping) or set(value) - {"value", "minimum", "maximum", "currency", "precision"}:
            raise BadInput("An amount has a value, or a minimum and a maximum, and a currency.")
        least, most = value.get("minimum", value.get("value")), value.get("maximum", value.get("value"))
        low = None if least is None else _decimal(least)
        high = None if most is None else _decimal(most)
        if low is None and high is None:
            raise BadInput("An amount has a value, or a minimum and a maximum, and a currency.")
        if low is not None and high is not None and low > high:
            raise BadInput("The minimum of this amount is above its maximum.")
        currency = value.get("currency")
        if not isinstance(currency, str) or not (context or standard_context()).codes.known("currency", currency):
            raise BadInput("The currency must be a code of ISO 4217.")
        return {"minimum": _plain(low), "maximum": _plain(high), "currency": currency}

    def generalise(self, value: Any, step: str, context: Context) -> Any:
        if value is None or value.get("precision") == "BAND":
            return value
        if step == "band":
            return eur_band(value, context)
        return {**value, "precision": "EXACT"}

    def cells(self, value: Any, step: str, context: Context) -> tuple[Cell, ...]:
        if value is None:
            return (None, None, None, None, *UNKNOWN_NUMBER)
        least, most, precision = value["minimum"], value["maximum"], value["precision"]
        return (least, most, value["currency"], precision, *_cents(value, context))

    def accept(self, wire: Any, step: str = "exact", context: Context | None = None) -> Any:
        if not isinstance(wire, dict) or set(wire) != {"minimum", "maximum", "currency", "precision"}:
            raise BadInput("An amount has minimum, maximum, currency and precision.")
        bounds = [wire["minimum"], wire["maximum"]]
        known = [bound for bound in bounds if bound is not None]
        if not known or not all(isinstance(bound, str) and _DECIMAL.fullmatch(bound) for bound in known):
            raise BadInput("The bounds of this amount are not decimals.")
        if len(known) == 2 and Decimal(bounds[0]) > Decimal(bounds[1]):
            raise BadInput("The minimum of this amount is above its maximum.")
        if not isinstance(wire["currency"], str) or not _CURRENCY.fullmatch(wire["currency"]):
            raise BadInput("The currency must be a code of ISO 4217.")
        if wire["precision"] == "BAND":
            if not _is_band(wire):
                raise BadInput("This is not one of the bands of amounts.")
        elif wire["precision"] != "EXACT" or step != "exact":
            raise BadInput("This amount is told finer than its step.")
        return wire


class AmountBand(Amount):
    """An amount that is stored as its band only: what is stated is rounded to the band at once."""

    ladder = ("exact",)

    def check(self, value: Any, context: Context | None = None) -> dict[str, str | None]:
        context = context or standard_context()
        if isinstance(value, Mapping) and value.get("precision") == "BAND":
            return self.accept(dict(value))
        band = eur_band(super().check(value, context), context)
        if band is None:
            raise BadInput("There is no rate for this currency; state the band in EUR.")
        return band

    def accept(self, wire: Any, step: str = "exact", context: Context | None = None) -> Any:
        return super().accept(wire, "band", context)


def eur_band(value: Mapping[str, Any], context: Context) -> dict[str, str | None] | None:
    """The band in EUR that holds an exact amount, or several neighbouring ones; None without a rate."""
    currency = value["currency"]
    first, last = 0, len(BAND_EDGES) - 1
    if value["minimum"] is not None:
        low = context.codes.eur(Decimal(value["minimum"]), currency)
        if low is None:
            return None
        first = _band(low)
    if value["maximum"] is not None:
        high = context.codes.eur(Decimal(value["maximum"]), currency)
        if high is None:
            return None
        last = _band(high)
    upper = None if last == len(BAND_EDGES) - 1 else str(BAND_EDGES[last + 1])
    return {"minimum": str(BAND_EDGES[first]), "maximum": upper, "currency": "EUR", "precision": "BAND"}


def _band(euros: Decimal) -> int:
    if euros == BAND_EDGES[-1]:
        return len(BAND_EDGES) - 2
    return max(index for index, edge in enumerate(BAND_EDGES) if euros >= edge)


def _is_band(wire: Mapping[str, Any]) -> bool:
    edges = [str(edge) for edge in BAND_EDGES]
    least, most = wire["minimum"], wire["maximum"]
    return (
        wire["currency"] == "EUR"
        and least in edges
        and (most is None or (most in edges and edges.index(most) > edges.index(least)))
    )


def _cents(value: Mapping[str, Any], context: Context) -> tuple[int, int]:
    """Bounds in EUR cents that hold the amount; the bounds of an unknown number without a rate."""
    least, most, currency = value["minimum"], value["maximum"], value["currency"]
    if value["precision"] == "BAND":
        low = int(least) * 100 + (1 if least == str(BAND_EDGES[-1]) else 0)
        if most is None:
            return low, UNBOUNDED
        return low, int(most) * 100 - (0 if most == str(BAND_EDGES[-1]) else 1)
    lows = Decimal(0) if least is None else context.codes.eur(Decimal(least), currency)
    if lows is None:
        return UNKNOWN_NUMBER
    low = int((lows * 100).to_integral_value(ROUND_FLOOR))
    if most is None:
        return low, UNBOUNDED
    highs = context.codes.eur(Decimal(most), currency)
    if highs is None:
        return UNKNOWN_NUMBER
    return low, int((highs * 100).to_integral_value(ROUND_CEILING))


def _decimal(value: object) -> Decimal:
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        value = format(Decimal(value), "f")
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return Decimal(value)
    raise BadInput("The bounds of an amount are decimals like 2500 or 99.50, as text, not below zero.")


def _plain(value: Decimal | None) -> str | None:
    return None if value is None else format(value.normalize(), "f")


COUNT_BANDS = ((5, 9), (10, 19), (20, 49), (50, None))
"""Bands of counts; below the first the count is withheld."""


def count_band(number: int) -> tuple[int, int | None] | None:
    """The band that holds a number; None where it is withheld."""
    for least, most in COUNT_BANDS:
        if number >= least and (most is None or number <= most):
            return least, most
    return None


class Count(Kind):
    """How many. Home value a whole number; step value {"minimum", "maximum", "precision"}. `any`: none, or some."""

    name = "count"
    graphql = "Count"
    filters = ("at_least", "at_most", "is_null")
    ladder = ("exact", "band", "any")
    layout = (ColumnSpec("__min", "int"), ColumnSpec("__max", "int"), ColumnSpec("__p", "text"), *INT_BOUNDS)
    sortable = True
    most = 10**9

    def check(self, value: Any, context: Context | None = None) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= self.most:
            raise BadInput(f"This must be a whole number from 0 to {self.most}.")
        return value

    def generalise(self, value: Any, step: str, context: Context) -> Any:
        if value is None:
            return None
        if isinstance(value, int):
            value = {"minimum": value, "maximum": value, "precision": "EXACT"}
        least, most = value["minimum"], value["maximum"]
        if step == "any":
            return {"minimum": min(least, 1), "maximum": None if least else 0, "precision": "BAND"}
        if step == "band" and value["precision"] == "EXACT":
            band = count_band(least)
            return None if band is None else {"minimum": band[0], "maximum": band[1], "precision": "BAND"}
        return {"minimum": least, "maximum": most, "precision": value["precision"]}

    def cells(self, value: Any, step: str, context: Context) -> tuple[Cell, ...]:
        if value is None:
            return (None, None, None, *UNKNOWN_NUMBER)
        least, most = value["minimum"], value["maximum"]
        return (least, most, value["precision"], least, UNBOUNDED if most is None else most)

    def accept(self, wire: Any, step: str = "exact", context: Context | None = None) -> Any:
        if not isinstance(wire, dict) or set(wire) != {"minimum", "maximum", "precision"}:
            raise BadInput("A count has minimum, maximum and precision.")
        least, most = wire["minimum"], wire["maximum"]
        self.check(least)
        if most is not None:
            self.check(most)
        either = (least, most) in ((0, 0), (1, None))
        if wire["precision"] == "EXACT":
            good = least == most and step == "exact"
        else:
            good = wire["precision"] == "BAND" and (either or ((least, most) in COUNT_BANDS and step != "any"))
        if not good:
            raise BadInput("This count is told finer than its step, or is not one of the bands.")
        return wire


CONTACT_PARTS = ("person", "email", "phone", "address", "note")


class Contact(Kind):
    """How somebody is reached. Home value parts of CONTACT_PARTS, and `relay`: the random id under which the node
    passes messages on. Only the relay id may leave; a contact without one is withheld outside."""

    name = "contact"
    graphql = "Contact"
    filters = ()
    ladder = ("exact", "relay")
    layout = (MAIN,)

    def check(self, value: Any, context: Context | None = None) -> dict[str, str]:
        if not isinstance(value, Mapping) or set(value) - {*CONTACT_PARTS, "relay"}:
            raise BadInput(f"A contact has some of: {', '.join(CONTACT_PARTS)}.")
        result = {
            part: checked_text(value[part], 2000, lines=True) for part in CONTACT_PARTS if value.get(part) is not None
        }
        if not result:
            raise BadInput(f"A contact has some of: {', '.join(CONTACT_PARTS)}.")
        if value.get("relay") is not None:
            result["relay"] = self.accept(value["relay"])
        return result

    def generalise(self, value: Any, step: str, context: Context) -> Any:
        if step == "relay" and isinstance(value, Mapping):
            return value.get("relay")
        return value

    def accept(self, wire: Any, step: str = "relay", context: Context | None = None) -> str:
        if not isinstance(wire, str) or not _RELAY.fullmatch(wire):
            raise BadInput("This is not the id of a relayed contact.")
        return wire
