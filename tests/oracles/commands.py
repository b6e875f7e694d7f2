"""Every command of the command line, run on a home full of canaries; and what each may print or write.

An operator at home sees all of the node's own values where a command is there to show them: `record show`, `export
json` and `export csv`. `export hsds` and `export icalendar` write what the viewer sees for whom they write. No other
command prints a value of a record, save the title that `record list` shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from federation.app import Node
from federation.cli.reading import TELLING
from federation.peers import agreements, trust
from federation.policies.policy import canonical
from federation.policies.tiers import Tier
from federation.records.registry import RECORD_TYPES
from oracles.decode import tokens
from oracles.desk import Desk, Ran
from oracles.driving import Drive
from oracles.files import count_in, in_file, named_at
from oracles.network import agree, scopes_of
from oracles.seeing import Rec, Sees, everyone
from oracles.stage import Stage
from oracles.worlds import POLICY

NOTHING: frozenset[str] = frozenset()
PACKAGE = Path(__file__).parents[1] / "data" / "hsds_small"
TIGHTER = '[resource]\ntitle = "partner"\n'
RESOURCE = {
    "title": "A bed for a week",
    "summary": "For one person.",
    "kind": "emergency_grant",
    "expectations": "We answer within two days.",
    "area": "KE",
}


@dataclass
class Run:
    """One run of commands: where what was printed goes, and where files may be written."""

    drive: Drive
    desk: Desk
    stage: Stage
    folder: Path

    def __call__(
        self,
        *arguments: object,
        may: frozenset[str] = NOTHING,
        must: frozenset[str] = NOTHING,
        says: str | Iterable[str] = (),
        codes: tuple[int, ...] = (0,),
        at: Path | None = None,
    ) -> Ran:
        """Runs a command that may print some tokens, must print some, and prints some words, so that it is no empty
        answer that was looked through."""
        ran = self.desk(*arguments, at=at)
        held = self.drive.look({ran.command}, ran.printed, may | must, "its operator")
        words = [says] if isinstance(says, str) else says
        lacking = [f"{ran.arguments} does not print {word!r}" for word in words if word not in f"{ran.out}{ran.err}"]
        lacking += [f"{ran.arguments} prints too little"] if must - held else []
        lacking += [f"{ran.arguments} ends with {ran.code}"] if ran.code not in codes else []
        assert not lacking, (lacking, ran.out[-500:], ran.err[-500:])
        return ran

    def file(self, ran: Ran, path: Path, must: frozenset[str]) -> None:
        """Looks through a file that a command wrote: it holds just these tokens."""
        held = self.drive.look({ran.command}, path.read_bytes(), must, "its operator, in a file")
        assert not must - held, f"{ran.arguments} writes too little"
        assert path.stat().st_mode & 0o077 == 0, f"others can read what {ran.arguments} wrote"

    def path(self, name: str) -> Path:
        return self.folder / name


def drive_reading(run: Run) -> None:
    """The commands that change nothing."""
    _of_the_node(run)
    _of_policies(run)
    _of_peers(run)
    _of_exports_for_others(run)
    _of_trust(run)
    _of_records(run)
    _of_exports(run)
    run("client", "list", says="client-mixed")
    run("client", "list", "--json", says="client-mixed")
    run("token", "list", says="calendar")
    run("audit", "list", says="operator")
    entries = run("audit", "list", "--json", "--limit", 10_000, says=["operator", "client-"]).json()
    crossed = next(each["seq"] for each in entries if each["viewer"].startswith("client-"))
    run("audit", "show", crossed, says="client-")
    run("audit", "show", crossed, "--json", says="steps")
    run("audit", "verify", says="whole")


def _of_the_node(run: Run) -> None:
    run("config", "show", "--origin", says=["place_k", run.stage.node.settings.url])
    run("config", "show", "--json", says="place_k")
    run("db", "check", says="as they should be")
    run("keys", "list", says=["tokens", "provenance", "peer"])
    run("keys", "list", "--json", says="thumbprint")
    run("schema", "print", says=["type Resource", "requiresScopes"])
    run("schema", "print", "--federated", "--no-directives", says="type Resource")
    run("doctor", says=["peer-unverified", "NOT_VERIFIED", "KEY_WARNING"], codes=(3,))
    run("doctor", "--json", says="NOT_VERIFIED", codes=(3,))


def _of_policies(run: Run) -> None:
    tighter, same = run.path("tighter.toml"), run.path("same.toml")
    tighter.write_text(TIGHTER)
    same.write_text(canonical(POLICY))
    run("policy", "show", says="[resource]")
    run("policy", "show", "--history")
    run("policy", "check", tighter, says="valid policy")
    run("policy", "diff", tighter, says=["title", "narrower"], codes=(3,))
    run("policy", "diff", same, says="changes nothing")
    for name in ("peer-narrowed", "peer-mixed", "anonymous", "member"):
        ran = run("policy", "preview", "--as", name, "--json", says="withheld")
        if name.startswith("peer"):
            run.drive.say([ran.command], _wrong_steps(run.stage, name, ran.json()))
    run("policy", "preview", "--as", "peer-partner", "--file", tighter, says="title")
    run("policy", "explain", "resource.amount", "--as", "peer-narrowed", says="band")
    run("policy", "explain", "resource.contact", "--as", "anonymous", "--json", says="reasons")


def _wrong_steps(stage: Stage, name: str, rows: list[dict[str, str]]) -> Iterator[str]:
    """Where a preview tells another step than the one in which the viewer sees a plain record."""
    plain = {rec.type: rec for rec in stage.records if rec.variant == "clear"}
    for row in rows:
        rec, field = plain[row["type"]], row["field"]
        seen = stage.askers[name].sees.steps(rec).get(field, "withheld")
        if rec.document.get(field) is not None and row["step"] != seen:
            yield f"{rec.type}.{field} for {name}"


def _of_peers(run: Run) -> None:
    run("peer", "list", says=["peer-narrowed", "peer-frozen"])
    run("peer", "list", "--json", says="peer-narrowed")
    run("peer", "show", "peer-narrowed", says="resource.amount")
    run("peer", "words", "peer-narrowed")
    run("peer", "holdings", "peer-narrowed")
    ran = run("peer", "holdings", "peer-narrowed", "--json", says="steps")
    sent = {rec.gid for rec, _ in run.stage.expected("peer-narrowed").seen.values() if rec.own and rec.type != "need"}
    told = {row["id"] for row in ran.json() if row["type"] != "need"}
    run.drive.say([ran.command], [f"{len(sent ^ told)} records of {len(sent)}"] if sent - told else [])


def _of_trust(run: Run) -> None:
    run("trust", "show", says=["key", "Superiors"])
    run("trust", "show", "peer-partner", "--json", says="unvouched")
    run("trust", "show", "peer-frozen", says="frozen")
    run("trust", "list", says="nobody")
    run("trust", "anchor", "list", says="No anchors")
    run("trust", "hints", "list", says="No superiors")
    run("trust", "mark", "list", says="No marks")


def _of_records(run: Run) -> None:
    networks = frozenset().union(*(_titles(rec, "name") for rec in run.stage.records if rec.type == "network"))
    for key, kind in RECORD_TYPES.items():
        name = next(each for each in TELLING if each in kind.fields)
        listed = [rec for rec in run.stage.records if rec.type == key]
        titles = frozenset().union(networks, *(_titles(rec, name) for rec in listed)) & run.drive.universe
        plain = frozenset().union(*(_titles(rec, name) for rec in listed if rec.variant in ("clear", "red", "draft")))
        run("record", "list", key, "--first", 100, may=titles, must=plain & run.drive.universe)
        run("record", "list", kind.graphql, "--json", "--first", 100, may=titles, must=plain & run.drive.universe)
    for rec in run.stage.records:
        if rec.type in ("resource", "need") and rec.variant in ("clear", "red", "draft", "coarse", "relayed", "kept"):
            whole = tokens(orjson.dumps(rec.document).decode()) & run.drive.universe
            codes = (0,) if rec.own else (1,)
            run("record", "show", rec.gid, must=whole if rec.own else NOTHING, codes=codes)


def _titles(rec: Rec, name: str) -> frozenset[str]:
    """The tokens of the field that tells best what a record is, as it is listed at home."""
    value = Sees("operator", home=True, every_status=True).projection(rec).get(name)
    return tokens(str(value["text"] if isinstance(value, dict) and "text" in value else value))


def _of_exports(run: Run) -> None:
    every = run.path("all.json")
    run.file(run("export", "json", every, says="lines"), every, _told(run, RECORD_TYPES))
    for key in ("resource", "need"):
        table, lines = run.path(f"{key}.csv"), run.path(f"{key}.json")
        run.file(run("export", "csv", table, "--type", key, says="lines"), table, _told(run, [key]))
        run.file(run("export", "json", lines, "--type", key), lines, _told(run, [key]))
    run("export", "csv", run.path("need.csv"), codes=(1,), says="exists")


FOR = ("public", "member", "peer-narrowed", "client-crossed", "peer-frozen")
"""For whom files are written: everybody has rights of another kind."""


def _of_exports_for_others(run: Run) -> None:
    node = run.stage.node
    for who in FOR:
        for form, counts in (("hsds", "services"), ("icalendar", "events")):
            file = run.path(f"{who}.{form}")
            told = in_file(form, run.stage.expected(who).sees, run.stage.records)
            ran = run("export", form, file, "--as", named_at(node, who), "--json", says=counts)
            run.file(ran, file, frozenset().union(*told) & run.drive.universe)
            content = file.read_bytes()
            amounts = {len(told), ran.json()[counts], count_in(form, content)}
            run.drive.say([ran.command], [f"{amounts} {counts} for {who}"] if len(amounts) > 1 else [])
            assert bool(told) != (who == "peer-frozen"), who
    run("export", "hsds", run.path("no.json"), "--as", "no one", codes=(1,), says="no peer or client")


def _told(run: Run, types: Iterable[str]) -> frozenset[str]:
    """The tokens of the documents of own records, sealed fields too, but for the withdrawn ones."""
    records = [rec for rec in run.stage.records if rec.own and rec.type in types and rec.status != "withdrawn"]
    return tokens(orjson.dumps([rec.document for rec in records]).decode()) & run.drive.universe


def drive_writing(run: Run, other: Node) -> None:
    """The commands that change something; `other` is a node that can be reached."""
    _writes_records(run)
    _writes_access(run)
    _writes_people(run)
    _writes_peers(run, other)
    _writes_keys(run)
    tighter = run.path("tighter.toml")
    tighter.write_text(TIGHTER)
    run("policy", "apply", tighter, "--yes", says="in force")
    run("policy", "show", "--history")
    run("policy", "rollback", "--yes", "--json", says="version")


def _writes_records(run: Run) -> None:
    file = run.path("records.json")
    file.write_bytes(orjson.dumps([{"type": "resource", "document": RESOURCE}] * 2))
    run("record", "add", file, "--dry-run", says="would be added")
    bad = run.path("bad.json")
    bad.write_bytes(orjson.dumps({"type": "resource", "document": RESOURCE | {"kind": "x"}}))
    run("record", "add", bad, says="Record 1", codes=(3,))
    first, second = run("record", "add", file, "--share", "--json", says="ids").json()["ids"]
    run("record", "share", second, says="shared")
    red = next(rec.gid for rec in run.stage.records if rec.type == "notice" and rec.variant == "red")
    run("record", "withdraw", first, "--yes", says="withdrawn")
    run("record", "withdraw", red, "--yes", "--json", says="withdrawn")
    table = run.path("more.csv")
    table.write_text("title,summary,kind,expectations\nA van,For two.,emergency_grant,None.\n,,,\n")
    run("import", "csv", table, "--type", "resource", says="new", codes=(0, 3))
    run("import", "hsds", PACKAGE, says="Cut out of free text", codes=(0, 3))


def _writes_access(run: Run) -> None:
    key = run.path("key.json")
    run("client", "add", "later", "--scopes", "resource:open", "--key-file", key, says="client_id")
    made = run("client", "add", "again", "--scopes", "resource:open", "--json", says="private_jwk").json()
    run("client", "revoke", made["client_id"], "--yes", says="revoked")
    back = "https://dashboard.example/back"
    run("client", "add", "a page", "--scopes", "resource:open", "--redirect-uri", back, "--public", says="client_id")
    run("client", "invite", "a watcher", "--scopes", "resource:open", "--json", says="initial_access_token")
    run("client", "list", "--json", says=back)
    given = run("grant", "list", "--json", says="asked").json()
    run("grant", "revoke", given[0]["grant_id"], "--dry-run", says="dead")
    run("grant", "revoke", given[0]["grant_id"], says="dead")
    issued = run("token", "issue", "a person", "--scopes", "resource:open", "--json", says="token").json()
    run("token", "revoke", issued["token_id"], says="revoked")


def _writes_keys(run: Run) -> None:
    run("keys", "rotate", "tokens", "--dry-run", says="tokens")
    for name in ("tokens", "provenance"):
        run("keys", "rotate", name, "--yes", says="now")
    run("keys", "rotate", "peer", "--yes", "--json", says="not_known_to")
    run("keys", "rotate", "nobody", "--yes", codes=(1,), says="BAD_INPUT")


def _writes_people(run: Run) -> None:
    run("user", "add", "amina", "--name", "Amina", "--kind", "steward", "--dry-run", says="a steward")
    run("user", "add", "amina", "--name", "Amina", "--kind", "steward", says="/console/setup#")
    run("user", "add", "ben", "--name", "B", "--kind", "member", "--scopes", "records:write", "--json", says="link")
    run("user", "list", says=["amina", "records:write"])
    run("user", "list", "--json", says="recovery_codes")
    run("user", "sessions", "amina", says="not logged in")
    run("user", "sessions", "amina", "--end", "--yes", says="ended: 0")
    run("user", "reset", "amina", "--yes", "--json", says="/console/setup#")
    run("user", "disable", "ben", "--yes", says="closed")


def _writes_peers(run: Run, other: Node) -> None:
    invited = run("peer", "invite", "--json", says="invitation").json()["invitation"]
    run("peer", "accept", invited, codes=(1,), says="own")
    invitation = trust.invite(other.database, other.world, other.me)
    run("peer", "accept", invitation, "--name", "near", says="near is pinned")
    words = run("peer", "words", "near", "--json", says="words").json()["words"]
    run("peer", "verify", "near", "--words", words, says="verified")
    run("peer", "verify", "near", "--words", " ".join(reversed(words.split())), codes=(1,), says="BAD_INPUT")
    who = agreements.partners(other.database)[0].name
    agree(other, who, [*scopes_of(everyone(Tier.PARTNER)), "exchange"])
    run(
        "peer",
        "grant",
        "near",
        "--scopes",
        "resource:open",
        "--purpose",
        "coordination",
        "--until",
        "2199-01-01",
        "--yes",
        says="near has",
    )
    run("peer", "set", "near", "--affiliation", "none", "--jurisdiction", "KE", says="none")
    _writes_trust(run, other)
    run("sync", "near", says="near")
    run("sync", "peer-frozen", codes=(1,))
    run("peer", "show", "near", "--json", says="last_success")
    run("peer", "rename", "near", "nearer", says="nearer")
    run("peer", "freeze", "nearer", says="frozen")
    run("peer", "unfreeze", "nearer", says="no longer")
    run("peer", "rekey", "nearer", "--dry-run", says="invitation")
    run("peer", "rekey", "nearer", "--yes", says="federation-invite-")
    run("peer", "words", "nearer", codes=(1,), says="CONFLICT")
    run("peer", "revoke", "nearer", "--yes", says="revoked")


def _writes_trust(run: Run, other: Node) -> None:
    """Who vouches for whom; something of each is left, so that its table is looked through."""
    mark = "https://near.example/marks/one"
    print_ = other.keys.peer.thumbprint
    run("trust", "vouch", "near", "--max-path-length", 1, "--json", says="expires")
    run("trust", "vouch", "peer-frozen", codes=(1,), says="CONFLICT")
    run("trust", "hints", "add", "near", says="superior")
    run("trust", "hints", "remove", "near", says="any more")
    run("trust", "hints", "add", "near", "--json", says="near")
    run("trust", "anchor", "add", other.settings.url, "--thumbprint", print_, says="anchor")
    run("trust", "anchor", "remove", other.settings.url, says="any more")
    run("trust", "anchor", "add", other.settings.url, "--thumbprint", print_, "--json", says=print_)
    run("trust", "mark", "issue", "near", mark, says=mark)
    run("trust", "mark", "revoke", "near", mark, says="renewed")
    run("trust", "mark", "issue", "near", mark, "--days", 3, "--json", says=mark)
    run("trust", "mark", "allow", mark, "--issuer", other.settings.url, says="known")
    run("trust", "refresh", "near", says="vouched")
    run("trust", "refresh", "peer-partner", codes=(1,), says="problem")
    run("trust", "show", "near", says="is an anchor here")
    run("trust", "show", says="does not vouch")
    run("trust", "hints", "list", says="does not vouch")
    run("trust", "list", "--json", says="near")
    run("trust", "anchor", "list", says=print_)
    run("trust", "mark", "list", says=mark)
    run("trust", "unvouch", "near", says="no more")
    run("trust", "vouch", "near", says="until")


def drive_homes(run: Run, target: str) -> None:
    """The commands that make a home or move a database."""
    run("init", "--name", "New", "--url", "https://new.example", "--scope", "local", at=run.path("new"), says="home")
    run("db", "upgrade", says="up to date")
    run("db", "move", target, "--yes", says="rows")
