"""Writes: an input per type goes to the intake, and what comes back is the gate's view of the result.

A problem that the caller can mend is a user error in the payload; nothing here decides what may be written.
"""

# ruff: noqa: ARG001  (one signature for all resolvers)
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from federation.errors import BadInput, Conflict, FederationError, NotFound, Unavailable, Unconfirmed
from federation.records.base import RecordType
from federation.records.codes import CodeLists
from federation.records.special import Party
from federation.schema.classes import Argument, Catalog, Fetch, Slot
from federation.schema.names import camel, snake
from federation.schema.problems import code_of
from federation.schema.resolving import Asked, record_of
from federation.schema.surface import Surface, written

WRITE_SCOPE = "records:write"
MENDABLE = (BadInput, Conflict, NotFound)

VALUE_INPUTS: tuple[tuple[str, str, tuple[tuple[str, str, str], ...]], ...] = (
    (
        "PeriodInput",
        "Days from start to end.",
        (("start", "Date", "The first day."), ("end", "Optional[Date]", "The last day; the first unless told.")),
    ),
    (
        "AmountInput",
        "Money: a value, or a minimum and a maximum.",
        (
            ("value", "Optional[Decimal]", "Exactly this much."),
            ("minimum", "Optional[Decimal]", "At least this much."),
            ("maximum", "Optional[Decimal]", "At most this much."),
            ("currency", "str", "The currency (ISO 4217)."),
        ),
    ),
    (
        "ContactInput",
        "How somebody is reached. It never leaves; callers outside write through the node.",
        tuple((part, "Optional[str]", f"The {part}.") for part in ("person", "email", "phone", "address", "note")),
    ),
    (
        "PartyInput",
        "Somebody with a name that stays at home and a code that may leave.",
        (("name", "Optional[str]", "The name."), ("code", "Optional[str]", "The code of its type or style.")),
    ),
    (
        "OpeningsInput",
        "Whether there is room.",
        (
            ("state", "str", "The state, a code."),
            ("free", "Optional[int]", "How many places are free; stays at home."),
            ("total", "Optional[int]", "How many there are; stays at home."),
            ("waiting", "Optional[int]", "How many wait; stays at home."),
        ),
    ),
    ("TallyInput", "How many of one code.", (("code", "str", "The code."), ("number", "int", "How many."))),
    (
        "OrganiserInput",
        "One organiser. Only those who consented are ever named.",
        (
            ("name", "str", "The name."),
            ("kind", "str", "The code of its type."),
            ("consented", "Optional[bool]", "Whether it agreed to be named."),
        ),
    ),
    (
        "TranslationInput",
        "One text in another language.",
        (("language", "str", "A BCP 47 tag."), ("field", "str", "The text field."), ("text", "str", "The text.")),
    ),
    (
        "CapInput",
        "The finest step of one field that may leave with this record.",
        (("field", "str", "The field."), ("step", "Step", "A step; WITHHELD for nothing.")),
    ),
)


def add_inputs(catalog: Catalog, registry: Mapping[str, RecordType], codes: CodeLists) -> None:
    """Adds the inputs of values and of every type of record, with their payloads."""
    for name, meaning, parts in VALUE_INPUTS:
        catalog.add(name, meaning, [Slot(*part) for part in parts], kind="input")
    catalog.add(
        "UserError",
        "What the caller can mend.",
        [
            Slot("code", "str", "BAD_INPUT, UNCONFIRMED, CONFLICT or NOT_FOUND."),
            Slot("field", "Optional[str]", "The field that it is about."),
            Slot("message", "str", "One sentence."),
        ],
    )
    for kind in registry.values():
        _add_type(catalog, kind, codes)
    _add_by_id(catalog)


def _add_type(catalog: Catalog, kind: RecordType, codes: CodeLists) -> None:
    name = kind.graphql
    slots = [Slot(made.name, f"Optional[{made.input}]", made.spec.meaning) for made in written(kind, codes)]
    slots += [
        Slot("handling", "Optional[Handling]", "The TLP label of the record; TLP:CLEAR unless told."),
        Slot("caps", "Optional[list[CapInput]]", "What may leave at most, field by field."),
    ]
    catalog.add(name + "Input", f"A whole or partial {name} as its network writes it.", slots, kind="input")
    confirm = Slot("confirm", "Optional[bool]", "Whether warnings about the free text were read and are meant.")
    record = Slot("record", name + "Input", "What is written.")
    share = Slot("share", "Optional[bool]", "Whether to share it at once; it is a draft otherwise.")
    catalog.add(f"Create{name}Input", f"A new {name}.", [record, share, confirm], kind="input")
    changes = Slot("changes", name + "Input", "The fields that change; null takes a value away.")
    target = Slot("id", "ID", "The record.")
    catalog.add(f"Amend{name}Input", f"Changes of a {name}.", [target, changes, confirm], kind="input")
    catalog.add(name + "Payload", "What came of it.", payload_slots(name))


def _add_by_id(catalog: Catalog) -> None:
    target = Slot("id", "ID", "The record.")
    catalog.add("ShareRecordInput", "A record to be shared.", [target], kind="input")
    catalog.add("WithdrawRecordInput", "A record to be taken back.", [target], kind="input")
    catalog.add("RecordPayload", "What came of it.", payload_slots("Record"))


