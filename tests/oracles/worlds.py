"""Worlds for the oracles: homes of nodes, and their records, own ones in every variant and received ones under all
terms."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from federation.app import Node, open_node
from federation.keys import NodeKeys, create_keys, generate_keys
from federation.peers import provenance as pv
from federation.peers.provenance_packed import store
from federation.policies.policy import default_policy
from federation.policies.terms import Terms, labels
from federation.policies.tiers import HANDLING_LABELS, Tier
from federation.records.base import RecordType
from federation.records.registry import RECORD_TYPES, catalogue
from federation.records.rows import step_values
from federation.settings import FILE_NAME, load_settings
from federation.storage.ids import global_id
from federation.storage.items import Put
from federation.world import World
from oracles.minting import CONTEXT, Mint, document_of
from oracles.seeing import Rec

POLICY = default_policy(catalogue())
TODAY = datetime(2027, 1, 15, 12, tzinfo=UTC)
AFFILIATION_OF_A_STATE = "foreign_state"


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.at = TODAY

    def __call__(self) -> datetime:
        return self.at

    def forward(self, **span: float) -> None:
        self.at += timedelta(**span)


WIDE = {f"{kind}_per_minute": 1_000_000 for kind in ("anonymous", "client", "peer", "failures")} | {
    "guesses_per_hour": 1_000_000,
    "logins_per_hour": 100_000,
}
"""Limits that no test reaches, whose clock stands still."""


def make_home(folder: Path, name: str, clock: Clock, template: Path, **settings: Any) -> Path:
    """A node home with keys and an empty, migrated database, as `init` makes it; with `database_url` without a file."""
    home = folder / name
    values = {"name": name, "url": f"https://{name}.example", "scope": "local", **WIDE, **settings}
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
