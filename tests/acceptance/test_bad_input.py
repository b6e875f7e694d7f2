"""Bad input to running nodes: files, policies, requests and tokens; each gets one clear error, and nothing is lost."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acceptance.caller import Caller, post
from acceptance.commands import commanded, done
from acceptance.federation_demo import RunningDemo
from acceptance.holdings import query

HEADER = "id,name,description,application_process,taxonomy\n"


@pytest.fixture(scope="module")
def editor(demo: RunningDemo) -> Caller:
    """A program that may write at river."""
    scopes = ["records:write", "resource:open", "resource:partner"]
    made = done(demo.home("river"), "client", "add", "careless", "--scopes", ",".join(scopes))
    return Caller(demo.url("river"), made["client_id"], made["private_jwk"], scopes)


def own(home: Path) -> list[dict[str, Any]]:
    """All own resources of a node, drafts too."""
    return query(home, "SELECT id, status, home FROM resource WHERE via = 0 ORDER BY id")


@pytest.fixture
def river(demo: RunningDemo) -> Iterator[Path]:
    """The home of river, which holds the same and shows the same policy when the test is over."""
    home = demo.home("river")
    before = own(home), done(home, "policy", "show")
    yield home
    assert (own(home), done(home, "policy", "show")) == before


def package(place: Path, name: str, services: bytes, manifest: str | None = None) -> Path:
    listed = {"name": name, "resources": [{"name": "services", "path": "services.csv"}]}
    with zipfile.ZipFile(place / name, "w") as archive:
        archive.writestr("datapackage.json", manifest or json.dumps(listed))
        archive.writestr("services.csv", services)
    return place / name


def cut_short(file: Path) -> Path:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    return file


# Files


@pytest.mark.parametrize("json_wanted", [False, True], ids=["for a person", "for a program"])
def test_a_malformed_package_is_one_sentence_and_changes_nothing(
    json_wanted: bool, river: Path, tmp_path: Path
) -> None:
    whole = (HEADER + "1,Tea,Warm,,\n" * 50).encode()
    for file, said in (
        (cut_short(package(tmp_path, "cut.zip", whole)), "cut.zip is a damaged zip file"),
        (package(tmp_path, "manifest.zip", whole, "{"), "datapackage.json is not JSON"),
        (package(tmp_path, "encoding.zip", (HEADER + "1,Tea\n").encode("utf-16")), "save it as UTF-8"),
    ):
        ended = commanded(river, "import", "hsds", file, *(("--json",) if json_wanted else ()))
        if json_wanted:
            assert (ended.code, ended.err, set(ended.json["error"])) == (1, "", {"code", "message"})
            assert ended.json["error"]["code"] == "BAD_INPUT"
            assert said in ended.json["error"]["message"]
        else:
            assert ended.refused("BAD_INPUT", said), ended


def test_the_real_command_says_the_same_sentence_and_no_more(demo: RunningDemo, river: Path, tmp_path: Path) -> None:
    ended = demo.command("river", "import", "hsds", str(cut_short(package(tmp_path, "cut.zip", HEADER.encode() * 50))))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("BAD_INPUT: cut.zip is a damaged zip file")
    assert len(ended.stderr.splitlines()) == 1


def test_rows_in_another_encoding_and_unknown_codes_stop_no_other_row(demo: RunningDemo, tmp_path: Path) -> None:
    home, before = demo.home("river"), len(own(demo.home("river")))
    rows = "1,Tea,Warm drinks.\n2,Caf\u00e9,Coffee.\n3,Kazoo Lending,Kazoos.\n"
    file = package(tmp_path, "mixed.zip", ("id,name,description\n" + rows).encode("latin-1"))
    ended = commanded(home, "import", "hsds", file, "--json")
    assert ended.code == 3
    assert (ended.json["imported"], ended.json["skipped"]) == (2, 1)
    problem = ended.json["problems"][0]
    assert (problem["file"], problem["line"]) == ("services.csv", 3)
    assert problem["reason"] == "is not UTF-8; save the file as UTF-8"
    kazoo = next(row for row in own(home) if b"Kazoo Lending" in bytes(row["home"], "utf-8"))
    document = json.loads(kazoo["home"])
    assert (document["kind"], document["originals"]["kind"]) == ("other", "Kazoo Lending")
    mended = package(tmp_path, "mixed.zip", ("id,name,description\n" + rows).encode())
    again = commanded(home, "import", "hsds", mended, "--json")
    assert (again.code, again.json["imported"], again.json["unchanged"]) == (0, 1, 2)
    assert len(own(home)) == before + 3


def test_a_policy_with_an_unknown_field_is_refused_with_its_line_and_the_old_one_stays(
    river: Path, tmp_path: Path
) -> None:
    good = done(river, "policy", "show")["policy"]
    file = tmp_path / "policy.toml"
    file.write_text(good.replace("[resource]\n", '[resource]\ncolour = "open"\n', 1))
    line = file.read_text().splitlines().index('colour = "open"') + 1
    for verb in ("check", "diff", "apply"):
        ended = commanded(river, "policy", verb, file)
        assert ended.refused("POLICY_INVALID", f"{file}:{line}: ", "colour"), ended
    said = commanded(river, "policy", "apply", file, "--json")
    assert (said.code, said.json["error"]["code"]) == (1, "POLICY_INVALID")
    file.write_text(good)
    assert done(river, "policy", "apply", file)["changes"] == []


# Requests


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"{", 400, "BAD_INPUT"),
        (b'{"query": "{ resources { edges { node { title } }"}', 400, "BAD_INPUT"),
        (b'{"query": "{ resources { edges { node { colour } } } }"}', 400, "BAD_INPUT"),
        (b'{"query": "{ resources(first: 1000) { edges { node { title } } } }"}', 200, "BAD_INPUT"),
        (b'{"query": "{ resources(after: \\"zz\\") { edges { node { title } } } }"}', 200, "BAD_INPUT"),
        (b'{"query": "mutation { withdrawRecord(input: {id: \\"x\\"}) { id } }"}', 401, "UNAUTHENTICATED"),
        (b'{"query": "{ resources(where: {area: {within: \\"\xff\\"}}) { totalCount } }"}', 400, "BAD_INPUT"),
    ],
    ids=["no JSON", "no GraphQL", "no such field", "too many", "no cursor", "nobody writes", "no UTF-8"],
)
def test_a_bad_request_gets_a_stable_code_and_the_next_good_one_its_answer(
    content: bytes, status: int, code: str, demo: RunningDemo, river: Path
) -> None:
    headers = {"content-type": "application/json", "accept": "application/graphql-response+json"}
    refused = post(f"{demo.url('river')}/graphql", headers, content=content)
    assert (refused.status_code, refused.json()["errors"][0]["extensions"]["code"]) == (status, code)
    assert "Traceback" not in refused.text
    answer = post(
        f"{demo.url('river')}/graphql", headers, content=b'{"query": "{ resources(first: 1) { totalCount } }"}'
    )
    assert answer.status_code == 200, answer.text


def test_a_write_that_breaks_a_rule_names_the_field_and_writes_nothing(editor: Caller, river: Path) -> None:
    create = """mutation ($record: ResourceInput!) {
      createResource(input: {record: $record, share: true}) { id userErrors { code field message } }
    }"""
    whole = {"title": "Bad", "kind": "EMERGENCY_GRANT", "expectations": "We answer."}
    for change, field in (
        ({"area": "Atlantis"}, "area"),
        ({"kind": "KAZOO"}, "kind"),
        ({"expectations": None}, "expectations"),
    ):
        made = editor.ask(create, record={**whole, **change})["createResource"]
        assert made["id"] is None
        assert [(each["code"], each["field"]) for each in made["userErrors"]] == [("BAD_INPUT", field)]


def test_a_token_of_another_node_opens_nothing_and_stays_good_at_its_own(demo: RunningDemo) -> None:
    partner = demo.caller("partner")  # a client of west
    token = partner.token()
    query = {"query": "{ resources(first: 1) { edges { node { title } } } }"}
    elsewhere = Caller(demo.url("river"), partner.client_id, partner.jwk, partner.scopes, partner.proof_key)
    for path in ("/graphql", "/exchange/changes"):
        refused = elsewhere.post(path, query, token)
        assert refused.status_code == 401
        assert "UNAUTHENTICATED" in refused.text
        assert 'error="invalid_token"' in refused.headers["www-authenticate"]
    untaken = elsewhere.asked_for_token()
    assert (untaken.status_code, untaken.json()["error"]) == (401, "invalid_client")
    assert partner.post("/graphql", query, token).status_code == 200
