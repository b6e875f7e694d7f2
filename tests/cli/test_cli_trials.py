"""`--dry-run`: what a command would do, with the same refusals and counts, and nothing of it done."""

from __future__ import annotations

from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import sqlcipher3

from cli.conftest import RESOURCE, Cli, Ran
from cli.test_cli_usage import command, leaves

SMALL = Path(__file__).parents[1] / "data" / "hsds_small"
UNTIL = str(date.today() + timedelta(days=100))

READS = {
    *("doctor", "peer words", "peer list", "peer show", "peer holdings", "record list", "record show", "client list"),
    *("policy show", "policy check", "policy diff", "policy preview", "policy explain", "token list", "db check"),
    *(
        "schema print",
        "config show",
        "audit list",
        "audit show",
        "audit verify",
        "grant list",
        "keys list",
        "user list",
    ),
    *("trust list", "trust show", "trust anchor list", "trust hints list", "trust mark list"),
}
NO_TRIAL = {
    "demo": "runs until it is stopped",
    "serve": "runs until it is stopped",
    "worker": "runs until it is stopped",
    "peer accept": "the other side uses the invitation up",
    "sync": "takes what the other side sends",
    "trust refresh": "takes what the other side sends",
    "export json": "writes one new file and nothing of the node",
    "export csv": "writes one new file and nothing of the node",
    "export hsds": "writes one new file and nothing of the node",
    "export icalendar": "writes one new file and nothing of the node",
    "db move": "writes another, empty database and nothing of the node",
}


def test_every_command_that_writes_can_be_tried() -> None:
    for words in leaves(command()):
        name = " ".join(words)
        options = {option for parameter in command(*words).params for option in parameter.opts}
        assert ("--dry-run" in options) is (name not in READS | set(NO_TRIAL)), name


def everything(home: Path) -> dict[str, Any]:
    """All that a home holds: its files, and every row of its database."""
    files = {
        str(path.relative_to(home)): path.read_bytes()
        for path in home.rglob("*")
        if path.is_file() and not path.name.startswith("node.db")
    }
    with closing(sqlcipher3.connect(str(home / "node.db"))) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return files | {name: connection.execute(f'SELECT * FROM "{name}"').fetchall() for name in tables}


@pytest.fixture
def river(cli: Cli, pair: Path, record_file: Path, tmp_path: Path) -> Path:
    """A home with a verified peer, a draft, a client, a token and two policies."""
    home, file = pair / "river", tmp_path / "narrow.toml"
    words = cli("peer", "words", "West", "--json", home=home).json["words"]
    assert cli("peer", "verify", "West", "--words", words, home=home).code == 0
    assert cli("record", "add", record_file, home=home).code == 0
    file.write_text('[resource]\neligibility = "partner"\n')
    assert cli("policy", "apply", file, home=home).code == 0
    for more in (("client", "add", "one"), ("token", "issue", "two")):
        assert cli(*more, "--scopes", "resource:open", home=home).code == 0
    return home


def tried_and_done(cli: Cli, home: Path, *words: object) -> tuple[Ran, Ran]:
    """A command that is tried, which leaves everything as it is, and then done."""
    before = everything(home)
    tried = cli(*words, "--dry-run", "--json", home=home)
    told = cli(*words, "--dry-run", home=home)
    assert everything(home) == before, words
    assert told.code == tried.code
    assert tried.code == 1 or "Nothing was written" in told.out or "would be" in told.out, told
    done = cli(*words, "--yes", "--json", home=home) if asks(words) else cli(*words, "--json", home=home)
    assert done.code == tried.code, (tried, done)
    return tried, done


def asks(words: tuple[object, ...]) -> bool:
    return words[1] in ("withdraw", "rollback") or words[:2] in (
        ("client", "revoke"),
        ("peer", "revoke"),
        ("peer", "grant"),
    )


def test_what_is_tried_says_what_is_done_then(cli: Cli, river: Path, tmp_path: Path) -> None:
    wide = tmp_path / "wide.toml"
    wide.write_text('[resource]\neligibility = "community"\n')
    (draft,) = [row["id"] for row in cli("record", "list", "--json", home=river).json]
    client = cli("client", "list", "--json", home=river).json[0]["client_id"]
    token = cli("token", "list", "--json", home=river).json[0]["token_id"]
    granted = ("--scopes", "resource:community", "--purpose", "coordination", "--until", UNTIL)
    for words in (
        ("peer", "grant", "West", *granted),
        ("peer", "set", "West", "--affiliation", "none", "--jurisdiction", "KE"),
        ("trust", "hints", "add", "West"),
        ("trust", "hints", "remove", "West"),
        ("trust", "anchor", "add", "https://aurora.example", "--thumbprint", "A" * 43),
        ("trust", "anchor", "remove", "https://aurora.example"),
        ("trust", "mark", "issue", "West", "https://m.example", "--days", "3"),
        ("trust", "mark", "allow", "https://m.example"),
        ("trust", "mark", "revoke", "West", "https://m.example"),
        ("peer", "freeze", "West"),
        ("peer", "unfreeze", "West"),
        ("peer", "rename", "West", "west"),
        ("peer", "revoke", "west"),
        ("policy", "rollback"),
        ("record", "share", draft),
        ("record", "withdraw", draft),
        ("client", "revoke", client),
        ("token", "revoke", token),
        ("db", "upgrade"),
    ):
        tried, done = tried_and_done(cli, river, *words)
        assert tried.json == {**done.json, "dry_run": True} | ({"backup": None} if words[0] == "db" else {}), words


