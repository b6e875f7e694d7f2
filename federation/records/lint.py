"""Finds in free text what should not be published by accident: phone numbers, e-mail addresses, bank accounts,
coordinates and street addresses. Pure; it must never log or keep what it finds, and it never decides: the intake
asks for confirmation, the importers cut."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import phonenumbers

KINDS = ("email", "iban", "coordinates", "address", "phone")
"""Kinds of findings, in the order in which they win where two overlap."""

CUT_MARK = "[…]"
"""What stands in a text where something was cut out; the same in every language."""

DEFAULT_REGIONS = ("US", "GB", "FR", "KE", "UG", "MX", "CO")
"""ISO 3166 codes whose national ways of writing a number are known without a country prefix."""


@dataclass(frozen=True)
class Finding:
    """One place in a text: `text[start:end]` is of the kind."""

    kind: str
    start: int
    end: int


def findings(text: str, regions: Sequence[str] = DEFAULT_REGIONS) -> tuple[Finding, ...]:
    """What in the text identifies or locates somebody, in order of place, without overlaps.

    Kinds are `KINDS`. `regions` (ISO 3166) are the countries whose national phone formats are looked for; numbers
    with a country prefix are found from anywhere. Years, ages, hours and amounts of money are not findings.
    """
    found: list[Finding] = []
    for kind, search in _SEARCHES:
        for start, end in search(text):
            if end > start and not any(start < other.end and other.start < end for other in found):
                found.append(Finding(kind, start, end))
    if _MANY_DIGITS.search(text):
        for start, end in _national_phones(text, regions):
            if not any(start < other.end and other.start < end for other in found):
                found.append(Finding("phone", start, end))
    return tuple(sorted(found, key=lambda finding: finding.start))


def cut(text: str, regions: Sequence[str] = DEFAULT_REGIONS) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The text without its findings, and what was removed as (kind, value) in order.

    Where something stood there is `CUT_MARK`; nothing else of the text changes, but for brackets and spaces
    around the marks.
    """
    found = findings(text, regions)
    return without(text, found), tuple((finding.kind, text[finding.start : finding.end]) for finding in found)


def without(text: str, found: Sequence[Finding]) -> str:
    """The text with `CUT_MARK` at each finding (in order of place, not overlapping), marks in a row made one."""
    if not found:
        return text
    parts: list[str] = []
    last = 0
    for finding in found:
        parts += [text[last : finding.start], CUT_MARK]
        last = finding.end
    joined = "".join([*parts, text[last:]])
    joined = re.sub(rf"\(\s*{_MARK}\s*\)", CUT_MARK, joined)
    return re.sub(rf"{_MARK}(?:[\s,;:/|()-]*{_MARK})+", CUT_MARK, joined)


_MARK = re.escape(CUT_MARK)

# --- e-mail -----------------------------------------------------------------------------------------------------

_NAME = r"[^\s@<>()\[\]{},;:\"“”]{1,64}"
_EMAIL = re.compile(rf"{_NAME}@(?=[^\W\d_]|\d+[\w-]*\.){_NAME}(?<=\w)|{_NAME} ?@ ?(?=\w)[\w-]+(?: ?\.[\w-]+)+")
_DOT = r"\s*(?:\(dot\)|\[dot\]|\{dot\}|\bdot\b|\(punto\)|\[punto\]|\bpunto\b|\(point\)|\[point\])\s*"
_AT = r"(?:\(at\)|\[at\]|\{at\}|\(a\)|\(arroba\)|\[arroba\]|\(arobase\)|\[arobase\])"
_EMAIL_BRACKETED = re.compile(rf"[\w.+%-]{{1,64}}\s*{_AT}\s*[\w-]+(?:(?:{_DOT}|\.)[\w-]+)+", re.IGNORECASE)
_EMAIL_SPOKEN = re.compile(rf"[\w.+%-]{{1,64}}\s+(?:at|arroba|arobase)\s+[\w-]+(?:{_DOT}[\w-]+)+", re.IGNORECASE)


def _emails(text: str) -> Iterator[tuple[int, int]]:
    if "@" in text:
        for match in _EMAIL.finditer(text):
            yield match.span()
    lowered = text.lower()
    if any(sign in lowered for sign in ("(at)", "[at]", "{at}", "(a)", "arroba", "arobase")):
        for match in _EMAIL_BRACKETED.finditer(text):
            yield match.span()
    if " dot " in lowered or " punto " in lowered or "dot)" in lowered or "dot]" in lowered:
        for match in _EMAIL_SPOKEN.finditer(text):
            yield match.span()


