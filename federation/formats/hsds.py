"""HSDS (Open Referral) listings as home documents of resources and capacity offers. Pure of storage.

An imported directory says nothing of consent: persons, phones, e-mails, addresses and the provider's name must never
reach a field that may leave; what stands of them in free text is cut out."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Any

from federation.errors import BadInput
from federation.formats import hsds_words as words
from federation.formats.hsds_listings import HsdsPackage, Listing, read_package
from federation.formats.hsds_tables import Row
from federation.formats.hsds_told import told_row
from federation.formats.imports import ImportOptions, ImportRow, RowProblem, source_uuid
from federation.formats.redaction import (
    ProviderNames,
    provider_names,
    redacted,
    repaired,
    says_something,
    shortened,
    without_provider,
)
from federation.records.codes import CodeLists, load
from federation.records.kinds import Context
from federation.records.lint import CUT_MARK
from federation.records.registry import RECORD_TYPES

__all__ = ["HsdsPackage", "documents", "read_package"]

NO_CONSENT = (
    "Imported from a directory, which says nothing of consent: people, phones, e-mails and addresses are sealed."
)
_SAYS_NOTHING = frozenset({"", "none", "n/a", "na", "not applicable", "unknown", "none.", "varies", "-"})


def documents(
    package: HsdsPackage, options: ImportOptions, secret: bytes, codes: CodeLists | None = None, origin: str = ""
) -> Iterator[ImportRow | RowProblem]:
    """Every problem of the package, then every listing as a record to take in, or as the problem that it has.

    `secret` is the node's own: ids and relay ids derive from it, so that a second import gives the same documents;
    `origin` its thumbprint, by which it knows its own records.
    """
    codes = codes or load()
    yield from package.problems
    source = options.source or package.source
    names: dict[tuple[str, ...], ProviderNames] = {}
    for listing in package.listings:
        key = (listing.provider, *listing.other_names)
        if key not in names:
            names[key] = provider_names(listing.provider, listing.other_names)
        try:
            if listing.stated:
                yield told_row(listing, options, secret, codes, origin)
            else:
                yield _import_row(_Reading(listing, names[key], options, codes), source, secret)
        except BadInput as error:
            about = f"{error.field}: " if error.field and not error.message.startswith(error.field) else ""
            yield RowProblem(listing.service.file, listing.service.line, f"{about}{error.message}")


@dataclass
class _Reading:
    """One listing being read: what is cut out of its texts and what is not understood gather here."""

    listing: Listing
    names: ProviderNames
    options: ImportOptions
    codes: CodeLists
    removed: list[tuple[str, str]] = field(default_factory=list)
    replaced: int = 0
    originals: dict[str, str] = field(default_factory=dict)
    known: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        self.known = tuple(_known_values(self.listing))

    def text(self, value: str, longest: int) -> str:
        """The value as it may be published, within a length; empty if it says nothing."""
        if value.strip().lower() in _SAYS_NOTHING:
            return ""
        clean, removed, replaced = redacted(
            value, self.names, self.known, regions=self.options.regions, keep_urls=self.options.publish_websites
        )
        self.removed += removed
        self.replaced += replaced
        return shortened(clean, longest)


_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
"""An id of HSDS 3 is unique in the world: its record stays the same whatever file it comes in."""


def _import_row(reading: _Reading, source: str, secret: bytes) -> ImportRow:
    listing, service = reading.listing, reading.listing.service
    source = "" if _UUID.fullmatch(listing.key) else source
    document = _published(reading)
    training = words.topic_of(listing.terms, repaired(service["name"]))
    if training is not None:
        document |= {"topic": training, "access": ["step_free"] if _step_free(listing) else None}
    document |= _private(reading)
    if contact := _contact(listing, reading.removed):
        document["contact"] = contact | {"relay": _relay(secret, source, listing.key)}
    if reading.originals:
        document["originals"] = dict(reading.originals)
    type_key = "resource" if training is None else "capacityOffer"
    document = {name: value for name, value in document.items() if value not in (None, "", [], {})}
    document = RECORD_TYPES[type_key].normalise(document, Context(reading.codes))
    cut = Counter(kind for kind, _ in reading.removed)
    if reading.replaced:
        cut["provider"] = reading.replaced
    return ImportRow(
        id=source_uuid(secret, source, listing.key),
        type_key=type_key,
        document=document,
        file=service.file,
        source_line=service.line,
        cut=MappingProxyType(dict(cut)),
    )


# --- what may be published --------------------------------------------------------------------------------------


def _published(reading: _Reading) -> dict[str, Any]:
    """The fields with open or community steps."""
    listing, service = reading.listing, reading.listing.service
    name, description = repaired(service["name"]), repaired(service["description"])
    kind = words.kind_of(listing.terms, name, description)
    if kind is None:
        reading.originals["kind"] = shortened("; ".join(listing.terms) or name, 500)
        kind = "other"
    eligibility = _eligibility(reading)
    process = reading.text(service["application_process"], 4000)
    tags, unknown = words.language_tags(_languages(listing), reading.codes)
    if unknown:
        reading.originals["languages"] = shortened("; ".join(unknown), 500)
    about = " ; ".join((name, *listing.terms, *listing.target_groups))
    groups = words.groups_of(about, eligibility)
    if _step_free(listing) and "persons_with_disabilities" not in groups:
        groups.append("persons_with_disabilities")
    return {
        "title": _title(reading, kind),
        "summary": _summary(reading),
        "kind": kind,
        "dimensions": words.dimensions_of(kind),
        "eligibility": eligibility,
        "welcomes": groups,
        "reach": words.reach_of(f"{about} ; {description}"),
        "response_hours": _response_hours(service["wait_time"]),
        "round_the_clock": True if words.round_the_clock(name, description, *_hours(listing)) else None,
        "application_channels": words.channels_of(service["application_process"]) if process else [],
        "languages": tags,
        "area": _area(reading),
        "language": reading.options.language,
        "verified_on": _verified_on(service),
        "expectations": process if says_something(process) else reading.options.expectations,
        "front_door": _website(listing) if reading.options.publish_websites else None,
    }


def _title(reading: _Reading, kind: str) -> str:
    """The service's name without its provider's; where nothing else is left, or only the name of a town, a title made
    of the taxonomy or the kind."""
    original = " ".join(repaired(reading.listing.service["name"]).split())
    title, removed, replaced = redacted(original, reading.names, (), regions=reading.options.regions)
    reading.removed += removed
    reading.replaced += replaced
    if removed or replaced:
        title = _EMPTY.sub(" ", _PROVIDER.sub(" ", title).replace(CUT_MARK, " "))
        title = _LOOSE_WORDS.sub("", _LOOSE_SIGNS.sub("", " ".join(title.split())))
    towns = {row["city"].strip().casefold() for row in reading.listing.children["addresses"]}
    if not says_something(title, 1) or len(title) < 4 or title.casefold() in towns:
        made = next((term for term in (_plain_term(reading, each) for each in reading.listing.terms) if term), "")
        title = made or (reading.codes.name("resourceKind", kind) if kind != "other" else "Community service")
    return shortened(title, 300)


_PROVIDER = re.compile(r"the provider(?:['’]s)?", re.IGNORECASE)
_EMPTY = re.compile(r"\(\s*\)")
_LOOSE_SIGNS = re.compile(r"^[\s,;:/&|.-]+|[\s,;:/&|(-]+$")
_LOOSE_WORDS = re.compile(
    r"^(?:of|at|by|and|in|for|the|from)\s+(?=\S+\s)|\s+(?:of|at|by|and|in|for|the|from)$", re.IGNORECASE
)


def _plain_term(reading: _Reading, term: str) -> str:
    clean, replaced = without_provider(" ".join(repaired(term).split()), reading.names)
    return "" if replaced else clean


def _summary(reading: _Reading) -> str:
    service = reading.listing.service
    parts = [reading.text(service["description"], 18_000)]
    fees = reading.text(service["fees_description"] or service["fees"], 800)
    costs = [
        " ".join(
            part for part in (row["option"], row["amount"], row["currency"].upper(), row["amount_description"]) if part
        )
        for row in reading.listing.children["cost_options"]
    ]
    fees = "; ".join(part for part in (fees, *(reading.text(cost, 200) for cost in costs[:5])) if part)
    for label, text in (
        ("Fees", fees),
        ("Interpretation", reading.text(service["interpretation_services"], 400)),
        ("Note", reading.text(service["alert"], 800)),
    ):
        if text:
            parts.append(f"{label}: {text}")
    return shortened("\n\n".join(part for part in parts if part), 20_000)


def _eligibility(reading: _Reading) -> str:
    service = reading.listing.service
    texts = [service["eligibility_description"], service["eligibility"]]
    for row in reading.listing.children["eligibility"]:
        texts.append(row["eligibility"])
        texts.append(_ages(row["minimum_age"], row["maximum_age"]))
    texts.append(_ages(service["minimum_age"], service["maximum_age"]))
    clean = (reading.text(text, 6000) for text in dict.fromkeys(texts) if text)
    return shortened("\n\n".join(text for text in clean if text), 8000)


def _ages(least: str, most: str) -> str:
    if least and most:
        return f"Ages {least} to {most}."
    return f"From the age of {least}." if least else f"Up to the age of {most}." if most else ""


def _languages(listing: Listing) -> list[str]:
    return [row["code"] or row["language"] or row["name"] for row in listing.children["languages"]]


def _hours(listing: Listing) -> list[str]:
    return [row["original_text"] or row["description"] for row in listing.children["schedules"]]


def _step_free(listing: Listing) -> bool:
    said = " ".join(
        f"{row['accessibility']} {row['description']} {row['details']}" for row in listing.children["accessibility"]
    )
    return bool(re.search(r"accessib|wheelchair|ramp|step.?free|elevator|lift", said, re.IGNORECASE))


def _area(reading: _Reading) -> str | None:
    """The one area of all addresses: their subdivision, or the finest area that holds them all."""
    areas = []
    for row in reading.listing.children["addresses"]:
        if row["state_province"].strip() or row["country"].strip():
            area = words.area_of(row["state_province"], row["country"], reading.options.country, reading.codes)
            if area is None:
                reading.originals["area"] = shortened(f"{row['state_province']} {row['country']}".strip(), 200)
            else:
                areas.append(area)
    if not areas:
        return reading.options.country
    chains = [reading.codes.chain(area) for area in dict.fromkeys(areas)]
    return next((code for code in chains[0] if all(code in chain for chain in chains)), None)


def _verified_on(service: Row) -> dict[str, str] | None:
    for column in ("assured_date", "last_modified"):
        day = service[column][:10]
        try:
            if day and date.fromisoformat(day):
                return {"start": day, "end": day}
        except ValueError:
            continue
    return None


_WAIT = re.compile(r"(\d{1,3})\s*(hour|day|week)", re.IGNORECASE)


def _response_hours(wait: str) -> int | None:
    match = _WAIT.search(wait)
    if match is None:
        return None
    hours = int(match.group(1)) * {"hour": 1, "day": 24, "week": 168}[match.group(2).lower()]
    return hours if hours <= 8760 else None


def _website(listing: Listing) -> str | None:
    """The service's or organisation's own plain website."""
    for value in (listing.service["url"], listing.organization["url"], listing.organization["website"]):
        url = value.strip()
        if re.fullmatch(r"(?:https?://)?[\w-]+(?:\.[\w-]+)+(?:/[\w./~%-]*)?", url):
            return url if url.startswith("http") else f"https://{url}"
    return None


# --- what stays at home -----------------------------------------------------------------------------------------


def _known_values(listing: Listing) -> Iterator[tuple[str, str]]:
    """What the source itself lists as phones, e-mails, people and addresses of the listing."""
    for row in listing.children["phones"]:
        yield "phone", row["number"].strip(' "')
    for row in listing.children["contacts"]:
        yield "person", row["name"].strip()
        yield "email", row["email"].strip()
        yield "phone", row["phone_number"].strip()
    for row in listing.children["addresses"]:
        yield "address", row["address_1"].strip()
        yield "person", row["attention"].strip()
    for row in (listing.service, listing.organization):
        yield "email", row["email"].strip()


def _private(reading: _Reading) -> dict[str, Any]:
    """Fields whose exact value never leaves."""
    listing = reading.listing
    provider = shortened(" ".join(repaired(listing.provider).split()), 300)
    site = "\n".join(dict.fromkeys(_address(row) for row in listing.children["addresses"] if _address(row)))
    return {
        "provider": {"name": provider, "kind": words.provider_type(provider)} if provider else None,
        "site": shortened(site, 2000),
        "internal_notes": shortened(_notes(reading), 20_000),
    }


def _address(row: Row) -> str:
    columns = (
        "attention", "address_1", "address_2", "address_3", "address_4", "city", "state_province", "postal_code",
        "country",
    )  # fmt: skip
    return ", ".join(part for part in (" ".join(repaired(row[column]).split()) for column in columns) if part)


def _contact(listing: Listing, removed: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The sealed contact: what the source lists, and in its note all that was cut out of the texts."""
    people, phones, emails = [], [], [listing.service["email"], listing.organization["email"]]
    for row in listing.children["contacts"]:
        people.append(
            ", ".join(part.strip() for part in (row["name"], row["title"], row["department"]) if part.strip())
        )
        emails.append(row["email"])
        phones.append(
            " ".join(part for part in (row["phone_areacode"], row["phone_number"], row["phone_extension"]) if part)
        )
    for row in listing.children["phones"]:
        extension = f" ext. {row['extension']}" if row["extension"].strip() else ""
        phones.append(row["number"].strip(' "') + extension)
    cut: dict[str, list[str]] = {}
    for kind, value in removed:
        cut.setdefault(kind, []).append(" ".join(value.split()))
    note = "\n".join(f"From the text, {kind}: {'; '.join(dict.fromkeys(values))}" for kind, values in cut.items())
    parts = {"person": _lines(people), "email": _lines(emails), "phone": _lines(phones), "note": note}
    return {name: shortened(repaired(value), 2000) for name, value in parts.items() if value}


