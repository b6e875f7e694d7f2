"""Twin worlds: two that differ in everything that is hidden from one viewer, and in nothing else."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from federation.app import Node
from federation.peers import agreements
from federation.policies.tiers import Tier
from federation.records.base import FieldSpec
from federation.records.registry import RECORD_TYPES
from oracles.decode import postgresql_cells, sqlite_cells
from oracles.minting import CODES, CONTEXT, SUBDIVISIONS, Mint, document_of, texts_of, value_of
from oracles.network import Caller, Light, Network, Open, Said, agree, client_of, scopes_of
from oracles.questions import Question
from oracles.seeing import Rec, Sees, everyone
from oracles.stage import joined, with_public_scopes
from oracles.worlds import TODAY, VARIANTS, Clock, Foreign, caps_of, open_home, received, take_in, write_own

OWN = ("clear", "green", "amber", "strict", "draft", "coarse")
OTHERS = ("relayed", "kept")


@dataclass
class Twin:
    """One of two worlds: a node, the one who asks it, and the record that both will change before its eyes."""

    network: Network
    clock: Clock
    node: Node
    records: list[Rec]
    caller: Caller | None = None
    lights: dict[str, Light] = field(default_factory=dict)
    files: list[tuple[str, bytes]] = field(default_factory=list)
    begun: int = 0
    types: tuple[str, ...] = tuple(RECORD_TYPES)

    @property
    def heard(self) -> list[Said]:
        """Everything that was answered to the one who asks."""
        return self.network.said[self.begun :]

    def close(self) -> None:
        self.node.close()
        self.network.close()

    def cells(self) -> Iterable[tuple[str, str, Any]]:
        """Everything that the database holds."""
        url = self.node.settings.database_url
        return sqlite_cells(self.node.settings.home / "node.db") if url is None else postgresql_cells(url)


def id_of(*parts: object) -> bytes:
    """The id of a record, alike in both worlds."""
    return hashlib.sha256(repr(parts).encode()).digest()[:16]


def plain_documents() -> dict[tuple[str, str], dict[str, Any]]:
    """The documents of the first world, by type and variant."""
    mint = Mint()
    return {
        (key, variant): document_of(mint, kind) for key, kind in RECORD_TYPES.items() for variant in (*OWN, *OTHERS)
    }


def varied(mint: Mint, rec: Rec, sees: Sees) -> dict[str, Any]:
    """Another document that looks alike to a viewer: every step that it does not see differs or is gone."""
    seen = sees.steps(rec)
    document: dict[str, Any] = {"originals": {"kind": f"original {mint.word()}"}}
    translations: dict[str, dict[str, str]] = {"sw": {}, "ti": {}}
    for name, spec in rec.kind.fields.items():
        value = rec.document.get(name)
        if name == "translations" or value is None:
            continue
        made = _varied(mint, spec, value, seen.get(name))
        if made is None:
            continue
        document[name] = made
        if spec not in texts_of(rec.kind):
            continue
        if seen.get(name) == "exact":
            translations["sw"][name] = rec.document["translations"]["sw"][name]
        else:  # also a language in which there is nothing else
            translations["sw"][name] = f"Maandishi {mint.word()}"
            translations["ti"][name] = f"ጽሑፍ {mint.word()}"
    return document | {"translations": translations}


def _varied(mint: Mint, spec: FieldSpec, value: Any, step: str | None) -> Any:
    if step == "exact":
        return value
    if step is None:
        fresh = value_of(mint, spec)
        if spec.name == "valid_until":
            return mint.day(2198)
        if spec.required or spec.name == "expectations":
            return fresh
        return mint.pick(f"kept {spec.name}", (fresh, fresh, None))
    made = _finer(mint, spec, value, step)
    kind = spec.kind
    assert kind.generalise(made, step, CONTEXT) == kind.generalise(value, step, CONTEXT), (spec.name, step)
    return made


def _finer(mint: Mint, spec: FieldSpec, value: Any, step: str) -> Any:
    """Another exact value with the same value at a coarser step."""
    name = type(spec.kind).__name__
    fresh = value_of(mint, spec)
    if name == "Period":
        year, month = int(value["start"][:4]), int(value["start"][5:7])
        if step == "year":
            return {"start": f"{year}-03-{mint.pick('day', range(10, 28))}", "end": f"{year}-09-20"}
        if step == "quarter":
            first, day = (month - 1) // 3 * 3 + 1, mint.pick("day", range(2, 28))
            return {"start": f"{year}-{first:02d}-{day:02d}", "end": f"{year}-{first + 2:02d}-{day:02d}"}
        return {"start": f"{year}-{month:02d}-0{mint.pick('digit', range(1, 9))}", "end": f"{year}-{month:02d}-25"}
    if name == "Contact":
        return fresh | {"relay": value["relay"]}
    if name in ("Place", "Places"):
        codes = value if isinstance(value, list) else [value]
        moved = [_neighbour(spec, code, step) for code in codes]
        return moved if isinstance(value, list) else moved[0]
    if name == "Openings":
        return {**value, "free": fresh["free"], "waiting": 7}
    if name == "Party":
        return {**value, "name": fresh["name"]}
    if name == "Tally":
        return dict(zip(value, fresh.values(), strict=True))
    if name == "Organisers":
        return [{**each, "name": other["name"]} for each, other in zip(value, fresh, strict=True)]
    return fresh


def _neighbour(spec: FieldSpec, code: str, step: str) -> str:
    """Another area that is the same at a coarser step."""
    listed = type(spec.kind).__name__ == "Places"

    def told(one: str) -> Any:
        return spec.kind.generalise([one] if listed else one, step, CONTEXT)

    others = [one for one in (*SUBDIVISIONS, *_siblings(code)) if one != code and told(one) == told(code)]
    return others[0] if others else code


def _siblings(code: str) -> Sequence[str]:
    area = CODES.area(code)
    return [
        each
        for each in CODES.codes("area")
        if area is not None and each.startswith(code[:2]) and getattr(CODES.area(each), "parent", None) == area.parent
    ]


def build(home: Path, sees: Sees | None, types: tuple[str, ...] = tuple(RECORD_TYPES)) -> Twin:
    """A world in a fresh home: the first one without `sees`, and its twin for that viewer with it. What they share is
    written at the same moments, and received in the same order."""
    clock, network = Clock(), Network()
    node = joined(open_home(home, clock), network)
    twin = Twin(network, clock, node, [], types=types)
    who = Light("delta", network, clock)
    who.join(node)
    agree(node, "delta", ["resource:open"])
    twin.lights["delta"] = who
    documents, mint = plain_documents(), Mint("other")
    sender = Foreign("delta", who.keys)
    pid = agreements.partner(node.database, "delta").pid
    puts = []
    for key in types:
        kind = RECORD_TYPES[key]
        if sees is not None:
            add_hidden(twin, mint, key, documents)
        for variant in OWN if sees is None else (*OWN[-2::-1], OWN[-1]):  # nobody sees in which order they came
            document = documents[key, variant]
            own = Rec(key, variant, kind.normalise(document, CONTEXT), **_own_facts(key, variant))
            if sees is not None:
                if not sees.steps(own) and mint.pick("gone", (True, False)):
                    continue
                document = varied(mint, own, sees)
            clock.at = TODAY
            twin.records.append(write_own(node, mint, clock, key, variant, id=id_of(key, variant), document=document))
        for variant in OTHERS if kind.relayable else ():
            rec, put = received(mint, clock, sender, key, variant, 0, documents[key, variant])
            if sees is not None:
                if not sees.steps(rec) and mint.pick("gone", (True, False)):
                    continue
                document = varied(mint, rec, not_narrowed(sees))
                rec, put = received(mint, clock, sender, key, variant, 0, document)
            twin.records.append(rec)
            puts.append(put)
    take_in(node, sender, pid, puts)
    clock.at = TODAY
    return twin


def not_narrowed(sees: Sees) -> Sees:
    """The viewer as an origin's signature knows it: by tier alone. A hub that withholds single fields of what it passes
    on cannot sign anew, so that their digests stay and tell that something has changed, as the README says."""
    return replace(sees, narrowed={})


def _own_facts(key: str, variant: str) -> Mapping[str, Any]:

    how = VARIANTS[variant]
    return {
        "status": how.get("status", "shared"),
        "handling": how.get("handling", Tier.OPEN),
        "caps": caps_of(RECORD_TYPES[key], how["caps"]) if "caps" in how else {},
    }


def add_hidden(twin: Twin, mint: Mint, key: str, documents: Mapping[tuple[str, str], dict[str, Any]]) -> None:
    """Records that nobody outside may know of, with the very words of one that many may see."""
    for number, variant in enumerate(("red", "draft", "strict", "withdrawn")):
        document = {**documents[key, "clear"], "internal_notes": f"Other {mint.word()}"}
        write_own(twin.node, mint, twin.clock, key, variant, id=id_of("hidden", key, number), document=document)
    twin.clock.at = TODAY


def copy_home(home: Path, to: Path) -> Path:
    """A home that nobody has open, once more."""
    shutil.copytree(home, to)
    return to


def enter(twin: Twin, sees: Sees) -> None:
    """The one who asks comes to a world: from here on everything that it hears is kept."""
    node, network = twin.node, twin.network
    if sees.peer:
        light = Light(sees.name, network, twin.clock)
        light.join(node)
        agree(
            node, sees.name, [*scopes_of(sees.tiers), "exchange"], affiliation=sees.affiliation, narrowing=sees.narrowed
        )
        twin.caller = light.caller(node, scopes_of(sees.tiers))
    elif sees.name == "public":
        network.apps["https://river-open.example"] = with_public_scopes(node, scopes_of(everyone(Tier.OPEN)))
        twin.caller = Open(network, "https://river-open.example")
    else:
        twin.caller = client_of(network, node, sees.name, scopes_of(sees.tiers))
    twin.begun = len(network.said)


def write_hidden(twin: Twin, sees: Sees) -> None:
    """Writes that the viewer must not notice: new records, changes of what it does not see, another peer's coming and
    pulling, a record that is shared with nobody and taken back."""
    node, mint, operator = twin.node, Mint("later"), twin.node.operator
    before = twin.clock.at
    for rec in [each for each in twin.records if each.own and each.variant in ("clear", "amber")]:
        changed = varied(mint, rec, sees)
        fields = {
            name: value
            for name, value in changed.items()
            if name == "translations" or (name != "originals" and sees.steps(rec).get(name) != "exact")
        }
        node.intake.amend(operator, rec.gid, fields, confirm=True)
    for key in twin.types:
        document = document_of(mint, RECORD_TYPES[key])
        made = write_own(node, mint, twin.clock, key, "draft", id=id_of("late", key), document=document)
        node.intake.amend(operator, made.gid, {"handling": "TLP:RED"}, confirm=True)
        node.intake.share(operator, made.gid)
        node.intake.withdraw(operator, made.gid)
    begun = len(twin.network.said)
    other = Light("zeta", twin.network, twin.clock)
    other.join(node)
    agree(node, "zeta", [*scopes_of(everyone(Tier.PARTNER)), "exchange"])
    from oracles.network import reconcile

    reconcile(other.caller(node, scopes_of(everyone(Tier.PARTNER))))
    del twin.network.said[begun:]
    node.sweep()
    twin.clock.at = before


def write_visible(twin: Twin) -> None:
    """Writes that everybody sees who sees the record: alike in both worlds."""
    node, operator = twin.node, twin.node.operator
    twin.clock.at = TODAY.replace(hour=18)
    for rec in twin.records:
        if rec.own and rec.variant == "clear":
            node.intake.amend(operator, rec.gid, {"valid_until": "2199-01-02", "language": "en"}, confirm=True)
    mint = Mint("new")
    for key in twin.types:
        write_own(
            node, mint, twin.clock, key, "clear", id=id_of("new", key), document=document_of(mint, RECORD_TYPES[key])
        )
    node.intake.withdraw(operator, next(rec.gid for rec in twin.records if rec.own and rec.variant == "coarse"))
    twin.clock.at = TODAY.replace(hour=20)


def differences(one: Twin, other: Twin, questions: Sequence[Question]) -> list[str]:
    """The answers that differ, each with the place where it does."""
    bodies = {question.body: question for question in questions}
    found = [
        f"export {form} {at}: {_where(mine, others)}"
        for at, ((form, mine), (_, others)) in enumerate(zip(one.files, other.files, strict=True))
        if mine != others
    ]
    for said, twin_said in zip(one.heard, other.heard, strict=True):
        asked = bodies.get(said.asked)
        where = f"{said.method} {said.url} {asked.root + ' ' + asked.name if asked else said.asked[:80]!r}"
        if said.whole != twin_said.whole:
            found.append(f"{where}: {first_difference(said, twin_said)}")
    return found


def first_difference(one: Said, other: Said) -> str:
    """Where two answers begin to differ, in a few words."""
    if (one.status, one.headers) != (other.status, other.headers) and one.unpacked == other.unpacked:
        return f"{one.status} {one.headers} / {other.status} {other.headers}"
    return _where(one.unpacked, other.unpacked)


def _where(left: bytes, right: bytes) -> str:
    at = next((n for n, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
    return f"at {at}: …{left[max(0, at - 60) : at + 60]!r} / …{right[max(0, at - 60) : at + 60]!r}"