# --- bank accounts (ISO 13616) ----------------------------------------------------------------------------------

_IBAN_LENGTHS = {
    country: int(length)
    for country, length in re.findall(
        r"([A-Z]{2}):(\d\d)",
        "AD:24 AE:23 AL:28 AT:20 AZ:28 BA:20 BE:16 BG:22 BH:22 BI:27 BR:29 BY:28 CH:21 CR:22 CY:28 CZ:24 DE:22 "
        "DJ:27 DK:18 DO:28 EE:20 EG:29 ES:24 FI:18 FK:18 FO:18 FR:27 GB:22 GE:22 GI:23 GL:18 GR:27 GT:28 HN:28 "
        "HR:21 HU:28 IE:22 IL:23 IQ:23 IS:26 IT:27 JO:30 KW:30 KZ:20 LB:28 LC:32 LI:21 LT:20 LU:20 LV:21 LY:25 "
        "MC:27 MD:24 ME:22 MK:19 MN:20 MR:27 MT:31 MU:30 NI:28 NL:18 NO:15 OM:23 PK:24 PL:28 PS:29 PT:25 QA:29 "
        "RO:24 RS:22 RU:33 SA:24 SC:31 SD:18 SE:24 SI:19 SK:24 SM:27 SO:23 ST:25 SV:28 TL:23 TN:24 TR:26 UA:29 "
        "VA:22 VG:24 XK:20 YE:30 "
        "BF:28 BJ:28 CF:27 CG:27 CI:28 CM:27 CV:25 DZ:26 GA:27 GQ:27 GW:25 IR:26 KM:27 MA:28 MG:27 ML:28 MZ:25 "
        "NE:28 SN:28 TD:27 TG:28",
    )
}
_IBAN_START = re.compile(r"(?<![A-Za-z0-9])([A-Za-z]{2})[ -]?\d{2}(?=[ -]?[A-Za-z0-9]{2})")


def _ibans(text: str) -> Iterator[tuple[int, int]]:
    for match in _IBAN_START.finditer(text):
        length = _IBAN_LENGTHS.get(match.group(1).upper())
        end = _end_of_characters(text, match.start(), length) if length else None
        if end is not None and _mod97(re.sub(r"[ -]", "", text[match.start() : end])):
            yield match.start(), end


def _end_of_characters(text: str, start: int, wanted: int) -> int | None:
    """Where `wanted` letters and digits, with single spaces or hyphens between, end; None if they do not."""
    position, seen, gap = start, 0, False
    while position < len(text) and seen < wanted:
        character = text[position]
        if character.isascii() and character.isalnum():
            seen, gap = seen + 1, False
        elif character in " -" and not gap:
            gap = True
        else:
            return None
        position += 1
    if seen < wanted or (position < len(text) and text[position].isalnum()):
        return None
    return position


def _mod97(account: str) -> bool:
    turned = account[4:] + account[:4]
    return int("".join(str(int(character, 36)) for character in turned)) % 97 == 1


# --- coordinates ------------------------------------------------------------------------------------------------

_DECIMAL_PAIR = re.compile(
    r"(?<![\d.,])([-+]?\d{1,2}\.\d{4,})\s*°?\s*[NSns]?\s*(?:[,;/|]|\s)\s*(?:lon(?:g(?:itude)?)?\s*[:=]?\s*)?"
    r"([-+]?\d{1,3}\.\d{4,})(?:\s*°)?(?:\s*[EWOewo]\b)?(?![\d.])"
)
_DEGREES_PAIR = re.compile(
    r"(?<![\d.,])[-+]?\d{1,2}(?:\.\d+)?\s*°\s*[NS]?\s*[,;/ ]\s*[-+]?\d{1,3}(?:\.\d+)?\s*°\s*[EWO]?", re.IGNORECASE
)
_HEMISPHERE_PAIR = re.compile(
    r"(?<![\w.])(?:[NS]\s?\d{1,2}\.\d{2,}[,;/ ]+[EWO]\s?\d{1,3}\.\d{2,}"
    r"|\d{1,2}\.\d{2,}\s?[NS][,;/ ]+\d{1,3}\.\d{2,}\s?[EWO])(?!\w)"
)
_PART = r"\d{1,3}\s*[°º˚]\s*\d{1,2}(?:[.,]\d+)?\s*['′’]\s*(?:\d{1,2}(?:[.,]\d+)?\s*(?:[\"″”]|''|′′)\s*)?"
_SEXAGESIMAL = re.compile(rf"(?<!\d)(?:[NSEWO]\s?)?{_PART}[NSEWO]?(?:[\s,;/]*(?:[NSEWO]\s?)?{_PART}[NSEWO]?)?(?!\w)")
_PLUS_CODE = re.compile(r"(?<!\w)[23456789CFGHJMPQRVWX]{8}\+[23456789CFGHJMPQRVWX]{2,3}(?!\w)")


