"""Provenance: what an origin signs, what a hub may drop, and what a receiver refuses."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from functools import cache

import pytest

from federation.keys import SigningKey, generate_key
from federation.peers import origins
from federation.peers import provenance as pv
from federation.peers.provenance import ProvenanceInvalid, SignedTerms, Version
from federation.peers.provenance_packed import pack, store, unpack, unstore
from federation.peers.provenance_text import to_texts, verify_text
from federation.peers.verified import VerifiedSignatures
from federation.policies.tiers import Tier
from federation.storage.items import signer

NOW = 1_800_000_000
SECRET = b"s" * 32
VALUES = {
    "title.exact": {"text": "Emergency grants", "tr": {"fr": "Aide d'urgence"}},
    "kind.exact": ["emergency_grant"],
    "languages.exact": ["swh", "fra"],
    "languages.macro": ["sw", "fr"],
    "round_the_clock.exact": True,
    "response_hours.exact": 48,
    "area.sub_region": ["014", "002"],
    "amount.band": {"minimum": "1000", "maximum": "5000", "currency": "EUR", "precision": "BAND"},
}

COMMUNITY = {"languages.exact", "amount.band", "horizon.year"}


@cache
def key(name: str = "river") -> SigningKey:
    return replace(generate_key(), deterministic=True)


def terms(body: bytes = b'{"hops":2,"relay":true}', names: tuple[str, ...] = ()) -> SignedTerms:
    names = names or tuple(sorted([*VALUES, "summary.exact", "horizon.year"]))
    tiers = tuple(Tier.COMMUNITY if name in COMMUNITY else Tier.OPEN for name in names)
    return SignedTerms(body, names, tiers, {name: i for i, name in enumerate(names)})


def version(**changes) -> Version:
    base = Version(key().thumbprint, "resource", bytes(range(16)), (3, 5), 0, terms())
    return base._replace(**changes)


def issued(values=None, **changes) -> pv.Provenance:
    return pv.issue(version(**changes), VALUES if values is None else values, key().signature, SECRET, pv.expiry(NOW))


def arrive(packed: str, values=None, now: int = NOW, by: SigningKey | None = None, **changes) -> pv.Provenance:
    got = unpack(packed, VALUES if values is None else values, changes.get("terms", terms()))
    pv.verify(got, version(**changes), (by or key()).public, now)
    return got


def test_a_whole_version_arrives_and_verifies():
    assert arrive(pack(issued())) == issued()


def test_the_same_version_gives_the_same_bytes_again():
    assert pack(issued()) == pack(issued())


def test_an_unchanged_value_keeps_its_digest_when_another_changes():
    before, after = issued(), issued({**VALUES, "response_hours.exact": 72}, revisions=(4, 5))
    changed = {d.place for d in before.disclosed} - {
        d.place for d in before.disclosed for e in after.disclosed if d == e
    }
    assert changed == {terms().index["response_hours.exact"]}
    assert [each.withheld for each in before.credentials] == [each.withheld for each in after.credentials]


def test_two_records_with_one_value_share_no_salt():
    salts = {d.salt for d in issued().disclosed} & {d.salt for d in issued(id=b"x" * 16).disclosed}
    assert not salts


def test_decoys_hide_how_many_fields_there_are():
    some, more = dict(list(VALUES.items())[:6]), dict(list(VALUES.items())[:7])
    counts = [[len(each.digests) for each in p.credentials] for p in (issued(some), issued(more))]
    assert counts[0] == counts[1]
    assert all(count % pv.PADDED_TO == 0 for count in counts[0])
    assert all(each.withheld for each in issued().credentials)


def test_a_hub_drops_a_finer_step_and_the_rest_still_verifies():
    kept = {name: value for name, value in VALUES.items() if name not in ("languages.exact", "amount.band")}
    packed = pack(pv.restrict(issued(), kept, terms()))
    got = arrive(packed, kept)
    assert len(got.disclosed) == len(kept)
    again = dict(list(kept.items())[:2])
    assert arrive(pack(pv.restrict(unstore(store(got)), again, terms())), again)


def test_what_is_dropped_is_not_in_the_bytes():
    kept = {"title.exact": VALUES["title.exact"]}
    raw = pv.unb64(pack(pv.restrict(issued(), kept, terms())))
    for disclosure in issued().disclosed:
        if terms().names[disclosure.place] not in kept:
            assert disclosure.salt not in raw


def test_who_gets_the_open_steps_alone_gets_no_trace_of_the_others():
    kept = {name: value for name, value in VALUES.items() if name not in COMMUNITY}
    changed = issued({**VALUES, "languages.exact": ["ara"]}, revisions=(3, 6))
    alone = [pack(pv.restrict(each, kept, terms())) for each in (issued(), changed, issued(kept))]
    assert alone[0] == alone[1] == alone[2]
    assert arrive(alone[0], kept, revisions=(3, 0)).tiers == {Tier.OPEN}


def test_under_a_higher_handling_all_is_signed_at_its_tier():
    got = arrive(pack(issued(handling=1)), handling=1)
    assert got.tiers == {Tier.COMMUNITY}


def test_a_step_signed_at_another_tier_is_refused():
    others = replace(terms(), tiers=tuple(Tier.OPEN for _ in terms().names))
    forged = issued(terms=others)
    with pytest.raises(ProvenanceInvalid):
        arrive(pack(forged))


def test_a_record_for_named_partners_is_never_signed():
    with pytest.raises(ProvenanceInvalid):
        issued(handling=2)


def test_a_partner_step_is_never_signed():
    with pytest.raises(ProvenanceInvalid):
        issued({**VALUES, "area.country": ["KE", "014", "002"]})


def test_a_value_changed_on_the_way_is_refused():
    with pytest.raises(ProvenanceInvalid):
        arrive(pack(issued()), {**VALUES, "response_hours.exact": 1})


@pytest.mark.parametrize(
    "change",
    [
        {"type": "practice"},
        {"id": b"y" * 16},
        {"revisions": (4, 5)},
        {"revisions": (3, 4)},
        {"handling": 1},
        {"terms": terms(b'{"hops":9,"relay":true}')},
        {"origin": "x" * 43},
    ],
)
def test_another_type_id_revision_handling_terms_or_origin_is_refused(change):
    with pytest.raises(ProvenanceInvalid):
        arrive(pack(issued()), **change)


def test_another_origins_key_is_refused():
    with pytest.raises(ProvenanceInvalid):
        arrive(pack(issued()), by=key("hub"))


def test_a_value_without_a_disclosure_is_refused():
    with pytest.raises(ProvenanceInvalid):
        arrive(pack(issued()), {**VALUES, "summary.exact": "smuggled"})


def test_a_disclosure_without_its_value_is_refused():
    less = dict(list(VALUES.items())[1:])
    with pytest.raises(ProvenanceInvalid):
        arrive(pack(issued()), less)


def test_a_disclosure_that_stands_twice_is_refused():
    first, *others = issued().credentials
    twice = replace(first, disclosed=(*first.disclosed, first.disclosed[0]))
    with pytest.raises(ProvenanceInvalid):
        arrive(pack(replace(issued(), credentials=(twice, *others))))


@pytest.mark.parametrize("cut", [0, 1, 7, 40, -1])
def test_a_cut_signature_is_refused(cut):
    raw = pv.unb64(pack(issued()))
    with pytest.raises(ProvenanceInvalid):
        arrive(pv.b64(raw[:cut]))


@pytest.mark.parametrize("text", ["!!", "é", "AB=C", "A"])
def test_what_is_not_base64url_is_refused(text):
    with pytest.raises(ProvenanceInvalid):
        unpack(text, VALUES, terms())


def test_a_signature_ends_and_its_end_tells_no_day():
    assert pv.expiry(NOW) == pv.expiry(NOW + pv.PERIOD_SECONDS - NOW % pv.PERIOD_SECONDS - 1)
    assert 60 * 86_400 < pv.expiry(NOW) - NOW <= 90 * 86_400
    with pytest.raises(ProvenanceInvalid):
        arrive(pack(issued()), now=pv.expiry(NOW))


def test_a_signature_for_ever_is_refused():
    endless = pv.issue(version(), VALUES, key().signature, SECRET, NOW * 2)
    with pytest.raises(ProvenanceInvalid):
        arrive(pack(endless))


def test_verified_signatures_are_not_verified_twice_but_still_end():
    known, author = VerifiedSignatures(size=1), origins.origin_of("river", key().public_jwk)
    packed = pack(issued())
    known.check(packed, VALUES, version(), author, NOW)
    known.check(packed, VALUES, version(), author, NOW)
    with pytest.raises(ProvenanceInvalid):
        known.check(packed, {**VALUES, "response_hours.exact": 1}, version(), author, NOW)
    with pytest.raises(ProvenanceInvalid):
        known.check(packed, VALUES, version(), author, pv.expiry(NOW))


def test_only_values_that_the_signature_covers_are_provable():
    held = {**VALUES, "response_hours.exact": 1, "summary.exact": "own addition"}
    expected = {name: value for name, value in VALUES.items() if name != "response_hours.exact"}
    assert pv.provable(issued(), held, terms()) == expected


def test_signed_values_leave_out_nulls_and_partner_steps():
    nested = {"title": {"exact": "T"}, "area": {"country": ["KE"], "sub_region": None}}
    assert pv.signed_values(nested, terms()) == {"title.exact": "T"}


def test_the_text_form_reads_back():
    found = [verify_text(text, key().public, NOW) for text in to_texts(issued(), version(), VALUES)]
    assert [(payload["tier"], payload["rev"]) for payload, _ in found] == [("open", [3]), ("community", [3, 5])]
    assert [set(values) & COMMUNITY for _, values in found] == [set(), COMMUNITY & set(VALUES)]
    assert found[0][1] | found[1][1] == VALUES
    for payload, _ in found:
        assert (payload["iss"], payload["vct"]) == (key().thumbprint, "resource")
        assert (payload["handling"], payload["terms"]) == (0, {"hops": 2, "relay": True})


def test_the_text_form_reads_with_an_independent_library():
    from jwcrypto.jwk import JWK
    from sd_jwt.verifier import SDJWTVerifier

    shown = dict(list(VALUES.items())[:4])
    texts = to_texts(pv.restrict(issued(), shown, terms()), version(), shown)
    public = json.dumps(key().public_jwk)
    claims: dict[str, object] = {}
    for text in texts:
        claims |= SDJWTVerifier(text, lambda issuer, header: JWK.from_json(public)).get_verified_payload()
    assert len(texts) == 2
    assert {name: claims[name] for name in shown} == shown
    assert not set(VALUES) - set(shown) & set(claims)


def test_an_unsigned_or_repeated_disclosure_in_the_text_form_is_refused():
    text, _ = to_texts(issued(), version(), VALUES)
    extra = pv.disclosure_text(b"z" * 16, "summary.exact", b'"smuggled"').decode()
    with pytest.raises(ProvenanceInvalid):
        verify_text(f"{text}{extra}~", key().public, NOW)
    with pytest.raises(ProvenanceInvalid):
        verify_text(f"{text}{text.split('~')[1]}~", key().public, NOW)


@pytest.mark.parametrize("text", ["", "a.b.c", "a.b.c~", "e30.e30.e30~", "~~~"])
def test_a_text_that_is_no_sd_jwt_is_refused(text):
    with pytest.raises(ProvenanceInvalid):
        verify_text(text, key().public, NOW)


def test_a_key_handed_over_speaks_for_its_origin():
    first, second, third = key(), key("second"), key("third")
    one = origins.hand_over(first.thumbprint, first.signature, second.public_jwk)
    two = origins.hand_over(first.thumbprint, second.signature, third.public_jwk)
    origin = origins.origin_of("river", first.public_jwk, [one, two])
    assert origin.thumbprint == first.thumbprint
    assert origin.key.thumbprint == third.thumbprint
    assert origins.from_item(origins.to_item(origin)).key.thumbprint == third.thumbprint
    older = origins.origin_of("river", first.public_jwk, [one])
    assert origins.newer(older, origin) is origin
    assert origins.newer(origin, older) is origin


def test_a_replaced_key_counts_for_what_it_could_have_signed_before_and_no_other():
    first, second = key(), key("second")
    said = origins.hand_over(first.thumbprint, first.signature, second.public_jwk, pv.expiry(NOW))
    author, known = origins.origin_of("river", first.public_jwk, [said]), VerifiedSignatures()
    kept = known.check(pack(issued()), VALUES, version(), author, NOW)
    assert (signer(kept), unstore(kept)) == (0, issued())
    anew = pv.issue(version(), VALUES, second.signature, SECRET, pv.expiry(NOW))
    kept = known.check(pack(anew), VALUES, version(), author, NOW)
    assert (signer(kept), unstore(kept)) == (1, anew)
    later = pv.expiry(NOW) + pv.PERIOD_SECONDS
    stolen = pv.issue(version(), VALUES, first.signature, SECRET, later)
    with pytest.raises(ProvenanceInvalid):
        known.check(pack(stolen), VALUES, version(), author, NOW + pv.PERIOD_SECONDS)
    leaked = origins.origin_of(
        "river", first.public_jwk, [origins.hand_over(first.thumbprint, first.signature, second.public_jwk, 0)]
    )
    with pytest.raises(ProvenanceInvalid):
        VerifiedSignatures().check(pack(issued()), VALUES, version(), leaked, NOW)


def test_a_bad_signature_is_tried_with_few_keys_however_long_the_line_is():
    line = [key(), *(key(f"k{n}") for n in range(8))]
    said = [
        origins.hand_over(key().thumbprint, old.signature, new.public_jwk, pv.expiry(NOW))
        for old, new in itertools.pairwise(line)
    ]
    author = origins.origin_of("river", key().public_jwk, said)
    assert [each.number for each in author.signers(pv.expiry(NOW))] == [8, 7, 6, 5]


@pytest.mark.parametrize("until", [-1, 2**40, "1", None, True, 1.5])
def test_a_hand_over_that_does_not_say_up_to_when_the_old_key_counts_is_refused(until):
    said = origins.hand_over(key().thumbprint, key().signature, key("second").public_jwk, until)
    with pytest.raises(ProvenanceInvalid):
        origins.origin_of("river", key().public_jwk, [said])


def test_a_line_that_leads_back_to_a_replaced_key_or_is_too_long_is_refused():
    first, second = key(), key("second")
    there = origins.hand_over(first.thumbprint, first.signature, second.public_jwk)
    back = origins.hand_over(first.thumbprint, second.signature, first.public_jwk)
    with pytest.raises(ProvenanceInvalid):
        origins.origin_of("river", first.public_jwk, [there, back])
    with pytest.raises(ProvenanceInvalid):
        origins.origin_of("river", first.public_jwk, [there] * 33)


def test_a_hand_over_by_anybody_else_is_refused():
    first, thief = key(), key("thief")
    forged = origins.hand_over(first.thumbprint, thief.signature, thief.public_jwk)
    with pytest.raises(ProvenanceInvalid):
        origins.origin_of("river", first.public_jwk, [forged])
    other = origins.hand_over("x" * 43, first.signature, thief.public_jwk)
    with pytest.raises(ProvenanceInvalid):
        origins.origin_of("river", first.public_jwk, [other])


def test_hand_overs_that_fork_are_refused():
    first = key()
    forks = [
        origins.origin_of(
            "river",
            first.public_jwk,
            [origins.hand_over(first.thumbprint, first.signature, key(name).public_jwk)],
        )
        for name in ("second", "third")
    ]
    with pytest.raises(origins.Forked):
        origins.newer(*forks)


def test_a_private_key_on_an_origin_line_is_refused():
    with pytest.raises(ProvenanceInvalid):
        origins.from_item({"jwk": key().jwk, "name": "river"})


HOSTILE_NAMES = [
    ("\x1b]0;PWNED\x07\x1b[2Jriver", "]0;PWNED2Jriver".replace("]", "")),
    ("river\x9b31m", "river31m"),
    ("\u202erevir\u202c \u2067west\u2069", "revir west"),
    ("ri\u200bver\u061c\u200f\ufeff\u2060", "river"),
    ("river\r\nfake-row\u2028west", "river fake-row west"),
    ("[link=https://evil.example]river[/link]", "link=https://evil.exampleriver/link"),
    ("--help", "help"),
    ("\ud800\ue000\U000e0041river", "river"),
    ("Réseau\u00a0du Fleuve", "Réseau du Fleuve"),
    ("شبکه رود", "شبکه رود"),
    ("r" * 200, "r" * 80),
]


@pytest.mark.parametrize(("name", "shown"), HOSTILE_NAMES)
def test_the_name_on_an_origin_line_is_cleaned(name, shown):
    item = {"jwk": key().public_jwk, "name": name}
    origin = origins.from_item(item)
    assert origin.name == shown
    assert origins.from_item(origins.to_item(origin)).name == shown
    assert origins.stored(name, json.dumps(dict(origin.jwk)), None).name == shown


@pytest.mark.parametrize("name", ["", " \t", "\u202e", "[]", "---", "\x1b"])
def test_an_origin_without_a_name_to_show_goes_by_its_thumbprint(name):
    origin = origins.from_item({"jwk": key().public_jwk, "name": name})
    assert origin.name == origin.thumbprint[:8]
