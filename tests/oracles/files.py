"""Files that are written for others: what a viewer's must hold, computed from what it may see, and the writing of them
for everybody who could be named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import orjson

from federation.app import Node
from federation.cli import exporting
from federation.cli.viewers import viewer_named
from federation.oauth.clients import list_clients
from oracles.decode import tokens
from oracles.seeing import Rec, Sees

FORMS: Mapping[str, Callable[[], exporting.Form]] = {"hsds": exporting.hsds, "icalendar": exporting.icalendar}

SERVICE_FIELDS = (
    "title", "summary", "kind", "dimensions", "eligibility", "welcomes", "reach", "response_hours", "round_the_clock",
    "application_channels", "accepts_unregistered", "languages", "provider", "area", "amount", "availability",
    "horizon", "renewable", "front_door", "topic", "level", "mode", "costs_covered", "access", "dates", "places",
    "venue", "verified_on", "valid_until", "language", "expectations",
)  # fmt: skip
"""The fields of an offer that stand in a service; nothing of its others may."""

EVENTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "convening": ("date", ("title",)),
    "capacityOffer": ("dates", ("title", "topic")),
    "fieldVisit": ("dates", ("purpose",)),
    "fundingCall": ("deadline", ("title",)),
    "notice": ("deadline", ("text", "kind")),
    "need": ("window", ("kind", "topic")),
}
"""Of each type in a calendar the field that says when, and those of which the first that is seen names it."""


def in_file(form: str, sees: Sees, records: Iterable[Rec]) -> list[frozenset[str]]:
    """The tokens of each record that stands in a viewer's file, of every one that has to."""
    told = _in_a_service if form == "hsds" else _in_an_event
    found = (told(rec.type, sees.projection(rec)) for rec in records if sees.steps(rec))
    return [_tokens(values) for values in found if values is not None]


def _in_a_service(key: str, values: Mapping[str, Any]) -> list[Any] | None:
    if key not in ("resource", "capacityOffer"):
        return None
    return [_plain(values[name]) for name in SERVICE_FIELDS if name in values]


def _in_an_event(key: str, values: Mapping[str, Any]) -> list[Any] | None:
    when, names = EVENTS.get(key, ("", ()))
    if values.get(when) is None:
        return None
    named = next((values[name] for name in names if name in values), None)
    verified = values.get("verified_on", {}).get("start")
    return [values[when], _plain(named), values.get("series") if key == "convening" else None, verified]


def _plain(value: Any) -> Any:
    """A text without its translations, which stand in no file."""
    return value["text"] if isinstance(value, dict) and "text" in value else value


def _tokens(values: list[Any]) -> frozenset[str]:
    return tokens(orjson.dumps(values).decode())


def count_in(form: str, content: bytes) -> int:
    """How many records a file holds."""
    return len(orjson.loads(content)) if form == "hsds" else content.count(b"BEGIN:VEVENT\r\n")


def named_at(node: Node, who: str) -> str:
    """The name by which a command knows somebody: of a client its id."""
    return next((each.client_id for each in list_clients(node.database) if each.name == who), who)


def written_for(node: Node, who: str) -> Iterator[tuple[str, bytes]]:
    """Every file that can be written for somebody, by its format."""
    viewer = viewer_named(node, named_at(node, who))
    for form, made in FORMS.items():
        yield form, b"".join(made().pieces(exporting.seen_by(node, viewer, made()), node.codes))