def _lines(values: Iterable[str]) -> str:
    return "\n".join(dict.fromkeys(value.strip() for value in values if value.strip()))


def _notes(reading: _Reading) -> str:
    """For the network itself: where it comes from, and what has no field of its own."""
    listing, service = reading.listing, reading.listing.service
    lines = [NO_CONSENT, f"Source: {service.file}, id {listing.key}."]
    original = {
        "Name in the source": service["name"],
        "Other names": "; ".join(name for name in listing.other_names if name != listing.provider),
        "Terms": "; ".join((*listing.terms, *listing.target_groups)),
        "Website": service["url"] or listing.organization["url"] or listing.organization["website"],
        "Hours": "; ".join(dict.fromkeys(hours for hours in _hours(listing) if hours)),
        "Accreditations": service["accreditations"],
        "Licences": service["licenses"],
        "Documents": "; ".join(row["document"] for row in listing.children["required_documents"]),
        "Area served": "; ".join(row["name"] or row["service_area"] for row in listing.children["service_areas"]),
        "Funding": "; ".join(row["source"] for row in listing.children["funding"]),
        "Ways there": "; ".join(row["transportation"] for row in listing.locations if row["transportation"]),
    }
    lines += [f"{label}: {repaired(value)}" for label, value in original.items() if value.strip(" ;")]
    lines += [f"Not understood, {name}: {value}" for name, value in reading.originals.items()]
    return "\n".join(lines)


def _relay(secret: bytes, source: str, key: str) -> str:
    """The id under which the node passes messages to this contact; like the record's id, the same at every import."""
    message = b"\0".join((b"import-relay", source.encode(), key.encode()))
    return base64.urlsafe_b64encode(hmac.new(secret, message, hashlib.sha256).digest()[:16]).decode().rstrip("=")
