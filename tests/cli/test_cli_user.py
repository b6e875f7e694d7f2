"""`user`: accounts are made with a link, listed, reset and closed; sessions are seen and ended."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pyotp
import pytest

from cli.conftest import Cli, not_confirmed, opened
from federation.cli.examining import first_setup_link
from federation.node import Node
from federation.oauth.accounts import account_viewer, has_steward, redeem_link
from federation.oauth.factors import Factors, factors_of, keep_totp, new_recovery_codes
from federation.oauth.sessions import begin_session, session_of
from federation.policies.tiers import ACTION_SCOPES
from federation.policies.viewer import ViewerKind

PASSWORD = "a long and invented password"


def add(cli: Cli, home: Path, handle: str = "amina", *more: str) -> str:
    """The code of the link that it prints."""
    made = cli("user", "add", handle, "--name", "Somebody", "--kind", "steward", "--json", *more, home=home)
    assert made.code == 0
    link = made.json["link"]
    assert urlsplit(link)._replace(fragment="").geturl() == "http://127.0.0.1:8999/console/setup"
    return urlsplit(link).fragment


def redeem(home: Path, code: str) -> str:
    with closing(opened(home)) as node:
        return redeem_link(node.database, node.world, code, PASSWORD)


def factors_at(node: Node, handle: str) -> Factors:
    return factors_of(node.database, handle)


def test_a_steward_is_added_with_a_link_that_works_once(cli: Cli, home: Path) -> None:
    code = add(cli, home)
    with closing(opened(home)) as node:
        viewer = account_viewer(node.database, "amina")
        assert viewer is not None
        assert (viewer.kind, viewer.scopes) == (ViewerKind.STEWARD, ACTION_SCOPES)
    assert redeem(home, code) == "amina"
    told = cli("user", "add", "ben", "--name", "Ben", "--kind", "member", home=home)
    assert told.code == 0
    assert "ben sets a password within a day at:\nhttp://127.0.0.1:8999/console/setup#" in told.out


def test_a_member_has_the_scopes_that_are_told_and_no_other(cli: Cli, home: Path) -> None:
    made = cli(
        *("user", "add", "ben", "--name", "Ben", "--kind", "member", "--scopes", "records:write,audit:read", "--json"),
        home=home,
    )
    assert made.json["scopes"] == ["audit:read", "records:write"]
    assert cli("user", "add", "chi", "--name", "Chi", "--kind", "member", "--json", home=home).json["scopes"] == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("x y", "--name", "A", "--kind", "member"), 1, "BAD_INPUT"),
        (("a", "--name", " ", "--kind", "member"), 1, "BAD_INPUT"),
        (("a", "--name", "A", "--kind", "member", "--scopes", "all:things"), 1, "all:things"),
        (("a", "--name", "A", "--kind", "peer"), 2, "peer"),
        (("a", "--kind", "member"), 2, "--name"),
        (("amina", "--name", "A", "--kind", "member"), 1, "CONFLICT"),
    ],
    ids=str,
)
def test_what_is_no_account_is_refused(cli: Cli, home: Path, arguments: tuple[str, ...], code: int, said: str) -> None:
    add(cli, home)
    ran = cli("user", "add", *arguments, home=home)
    assert ran.code == code
    assert said in ran.err
    assert len(cli("user", "list", "--json", home=home).json) == 1


def test_the_list_says_what_each_shows_beside_the_password(cli: Cli, home: Path) -> None:
    assert "user add" in cli("user", "list", home=home).out
    redeem(home, add(cli, home))
    add(cli, home, "ben")
    with closing(opened(home)) as node:
        secret = pyotp.random_base32()
        code = pyotp.TOTP(secret).at(node.world.timestamp())
        keep_totp(node.database, node.world, node.keys.secret, "amina", secret, code)
        new_recovery_codes(node.database, node.world, node.keys.secret, "amina")
    amina, ben = cli("user", "list", "--json", home=home).json
    assert (amina["password"], amina["app"], amina["passkeys"], amina["recovery_codes"]) == (True, True, 0, 10)
    assert (ben["password"], ben["app"], ben["recovery_codes"], ben["disabled"]) == (False, False, 0, False)
    table = cli("user", "list", home=home).out
    assert "recovery codes" in table
    assert secret not in table


def test_a_reset_takes_all_that_let_somebody_in(cli: Cli, home: Path, no_answer: None) -> None:
    redeem(home, add(cli, home))
    with closing(opened(home)) as node:
        cookie = begin_session(node.database, node.world, "amina")
        new_recovery_codes(node.database, node.world, node.keys.secret, "amina")
    assert not_confirmed(cli("user", "reset", "amina", "--json", home=home))
    assert cli("user", "reset", "amina", home=home).code == 1
    tried = cli("user", "reset", "amina", "--dry-run", "--json", home=home).json
    assert tried == {"handle": "amina", "sessions_ended": 1, "dry_run": True}
    with closing(opened(home)) as node:
        assert session_of(node.database, node.world, cookie) is not None
    done = cli("user", "reset", "amina", "--yes", "--json", home=home).json
    assert done["sessions_ended"] == 1
    with closing(opened(home)) as node:
        assert session_of(node.database, node.world, cookie) is None
        assert factors_at(node, "amina") == Factors()
    assert not cli("user", "list", "--json", home=home).json[0]["password"]
    assert redeem(home, urlsplit(done["link"]).fragment) == "amina"


def test_sessions_are_listed_and_ended(cli: Cli, home: Path, no_answer: None) -> None:
    redeem(home, add(cli, home))
    assert "not logged in" in cli("user", "sessions", "amina", home=home).out
    with closing(opened(home)) as node:
        cookie = begin_session(node.database, node.world, "amina", second="totp")
    (listed,) = cli("user", "sessions", "amina", "--json", home=home).json
    assert listed["second"] == "totp"
    assert listed["begun"].endswith("Z")
    assert cookie not in str(listed)
    assert not_confirmed(cli("user", "sessions", "amina", "--end", "--json", home=home))
    assert cli("user", "sessions", "amina", "--end", "--dry-run", "--json", home=home).json["sessions_ended"] == 1
    assert len(cli("user", "sessions", "amina", "--json", home=home).json) == 1
    assert "Sessions of amina that were ended: 1" in cli("user", "sessions", "amina", "--end", "--yes", home=home).out
    with closing(opened(home)) as node:
        assert session_of(node.database, node.world, cookie) is None


def test_a_closed_account_is_out_and_its_handle_stays_taken(cli: Cli, home: Path, no_answer: None) -> None:
    redeem(home, add(cli, home))
    with closing(opened(home)) as node:
        cookie = begin_session(node.database, node.world, "amina")
    assert not_confirmed(cli("user", "disable", "amina", "--json", home=home))
    assert cli("user", "disable", "amina", "--yes", home=home).code == 0
    with closing(opened(home)) as node:
        assert session_of(node.database, node.world, cookie) is None
    assert cli("user", "list", "--json", home=home).json[0]["disabled"]
    assert cli("user", "add", "amina", "--name", "A", "--kind", "member", home=home).code == 1
    for verb in ("disable", "reset"):
        assert cli("user", verb, "amina", "--yes", home=home).code == 1


@pytest.mark.parametrize("verb", ["reset", "disable", "sessions"])
def test_nobody_is_not_found(cli: Cli, home: Path, verb: str) -> None:
    ran = cli("user", verb, "nobody", *(() if verb == "sessions" else ("--yes",)), home=home)
    assert ran.code == 1
    assert "NOT_FOUND" in ran.err


def test_a_trial_adds_nobody_and_shows_no_link(cli: Cli, home: Path) -> None:
    ran = cli("user", "add", "amina", "--name", "A", "--kind", "steward", "--dry-run", "--json", home=home)
    assert (ran.json["handle"], ran.json["dry_run"]) == ("amina", True)
    assert "link" not in ran.json
    assert cli("user", "list", "--json", home=home).json == []


def test_where_the_first_steward_was_closed_or_is_a_member_the_link_is_for_another(cli: Cli, home: Path) -> None:
    with closing(opened(home)) as node:
        assert redeem(home, first_setup_link(node).partition("#")[2]) == "steward"
    assert cli("user", "disable", "steward", "--yes", home=home).code == 0
    assert cli("user", "add", "steward-2", "--name", "A", "--kind", "member", home=home).code == 0
    with closing(opened(home)) as node:
        first = first_setup_link(node)
        assert redeem(home, first_setup_link(node).partition("#")[2]) == "steward-3"
        assert first != first_setup_link(node)
        assert has_steward(node.database)