def payload_slots(node: str) -> list[Slot]:
    """The fields of a payload."""
    return [
        Slot("id", "Optional[ID]", "The id of the record that was written."),
        Slot("record", f"Optional[{node}]", "The record as the caller sees it."),
        Slot("userErrors", "list[UserError]", "What the caller can mend; empty where all went well."),
    ]


def mutation_slots(registry: Mapping[str, RecordType], codes: CodeLists, writes: Sequence[object]) -> list[Slot]:
    """The fields of Mutation."""
    slots = []
    for key, kind in registry.items():
        for verb, fetch in (("create", create_fetch(key, kind, codes)), ("amend", amend_fetch(kind, codes))):
            name = verb + kind.graphql
            said = "Writes a new record." if verb == "create" else "Changes a record of this node."
            argument = Argument("input", f"{verb.title()}{kind.graphql}Input", "What to write.")
            slots.append(Slot(name, kind.graphql + "Payload", said, fetch, [argument], writes))
    for verb, meaning in (("share", "Shares a draft."), ("withdraw", "Takes a record back, here and at every peer.")):
        argument = Argument("input", f"{verb.title()}RecordInput", "Which one.")
        slots.append(Slot(f"{verb}Record", "RecordPayload", meaning, by_id_fetch(verb), [argument], writes))
    return slots


def create_fetch(key: str, kind: RecordType, codes: CodeLists) -> Fetch:
    """Writes a new record of a type."""
    fields = {made.name: made for made in written(kind, codes)}

    def write(asked: Asked, given: Mapping[str, Any]) -> str:
        options = {"share": bool(given.get("share")), "confirm": bool(given.get("confirm"))}
        return asked.roots.intake.create(asked.viewer, key, document_of(fields, given["record"]), **options)

    return _fetch(write)


def amend_fetch(kind: RecordType, codes: CodeLists) -> Fetch:
    """Changes a record of a type."""
    fields = {made.name: made for made in written(kind, codes)}

    def write(asked: Asked, given: Mapping[str, Any]) -> str:
        changes = document_of(fields, given["changes"])
        asked.roots.intake.amend(asked.viewer, given["id"], changes, confirm=bool(given.get("confirm")))
        return given["id"]

    return _fetch(write)


def by_id_fetch(verb: str) -> Fetch:
    """Shares a record, or takes it back."""

    def write(asked: Asked, given: Mapping[str, Any]) -> str:
        getattr(asked.roots.intake, verb)(asked.viewer, given["id"])
        return given["id"]

    return _fetch(write)


def _fetch(write: Callable[[Asked, Mapping[str, Any]], str]) -> Fetch:
    def fetch(source: Any, info: Any, arguments: dict[str, Any]) -> Any:
        asked: Asked = info.context
        try:
            gid = write(asked, arguments["input"])
        except MENDABLE as error:
            return {"id": None, "record": None, "userErrors": [user_error(error)]}
        return {"id": gid, "record": _shown(asked, gid), "userErrors": []}

    return fetch


def _shown(asked: Asked, gid: str) -> Any:
    """The record as its writer sees it; None where it cannot be shown now. It is written either way, and an error in
    the place of its id would have it written again."""
    try:
        return record_of(asked, gid, every_status=asked.viewer.at_home)
    except Unavailable:
        return None


def user_error(error: FederationError) -> dict[str, Any]:
    """What the caller can mend."""
    code = "UNCONFIRMED" if isinstance(error, Unconfirmed) else code_of(error)
    return {"code": code, "field": None if error.field is None else camel(error.field), "message": error.message}


def document_of(fields: Mapping[str, Surface], given: Mapping[str, Any]) -> dict[str, Any]:
    """The home document of an input: names in snake_case, values as their kinds take them. None stays None."""
    document: dict[str, Any] = {}
    for name, value in given.items():
        made = fields.get(name)
        if name == "caps":
            steps = value or []
            document["caps"] = {
                snake(cap["field"]): None if cap["step"] == "WITHHELD" else cap["step"].lower() for cap in steps
            }
        else:
            document[snake(name)] = value if made is None or value is None else home_value(made, value)
    return document


def home_value(made: Surface, value: Any) -> Any:
    """An input value in the form in which its kind is written at home."""
    if made.input == "PartyInput" and isinstance(made.spec.kind, Party):
        parts = {"name": value.get("name"), made.spec.kind.key: _lower(value.get("code"))}
        return {name: part for name, part in parts.items() if part is not None}
    if made.input == "OpeningsInput":
        return {**value, "state": _lower(value["state"])}
    if made.input == "list[TallyInput]":
        return {_lower(each["code"]): each["number"] for each in value}
    if made.input == "list[OrganiserInput]":
        return [{**each, "kind": _lower(each["kind"])} for each in value]
    if made.input == "list[TranslationInput]":
        found: dict[str, dict[str, str]] = {}
        for each in value:
            found.setdefault(each["language"], {})[snake(each["field"])] = each["text"]
        return found
    return value


def _lower(code: Any) -> Any:
    return code.lower() if isinstance(code, str) else code
