"""`init`, `doctor`, `config`, `schema`, `db`, `audit`: a node as a whole."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tomllib
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlcipher3
from graphql import build_schema

from cli.conftest import Cli, not_confirmed

INIT = ("init", "--name", "River", "--url", "https://river.example", "--scope", "local")


def test_init_makes_a_home_that_others_cannot_read(cli: Cli, tmp_path: Path) -> None:
    home = tmp_path / "deep" / "river"
    made = cli(*INIT, "--json", home=home)
    assert made.code == 0
    assert made.json == {"home": str(home), "name": "River", "url": "https://river.example", "dry_run": False}
    assert tomllib.loads((home / "federation.toml").read_text()) == {
        "name": "River",
        "url": "https://river.example",
        "scope": "local",
    }
    for path in (home, home / "federation.toml", home / "node.db", *(home / "keys").iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@pytest.mark.parametrize(
    ("url", "flag"),
    [("http://127.0.0.1:8123", " --port 8123"), ("https://river.example", ""), ("https://river.example:8123", "")],
)
def test_what_init_says_to_do_next_serves_where_the_address_points(
    url: str, flag: str, cli: Cli, tmp_path: Path
) -> None:
    home = tmp_path / "a node"
    words = list(INIT)
    words[words.index("--url") + 1] = url
    assert cli(*words, home=home).out.endswith(f"Next:  federation serve --home '{home}'{flag}\n")


def test_init_never_overwrites(cli: Cli, home: Path) -> None:
    before = (home / "federation.toml").read_bytes()
    ended = cli(*INIT, home=home)
    assert ended.code == 1
    assert "is a node home already" in ended.err
    assert (home / "federation.toml").read_bytes() == before


def test_init_dry_run_writes_nothing(cli: Cli, tmp_path: Path) -> None:
    home = tmp_path / "river"
    assert cli(*INIT, "--dry-run", "--json", home=home).json["dry_run"] is True
    assert not home.exists()


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [("--scope", "galactic", "scope"), ("--url", "river.example", "bare origin"), ("--name", "", "name")],
)
def test_init_with_a_bad_value_says_which_and_writes_nothing(
    option: str, value: str, said: str, cli: Cli, tmp_path: Path
) -> None:
    words = list(INIT)
    words[words.index(option) + 1] = value
    ended = cli(*words, home=tmp_path / "river")
    assert ended.code == 1
    assert said in ended.err
    assert "Traceback" not in ended.err
    assert not (tmp_path / "river").exists()


def test_doctor_finds_what_is_dangerous_with_its_mend(cli: Cli, home: Path) -> None:
    (home / "federation.toml").chmod(0o644)
    text = (home / "federation.toml").read_text().replace("http://127.0.0.1:8999", "http://river.example")
    (home / "federation.toml").write_text(text + "place_k = 1\n")
    found = cli("doctor", "--json", home=home)
    assert found.code == 3
    assert {"PLAIN_HTTP", "SMALL_CELLS", "OPEN_FILE", "NOT_ENCRYPTED", "NO_STEWARD"} == {
        row["code"] for row in found.json
    }
    assert all(row["finding"] and row["mend"] for row in found.json)
    assert "chmod go-rwx" in cli("doctor", home=home).out


def test_doctor_finds_that_nobody_named_what_stands_in_front(cli: Cli, home: Path) -> None:
    text = (home / "federation.toml").read_text().replace("http://127.0.0.1:8999", "https://river.example")
    for more, found in (("", True), ('trusted_proxies = ["127.0.0.1/32"]\n', False)):
        (home / "federation.toml").write_text(text + more)
        assert ("PROXY_UNNAMED" in {row["code"] for row in cli("doctor", "--json", home=home).json}) is found


def test_doctor_finds_whatever_others_can_read(cli: Cli, home: Path) -> None:
    (home / "backups").mkdir(mode=0o700)
    kept = {home / name: 0o600 for name in ("policy.toml", "reader.jwk", "backups/old.db", "keys/more")}
    for path, mode in kept.items():
        path.touch()
        path.chmod(mode)
    assert "OPEN_FILE" not in {row["code"] for row in cli("doctor", "--json", home=home).json}
    for path, mend in {
        "policy.toml": "chmod go-rwx {}",
        "reader.jwk": "chmod go-rwx {}",
        "node.db": "chmod go-rwx {}",
        "backups/old.db": "chmod -R go-rwx {}",
        "keys/more": "chmod -R go-rwx {}",
    }.items():
        (home / path).touch()
        (home / path).chmod(0o640)
        rows = {row["finding"]: row["mend"] for row in cli("doctor", "--json", home=home).json}
        reached = home / path.partition("/")[0]
        assert rows[f"Others on this machine can reach {reached}."] == mend.format(reached)
        (home / path).chmod(0o600)
    with closing(sqlcipher3.connect(str(home / "node.db"))) as serving:
        serving.execute("INSERT INTO meta VALUES ('something', 'written')")
        serving.commit()
        (home / "node.db-wal").chmod(0o640)
        assert f"{home / 'node.db-wal'}" in cli("doctor", "--json", home=home).out


@pytest.mark.parametrize(("classes", "found"), [(99, False), (100, True)])
def test_doctor_warns_of_many_views_of_peers(classes: int, found: bool, cli: Cli, home: Path) -> None:
    with closing(sqlcipher3.connect(str(home / "node.db"))) as connection:
        rows = [(peer, f"class {peer % classes}", 1) for peer in range(150)]
        connection.executemany("INSERT INTO grants VALUES (?, ?, ?)", rows)
        connection.commit()
    warned = [row for row in cli("doctor", "--json", home=home).json if row["code"] == "MANY_CLASSES"]
    assert bool(warned) is found
    assert all("differs in 100 ways, of 1000 at most" in row["finding"] for row in warned)


def test_a_key_beside_the_database_is_no_protection(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "river"
    monkeypatch.setenv("FEDERATION_DATABASE_KEY", "a long passphrase")
    assert cli(*INIT, home=home).code == 0
    assert b"SQLite format" not in (home / "node.db").read_bytes()[:100]
    assert {row["code"] for row in cli("doctor", "--json", home=home).json} == {"NO_STEWARD", "PROXY_UNNAMED"}
    monkeypatch.delenv("FEDERATION_DATABASE_KEY")
    without = cli("peer", "list", home=home)
    assert without.code == 1
    assert "Traceback" not in without.err
    with open(home / "federation.toml", "a", encoding="utf-8") as file:
        file.write('database_key = "a long passphrase"\n')
    assert "KEY_ON_DISK" in {row["code"] for row in cli("doctor", "--json", home=home).json}
    shown = cli("config", "show", "--origin", home=home)
    assert "a long passphrase" not in shown.out + shown.err


def test_a_wrong_key_is_one_sentence(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "river"
    monkeypatch.setenv("FEDERATION_DATABASE_KEY", "a long passphrase")
    assert cli(*INIT, home=home).code == 0
    for key in ("another passphrase", "", None):
        environment = {name: value for name, value in os.environ.items() if name != "FEDERATION_DATABASE_KEY"}
        ended = subprocess.run(
            [sys.executable, "-m", "federation", "peer", "list", "--home", str(home)],
            env=environment | ({} if key is None else {"FEDERATION_DATABASE_KEY": key}),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr == "SETTINGS_INVALID: The database file cannot be opened with this key, or is none.\n"


def test_config_show_says_where_each_setting_came_from(cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDERATION_PLACE_K", "5")
    rows = {row["setting"]: row for row in cli("config", "show", "--origin", "--json", home=home).json}
    assert (rows["place_k"]["value"], rows["place_k"]["origin"]) == (5, "environment")
    assert (rows["name"]["value"], rows["name"]["origin"]) == ("River", "file")
    assert rows["ledger_days"]["origin"] == "default"
    assert "origin" not in cli("config", "show", "--json", home=home).json[0]
    assert "place_k" in cli("config", "show", home=home).out


@pytest.mark.parametrize(
    ("text", "said"), [("plase_k = 3\n", "plase_k"), ("place_k = 0\n", "place_k"), ("place_k = \n", "TOML")]
)
def test_a_broken_settings_file_stops_every_command(text: str, said: str, cli: Cli, home: Path) -> None:
    with open(home / "federation.toml", "a", encoding="utf-8") as file:
        file.write(text)
    ended = cli("peer", "list", home=home)
    assert ended.code == 1
    assert ended.err.startswith("SETTINGS_INVALID: ")
    assert said in ended.err


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        ("resorce:open", "`public_scopes`: there is no scope resorce:open. Did you mean resource:open?"),
        ("funding_call:open", "there is no scope funding_call:open. Did you mean fundingCall:open?"),
        ("*:open", "there is no scope *:open."),
        ("resource:community", "may hold `:open` scopes only"),
    ],
)
def test_a_public_scope_that_does_not_exist_stops_the_start(scope: str, said: str, cli: Cli, home: Path) -> None:
    settings = home / "federation.toml"
    before = settings.read_text()
    settings.write_text(before + f'public_scopes = ["{scope}", "notice:open"]\n')
    for words in (("serve",), ("worker",), ("peer", "list")):
        ended = cli(*words, home=home)
        assert ended.code == 1
        assert ended.err.startswith("SETTINGS_INVALID: ")
        assert said in ended.err
    settings.write_text(before + 'public_scopes = ["resource:open", "fundingCall:open"]\n')
    assert cli("peer", "list", home=home).code == 0


def test_a_key_that_others_can_read_stops_the_start(cli: Cli, home: Path) -> None:
    (home / "keys" / "peer.jwk").chmod(0o644)
    ended = cli("peer", "list", home=home)
    assert ended.code == 1
    assert "peer.jwk" in ended.err


def test_the_schema_is_printed_where_there_is_no_node(
    cli: Cli, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    printed = cli("schema", "print")
    assert (printed.code, printed.out) == (0, cli("schema", "print", home=home).out)
    assert "default policy" in printed.err
    assert cli("schema", "print", home=tmp_path).code == 1  # a home that was named must be there
    monkeypatch.setenv("FEDERATION_HOME", str(tmp_path))
    assert cli("schema", "print").code == 1


def test_the_schema_is_printed_as_graphql_with_and_without_scopes(cli: Cli, home: Path) -> None:
    plain = cli("schema", "print", "--no-directives", home=home)
    assert plain.code == 0
    assert build_schema(plain.out).query_type is not None
    assert "@requiresScopes" not in plain.out
    assert "@requiresScopes" in cli("schema", "print", home=home).out
    assert "https://specs.apollo.dev/federation/v2." in cli("schema", "print", "--federated", home=home).out


def test_the_database_is_upgraded_checked_and_found_wanting(cli: Cli, home: Path) -> None:
    upgraded = cli("db", "upgrade", "--json", home=home)
    assert upgraded.code == 0
    assert set(upgraded.json) == {"backup"}
    assert cli("db", "check", "--json", home=home).json == []
    with closing(sqlcipher3.connect(str(home / "node.db"))) as connection:
        connection.execute("DROP INDEX " + _an_index(connection))
        connection.commit()
    found = cli("db", "check", "--json", home=home)
    assert found.code == 3
    assert len(found.json) >= 1


def _an_index(connection: sqlite3.Connection) -> str:
    listed = "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name = 'resource'"
    return str(connection.execute(listed).fetchone()[0])


def test_all_rows_move_into_another_database(cli: Cli, home: Path, record_file: Path, tmp_path: Path) -> None:
    (id,) = cli("record", "add", record_file, "--share", "--json", home=home).json["ids"]
    target = tmp_path / "moved.db"
    assert not_confirmed(cli("db", "move", f"sqlite:///{target}", "--json", home=home))
    assert not target.exists()
    moved = cli("db", "move", f"sqlite:///{target}", "--yes", "--json", home=home)
    assert moved.code == 0
    assert moved.json["rows"] > 0
    assert moved.json["next"] == f"To use them, put {target} in the home as {home / 'node.db'}."
    other = Path(shutil.copytree(home, tmp_path / "other"))
    for left in other.glob("node.db*"):
        left.unlink()
    shutil.copyfile(target, other / "node.db")
    (other / "node.db").chmod(0o600)
    shown = cli("record", "show", id, "--json", home=other).json
    assert shown == cli("record", "show", id, "--json", home=home).json
    again = cli("db", "move", f"sqlite:///{target}", "--yes", home=home)
    assert again.code == 1
    assert "empty database" in again.err


def test_where_the_journal_of_another_database_stood_means_nothing_in_the_new_one(
    cli: Cli, home: Path, tmp_path: Path
) -> None:
    """Else the sweeper would shorten the new journal each day, and `peer holdings` would claim to know all of it."""
    today = datetime.now(UTC).date().isoformat()
    with closing(sqlcipher3.connect(home / "node.db")) as connection:
        connection.execute("INSERT INTO meta VALUES ('journal_on 2026-01-01', '0.9'), ('journal_from', '2026-01-01')")
        connection.commit()
    assert cli("db", "move", f"sqlite:///{tmp_path / 'moved.db'}", "--yes", home=home).code == 0
    with closing(sqlcipher3.connect(tmp_path / "moved.db")) as connection:
        kept = dict(connection.execute("SELECT key, value FROM meta").fetchall())
    assert [key for key in kept if key.startswith("journal_on")] == []
    assert kept["journal_from"] == kept["served_from"] == today


def test_an_entry_of_the_ledger_is_shown_with_its_ids_and_steps(cli: Cli, home: Path, record_file: Path) -> None:
    (id,) = cli("record", "add", record_file, "--json", home=home).json["ids"]
    row = next(row for row in cli("audit", "list", "--json", home=home).json if row["ids"] == [id])
    assert cli("audit", "show", row["seq"], "--json", home=home).json == row
    shown = cli("audit", "show", row["seq"], home=home)
    assert shown.code == 0
    assert f"policy: {row['policy']}\nids:\n  {id}\nsteps:\n  title.exact\n" in shown.out
    assert "Emergency grants" not in shown.out
    assert cli("audit", "show", row["seq"] + 100, home=home).err.startswith("NOT_FOUND: ")
    assert cli("audit", "show", 0, home=home).code == 1


def test_a_database_does_not_move_onto_itself(cli: Cli, home: Path) -> None:
    ended = cli("db", "move", f"sqlite:///{home / 'node.db'}", "--yes", home=home)
    assert ended.code == 1
    assert "the database in use" in ended.err


def test_the_ledger_lists_what_crossed_and_notices_a_change(cli: Cli, home: Path, record_file: Path) -> None:
    before = cli("audit", "list", "--json", home=home).json
    assert cli("audit", "verify", "--json", home=home).json == []
    (id,) = cli("record", "add", record_file, "--json", home=home).json["ids"]
    assert cli("record", "show", id, home=home).code == 0
    rows = cli("audit", "list", "--json", home=home).json
    assert len(rows) > len(before)
    assert {"seq", "at", "viewer", "kind", "type", "records", "policy", "ids", "steps"} == set(rows[0])
    assert (rows[0]["kind"], rows[0]["ids"], rows[0]["records"]) == ("home", [id], 1)
    created = next(row for row in rows if row["ids"] == [id] and row["kind"] == "import")
    assert {"title.exact", "area.exact", "area.country", "area.sub_region"} <= set(created["steps"])
    assert not {"site.exact", "amount.exact", "internal_notes.exact"} & set(created["steps"])
    assert "Emergency grants" not in str(rows)
    assert cli("audit", "verify", "--json", home=home).json == []
    with closing(sqlcipher3.connect(str(home / "node.db"))) as connection:
        connection.execute("UPDATE ledger SET viewer = 'somebody else'")
        connection.commit()
    found = cli("audit", "verify", home=home)
    assert found.code == 3
