"""Every exit of a node full of canaries is driven as everybody who could ask. Nobody gets a token that its projection
withholds; and everybody gets all that it shows, so that the oracle cannot be blind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import orjson
import pytest

from federation.policies.decide import effective
from federation.policies.viewer import Agreement, Viewer, ViewerKind
from federation.records.registry import RECORD_TYPES
from federation.schema.endpoint import GraphQLEndpoint
from oracles.checks import Expected, column_tokens, complete, objects, wrong, wrong_put
from oracles.decode import cell_tokens, sqlite_cells, tokens, tokens_in
from oracles.network import changes, reconcile, scopes_of, standing
from oracles.questions import SECRET_INPUT, Question, Questions
from oracles.routes import ANONYMOUS_ROUTES
from oracles.seeing import Rec, Sees
from oracles.stage import Asker, Stage
from oracles.worlds import POLICY

CLIENTS = (
    "nobody", "public", "bearer", "client-open", "client-community", "client-partner", "client-mixed",
    "client-crossed", "client-writer", "member", "steward",
)  # fmt: skip
PEERS = (
    "peer-partner", "peer-state", "peer-unknown", "peer-narrowed", "peer-mixed", "peer-unverified", "peer-pinned",
    "peer-frozen", "peer-revoked", "peer-ended",
)  # fmt: skip
WRITERS = ("client-writer", "steward")
THOROUGH = ("client-mixed", "peer-narrowed")
"""Who also puts filters, orders and words, each its half; the others select, page and ask by id."""
SHUT_OUT = ("nobody", "client-writer", "peer-pinned", "peer-frozen", "peer-revoked", "peer-ended")
"""Who sees nothing at all."""


@pytest.fixture(scope="session")
def questions(stage: Stage) -> Questions:
    made: GraphQLEndpoint = stage.askers["member"].caller.endpoint  # type: ignore[attr-defined]
    return Questions(made._core, stage.records)


@pytest.fixture(scope="session")
def universe(stage: Stage) -> frozenset[str]:
    """Every token that exists on the stage."""
    return stage.expected("nobody").universe


def asked_of(questions: Questions, name: str) -> Iterator[Question]:
    """The questions that an asker puts: those who see nothing put every fourth."""
    told = ("select", "edges", "page", "none", "all")
    for number, question in enumerate(questions.everything()):
        shows = question.name.startswith(told) or (question.root == "node" and question.name.startswith("resource "))
        probes = name in THOROUGH and number % len(THOROUGH) == THOROUGH.index(name)
        if probes or (shows and (name not in SHUT_OUT or number % 4 == 0)):
            yield question


def test_every_asker_is_driven(stage: Stage) -> None:
    assert set(stage.askers) == {*CLIENTS, *PEERS}


@pytest.mark.parametrize("name", [*CLIENTS, *PEERS])
def test_graphql_shows_exactly_what_the_viewer_may_see(stage: Stage, questions: Questions, name: str) -> None:
    asker = stage.askers[name]
    expected = stage.expected(name)
    problems: Counter[str] = Counter()
    shown: set[str] = set()
    found: set[str] = set()
    with stage.without_waiting():
        for question in asked_of(questions, name):
            said = asker.caller.post("/graphql", question.body)
            held = tokens_in(said.told) & expected.universe
            problems.update(f"{question.root} {question.name}: {each}" for each in held - expected.allowed)
            if said.status == 200:
                for each in objects(said.json().get("data")):
                    problems.update(f"{question.root}: {text}" for text in wrong(expected, each))
                    shown.add(each["validUntil"])
                if question.name.startswith("select"):
                    found |= held
    assert not problems, problems.most_common(20)
    assert not complete(expected, shown, RECORD_TYPES)
    assert not expected.allowed - found, "the oracle does not see what is shown"
    assert bool(expected.allowed) == (name not in SHUT_OUT)


@pytest.mark.parametrize("name", ["client-mixed", "peer-state"])
def test_a_list_that_is_walked_in_small_pages_is_the_list(stage: Stage, name: str) -> None:
    asker = stage.askers[name]
    expected = stage.expected(name)
    wanted = {until for until, (rec, _) in expected.seen.items() if rec.type == "resource"}
    for order in ("", ", orderBy: {field: TITLE, direction: DESC}"):
        after, walked = "", []
        with stage.without_waiting():
            for _ in range(30):
                inner = "{ nodes { validUntil } pageInfo { hasNextPage endCursor } }"
                query = f"{{ resources(first: 2{order}{after}) {inner} }}"
                page = asker.caller.post("/graphql", orjson.dumps({"query": query})).json()["data"]["resources"]
                walked += [each["validUntil"] for each in page["nodes"]]
                after = f', after: "{page["pageInfo"]["endCursor"]}"'
                if not page["pageInfo"]["hasNextPage"]:
                    break
        assert sorted(walked) == sorted(wanted)


def test_a_search_finds_what_stands_in_visible_text_and_nothing_else(stage: Stage) -> None:
    query = (
        "query($t: String!, $y: [RecordType!])"
        " { search(text: $t, types: $y) { totalCount nodes { ... on Record { id } } } }"
    )
    for name in ("public", "client-community", "client-partner", "peer-narrowed", "steward"):
        asker = stage.askers[name]
        expected = stage.expected(name)
        with stage.without_waiting():
            for rec in stage.records:
                if rec.type not in ("resource", "network", "practice") or rec.variant not in (
                    "clear",
                    "red",
                    "coarse",
                    "narrow",
                ):
                    continue
                for field_name, word in words_of(rec):
                    visible = expected.seen.get(rec.document["valid_until"], (rec, {}))[1]
                    body = orjson.dumps({"query": query, "variables": {"t": word, "y": [rec.kind.table.upper()]}})
                    answer = asker.caller.post("/graphql", body).json()["data"]["search"]
                    should = field_name in visible and rec.kind.fields[field_name].searched
                    assert answer["totalCount"] == len(answer["nodes"]) == int(should), (name, rec.variant, field_name)


def words_of(rec: Rec) -> Iterator[tuple[str, str]]:
    """(field, word) of the texts of a record, sealed ones too."""
    for name, spec in rec.kind.fields.items():
        value = rec.document.get(name)
        if spec.kind.name == "text":
            yield name, next(iter(tokens(value)))


@pytest.mark.parametrize("name", [*(each for each in (*CLIENTS, *PEERS) if each not in WRITERS)])
def test_a_mutation_tells_an_outsider_nothing(
    stage: Stage, questions: Questions, universe: frozenset[str], name: str
) -> None:
    for several in questions.mutations().values():
        for question in (several[0], several[-1]):
            said = stage.askers[name].caller.post("/graphql", question.body)
            assert not tokens_in(said.told) & universe, question.name
            assert b'"data":{' not in said.body, question.name


@pytest.mark.parametrize("name", WRITERS)
def test_a_mutation_shows_a_writer_no_more_than_it_may_see(stage: Stage, questions: Questions, name: str) -> None:
    asker = stage.askers[name]
    expected = stage.expected(name)
    for root, several in questions.mutations().items():
        if root in ("shareRecord", "withdrawRecord"):
            several = [each for each in several if each.name.endswith("relayed")]
        for question in several:
            said = asker.caller.post("/graphql", question.body)
            assert not (tokens_in(said.told) & expected.universe) - expected.allowed, question.name
            assert SECRET_INPUT not in said.body.decode(), (root, question.name)


# The exchange


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_is_sent_exactly_its_slice(stage: Stage, name: str) -> None:
    asker = stage.askers[name]
    expected = stage.expected(name)
    answers = reconcile(asker.caller, name)
    problems: Counter[str] = Counter()
    sent: list[str] = []
    for said in answers:
        problems.update(f"token {each}" for each in (tokens_in(said.told) & expected.universe) - expected.wired)
        for item in said.lines() if said.status == 200 else ():
            if item["k"] == "put":
                problems.update(wrong_put(expected, item))
                sent.append(item["v"]["valid_until"]["exact"])
    assert not problems, problems.most_common(20)
    assert not complete(expected, sent, RECORD_TYPES)
    assert len(sent) == len(set(sent))
    assert bool(sent) == (name not in SHUT_OUT)
    if answers[-1].status == 200:
        at = standing(answers)
        for said in changes(asker.caller, at):
            assert [line["k"] for line in said.lines()] == ["end"]


@pytest.mark.parametrize("name", [*CLIENTS[:-2]])
def test_the_exchange_is_closed_to_whoever_is_no_peer(stage: Stage, universe: frozenset[str], name: str) -> None:
    for path in ("/exchange/changes", "/exchange/reconcile"):
        said = stage.askers[name].caller.post(path, b'{"run": "00000000000000000000000000000000"}')
        assert said.status in (400, 401, 403)
        assert not tokens_in(said.told) & universe


# Everything else that answers


@pytest.mark.parametrize("route", sorted(ANONYMOUS_ROUTES))
def test_other_routes_hold_no_token(stage: Stage, universe: frozenset[str], route: str) -> None:
    for said in ANONYMOUS_ROUTES[route](stage):
        assert not tokens_in(said.told) & universe, said.url
        assert SECRET_INPUT.encode() not in said.body.lower(), said.url


def test_what_anybody_was_ever_told_over_the_network_holds_no_sealed_value(stage: Stage) -> None:
    everything = Expected(stage.records, Sees("nobody"))
    sealed = everything.universe - Expected(stage.records, Sees("home", home=True)).wired
    sealed -= Expected(stage.records, Sees("partner", dict.fromkeys(RECORD_TYPES, 2))).wired  # type: ignore[arg-type]
    outside = [said for said in stage.network.said if said.status == 200]
    assert len(outside) > 20
    for said in outside[-400:]:
        assert not tokens_in(said.told) & sealed


# What is kept


def test_a_home_keeps_each_value_in_its_own_columns_alone(stage: Stage, universe: frozenset[str]) -> None:
    places = column_tokens(stage.records)
    tables = {kind.table: key for key, kind in RECORD_TYPES.items()}
    own_everything = frozenset().union(*(rec.everything() for rec in stage.records if rec.own))
    kept: set[str] = set()
    for (table, column), held in cell_tokens(sqlite_cells(stage.node.settings.home / "node.db")).items():
        held &= universe
        name, _, step = column.partition("__")
        place = (table.removesuffix("_fts"), f"{name}__{step.partition('__')[0]}")
        if table in tables and column == "home":
            allowed = own_everything
        elif "_fts_" in table:  # the index as bytes: words of any text that is searched
            allowed = frozenset().union(*(each for (of, _), each in places.items() if of == table.partition("_fts")[0]))
        else:
            allowed = places.get(place, frozenset())
        assert not held - allowed, (table, column)
        kept |= held
    written = [orjson.dumps(rec.document).decode() for rec in stage.records if rec.own and rec.status != "withdrawn"]
    assert frozenset().union(*map(tokens, written)) & universe <= kept, "the search of the database is blind"


def test_no_other_file_of_a_home_holds_a_value(stage: Stage, universe: frozenset[str]) -> None:
    files = [path for path in stage.node.settings.home.rglob("*") if path.is_file() and "node.db" not in path.name]
    assert len(files) >= 5
    for path in files:
        assert not tokens_in(path.read_bytes()) & universe, path.name


def test_the_ledger_enters_records_and_no_values(stage: Stage, universe: frozenset[str]) -> None:
    asker = stage.askers["client-partner"]
    before = stage.node.ledger.newest(1)
    said = asker.caller.post("/graphql", b'{"query": "{ resources { nodes { id title amount { minimum } } } }"}')
    entry = stage.node.ledger.newest(1)[0]
    assert not before or entry.seq > before[0].seq
    assert said.json()["data"]["resources"]["nodes"]
    assert entry.viewer.startswith("client-")
    texts = [orjson.dumps(list(map(str, each))) for each in stage.quick.entries]
    texts += [repr(each).encode() for each in stage.node.ledger.newest(1000)]
    assert not tokens_in(b"\n".join(texts)) & universe


def test_logs_hold_no_value_whatever_breaks(
    stage: Stage, questions: Questions, universe: frozenset[str], log_lines: list[str]
) -> None:
    for name in ("client-community", "steward", "peer-partner"):
        caller = stage.askers[name].caller
        for question in questions.by_root()["search"][-8:] + questions.by_root()["node"][:8]:
            caller.post("/graphql", question.body)
        for several in questions.mutations().values():
            caller.post("/graphql", several[-1].body)
        if name.startswith("peer"):
            reconcile(caller, "logs")
            caller.post("/exchange/changes", orjson.dumps({"cursor": SECRET_INPUT}))
    break_everything(stage)
    assert log_lines, "nothing was logged: the oracle is blind"
    text = "\n".join(log_lines)
    assert not tokens_in(text) & universe
    assert SECRET_INPUT not in text


def break_everything(stage: Stage) -> None:
    """Lets the gate break in the midst of an answer, with a record's values in the text of the exception."""
    gate = stage.node.gate
    secret = next(rec for rec in stage.records if rec.variant == "red").document["internal_notes"]

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(secret)

    kept, gate._run = gate._run, broken  # type: ignore[method-assign,assignment]
    try:
        said = stage.askers["client-partner"].caller.post("/graphql", b'{"query": "{ resources { nodes { id } } }"}')
    finally:
        gate._run = kept  # type: ignore[method-assign]
    assert not tokens_in(said.told) & tokens(secret)


