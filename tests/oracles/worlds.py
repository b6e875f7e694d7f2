"""Worlds for the oracles: nodes whose records hold a token of their own in every step of every field, wherever the
kind of the field lets one be told from another.

What a viewer may see of them is computed here from the tiers of the record types, one field at a time, without any of
the code that decides it in the node.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import select

from federation.app import Node, open_node
from federation.keys import NodeKeys, create_keys, generate_keys
from federation.peers import provenance as pv
from federation.peers.provenance_packed import store
from federation.policies.policy import default_policy
from federation.policies.terms import Terms, labels
from federation.policies.tiers import HANDLING_LABELS, Tier
from federation.records.base import FieldSpec, RecordType
from federation.records.codes import load
from federation.records.kinds import Context
from federation.records.registry import RECORD_TYPES, catalogue
from federation.records.rows import step_values
from federation.settings import FILE_NAME, load_settings
from federation.storage.ids import global_id
from federation.storage.items import Put
from federation.storage.tables import record_table
from federation.world import World
from oracles.decode import tokens

CODES = load()
CONTEXT = Context(CODES)
POLICY = default_policy(catalogue())
TODAY = datetime(2027, 1, 15, 12, tzinfo=UTC)
AFFILIATION_OF_A_STATE = "foreign_state"
NOT_CAPS = ("created_at", "updated_at")


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.at = TODAY

    def __call__(self) -> datetime:
        return self.at

    def forward(self, **span: float) -> None:
        self.at += timedelta(**span)


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


UNLISTED = {("network", "name")}
"""The texts of whose translations the list of languages says nothing: fewer may see them than the others."""


@dataclass
class Rec:
    """One record of a world: what it holds and everything that has a say in who sees it. `terms` None: an own record;
    `held`: the finest steps that a received one came with; `links`: how many nodes its path counts."""

    type: str
    variant: str
    document: Mapping[str, Any]
    gid: str = ""
    id: bytes = b""
    status: str = "shared"
    handling: Tier = Tier.OPEN
    caps: Mapping[str, str | None] = field(default_factory=dict)
    terms: Terms | None = None
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    links: int = 0
    origin: str = ""
    sender: str = ""
    known: frozenset[str] | None = None

    @property
    def kind(self) -> RecordType:
        return RECORD_TYPES[self.type]

    @property
    def own(self) -> bool:
        return self.sender == ""

    def value(self, name: str, step: str) -> Any:
        """The value of a field at a step, as it goes over the wire; None where there is none."""
        if not self.own:
            return self.values.get(name, {}).get(step)
        return _step_value(self.kind.fields[name], self.document, step)

    def everything(self) -> frozenset[str]:
        """Every token of the record in every step, sealed ones too."""
        if self.known is None:
            self.known = self._everything()
        return self.known

    def _everything(self) -> frozenset[str]:
        texts = [orjson.dumps(self.document).decode(), orjson.dumps(self.values).decode()]
        for name, spec in self.kind.fields.items():
            texts += [orjson.dumps(self.value(name, step)).decode() for step in spec.step_names]
        return frozenset().union(*map(tokens, texts))


def _step_value(spec: FieldSpec, document: Mapping[str, Any], step: str) -> Any:
    value = document.get(spec.name)
    if value is None:
        return None
    if spec.kind.name == "text":
        told = {lang: texts[spec.name] for lang, texts in document["translations"].items() if spec.name in texts}
        return {"text": value, "tr": told} if told else value
    return spec.kind.generalise(value, step, CONTEXT)


# What a viewer may see


@dataclass(frozen=True)
class Sees:
    """A viewer as the oracle knows it: the tier that it was granted for each type, and nothing that the node computes.
    `narrowed`: (type, field) to the finest step that its agreement leaves it."""

    name: str
    tiers: Mapping[str, Tier] = field(default_factory=dict)
    affiliation: str | None = None
    narrowed: Mapping[tuple[str, str], str | None] = field(default_factory=dict)
    home: bool = False
    every_status: bool = False
    peer: bool = False
    thumbprint: str = ""

    def steps(self, rec: Rec) -> dict[str, str]:
        """The step in which each field of a record is seen; empty where the record is not known of."""
        if not self._knows(rec):
            return {}
        seen = {}
        for name, spec in rec.kind.fields.items():
            step = self._step(rec, spec)
            if step is not None and rec.value(name, step) is not None:
                seen[name] = step
        if not self._sees_listed_texts(rec):
            seen.pop("translations", None)
        return seen if any(not rec.kind.fields[name].common for name in seen) or self.home else {}

    def projection(self, rec: Rec) -> dict[str, Any]:
        """The values that are seen, by field."""
        return {name: rec.value(name, step) for name, step in self.steps(rec).items()}

    def wire(self, rec: Rec) -> dict[str, dict[str, Any]]:
        """The values that a peer may receive: the step that it sees and every coarser one."""
        told = {}
        for name, finest in self.steps(rec).items():
            spec = rec.kind.fields[name]
            names = [step.name for step in spec.open_steps]
            known = {step: rec.value(name, step) for step in names[names.index(finest) :]}
            told[name] = {step: value for step, value in known.items() if value is not None}
        return told

    def _knows(self, rec: Rec) -> bool:
        tier = self.tiers.get(rec.type)
        if self.home:
            return rec.status == "shared" or self.every_status
        if tier is None or rec.status != "shared":
            return False
        if rec.own:
            return rec.handling <= tier
        terms = rec.terms
        if terms is None or not terms.relay or rec.handling > min(tier, Tier.COMMUNITY):
            return False
        if self.peer and (rec.links >= terms.hops or self.thumbprint == rec.origin):
            return False
        return not terms.not_to_affiliation or (
            self.affiliation is not None and self.affiliation not in terms.not_to_affiliation
        )

    def _step(self, rec: Rec, spec: FieldSpec) -> str | None:
        for at, step in enumerate(spec.steps):
            if step.tier is Tier.SEALED or not _reaches(spec, at, self.narrowed.get((rec.type, spec.name), "exact")):
                continue
            if not rec.own and step.name not in rec.values.get(spec.name, {}):
                continue
            if self.home:  # the columns hold what the caps leave: the whole document is `record show`'s
                if self._within_caps(rec, spec, at):
                    return step.name
                continue
            if step.tier <= self.tiers[rec.type] and self._may_leave(rec, spec, at):
                return step.name
        return None

    def _sees_listed_texts(self, rec: Rec) -> bool:
        """Whether every text is seen of which the list of translations tells, as far as rights and terms say; what a
        record of our own keeps back is not in its list."""
        return self.home or all(
            spec.steps[0].tier <= self.tiers[rec.type]
            and self.narrowed.get((rec.type, spec.name), "exact") is not None
            and (rec.terms is None or self._may_leave(rec, spec, 0))
            for spec in texts_of(rec.kind)
            if (rec.type, spec.name) not in UNLISTED
        )

    @staticmethod
    def _within_caps(rec: Rec, spec: FieldSpec, at: int) -> bool:
        caps = rec.caps if rec.terms is None else rec.terms.caps
        return spec.name not in caps or _reaches(spec, at, caps[spec.name])

    def _may_leave(self, rec: Rec, spec: FieldSpec, at: int) -> bool:
        if not self._within_caps(rec, spec, at):
            return False
        if rec.terms is None:
            return True
        told = dict(rec.terms.labels.get(spec.name, ()))
        label = told.get(spec.steps[at].name, Tier.NETWORK)
        return label <= min(self.tiers[rec.type], Tier.COMMUNITY)


def _reaches(spec: FieldSpec, at: int, finest: str | None) -> bool:
    """Whether a step is the finest that is allowed, or coarser."""
    return finest is not None and at >= spec.step_names.index(finest)


def everyone(tier: Tier) -> dict[str, Tier]:
    """The same tier for every type."""
    return dict.fromkeys(RECORD_TYPES, tier)


# Nodes


def make_home(folder: Path, name: str, clock: Clock, template: Path, **settings: Any) -> Path:
    """A node home with keys and an empty, migrated database, as `init` makes it; with `database_url` without a file."""
    home = folder / name
    values = {"name": name, "url": f"https://{name}.example", "scope": "local", **settings}
    home.mkdir(mode=0o700, parents=True)
    lines = "".join(f"{key} = {orjson.dumps(value).decode()}\n" for key, value in values.items())
    (home / FILE_NAME).write_text(lines)
    (home / FILE_NAME).chmod(0o600)
    create_keys(home, world_of(name, clock), values["url"])
    if "database_url" not in settings:
        shutil.copyfile(template, home / "node.db")
        (home / "node.db").chmod(0o600)
    return home


def world_of(name: str, clock: Clock) -> World:
    """The time and chance of one node."""
    return World(clock, name.encode().ljust(32, b"."))


def open_home(home: Path, clock: Clock) -> Node:
    """The node of a home."""
    settings, _ = load_settings(home, environment={})
    return open_node(settings, world_of(home.name, clock))


@dataclass
class Foreign:
    """An origin elsewhere, as far as its records need it: a name and keys."""

    name: str
    keys: NodeKeys

    @classmethod
    def named(cls, name: str, clock: Clock) -> Foreign:
        return cls(name, generate_keys(world_of(name, clock), name))

    @property
    def origin(self) -> str:
        return self.keys.origin


VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "clear": {},
    "green": {"handling": Tier.COMMUNITY},
    "amber": {"handling": Tier.PARTNER},
    "strict": {"handling": Tier.NETWORK},
    "red": {"handling": Tier.SEALED},
    "draft": {"status": "draft"},
    "withdrawn": {"status": "withdrawn"},
    "expired": {"status": "expired"},
    "coarse": {"caps": "coarsest"},
    "closed": {"caps": "nothing"},
}
"""Own records: every label, every status, and two ways in which caps keep values back."""


def caps_of(record_type: RecordType, how: str) -> dict[str, str | None]:
    """`coarsest`: every field with several steps only in its coarsest, and one other not at all; `nothing`: no field
    of the type's own at all."""
    own = {name: spec for name, spec in record_type.fields.items() if not spec.common and spec.open_steps}
    if how == "nothing":
        return dict.fromkeys(own)
    caps: dict[str, str | None] = {name: spec.step_names[-1] for name, spec in own.items() if len(spec.steps) > 1}
    plain = [name for name, spec in own.items() if len(spec.steps) == 1 and not spec.required]
    return caps | ({plain[0]: None} if plain else {}) | {"verified_on": "month"}


