"""Kinds with a step of their own: who gives it, whether there is room, how often, how many of each, whose it is.

Must never let a name through a step that is made to hide it: what cannot be derived is withheld.
"""

# ruff: noqa: ARG002  (all kinds share one signature; not every kind needs step and context)
from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dateutil.rrule import rrulestr

from federation.errors import BadInput
from federation.records.coded import Code, Codes
from federation.records.kinds import Cell, Context, Line, standard_context
from federation.records.syntax import accepted_code, checked_list, closure_text, known_code
from federation.records.texts import accepted_text, checked_text
from federation.records.values import COUNT_BANDS, count_band

PAIRWISE = "*"
"""What a row of our own holds where each viewer is shown a pseudonym made for it alone."""

_BANDS = {f"{least}-{most}" if most else f"{least}+": (least, most) for least, most in COUNT_BANDS}
_BAND_NAMES = {bounds: name for name, bounds in _BANDS.items()}
_TALLY = re.compile(r"([A-Za-z0-9][A-Za-z0-9_]{0,39}):(0|[1-9][0-9]{0,8}|[0-9]+-[0-9]+|[0-9]+\+)")


class Party(Line):
    """Somebody with a name and a code. Home value {"name", key}; exact shows the name, the step `key` the code."""

    def __init__(self, codes: str, key: str) -> None:
        super().__init__(300)
        self.codes = codes
        self.key = key
        self.ladder = ("exact", key)

    def check(self, value: Any, context: Context | None = None) -> dict[str, str]:
        if not isinstance(value, Mapping) or not value or set(value) - {"name", self.key}:
            raise BadInput(f"This has a name and a {self.key}.")
        result = {}
        if value.get("name") is not None:
            result["name"] = super().check(value["name"])
        if value.get(self.key) is not None:
            result[self.key] = known_code(value[self.key], self.codes, (context or standard_context()).codes)
        if not result:
            raise BadInput(f"This has a name and a {self.key}.")
        return result

    def generalise(self, value: Any, step: str, context: Context) -> Any:
        if isinstance(value, Mapping):
            return value.get(self.key) if step == self.key else value.get("name", value.get(self.key))
        if step == self.key and not context.codes.known(self.codes, str(value)):
            return None
        return value

    def accept(self, wire: Any, step: str = "exact", context: Context | None = None) -> str:
        return accepted_code(wire) if step == self.key else super().accept(wire)


class Openings(Code):
    """Whether there is room. Home value {"state", "free", "total", "waiting"}, or the state alone.

    Exact is the state and, where told, `state:free`, as a code and its broader one. Where it is `batched` the step
    `state` shows what was last told: the home value comes with it as "told".
    """

    ladder = ("exact", "state")

    def __init__(self, codes: str, *, batched: bool = False) -> None:
        super().__init__(codes, tree=True)
        self.batched = batched

    def check(self, value: Any, context: Context | None = None) -> dict[str, Any]:
        if isinstance(value, str):
            value = {"state": value}
        if not isinstance(value, Mapping) or set(value) - {"state", "free", "total", "waiting"}:
            raise BadInput("This has a state, and may have free, total and waiting.")
        result: dict[str, Any] = {"state": super().check(value.get("state"), context)}
        for part in ("free", "total", "waiting"):
            number = value.get(part)
            if number is None:
                continue
            if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= 10**6:
                raise BadInput(f"{part} must be a whole number from 0 to 1000000.")
            result[part] = number
        return result

    def generalise(self, value: Any, step: str, context: Context) -> Any:
        if value is None:
            return None
        if isinstance(value, Mapping):
            state = value["state"]
            if step == "state" and "told" in value:
                return [value["told"]] if value["told"] else None
            value = [f"{state}:{value['free']}", state] if "free" in value else [state]
        return value[-1:] if step == "state" else value

    def cells(self, value: Any, step: str, context: Context) -> tuple[Cell, ...]:
        return (None, None) if value is None else (value[0], closure_text(value))

    def accept(self, wire: Any, step: str = "exact", context: Context | None = None) -> list[str]:
        if not isinstance(wire, list) or not 0 < len(wire) <= (2 if step == "exact" else 1):
            raise BadInput("This has a state.")
        for code in wire:
            accepted_code(code)
        return wire


class Series(Line):
    """How a meeting is repeated: an RRULE of RFC 5545; the step `cadence` is a code of the list cadence."""

    ladder = ("exact", "cadence")

    def __init__(self) -> None:
        super().__init__(300)

    def check(self, value: Any, context: Context | None = None) -> str:
        rule = super().check(value).removeprefix("RRULE:").upper()
        cadence_of(rule)
        return rule

    def generalise(self, value: Any, step: str, context: Context) -> Any:
        if value is None or step == "exact" or context.codes.known("cadence", value):
            return value
        return cadence_of(value)

    def accept(self, wire: Any, step: str = "exact", context: Context | None = None) -> str:
        text = super().accept(wire)
        codes = (context or standard_context()).codes
        if step == "cadence" or codes.known("cadence", text):
            return accepted_code(text)
        cadence_of(text)
        return text


