"""Makes the text of a foreign directory fit to be published: repaired, and without its provider's name, people, web
addresses, phones, e-mails and addresses. What is removed is given back to the caller, for sealed fields only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from federation.records.lint import CUT_MARK, Finding, findings, without
from federation.records.texts import tidy

PROVIDER = "the provider"
"""What stands in a text in the place of the provider's name."""

Removed = tuple[tuple[str, str], ...]

_MARKER = re.compile(r"#{2,}\s*[A-Z]{2,5}\s*#{2,}")
_PLAIN = re.compile(r"(?:[!-\"$-\[\]-~]| (?! ))*")
_SPACES = re.compile(r"[ \t]+")
_AROUND_BREAKS = re.compile(r" ?\n ?")
_BLANK_LINES = re.compile(r"\n{3,}")
_TRIPLE = re.compile("GÇ(.)|\\+([^\x00-\x7f])")


def repaired(text: str) -> str:
    """The text with literal `\\n` as line breaks, without the markers of a directory's own software, with quotes and
    dashes that were read in a wrong code page put right, and without characters that no text may hold."""
    if _PLAIN.fullmatch(text):
        return text.strip()
    text = text.replace("\\r\\n", "\n").replace("\\n", "\n").replace("\\r", "\n").replace("\\t", " ")
    text = _MARKER.sub(" ", text)
    if not text.isascii():
        text = _TRIPLE.sub(_as_utf8, text).replace("-á", " ").replace("\u00a0", " ")
    text = _SPACES.sub(" ", tidy(text))
    return _BLANK_LINES.sub("\n\n", _AROUND_BREAKS.sub("\n", text)).strip()


def _as_utf8(match: re.Match[str]) -> str:
    """UTF-8 that was shown in code page 437 and then stripped to Latin letters: `GÇÖ` is an apostrophe."""
    lead, tail = (b"\xe2\x80", match.group(1)) if match.group(1) else (b"\xc3", match.group(2))
    try:
        character = (lead + tail.encode("cp437")).decode("utf-8")
    except UnicodeError:
        return match.group()
    return character if match.group(1) or character.isalpha() else match.group()


# --- the provider's name ----------------------------------------------------------------------------------------

_LEGAL = r"(?:inc|incorporated|llc|l\.l\.c|corp|corporation|co|ltd|limited|pa|p\.a|pllc|plc|gmbh|e\.v|asbl|ong|ngo|dba)"
_LEGAL_END = re.compile(rf"[\s,]+{_LEGAL}\.?$", re.IGNORECASE)
_SPLIT = re.compile(
    r"\s*[;/]\s*|,\s+|\bformerly(?:\s+known\s+as)?\b|\bd\.?b\.?a\.?\s|\ba\.?k\.?a\.?\s|\bis an? dba of\b", re.IGNORECASE
)
_IN_PARENTHESES = re.compile(r"\(([^()]{2,120})\)")
_SMALL = frozenset(re.findall(r"\w+", "of the and for in at to a an de la del los las el y et du des le les"))
_NOT_A_NAME = frozenset(
    re.findall(r"\w+", "inc llc corp none na ltd pa esquire the and of service services program programs")
)


@dataclass(frozen=True)
class ProviderNames:
    """The names of one provider, ready to be looked for: `any_case` folds case, `as_written` does not (acronyms)."""

    any_case: re.Pattern[str] | None
    as_written: re.Pattern[str] | None

    def replaced(self, text: str, by: str) -> tuple[str, int]:
        """The text with every name replaced, capitalised where a sentence begins, and how many there were."""
        total = 0
        for pattern in (self.any_case, self.as_written):
            if pattern is not None:
                text, count = pattern.subn(lambda match: _begin(match, by), text)
                total += count
        return text, total


def provider_names(official: str, others: Iterable[str] = ()) -> ProviderNames:
    """Patterns for a provider's official name, other names, the parts of both, and acronyms: those in parentheses,
    and the initials of names of three words or more. Blind to case, punctuation, plural and legal form; short
    acronyms only as they are written."""
    any_case: set[str] = set()
    as_written: set[str] = set()
    for name in (official, *others):
        for variant in _variants(name):
            words = _words(variant)
            if len(words) > 1:
                any_case.add(_pattern(words))
                as_written |= _initials(words)
            elif words and words[0].lower() not in _NOT_A_NAME:
                if name == official and len(words[0]) > 4:
                    any_case.add(_pattern(words))
                else:
                    as_written |= _spellings(words[0])
    return ProviderNames(
        _either(any_case, rf"(?:the\s+)?{{}}(?:,?\s+{_LEGAL}\b\.?)?", re.IGNORECASE),
        _either({re.escape(each) for each in as_written}, "{}s?", re.NOFLAG),
    )