def _coordinates(text: str) -> Iterator[tuple[int, int]]:
    if "." in text:
        for match in _DECIMAL_PAIR.finditer(text):
            if abs(float(match.group(1))) <= 90 and abs(float(match.group(2))) <= 180:
                yield match.span()
        for match in _HEMISPHERE_PAIR.finditer(text):
            yield match.span()
    if "°" in text or "º" in text or "˚" in text:
        for pattern in (_DEGREES_PAIR, _SEXAGESIMAL):
            for match in pattern.finditer(text):
                yield match.span()
    if "+" in text:
        for match in _PLUS_CODE.finditer(text):
            yield match.span()


# --- street addresses -------------------------------------------------------------------------------------------

_SUFFIX = (
    r"(?:street|str|st|avenue|aven|ave|av|boulevard|blvd|road|rd|drive|dr|lane|ln|court|ct|terrace|ter|terr|place|pl|"
    r"parkway|pkwy|highway|hwy|causeway|cswy|circle|cir|square|sq|trail|trl|way|turnpike|expressway|expy|plaza|alley|"
    r"crescent|close|mews|loop|pike|row)"
)
_TOWARDS = r"(?:north|south|east|west|northeast|northwest|southeast|southwest|[ns]\.?\s?[ew]\.?|[nsew]\.?)"
_WORD = r"(?:[A-Z][\w.’'-]*|\d+(?:st|nd|rd|th|ST|ND|RD|TH)?|(?:of|de|la|del|the|los|las))"
_UNIT = (
    r"(?:,?\s*\d{1,2}(?:st|nd|rd|th)\s+floor"
    r"|,?\s*(?:suite|ste|unit|apt|apartment|room|rm|floor|fl|bldg|building|#)\.?\s*#?\s*[\w-]{1,6})"
)
_CITY = r"(?:[\s,]+(?:[A-Z][A-Za-z.'-]+\s?){1,4},?\s+[A-Z]{2}\.?,?\s*\d{5}(?:-\d{4})?)"
_STREET = re.compile(
    rf"(?<![\w$€£.:/-])\d{{1,6}}(?:-\d{{1,4}})?[A-Za-z]?[ \t]+(?:(?i:{_TOWARDS})\s+)?"
    rf"(?:{_WORD}\s+){{1,4}}?(?i:{_SUFFIX})\b\.?(?:\s+(?i:{_TOWARDS})(?!\w))?(?i:{_UNIT})?{_CITY}?"
)
_FRENCH = re.compile(
    r"(?<![\w$€£.:/-])\d{1,4}(?:\s?(?:bis|ter))?,?\s+"
    r"(?:(?:rue|avenue|boulevard|bd|chemin|impasse|all[ée]e|quai|route)|place(?=\s+(?:de|du|des|d.)\b))"
    r"\s+(?:(?:de|du|des|la|le|les|l’|l'|d’|d')\s?)*[A-ZÀ-Ý][\w’'-]*(?:\s+(?:de|du|des|la|le|[A-ZÀ-Ý][\w’'-]*)){0,4}"
    r"(?:,?\s+\d{5}\s+[A-ZÀ-Ý][\w-]+)?"
)
_SPANISH_WAY = (
    r"(?i:calle|avenida|avda?\.?|av\.?|carrera|cra\.?|kra\.?|cl\.?|diagonal|transversal|jir[oó]n|jr\.|paseo|calzada|"
    r"callej[oó]n|pasaje|blvr?d?\.|bulevar|camino|rua|plaza|plazoleta)"
)
_DOOR = r"(?:(?:#|(?i:n[oº°]\.?|n[uú]m(?:ero)?\.?))\s*\d{1,5}(?:\s?[-–]\s?\d{1,4})?[A-Za-z]?)"
_SPANISH = re.compile(
    rf"(?<!\w){_SPANISH_WAY}\s+(?:\d+[A-Za-z]?\s*{_DOOR}"
    rf"|(?:(?:de|del|la|las|los|el|y)\s+)*[A-ZÀ-Ý][\wÀ-ÿ.’'-]*(?:\s+(?:de|del|la|las|los|el|y|[A-ZÀ-Ý][\wÀ-ÿ.’'-]*)){{0,5}}"
    rf",?\s+(?:{_DOOR}|\d{{1,5}}[A-Za-z]?)(?!\w|:\d))"
)
_BOX = re.compile(
    r"(?<!\w)(?:p\.?\s?o\.?\s*box|post(?:al)?\s+(?:office\s+)?box|apartado(?:\s+(?:postal|a[ée]reo))?|casilla(?:\s+postal)?|"
    r"b\.\s?p\.|bo[iî]te\s+postale|caixa\s+postal|s\.l\.p\.)\s*(?:n[oº°]?\.?\s*|#\s*|:\s*)?\d[\d-]{0,11}"
    rf"(?-i:{_CITY})?",
    re.IGNORECASE,
)
_DIGIT = re.compile(r"\d")
_NOT_A_STREET = re.compile(
    r"\s(?:hours?|days?|weeks?|months?|years?|minutes?|people|persons|students|beds|steps?)\s"
    r"|(?:supreme|circuit|district|county|family|drug|high|appeals?|civil|juvenile|municipal)\s+courts?$",
    re.IGNORECASE,
)


