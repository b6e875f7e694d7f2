"""Two worlds in which places with few networks are told coarser: records that are hidden from a viewer move no place
that it sees, also where they lie in the very same one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

from federation.peers import agreements
from federation.policies.tiers import Tier
from federation.records.registry import RECORD_TYPES
from oracles.minting import Mint
from oracles.network import Light, Network, agree, changes, reconcile, standing
from oracles.seeing import Rec, Sees, everyone
from oracles.stage import joined
from oracles.twins import Twin, differences, enter, id_of, plain_documents
from oracles.worlds import RECEIVED, TODAY, Clock, Foreign, make_home, open_home, received, take_in, write_own

PLACE = "KE-30"
TYPES = ("network", "resource", "capacityOffer", "fundingCall", "need", "practice")
VIEWERS = {
    "public": Sees("public", everyone(Tier.OPEN)),
    "peer-open": Sees("peer-open", everyone(Tier.OPEN), "none", peer=True),
    "peer-community": Sees("peer-community", everyone(Tier.COMMUNITY), "none", peer=True),
    "peer-partner": Sees("peer-partner", everyone(Tier.PARTNER), "foreign_state", peer=True),
}
LOOK = (
    "{ resources { nodes { id area { code } } totalCount } networks { nodes { id regions } }"
    " capacityOffers { nodes { id area { code } venue { code } } } practices { nodes { id setting { code } } } }"
)


@pytest.fixture
def world(tmp_path: Path, sqlite_template: Path) -> Iterator[Callable[[Sees], Twin]]:
    """Makes worlds that hold own records in one place, with a peer that sends others and one who looks."""
    made: list[Twin] = []

    def make(sees: Sees) -> Twin:
        clock, network = Clock(), Network()
        home = make_home(tmp_path / str(len(made)), "river", clock, sqlite_template, place_k=2)
        twin = Twin(network, clock, joined(open_home(home, clock), network), [])
        made.append(twin)
        for key in TYPES:
            document = placed(key, "clear")
            write_own(twin.node, Mint("own"), clock, key, "clear", id=id_of(key), document=document)
            write_own(twin.node, Mint("red"), clock, key, "strict", id=id_of("strict", key), document=document)
        delta = twin.lights["delta"] = Light("delta", network, clock)
        delta.join(twin.node)
        agree(twin.node, "delta", ["resource:open"])
        clock.at = TODAY
        twin.node.sweep()
        enter(twin, sees)
        return twin

    yield make
    for twin in made:
        twin.close()


def placed(key: str, variant: str) -> dict[str, object]:
    """A document all of whose places are the same one."""
    document = {**DOCUMENTS[key, variant]}
    for name, spec in RECORD_TYPES[key].fields.items():
        if type(spec.kind).__name__ in ("Place", "Places"):
            document[name] = PLACE if type(spec.kind).__name__ == "Place" else [PLACE]
    return document


DOCUMENTS = plain_documents()


def arrive(twin: Twin, wanted: Callable[[Rec], bool]) -> int:
    """Takes in those records of all kinds, in the place, that are wanted; gives how many."""
    sender = Foreign("delta", twin.lights["delta"].keys)
    kinds = [(key, each) for key in TYPES for each in RECEIVED if RECORD_TYPES[key].relayable or each == "relayed"]
    puts = []
    for number, (key, variant) in enumerate(kinds):
        rec, put = received(Mint("r"), twin.clock, sender, key, variant, number, placed(key, "relayed"))
        if wanted(rec):
            puts.append(put)
    take_in(twin.node, sender, agreements.partner(twin.node.database, "delta").pid, puts)
    return len(puts)


def look(twin: Twin, sees: Sees, between: Callable[[], object]) -> None:
    """What the viewer sees of the place before and after something, once it was swept."""
    caller = twin.caller
    assert caller is not None
    body = orjson.dumps({"query": LOOK})
    caller.post("/graphql", body)
    at = standing(reconcile(caller)) if sees.peer else None
    between()
    twin.node.sweep()
    caller.post("/graphql", body)
    if at is not None:
        changes(caller, at)
        reconcile(caller, "again")


@pytest.mark.parametrize("name", VIEWERS)
def test_hidden_records_move_no_place_that_is_seen(world: Callable[[Sees], Twin], name: str) -> None:
    sees = VIEWERS[name]
    one, other = world(sees), world(sees)
    look(one, sees, lambda: None)
    hidden: list[int] = []
    look(other, sees, lambda: hidden.append(arrive(other, lambda rec: not sees.steps(rec))))
    assert hidden[0] > 6
    assert differences(one, other, []) == []


@pytest.mark.parametrize("name", VIEWERS)
def test_a_record_that_everybody_sees_does_move_it(world: Callable[[Sees], Twin], name: str) -> None:
    """So that the places were small, and it is the hiding that leaves them alone."""
    sees = VIEWERS[name]
    twin = world(sees)
    look(twin, sees, lambda: arrive(twin, lambda rec: rec.type == "capacityOffer" and rec.variant == "relayed"))
    before, after = (said.json()["data"] for said in twin.heard if said.asked == orjson.dumps({"query": LOOK}))
    (own,) = before["resources"]["nodes"]
    assert own["id"] in [each["id"] for each in after["resources"]["nodes"]]
    assert own not in after["resources"]["nodes"]