def _variants(name: str) -> set[str]:
    """A name, and the names within it: in parentheses, after a dash or a comma, without its legal form."""
    name = repaired(name)
    inside = _IN_PARENTHESES.findall(name)
    bare = _IN_PARENTHESES.sub(" ", name)
    parts = {bare, *inside, *_SPLIT.split(bare)}
    parts |= {part for each in tuple(parts) if each for part in re.split(r"\s[-–—]\s", each) if len(_words(part)) > 1}  # noqa: RUF001
    found = set()
    for part in parts:
        part = re.sub(r"^the\s+", "", _LEGAL_END.sub("", (part or "").strip(" ,.-\"'")), flags=re.IGNORECASE).strip(
            " ,.-"
        )
        if len(part) > 1:
            found.add(part)
    return found


def _words(name: str) -> list[str]:
    plain = re.sub(r"['’]s\b", "s", name).replace("&", " and ")  # noqa: RUF001
    return re.findall(r"[^\W_]+", plain)


def _pattern(words: Sequence[str]) -> str:
    parts = []
    for word in words:
        lowered = word.lower()
        if lowered == "and":
            parts.append(r"(?:and|&|\+)")
        elif lowered in ("st", "saint"):
            parts.append(r"(?:st|saint)")
        elif len(word) > 3 and word.isalpha():
            parts.append(re.escape(word.removesuffix("s").removesuffix("S")) + r"(?:['’]?s['’]?)?")  # noqa: RUF001
        else:
            parts.append(re.escape(word))
    return r"[\W_]{1,4}".join(parts)


def _initials(words: Sequence[str]) -> set[str]:
    every = "".join(word[0] for word in words).upper()
    large = "".join(word[0] for word in words if word.lower() not in _SMALL).upper()
    return {each for each in (every, large) if len(each) > 2}


def _spellings(word: str) -> set[str]:
    return {word, word.upper()} if len(word) < 5 else {word, word.upper(), word.capitalize()}


def _either(patterns: set[str], shape: str, flags: re.RegexFlag) -> re.Pattern[str] | None:
    if not patterns:
        return None
    longest_first = "|".join(sorted(patterns, key=lambda each: (-len(each), each)))
    return re.compile(r"(?<!\w)" + shape.format(f"(?:{longest_first})") + r"(?!\w)", flags)


_SENTENCE_END = re.compile(r"(?:^|[.!?:*•\n]|\n\s*-)\s*$")


def _begin(match: re.Match[str], by: str) -> str:
    before = match.string[max(0, match.start() - 12) : match.start()]
    return by[:1].upper() + by[1:] if _SENTENCE_END.search(before) else by


_DEFINED = re.compile(
    rf"{PROVIDER}\s*\(\s*(?:also known as |aka |or |the )?[\"“]?([A-Z][A-Za-z0-9&.-]{{1,12}})[\"”]?\s*\)", re.I
)
_TWICE = re.compile(rf"({PROVIDER})(?:\s*(?:\(\s*{PROVIDER}\s*\)|,\s*{PROVIDER}\s*,|\s+{PROVIDER}))+", re.IGNORECASE)


def without_provider(text: str, names: ProviderNames) -> tuple[str, int]:
    """The text with the provider's names replaced by `PROVIDER`, and how many there were. An acronym that the text
    itself gives after the name, `Foo of Bar (FB)`, counts as a name."""
    text, total = names.replaced(text, PROVIDER)
    if not total:
        return text, 0
    defined = {match.group(1) for match in _DEFINED.finditer(text) if match.group(1).lower() != PROVIDER}
    if defined:
        text = _DEFINED.sub(lambda match: match.group()[: len(PROVIDER)], text)
        acronyms = _either({re.escape(each) for each in defined}, "(?:(?:the|The)\\s+)?{}", re.NOFLAG)
        text, count = ProviderNames(None, acronyms).replaced(text, PROVIDER)
        total += count + len(defined)
    return _TWICE.sub(r"\1", text), total


# --- people, web addresses, known values ------------------------------------------------------------------------