# The oracle itself


def test_the_oracle_agrees_with_the_policies_on_every_field_of_every_record(stage: Stage) -> None:
    for name, asker in stage.askers.items():
        viewer = viewer_of(asker)
        if viewer is None:
            continue
        for rec in plain(stage.records):
            steps = asker.sees.steps(rec)
            for field_name in rec.kind.fields:
                held = {} if rec.own else {n: next(iter(v)) for n, v in rec.values.items()}
                told = effective(POLICY, viewer, rec.type, field_name, rec.handling, rec.caps, rec.terms, held)
                known = None if told is None or rec.value(field_name, told) is None else told
                assert steps.get(field_name) == known, (name, rec.type, rec.variant, field_name)


def plain(records: Iterable[Rec]) -> list[Rec]:
    """Records for which the policies alone decide: shared, and not spent."""
    return [rec for rec in records if rec.status == "shared" and (rec.own or rec.terms) and rec.variant != "spent"]


def viewer_of(asker: Asker) -> Viewer | None:
    """The viewer that the node should make of an asker."""
    sees = asker.sees
    if sees.home or not sees.tiers:
        return None
    scopes = scopes_of(sees.tiers)
    if not sees.peer:
        return Viewer(ViewerKind.CLIENT, sees.name, scopes)
    agreement = Agreement(scopes, narrowing=sees.narrowed)
    return Viewer(ViewerKind.PEER, sees.name, scopes, agreement, sees.affiliation, "KE")