def _addresses(text: str) -> Iterator[tuple[int, int]]:
    if not _DIGIT.search(text):
        return
    for match in _STREET.finditer(text):
        if not _NOT_A_STREET.search(match.group()):
            yield match.span()
    for pattern in (_BOX, _FRENCH, _SPANISH):
        for match in pattern.finditer(text):
            yield match.span()


# --- phone numbers ----------------------------------------------------------------------------------------------

_EXTENSION = (
    r"(?:\s*\((?:ext(?:ension)?\.?|x)\s*[*#]?\d{1,6}\)"
    r"|\s*[,;]?\s*(?:ext(?:ension)?s?\.?|x|poste|int\.?|option|opt\.?)\s*[*#]?\d{1,6}"
    r"(?:\s*(?:,|or|and|/|&|y|o|ou)\s*(?:ext\.?\s*|x)?[*#]?\d{2,6}(?![\w-]))*)?"
)
_NORTH_AMERICA = re.compile(
    r"(?<![\d.,$€£-])(?:\+?1\s?[-. ]?\s?)?(?:\(\s?[2-9]\d{2}\s?\)|[2-9]\d{2})\s?[-–—./ ]?\s?"
    rf"\d{{3}}\s?[-–—. ]\s?\d{{4}}(?![\d]){_EXTENSION}",
    re.IGNORECASE,
)
_TRUNK_ZERO = re.compile(
    rf"(?<![\w.,$€£/=&#+-])(?:\(0[1-9]\d{{0,3}}\)|0[1-9])(?:[\s.\-/]?\d){{7,9}}(?![\d,]){_EXTENSION}", re.I
)
_WITHOUT_GAPS = re.compile(rf"(?<![\w.,$€£/=&#-])1?[2-9]\d{{2}}[2-9]\d{{6}}(?![\d,]|\.\d){_EXTENSION}", re.IGNORECASE)
_FROM_ABROAD = re.compile(
    rf"(?<![\w.])(?:\+|00)\s?[1-9](?:[\s().\-/]{{0,3}}\d){{6,14}}(?!\d){_EXTENSION}", re.IGNORECASE
)
_AREA = r"(?:\([2-9]\d{2}\)|[2-9]\d{2})"
_TOLL_FREE = r"(?:1[-. ]\s?)?(?:\(8(?:00|22|33|44|55|66|77|88)\)|8(?:00|22|33|44|55|66|77|88))"
_VANITY = re.compile(
    rf"(?<![\w.])(?:{_TOLL_FREE}\s?[-. ]\s?(?=[A-Z0-9 -]{{0,7}}[A-Z]{{3}})"
    r"[A-Z0-9]+(?:(?:\s?-\s?| )(?:[A-Z]+|\d{1,4})\b){0,3}"
    rf"|(?:1[-. ])?{_AREA}[-. ]\s?\d{{3}}\s?[-. ]\s?[A-Z]{{4}}\b"
    rf"|(?:1[-. ])?{_AREA}[-. ](?:[A-Z]{{3}}[-. ][A-Z0-9]{{4}}|[A-Z]{{4}}[-. ][A-Z]{{3}}|\d[A-Z]{{6}})\b"
    r")(?:\s*\((?:\d{4,7}|\d{3}-\d{4})\))?"
)
_LOCAL = re.compile(rf"(?<![\w.,$€£/=&#%-])[2-9]\d{{2}}[-.]\d{{4}}(?![\w%]|[-.,/]\d|\s?%){_EXTENSION}", re.IGNORECASE)
_SHORT = r"(?:[2-8]-?1-?1|988|\d{5,6}|\d{3}-\d{3})(?![\w-]|[.,:]\d)"
_SHORT_CODE = re.compile(
    rf"\b(?:(?:call|dial|phone|ring|texting|text)\s+(?:(?:or|and)\s+(?:text|chat|call)\s+)?(?:us\s+)?(?:at\s+|on\s+|to\s+)?"
    rf"|(?:text|sms|send)\b[^.!?\d]{{1,60}}?\bto\s+)(?P<code>{_SHORT})",
    re.IGNORECASE,
)
_CALLING = re.compile(r"call|phone|tel|fax|dial|number|hotline|ring|sms|text|contact|at:?\s*$", re.IGNORECASE)
_MANY_DIGITS = re.compile(r"\d(?:[\s().\-/]{0,3}\d){6,14}")
_DATE_OR_YEARS = re.compile(
    r"(?:19|20)\d\d\s?[-–/]\s?(?:19|20)?\d\d(?!\d)|\d{4}[-/.]\d\d?[-/.]\d\d?(?!\d)|\d\d?[-/.]\d\d?[-/.](?:19|20)?\d\d(?!\d)"
)