def write_own(
    node: Node,
    mint: Mint,
    clock: Clock,
    type_key: str,
    variant: str,
    *,
    id: bytes | None = None,
    document: Mapping[str, Any] | None = None,
) -> Rec:
    """Creates one own record through the intake, by default with a document of its own."""
    record_type, how = RECORD_TYPES[type_key], VARIANTS[variant]
    status = how.get("status", "shared")
    document = document or document_of(mint, record_type, past=status == "expired")
    handling = how.get("handling", Tier.OPEN)
    caps = caps_of(record_type, how["caps"]) if "caps" in how else {}
    rec = Rec(type_key, variant, record_type.normalise(document, CONTEXT), status=status, handling=handling, caps=caps)
    given = {**document, "handling": HANDLING_LABELS[handling]} | ({"caps": caps} if caps else {})
    share = status != "draft"
    rec.gid = node.intake.create(node.operator, type_key, given, id=id, share=share, confirm=True)
    rec.origin = node.keys.origin
    if status == "withdrawn":
        node.intake.withdraw(node.operator, rec.gid)
    clock.forward(milliseconds=1)
    return rec


RECEIVED: Mapping[str, Mapping[str, Any]] = {
    "relayed": {},
    "relayed_green": {"handling": Tier.COMMUNITY},
    "relayed_amber": {"handling": Tier.PARTNER},
    "kept": {"relay": False},
    "not_to_states": {"not_to": frozenset({AFFILIATION_OF_A_STATE})},
    "spent": {"hops": 1},
    "capped": {"caps": "coarsest"},
    "narrow": {"labels": "narrower"},
}
"""Received records: what their origins' terms say of going on."""