_URL = re.compile(
    r"(?<![\w@.-])(?:(?:https?|ftp)\s?:\s?//[^\s<>\"”)\]]+|www\.[^\s<>\"”)\]]+"
    r"|(?:[a-z0-9-]{2,63}\.){1,4}(?:org|com|net|gov|edu|info|biz|int|mil|coop|ngo|foundation|us|uk|ca|fr|ke|ug|mx|co)"
    r"(?![\w@-])(?:/[^\s<>\"”)\]]*)?)",
    re.IGNORECASE,
)
_COMMON_WORDS = (
    r"(?!(?:The|Our|Your|All|Any|Main|Call|Please|For|Must|Can|Toll|Free|Fax|Phone|Tel|Text|Email|Mail|Send|After|Hours?|"
    r"Office|Center|Centre|Department|Program|Programs|Services?|Helpline|Hotline|Line|Intake|Registration|Information|"
    r"Director|Coordinator|Manager|Specialist|Administrative|Community|County|City|State|School|Health|Homeless|National|"
    r"Florida|Miami|Dade|Monroe|Collier|Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday|Summer|Camp|Medical|"
    r"Mental|Legal|Child|Children|Family|Senior|Youth|Customer|Support|Crisis|Emergency|Social|Security|United|Way|Trust|"
    r"Hospital|Clinic|Church|Park|University|College|Board|Agency|Association|Foundation|General|Human|Resources?|Public|"
    r"Outreach|Admissions?|Adult|Education|English|Spanish|Creole|Monitoring|Poison|Control|Veterans?|North|South|East|West)\b)"
)
_PERSON_NAME = rf"{_COMMON_WORDS}[A-ZÀ-Ý][a-zà-ÿ'’-]+(?:\s+[A-Z]\.)?\s+{_COMMON_WORDS}[A-ZÀ-Ý][\w'’-]*[a-zà-ÿ]"  # noqa: RUF001
_PERSON = re.compile(
    r"(?:(?:\b(?:[Cc]ontact(?:ing)?|[Cc]all(?:ing)?|[Ee]-?mail(?:ing)?|[Aa]sk\s+for|[Ss]peak\s+(?:to|with)|[Aa]ttn:?|"
    r"[Aa]ttention:?|[Ss]pecialist|[Dd]irector|[Cc]oordinator|[Cc]o?unselor|[Mm]anager)\s+)"
    rf"|(?<!\w)(?:Dr|Mr|Mrs|Ms|Sr|Sra|Rev|Fr|Pastor|Rabbi|Imam|Mme|M)\.?\s+)(?P<named>{_PERSON_NAME})"
    rf"|(?P<marked>{_PERSON_NAME})(?=\s*[:,(-]?\s*(?:at:?|by\s+\w+|@)?\s*{re.escape(CUT_MARK)})"
)


def redacted(text: str, names: ProviderNames, known: Iterable[tuple[str, str]], *, regions: Sequence[str],
             keep_urls: bool = False) -> tuple[str, Removed, int]:  # fmt: skip
    """The text as it may be published, what was cut out as (kind, value), and how many provider names were replaced.

    `known` are values (kind, value) that the source itself lists as phones, e-mails, people and addresses of this
    record: they are cut wherever they stand. Kinds are those of the lint, and `person` and `url`.
    """
    text = repaired(text)
    found = list(findings(text, regions))
    if not keep_urls:
        found += _new(found, "url", _spans(_URL, text))
    lowered = text.lower() if len(text.lower()) == len(text) else text
    for kind, value in known:
        if len(value) > 4:
            found += _new(found, kind, _occurrences(value.lower(), lowered))
    found.sort(key=lambda finding: finding.start)
    removed = [(finding.kind, text[finding.start : finding.end]) for finding in found]
    text = without(text, found)
    people = [
        Finding("person", *match.span("named" if match.group("named") else "marked"))
        for match in _PERSON.finditer(text)
    ]
    removed += [("person", text[finding.start : finding.end]) for finding in people]
    text, replaced = without_provider(without(text, people), names)
    return text, tuple(removed), replaced


def _spans(pattern: re.Pattern[str], text: str) -> list[tuple[int, int]]:
    spans = []
    for match in pattern.finditer(text):
        end = match.end()
        while end > match.start() and text[end - 1] in ".,;:!?'*":
            end -= 1
        spans.append((match.start(), end))
    return spans


def _occurrences(value: str, text: str) -> Iterator[tuple[int, int]]:
    start = text.find(value)
    while start >= 0:
        yield start, start + len(value)
        start = text.find(value, start + len(value))


def _new(found: Sequence[Finding], kind: str, spans: Iterable[tuple[int, int]]) -> list[Finding]:
    return [
        Finding(kind, start, end)
        for start, end in spans
        if end > start and not any(start < other.end and other.start < end for other in found)
    ]


def says_something(text: str, words: int = 2) -> bool:
    """Whether enough words are left beside the marks of what was cut out."""
    return len(re.findall(r"[^\W\d_]{2,}", text.replace(CUT_MARK, " "))) >= words


def shortened(text: str, longest: int) -> str:
    """The text within a length, cut at a word."""
    if len(text) <= longest:
        return text
    head = text[: longest - 1]
    return (head[: head.rfind(" ")] if " " in head[-80:] else head).rstrip() + "…"
