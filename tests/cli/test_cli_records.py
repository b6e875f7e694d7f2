"""`record`, `import`, `export`, `policy`, `client`, `token`: what the operator does with what the node holds."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from acceptance.holdings import query

from cli.conftest import RESOURCE, Cli, not_confirmed

STOPPED = """
import os, signal, sys, threading, time
from federation.cli import run

def stop():
    reading.wait()
    while "--dry-run" not in sys.argv and not (os.path.exists(wal) and os.path.getsize(wal) > 400_000):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)

reading, wal = threading.Event(), os.path.join(sys.argv[-1], "node.db-wal")
sys.addaudithook(lambda event, given: reading.set() if event == "open" and given[0] == sys.argv[3] else None)
threading.Thread(target=stop, daemon=True).start()
sys.exit(run(sys.argv[1:]))
"""
"""An import that a person stops when it has begun to read, or where it is no trial, to write."""

SMALL = Path(__file__).parents[1] / "data" / "hsds_small"


def test_a_record_is_added_listed_shown_shared_and_withdrawn(cli: Cli, home: Path, record_file: Path) -> None:
    empty = cli("record", "list", home=home)
    assert (empty.code, empty.out) == (0, "No resource records yet. `record add FILE` puts some in.\n")
    assert cli("record", "add", record_file, "--dry-run", "--json", home=home).json["records"] == 1
    assert cli("record", "list", "--json", home=home).json == []
    (id,) = cli("record", "add", record_file, "--json", home=home).json["ids"]
    (row,) = cli("record", "list", "resource", "--json", home=home).json
    assert (row["id"], row["title"], row["status"]) == (id, "Emergency grants", "DRAFT")
    shown = cli("record", "show", id, "--json", home=home).json
    assert shown["document"]["title"] == RESOURCE["title"]
    assert cli("record", "share", id, "--json", home=home).json == {"id": id, "status": "shared"}
    assert cli("record", "withdraw", id, "--yes", "--json", home=home).json["status"] == "withdrawn"
    (row,) = cli("record", "list", "Resource", "--json", home=home).json
    assert row["status"] == "WITHDRAWN"


def test_a_list_has_pages(cli: Cli, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "many.json"
    file.write_bytes(orjson.dumps([{"type": "resource", "document": RESOURCE} for _ in range(3)]))
    assert len(cli("record", "add", file, "--json", home=home).json["ids"]) == 3
    first = cli("record", "list", "resource", "--first", 2, home=home)
    assert "--after " in first.err
    rest = cli("record", "list", "resource", "--after", first.err.split("--after ")[1].strip(), "--json", home=home)
    assert len(rest.json) == 1


@pytest.mark.parametrize(
    "words", [("record", "show", "nonsense"), ("record", "share", "AWFX"), ("record", "withdraw", "x", "--yes")]
)
def test_a_record_that_is_not_there_is_said_so(words: tuple[str, ...], cli: Cli, home: Path) -> None:
    ended = cli(*words, home=home)
    assert ended.code == 1
    assert ended.err.startswith("NOT_FOUND: ")
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "not JSON"),
        (b"[]", "no record"),
        ('{"type": "resource", "document": {"title": "é"}}'.encode("latin-1"), "UTF-8"),
        (b'{"type": "person", "document": {}}', "type of"),
        (orjson.dumps({"type": "resource", "document": RESOURCE | {"colour": "red"}}), "colour"),
        (orjson.dumps({"type": "resource", "document": RESOURCE | {"area": "Atlantis"}}), "area"),
    ],
)
def test_a_bad_record_file_says_what_is_wrong_and_adds_nothing(
    content: bytes, said: str, cli: Cli, home: Path, tmp_path: Path
) -> None:
    file = tmp_path / "bad.json"
    file.write_bytes(content)
    ended = cli("record", "add", file, home=home)
    assert ended.code in (1, 3)
    assert said in ended.err + ended.out
    assert "Traceback" not in ended.err
    assert cli("record", "list", "--json", home=home).json == []


def test_a_refused_record_is_reported_with_its_place_and_the_rest_goes_in(cli: Cli, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "half.json"
    bad = {"type": "resource", "document": RESOURCE | {"kind": 7}}
    file.write_bytes(orjson.dumps([{"type": "resource", "document": RESOURCE}, bad]))
    done = cli("record", "add", file, "--json", home=home)
    assert done.code == 3
    assert len(done.json["ids"]) == 1
    (refused,) = done.json["refused"]
    assert (refused["record"], refused["field"]) == (2, "kind")
    assert len(cli("record", "list", "--json", home=home).json) == 1


def test_a_record_of_an_unknown_type_stops_no_other(cli: Cli, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "mixed.json"
    good = {"type": "resource", "document": RESOURCE}
    entries = [good, {"type": "person", "document": {}}, {"type": "resource", "document": {"kind": 7}}, good]
    file.write_bytes(orjson.dumps(entries))
    done = cli("record", "add", file, "--json", home=home)
    assert (done.code, len(done.json["ids"])) == (3, 2)
    unknown, refused = done.json["refused"]
    assert (unknown["record"], unknown["field"]) == (2, None)
    assert unknown["problem"].startswith("It has no type of: network, resource")
    assert refused["record"] == 3
    assert "Record 2 of mixed.json: It has no type of: network, " in cli("record", "add", file, home=home).out


def test_an_offer_without_expectations_is_not_shared(cli: Cli, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    document = {name: value for name, value in RESOURCE.items() if name != "expectations"}
    file.write_bytes(orjson.dumps({"type": "resource", "document": document}))
    ended = cli("record", "add", file, "--share", "--json", home=home)
    assert (ended.code, ended.json["ids"]) == (3, [])
    assert "expectations" in ended.json["refused"][0]["problem"]


def test_personal_details_in_a_text_have_to_be_confirmed(cli: Cli, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    document = RESOURCE | {"summary": "Write to asha@example.org."}
    file.write_bytes(orjson.dumps({"type": "resource", "document": document}))
    warned = cli("record", "add", file, home=home)
    assert warned.code == 3
    assert "email" in warned.out
    assert "asha@example.org" not in warned.out + warned.err
    assert cli("record", "add", file, "--confirm", home=home).code == 0


def test_what_is_not_asked_for_by_yes_is_asked(cli: Cli, home: Path, record_file: Path, no_answer: None) -> None:
    (id,) = cli("record", "add", record_file, "--json", home=home).json["ids"]
    assert cli("record", "withdraw", id, home=home).code == 1
    assert not_confirmed(cli("record", "withdraw", id, "--json", home=home))
    (row,) = cli("record", "list", "--json", home=home).json
    assert row["status"] == "DRAFT"


def test_a_directory_is_imported_once_and_a_second_time_changes_nothing(cli: Cli, home: Path) -> None:
    tried = cli("import", "hsds", SMALL, "--dry-run", "--json", home=home)
    assert tried.json["dry_run"] is True
    assert cli("record", "list", "--json", home=home).json == []
    words = ("import", "hsds", SMALL, "--share", "--expectations", "Ask them first.", "--json")
    first = cli(*words, home=home)
    assert (first.code, first.json["skipped"], first.json["otherRows"]) == (3, 4, {"unread": 0, "loose": 3})
    again = cli(*words, home=home)
    assert (again.json["imported"], again.json["updated"]) == (0, 0)
    assert again.json["unchanged"] == first.json["imported"] > 0
    told = cli("import", "hsds", SMALL, home=home).out.splitlines()
    assert told[0].startswith("0 new, ")
    assert told[0].endswith("; 4 could not go in.")
    assert told[1] == "Of other rows 0 could not be read, 3 belong to no record."


def test_a_directory_whose_rows_hang_on_nothing_here_and_there_needs_nobody(
    cli: Cli, home: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(SMALL, tmp_path / "small"))
    services = (folder / "services.csv").read_text().splitlines(keepends=True)
    (folder / "services.csv").write_text("".join(services[:5]))
    done = cli("import", "hsds", folder, "--json", home=home)
    assert (done.code, done.json["skipped"]) == (0, 0)
    assert done.json["otherRows"]["loose"] >= 3


def test_what_is_imported_without_share_is_a_draft(cli: Cli, home: Path) -> None:
    assert cli("import", "hsds", SMALL, home=home).code in (0, 3)
    assert {row["status"] for row in cli("record", "list", "--json", home=home).json} == {"DRAFT"}


def test_a_bad_row_of_a_table_is_reported_with_its_line_and_the_others_go_in(
    cli: Cli, home: Path, tmp_path: Path
) -> None:
    file = tmp_path / "offers.csv"
    file.write_text("id,title,kind,area\n1,First,emergency_grant,KE\n2,Second,emergency_grant,Atlantis\n3,Third,,KE\n")
    done = cli("import", "csv", file, "--json", home=home)
    assert done.code == 3
    assert (done.json["imported"], done.json["skipped"]) == (1, 2)
    assert [(problem["line"], problem["reason"].split()[0]) for problem in done.json["problems"]] == [
        (3, "area:"),
        (4, "kind"),
    ]
    assert "offers.csv:3" in cli("import", "csv", file, home=home).out


def test_a_row_with_personal_details_is_refused_with_its_kinds_unless_that_is_confirmed(
    cli: Cli, home: Path, tmp_path: Path
) -> None:
    file = tmp_path / "offers.csv"
    told = "Call 305-555-0134 or write to asha@example.org; come to 12 Main Street."
    file.write_text(
        f"id,title,kind,summary,summary@sw\n1,First,legal_support,{told},\n"
        "2,Second,legal_support,Ask us.,Piga +254722000111\n3,Third,legal_support,Ask us.,\n"
    )
    words = ("import", "csv", file, "--share", "--expectations", "We answer in a week.", "--json")
    done = cli(*words, home=home)
    assert (done.code, done.json["imported"], done.json["skipped"]) == (3, 1, 2)
    assert [(each["file"], each["line"], each["reason"]) for each in done.json["problems"]] == [
        ("offers.csv", 2, "What would be published holds summary: address, email, phone. Cut it, or confirm it."),
        ("offers.csv", 3, "What would be published holds summary: phone. Cut it, or confirm it."),
    ]
    assert "asha@example.org" not in done.out + done.err
    assert [row["title"] for row in cli("record", "list", "--json", home=home).json] == ["Third"]
    taken = cli(*words, "--confirm", home=home)
    assert (taken.code, taken.json["imported"], taken.json["unchanged"]) == (0, 2, 1)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.zip", b"PK\x03\x04 broken", "a.zip"),
        ("a.zip", b"", "a.zip"),
        ("a.json", b"{", "a.json"),
        ("a.json", b'{"name": "\xff"}', "a.json"),
        ("a.csv", "title,kind\nCaf\xe9,legal\n".encode("latin-1"), "a.csv"),
        ("a.csv", b"title,colour\nA,red\n", "colour"),
    ],
)
def test_a_malformed_file_is_one_sentence_and_nothing_is_imported(
    name: str, content: bytes, said: str, cli: Cli, home: Path, tmp_path: Path
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    ended = cli("import", "csv" if name.endswith("csv") else "hsds", file, home=home)
    assert ended.code in (1, 3)
    assert said in ended.err + ended.out
    assert "Traceback" not in ended.err
    assert cli("record", "list", "--json", home=home).json == []


def test_what_is_exported_can_be_added_elsewhere(cli: Cli, home: Path, record_file: Path, tmp_path: Path) -> None:
    cli("record", "add", record_file, home=home)
    target = tmp_path / "out.jsonl"
    done = cli("export", "json", target, "--json", home=home)
    assert done.json["file"] == str(target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    lines = [json.loads(line) for line in target.read_text().splitlines()]
    assert len(lines) == done.json["lines"]
    (line,) = [line for line in lines if line["type"] == "resource"]
    assert line["document"]["title"] == RESOURCE["title"]
    again = cli("record", "add", target, "--json", home=home)
    assert (again.code, len(again.json["ids"])) == (0, len(lines))
    table = tmp_path / "out.csv"
    assert cli("export", "csv", table, home=home).code == 0
    assert "Emergency grants" in table.read_text()
    refused = cli("export", "json", target, home=home)
    assert refused.code == 1
    assert "exists" in refused.err


FULL = RESOURCE | {
    "title": "[Draft] night shelter",
    "summary": "=1+1 is asked for, and '-1",
    "handling": "TLP:GREEN",
    "caps": {"area": "sub_region"},
    "contact": {"email": "asha@example.org"},
    "internal_notes": "-",
    "translations": {"sw": {"title": "Makazi"}},
}


@pytest.mark.parametrize(
    ("form", "again"), [("csv", ("import", "csv", "FILE", "--json")), ("json", ("record", "add", "FILE", "--json"))]
)
def test_an_export_changes_nothing_where_it_comes_from_and_makes_new_records_elsewhere(
    form: str, again: tuple[str, ...], cli: Cli, home: Path, tmp_path: Path
) -> None:
    file = tmp_path / "records.json"
    file.write_bytes(orjson.dumps([{"type": "resource", "document": each} for each in (RESOURCE, FULL)]))
    ids = cli("record", "add", file, "--share", "--json", home=home).json["ids"]
    (gone,) = cli("record", "add", file, "--json", home=home).json["ids"][:1]
    assert cli("record", "withdraw", gone, "--yes", home=home).code == 0
    held = [cli("record", "show", id, "--json", home=home).json for id in ids]
    target = tmp_path / f"out.{form}"
    assert cli("export", form, target, home=home).code == 0
    assert gone not in target.read_text()
    words = tuple(str(target) if word == "FILE" else word for word in again)
    before = cli("audit", "list", "--json", home=home).json[0]["seq"]
    same = cli(*words, home=home)
    assert same.code == 0
    if form == "csv":
        assert (same.json["imported"], same.json["updated"], same.json["unchanged"]) == (0, 0, 3)
    assert "import" not in [
        row["kind"] for row in cli("audit", "list", "--json", home=home).json if row["seq"] > before
    ]
    assert [cli("record", "show", id, "--json", home=home).json for id in ids] == held

    other = tmp_path / "west"
    assert (
        cli("init", "--home", other, "--name", "West", "--url", "http://127.0.0.1:8998", "--scope", "local").code == 0
    )
    for attempt in (0, 1):
        taken = cli(*words, home=other)
        assert taken.code == 0
        if form == "csv":
            assert (taken.json["imported"], taken.json["unchanged"]) == ((3, 0) if attempt == 0 else (0, 3))
    rows = cli("record", "list", "--json", home=other).json
    assert len(rows) == 3
    assert not {row["id"] for row in rows} & set(ids)
    there = tmp_path / "there.json"
    assert cli("export", "json", there, "--type", "resource", home=other).code == 0
    labels = [json.loads(line)["document"]["handling"] for line in there.read_text().splitlines()]
    assert sorted(labels) == ["TLP:CLEAR", "TLP:GREEN", "TLP:GREEN"]
    moved = [cli("record", "show", row["id"], "--json", home=other).json["document"] for row in rows]
    assert told_of(held[1]["document"]) in [told_of(document) for document in moved]


def told_of(document: dict[str, object]) -> dict[str, object]:
    """A document without what each node sets itself."""
    return {name: value for name, value in document.items() if name not in ("created_at", "updated_at")}


def test_a_record_that_a_file_names_is_amended(cli: Cli, home: Path, tmp_path: Path, record_file: Path) -> None:
    (id,) = cli("record", "add", record_file, "--json", home=home).json["ids"]
    file = tmp_path / "later.json"
    file.write_bytes(orjson.dumps({"type": "resource", "id": id, "document": RESOURCE | {"title": "Newer"}}))
    assert cli("record", "add", file, "--json", home=home).json["ids"] == [id]
    assert [row["title"] for row in cli("record", "list", "--json", home=home).json] == ["Newer"]
    file.write_bytes(orjson.dumps({"type": "resource", "id": "mine", "document": RESOURCE}))
    refused = cli("record", "add", file, home=home)
    assert refused.code == 3
    assert "Record 1 of later.json: It names no id of a record" in refused.out


def test_a_client_is_registered_listed_and_revoked(cli: Cli, home: Path, tmp_path: Path) -> None:
    made = cli("client", "add", "reader", "--scopes", "resource:open,notice:open", "--json", home=home).json
    assert set(made) == {"client_id", "scopes", "private_jwk"}
    key_file = tmp_path / "reader.jwk"
    filed = cli(
        "client", "add", "second", "--scopes", "resource:open", "--key-file", key_file, "--json", home=home
    ).json
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert "private_jwk" not in filed
    rows = cli("client", "list", "--json", home=home).json
    assert {row["client_id"]: row["revoked"] for row in rows} == {made["client_id"]: False, filed["client_id"]: False}
    assert not_confirmed(cli("client", "revoke", made["client_id"], "--json", home=home))
    assert not any(row["revoked"] for row in cli("client", "list", "--json", home=home).json)
    assert cli("client", "revoke", made["client_id"], "--yes", "--json", home=home).json["revoked"] is True
    rows = cli("client", "list", "--json", home=home).json
    assert {row["client_id"]: row["revoked"] for row in rows}[made["client_id"]] is True
    assert made["private_jwk"]["d"] not in cli("client", "list", home=home).out


@pytest.mark.parametrize(("more", "kept"), [((), "What was taken in stays"), (("--dry-run",), "Nothing was written")])
def test_an_import_that_is_stopped_says_what_became_of_it(
    more: tuple[str, ...], kept: str, home: Path, tmp_path: Path
) -> None:
    file = tmp_path / "many.csv"
    file.write_text("title,summary,kind\n" + "".join(f"Grant {n},Small,emergency_grant\n" for n in range(9000)))
    words = ["import", "csv", str(file), *more, "--home", str(home)]
    with subprocess.Popen([sys.executable, "-c", STOPPED, *words], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = process.stderr.read()
    assert process.returncode == 130
    assert said.startswith(f"Stopped. {kept}")
    assert len(said.splitlines()) == 1
    count = len(query(home, "SELECT gid FROM resource"))
    assert (0 < count < 9000) if not more else count == 0


@pytest.mark.parametrize("scopes", ["resource:sealed", "person:open", "resource:network", ""])
def test_a_client_gets_no_scope_that_does_not_exist(scopes: str, cli: Cli, home: Path) -> None:
    ended = cli("client", "add", "reader", "--scopes", scopes, home=home)
    assert ended.code == 1
    assert ended.err.startswith("BAD_INPUT: ")
    assert cli("client", "list", "--json", home=home).json == []


def test_a_key_file_is_never_overwritten_and_no_client_is_left_behind(cli: Cli, home: Path, tmp_path: Path) -> None:
    key_file = tmp_path / "reader.jwk"
    key_file.write_text("mine")
    ended = cli("client", "add", "r", "--scopes", "resource:open", "--key-file", key_file, home=home)
    assert ended.code == 1
    assert "exists" in ended.err
    assert "Traceback" not in ended.err
    assert key_file.read_text() == "mine"
    assert cli("client", "list", "--json", home=home).json == []


def test_revoking_what_is_not_there_is_said_so(cli: Cli, home: Path) -> None:
    assert cli("client", "revoke", "client-nobody", "--yes", home=home).code == 1
    assert cli("token", "revoke", "nothing", home=home).code == 1


def test_a_personal_token_opens_published_fields_only(cli: Cli, home: Path) -> None:
    made = cli("token", "issue", "asha", "--scopes", "resource:open", "--json", home=home).json
    assert set(made) == {"token", "token_id"}
    (row,) = cli("token", "list", "--json", home=home).json
    assert (row["name"], row["scopes"], row["revoked"]) == ("asha", ["resource:open"], False)
    assert made["token"] not in cli("token", "list", home=home).out
    assert cli("token", "revoke", made["token_id"], home=home).code == 0
    assert cli("token", "list", "--json", home=home).json[0]["revoked"] is True
    refused = cli("token", "issue", "asha", "--scopes", "resource:partner", home=home)
    assert refused.code == 1
    assert refused.err.startswith("BAD_INPUT: ")