def test_what_is_refused_is_refused_when_it_is_tried(cli: Cli, river: Path) -> None:
    for words in (
        ("peer", "grant", "West", "--scopes", "resource:sealed", "--purpose", "coordination", "--until", UNTIL),
        ("peer", "grant", "West", "--scopes", "resource:open", "--purpose", "fun", "--until", UNTIL),
        ("peer", "set", "West", "--affiliation", "unclear"),
        ("peer", "verify", "West", "--words", "one two three"),
        ("peer", "rename", "nobody", "somebody"),
        ("trust", "vouch", "nobody"),
        ("trust", "unvouch", "West"),
        ("trust", "anchor", "add", "aurora", "--thumbprint", "A"),
        ("record", "share", "nothing"),
        ("client", "add", "x", "--scopes", "resource:sealed"),
        ("client", "revoke", "nobody"),
        ("token", "issue", "x", "--scopes", "resource:partner"),
        ("token", "revoke", "nobody"),
    ):
        tried, done = tried_and_done(cli, river, *words)
        assert (tried.code, tried.json) == (1, done.json), words


def test_no_secret_is_given_out_that_would_be_worth_nothing(cli: Cli, river: Path, tmp_path: Path) -> None:
    before, key_file = everything(river), tmp_path / "reader.jwk"
    scopes = ("--scopes", "resource:open")
    for words, told in (
        (("client", "add", "x", *scopes), {"scopes": ["resource:open"], "dry_run": True}),
        (("client", "add", "x", *scopes, "--key-file", key_file), {"scopes": ["resource:open"], "dry_run": True}),
        (("token", "issue", "x", *scopes), {"dry_run": True}),
        (("peer", "invite"), {"dry_run": True}),
    ):
        assert cli(*words, "--dry-run", "--json", home=river).json == told
        assert cli(*words, "--dry-run", home=river).out.startswith("Nothing was written.")
    assert everything(river) == before
    assert not key_file.exists()


def test_records_are_examined_when_they_are_tried(cli: Cli, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "some.json"
    bad = [{"kind": 7}, {"summary": "Write to asha@example.org."}]
    entries = [{"type": "resource", "document": RESOURCE | changes} for changes in ({}, *bad)]
    file.write_bytes(orjson.dumps([*entries, {"type": "person", "document": {}}]))
    tried, done = tried_and_done(cli, home, "record", "add", file)
    assert tried.json == {"records": len(done.json["ids"]), "refused": done.json["refused"], "dry_run": True}
    assert (len(done.json["ids"]), len(done.json["refused"])) == (1, 3)


@pytest.mark.parametrize("share", [(), ("--share", "--expectations", "Ask first.")], ids=["drafts", "shared"])
def test_a_directory_is_counted_as_it_will_be_taken_in(share: tuple[str, ...], cli: Cli, home: Path) -> None:
    for expected in (4, 0):
        tried, done = tried_and_done(cli, home, "import", "hsds", SMALL, *share)
        assert tried.json == {**done.json, "dry_run": True}
        assert done.json["imported"] == expected


def test_a_table_is_counted_as_it_will_be_taken_in(cli: Cli, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "offers.csv"
    rows = "1,First,legal,KE\n2,Second,legal,Atlantis\n1,Again,legal,KE\n3,Write to a@b.example,legal,KE\n"
    file.write_text("id,title,kind,area\n" + rows.replace("legal", "emergency_grant"))
    tried, done = tried_and_done(cli, home, "import", "csv", file)
    assert tried.json == {**done.json, "dry_run": True}
    assert (done.json["imported"], done.json["skipped"]) == (1, 3)
    file.write_text("id,title,kind,area\n1,Renamed,emergency_grant,KE\n4,New,emergency_grant,KE\n")
    tried, done = tried_and_done(cli, home, "import", "csv", file)
    assert tried.json == {**done.json, "dry_run": True}
    assert (done.json["imported"], done.json["updated"]) == (1, 1)


def test_an_apply_is_tried_without_a_question(cli: Cli, river: Path, tmp_path: Path) -> None:
    file = tmp_path / "wide.toml"
    file.write_text('[resource]\neligibility = "open"\n')
    before = everything(river)
    tried = cli("policy", "apply", file, "--dry-run", "--json", home=river).json
    assert everything(river) == before
    done = cli("policy", "apply", file, "--yes", "--json", home=river).json
    assert (tried.pop("applied"), done.pop("applied")) == (False, True)
    assert tried == {**done, "dry_run": True}


def test_a_home_that_would_not_be_made_is_refused_when_it_is_tried(cli: Cli, tmp_path: Path) -> None:
    words = ("init", "--name", "River", "--url", "https://river.example/", "--scope", "local", "--dry-run")
    ended = cli(*words, home=tmp_path / "river")
    assert ended.err.startswith("SETTINGS_INVALID: `url`")
    assert not (tmp_path / "river").exists()
