"""openid-client (npm) as a dashboard: registration by invitation, pushed request, consent, code, refresh."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from acceptance.commands import done

from conformance.conftest import SCOPES, Tried
from conformance.programs import ran

BACK = "https://board.example/back"
PASSWORD = "five plain words for amina"
VIEWER = "{ viewer { kind scopes } }"


@pytest.fixture(scope="package")
def account(node: Tried) -> dict[str, str]:
    """A steward who has set a password by the link that the operator was given."""
    made = done(node.served.home, "user", "add", "amina", "--name", "Amina", "--kind", "steward")
    form = {"code": made["link"].partition("#")[2], "password": PASSWORD, "again": PASSWORD}
    headers = {"origin": node.url, "sec-fetch-site": "same-origin"}
    with httpx2.Client(trust_env=False, timeout=60) as browser:
        assert browser.post(f"{node.url}/console/setup", data=form, headers=headers).status_code == 200
    return {"handle": "amina", "password": PASSWORD}


@pytest.fixture(scope="package", params=[True, False], ids=["public", "confidential"])
def told(request: pytest.FixtureRequest, node: Tried, account: dict[str, str]) -> Any:
    """What the dashboard was told."""
    words = ["client", "invite", "Board", "--scopes", ",".join(SCOPES), "--redirect-uri", BACK]
    words += ["--public"] if request.param else []
    one, two = (done(node.served.home, *words)["initial_access_token"] for _ in range(2))
    given: dict[str, Any] = {
        "url": node.url,
        "scopes": SCOPES,
        "redirect_uri": BACK,
        "query": VIEWER,
        "account": account,
    }
    given |= {"public": request.param, "invitation": one, "second_invitation": two}
    return given | ran("code_flow.mjs", **given)


def test_a_program_registers_once_by_its_invitation(told: Any) -> None:
    assert told["registered"]["client_id"].startswith("client-")
    assert set(told["registered"]["scope"].split()) == set(SCOPES)
    assert told["again"]["status"] == 401
    assert sorted(told["registered_at_once"]) == [201, *[401] * 19]


def test_the_person_is_told_who_asks_for_what_and_where_it_leads(told: Any) -> None:
    assert told["pushed"] == ["client_id", "request_uri"]
    for words in ("Board", "amina", "https://board.example", "what any network in agreement with this one may read"):
        assert words in told["page"], words


def test_the_program_gets_what_was_allowed_and_no_more(told: Any, node: Tried) -> None:
    assert (told["issuer"], told["back"]) == (node.url, BACK)
    assert told["granted"] == {"scope": " ".join(sorted(SCOPES)), "type": "dpop", "refresh": True}
    for answer in (told["answer"], told["answer_after"]):
        viewer = answer["data"]["viewer"]
        assert (viewer["kind"], set(viewer["scopes"])) == ("CLIENT", set(SCOPES))
    assert told["refreshed"] == {"scope": " ".join(sorted(SCOPES)), "rotated": told["public"]}


def test_a_refresh_token_is_used_once_by_a_public_client_and_reuse_ends_everything(told: Any) -> None:
    if told["public"]:
        assert told["refreshed_with_another_key"]["error"] == "invalid_grant"
        assert told["reused"]["error"] == told["after_reuse"]["error"] == "invalid_grant"
        assert told["token_after_reuse"]["status"] == 401
    else:
        assert "reused" not in told


def test_what_goes_wrong_on_the_way_is_told_in_the_words_of_oauth(told: Any) -> None:
    assert told["denied"]["error"] == "access_denied"
    assert told["another_verifier"]["error"] == "invalid_grant"
    assert "error" in told["mixed_up"]
    assert told["replayed"]["error"] == "invalid_grant"
    assert told["token_after_replay"]["status"] == 401
    assert told["plain"]["error"] == told["elsewhere"]["error"] == "invalid_request"
    assert told["not_pushed"]["status"] == 400
    assert told["forged_form"] in (400, 403)
    assert told["introspected_by_nobody"]["status"] == 401
    assert told["introspected_by_nobody"]["body"]["error"] == "invalid_client"