def cadence_of(rule: str) -> str:
    """weekly, monthly, quarterly, yearly or other for an RRULE; BadInput if it is none."""
    parts = dict(part.split("=", 1) for part in rule.split(";") if "=" in part)
    try:
        if "FREQ" not in parts or "\n" in rule:
            raise ValueError(rule)
        rrulestr(rule)
        frequency, interval = parts["FREQ"], int(parts.get("INTERVAL", "1"))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        raise BadInput("This must be a rule like FREQ=MONTHLY;BYDAY=1TU (RFC 5545).") from None
    return {
        ("WEEKLY", 1): "weekly",
        ("MONTHLY", 1): "monthly",
        ("MONTHLY", 3): "quarterly",
        ("MONTHLY", 12): "yearly",
        ("YEARLY", 1): "yearly",
    }.get((frequency, interval), "other")


class Tally(Codes):
    """How many of each code. Home value {code: number}; step value ["code:23"], in bands ["code:20-49"]; what is below
    the first band is left out there."""

    ladder = ("exact", "bands")

    def check(self, value: Any, context: Context | None = None) -> Any:
        if not isinstance(value, Mapping) or not 0 < len(value) <= 100:
            raise BadInput("This is a table of codes and numbers.")
        codes = (context or standard_context()).codes
        for code, number in value.items():
            known_code(code, self.codes, codes)
            if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= 999_999_999:
                raise BadInput("This is a table of codes and whole numbers.")
        return dict(sorted(value.items()))

    def generalise(self, value: Any, step: str, context: Context) -> Any:
        if value is None:
            return None
        if isinstance(value, Mapping):
            value = [f"{code}:{number}" for code, number in sorted(value.items())]
        if step == "exact":
            return value
        result = []
        for entry in value:
            code, _, number = entry.partition(":")
            if number in _BANDS:
                result.append(entry)
            elif (band := count_band(int(number))) is not None:
                result.append(f"{code}:{_BAND_NAMES[band]}")
        return result or None

    def closure(self, code: str, context: Context) -> tuple[str, ...]:
        return (code.partition(":")[0],)

    def cells(self, value: Any, step: str, context: Context) -> tuple[Cell, ...]:
        if value is None:
            return (None, None)
        return ("[" + ",".join(f'"{entry}"' for entry in value) + "]", closure_text(e.partition(":")[0] for e in value))

    def accept(self, wire: Any, step: str = "exact", context: Context | None = None) -> list[str]:
        for entry in checked_list(wire):
            match = _TALLY.fullmatch(entry) if isinstance(entry, str) else None
            if match is None or (match[2] not in _BANDS and (step != "exact" or not match[2].isdigit())):
                raise BadInput("This is not a list of codes with their numbers or bands.")
        return wire


class Organisers(Codes):
    """Who organises. Home value [{"name", "kind", "consented"}]; outside only those who consented, by name or, in the
    step `kinds`, by their types alone."""

    ladder = ("exact", "kinds")

    def check(self, value: Any, context: Context | None = None) -> Any:
        result: list[dict[str, Any]] = []
        for each in checked_list(value):
            if not isinstance(each, Mapping) or set(each) - {"name", "kind", "consented"}:
                raise BadInput("An organiser has a name, a kind, and whether it consented.")
            if not isinstance(each.get("consented", False), bool):
                raise BadInput("Whether an organiser consented is true or false.")
            name = checked_text(each.get("name"), 300, lines=False)
            if "|" in name:
                raise BadInput("A name cannot hold a vertical bar.")
            kind = known_code(each.get("kind"), self.codes, (context or standard_context()).codes)
            result.append({"name": name, "kind": kind, "consented": each.get("consented", False)})
        return result

    def generalise(self, value: Any, step: str, context: Context) -> Any:
        if value is None:
            return None
        if value and isinstance(value[0], Mapping):
            part = "kind" if step == "kinds" else "name"
            return sorted({each[part] for each in value if each["consented"]}) or None
        if step == "kinds":
            return [code for code in value if context.codes.known(self.codes, code)] or None
        return value

    def accept(self, wire: Any, step: str = "exact", context: Context | None = None) -> list[str]:
        for each in checked_list(wire):
            if step == "kinds":
                accepted_code(each)
            elif "|" in accepted_text(each, 300, lines=False):
                raise BadInput("A name cannot hold a vertical bar.")
        return wire


class Pseudonym(Line):
    """Which network a need is of. Home value its name; the step `pseudonym` of a row of our own holds PAIRWISE, which
    the gate replaces by a pseudonym for its viewer; a received row holds the pseudonym that was made for us."""

    ladder = ("exact", "pseudonym")

    def generalise(self, value: Any, step: str, context: Context) -> Any:
        return PAIRWISE if step == "pseudonym" and value is not None else value