def terms_of(type_key: str, variant: str) -> Terms:
    """The terms of a received variant."""
    record_type, how = RECORD_TYPES[type_key], RECEIVED[variant]
    told = labels(POLICY, type_key)
    if how.get("labels") == "narrower":
        told = {
            name: tuple(
                (step, tier if record_type.fields[name].common else Tier(min(tier + 1, 4))) for step, tier in each
            )
            for name, each in told.items()
        }
    caps = caps_of(record_type, how["caps"]) if "caps" in how else {}
    relay = how.get("relay", True) and record_type.relayable
    return Terms(relay, how.get("hops", 2), caps, how.get("not_to", frozenset()), told)


def received(
    mint: Mint,
    clock: Clock,
    who: Foreign,
    type_key: str,
    variant: str,
    number: int,
    document: Mapping[str, Any] | None = None,
) -> tuple[Rec, Put]:
    """A record of another origin as it is sent to a named peer, with its signature."""
    record_type, how = RECORD_TYPES[type_key], RECEIVED[variant]
    document = record_type.normalise(document or document_of(mint, record_type), CONTEXT)
    handling = how.get("handling", Tier.OPEN)
    values = step_values(record_type, {**document, "translations": document["translations"]}, None, CONTEXT)
    sent = {
        name: {s: v for s, v in each.items() if record_type.fields[name].tier(s) <= Tier.PARTNER}
        for name, each in values.items()
    }
    sent = {name: each for name, each in sent.items() if each}
    id = hashlib.sha256(f"{who.name} {type_key} {variant} {number}".encode()).digest()[:16]
    relayable = record_type.relayable
    if type_key == "need":
        sent["network"] = {"pseudonym": f"pseudonym-{variant}"}
    terms = terms_of(type_key, variant) if relayable else None
    origin = "" if type_key == "need" else who.origin
    rec = Rec(
        type_key, variant, document, global_id(type_key, origin, id), id, "shared", handling, {},
        terms, sent, 1, origin, who.name,
    )  # fmt: skip
    signature = None
    if terms is not None and terms.relay and handling <= Tier.COMMUNITY:
        form = pv.signed_terms(terms)
        version = pv.Version(origin, type_key, id, (1, 1, 1), int(handling), form)
        now = int(clock.at.timestamp())
        signed = pv.issue(
            version, pv.signed_values(sent, form), who.keys.provenance.signature, who.keys.secret, pv.expiry(now)
        )
        signature = store(signed)
    path = (origin,) if relayable else ()
    return rec, Put(type_key, id, origin, (1, 1, 1), int(handling), terms, path, sent, signature)


def take_in(node: Node, who: Foreign, pid: int, puts: Sequence[Put]) -> None:
    """Stores received records at a node, as a pull does."""
    with node.database.write() as connection:
        node.intake.accept_origin(connection, who.origin, who.name, who.keys.provenance.public_jwk)
        accepted = node.intake.accept(connection, pid, puts)
    assert not accepted.quarantined, accepted


def own_rows(node: Node) -> Iterator[tuple[str, Any]]:
    """(type key, row) of everything that a node stores, for looking at."""
    with node.database.read() as connection:
        for key in RECORD_TYPES:
            for row in connection.execute(select(record_table(key))):
                yield key, row
