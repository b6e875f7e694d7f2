"""Writes the code lists that come from standards: areas, languages, currencies. Run by hand when a standard changes.

Inputs: pycountry (ISO 3166, 639, 4217 as in Debian iso-codes), `territoryContainment.json` of CLDR (npm: cldr-core)
and `registry.json` of the IANA language subtags (npm: language-subtag-registry).

    python tools/make_code_lists.py territoryContainment.json registry.json
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pycountry
from babel import Locale

TARGET = Path(__file__).resolve().parent.parent / "federation" / "records" / "codes"
REGIONS = ("002", "019", "142", "150", "009")
INTERMEDIATE = {"202": ("011", "014", "017", "018"), "419": ("005", "013", "029")}
"""Sub-regions of UN M49 that are divided once more into intermediate regions. 830 (Channel Islands) is left out, as in
CLDR: a cell of two islands would hide nobody."""
OWN_PLACE = {"AQ": "010"}
"""Antarctica is in no region of UN M49; its own code stands as a region."""
ENGLISH = Locale("en").territories


def main() -> None:
    """Writes area.json, language.json and currency.json beside the other lists."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    containment = json.loads(Path(sys.argv[1]).read_text())["supplemental"]["territoryContainment"]
    registry = json.loads(Path(sys.argv[2]).read_text())
    write_areas({code: entry["_contains"] for code, entry in containment.items()})
    write_languages(registry)
    write_currencies()


def write_areas(contains: dict[str, list[str]]) -> None:
    """World, regions, sub-regions, countries (with XK and TW) and first-order subdivisions, each with its parent;
    subdivisions of subdivisions have the level local."""
    rows: list[tuple[str, str, str | None, str]] = [("001", "world", None, "World")]
    parents: dict[str, str] = {}
    for region in REGIONS:
        rows.append((region, "region", "001", ENGLISH[region]))
        rows.extend(region_rows(region, contains, parents))
    rows.append(("010", "region", "001", "Antarctica"))
    names = {country.alpha_2: getattr(country, "common_name", country.name) for country in pycountry.countries}
    names["XK"] = "Kosovo"
    for code in sorted(names):
        parent = OWN_PLACE.get(code) or parents[code]
        rows.append((code, "country", parent, ENGLISH.get(code) or names[code]))
    rows.extend(subdivision_rows())
    write(
        "area",
        {
            "version": f"iso-codes of pycountry {version('pycountry')}",
            "source": "ISO 3166-1 and 3166-2 (Debian iso-codes, by pycountry); containment of UN M49 as in CLDR;"
            f" English names of countries and regions from CLDR (babel {version('babel')}). XK (Kosovo) and TW have no"
            " M49 code and stand in the sub-region where CLDR has them; 830 (Channel Islands) is left out, as in CLDR.",
            "licence": "iso-codes: LGPL-2.1-or-later. CLDR: Unicode-3.0.",
        },
        "areas",
        [json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows],
    )


def region_rows(
    region: str, contains: dict[str, list[str]], parents: dict[str, str]
) -> list[tuple[str, str, str | None, str]]:
    """The rows of all sub-regions of a region; notes the parent of each country in `parents`."""
    rows: list[tuple[str, str, str | None, str]] = []
    grouped = {child: group for group, children in INTERMEDIATE.items() for child in children}
    for group in ("202", "419"):
        if set(INTERMEDIATE[group]) <= set(contains[region]):
            rows.append((group, "m49", region, ENGLISH[group]))
    for child in contains[region]:
        if child == "QO":
            continue
        rows.append((child, "sub_region", grouped.get(child, region), ENGLISH[child]))
        for country in contains[child]:
            parents[country] = child
    return rows


def subdivision_rows() -> list[tuple[str, str, str | None, str]]:
    """ISO 3166-2: first-order ones under their country, the others under theirs as local."""
    rows = []
    for each in sorted(pycountry.subdivisions, key=lambda each: each.code):
        parent = each.parent_code
        while parent is not None and pycountry.subdivisions.get(code=parent).parent_code is not None:
            parent = pycountry.subdivisions.get(code=parent).parent_code
        rows.append((each.code, "subdivision" if parent is None else "local", parent or each.country_code, each.name))
    return sorted(rows, key=lambda row: (row[1] == "local", row[0]))


def write_languages(registry: list[dict[str, Any]]) -> None:
    """Primary subtags with English names, three-letter codes that have a shorter one, and macro-languages."""
    entries = [
        entry
        for entry in registry
        if entry["Type"] == "language"
        and "Deprecated" not in entry
        and entry.get("Scope") not in ("collection", "private-use")
    ]
    names = {entry["Subtag"]: entry["Description"][0] for entry in entries}
    macro = {entry["Subtag"]: entry["Macrolanguage"] for entry in entries if "Macrolanguage" in entry}
    aliases = {}
    for language in pycountry.languages:
        short = getattr(language, "alpha_2", None)
        if short is not None and short in names:
            aliases[language.alpha_3] = short
            aliases[getattr(language, "bibliographic", language.alpha_3)] = short
    body = {
        "version": "IANA language subtag registry of language-subtag-registry 0.4.2",
        "source": "IANA language subtag registry (BCP 47): subtags, first descriptions, macro-languages. Three-letter"
        " aliases from ISO 639-3 (Debian iso-codes, by pycountry).",
        "licence": "IANA registry: public domain (RFC 5646 section 5). iso-codes: LGPL-2.1-or-later.",
    }
    path = TARGET / "language.json"
    lines = ['  "list": "language",'] + [f"  {json.dumps(k)}: {json.dumps(v)}," for k, v in body.items()]
    for key, table in (("macro", macro), ("aliases", aliases), ("names", names)):
        pairs = [f"{json.dumps(k)}:{json.dumps(v, ensure_ascii=False)}" for k, v in sorted(table.items())]
        rows = [",".join(pairs[i : i + 12]) for i in range(0, len(pairs), 12)]
        lines.append(f'  "{key}": {{\n' + ",\n".join(rows) + "\n  }" + ("" if key == "names" else ","))
    path.write_text("{\n" + "\n".join(lines) + "\n}\n")
    print(path.name, len(names), "languages,", len(macro), "in macro-languages,", path.stat().st_size, "bytes")


def write_currencies() -> None:
    """ISO 4217."""
    rows = [
        f"{json.dumps(each.alpha_3)}:{json.dumps(each.name, ensure_ascii=False)}"
        for each in sorted(pycountry.currencies, key=lambda each: each.alpha_3)
        if not (each.alpha_3.startswith("X") and each.alpha_3 not in ("XAF", "XOF", "XPF", "XCD", "XCG"))
    ]
    path = TARGET / "currency.json"
    path.write_text(
        '{\n  "list": "currency",\n  "version": "iso-codes",\n'
        '  "source": "ISO 4217 (Debian iso-codes, by pycountry), without metals, funds and test codes.",\n'
        '  "licence": "iso-codes: LGPL-2.1-or-later.",\n  "names": {\n' + ",\n".join(rows) + "\n  }\n}\n"
    )
    print(path.name, len(rows), "currencies")


def write(name: str, head: dict[str, str], key: str, rows: list[str]) -> None:
    """One list as a file with a row a line."""
    path = TARGET / f"{name}.json"
    lines = [f'  "list": {json.dumps(name)},'] + [
        f"  {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}," for k, v in head.items()
    ]
    path.write_text("{\n" + "\n".join(lines) + f'\n  "{key}": [\n' + ",\n".join(rows) + "\n  ]\n}\n")
    print(path.name, len(rows), "rows,", path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