def _phones(text: str) -> Iterator[tuple[int, int]]:
    if not _DIGIT.search(text):
        return
    for pattern in (_FROM_ABROAD, _NORTH_AMERICA, _VANITY, _WITHOUT_GAPS, _TRUNK_ZERO):
        for match in pattern.finditer(text):
            yield match.span()
    for match in _LOCAL.finditer(text):
        round_range = match.group()[:8].endswith("00")
        if not round_range or _CALLING.search(text, max(0, match.start() - 40), match.start()):
            yield match.span()
    for match in _SHORT_CODE.finditer(text):
        yield match.span("code")


def _national_phones(text: str, regions: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Numbers in the national formats of the regions. phonenumbers is slow: it sees only runs of many digits."""
    for run in _MANY_DIGITS.finditer(text):
        if _DATE_OR_YEARS.match(text, run.start()) or _is_amount(text, run.start(), run.end()):
            continue
        start = max(0, run.start() - 3)
        window = text[start : run.end() + 12]
        for region in regions:
            match = next(iter(phonenumbers.PhoneNumberMatcher(window, region, leniency=_LENIENCY, max_tries=3)), None)
            if match is not None:
                yield start + match.start, start + match.end
                break


_LENIENCY = phonenumbers.Leniency.STRICT_GROUPING
_MONEY_BEFORE = re.compile(r"(?:[$€£¥₦]|\b(?:USD|EUR|GBP|KES|KSh|UGX|TZS|XOF|XAF|CFA|FCFA|COP|MXN|Rs|CHF)\.?)\s?$")
_MONEY_AFTER = re.compile(
    r"\s?(?:[$€£¥₦%]|(?:USD|EUR|GBP|KES|KSh|UGX|TZS|XOF|XAF|CFA|FCFA|COP|MXN|Rs|CHF|francs?|euros?|dollars?|pesos?|shillings?)\b)"
)


def _is_amount(text: str, start: int, end: int) -> bool:
    return bool(_MONEY_BEFORE.search(text, max(0, start - 6), start) or _MONEY_AFTER.match(text, end))


_SEARCHES: tuple[tuple[str, Callable[[str], Iterator[tuple[int, int]]]], ...] = (
    ("email", _emails),
    ("iban", _ibans),
    ("coordinates", _coordinates),
    ("address", _addresses),
    ("phone", _phones),
)
