"""Makes the text of a foreign directory fit to be published: repaired, and without its provider's name, people, web
addresses, phones, e-mails and addresses. What is removed is given back to the caller, for sealed fields only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from federation.records.lint import CUT_MARK, Finding, findings, without
from federation.records.texts import fold, tidy

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
        text = _TRIPLE.sub(_as_utf8, text).replace("-á", " ").replace("-Ç", "").replace("\u00a0", " ")
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
_LEGAL_NEXT = re.compile(rf",?\s+{_LEGAL}\b\.?", re.IGNORECASE)
_LEGAL_END = re.compile(rf"[\s,]+{_LEGAL}\.?$", re.IGNORECASE)
_SPLIT = re.compile(
    r"\s*[;/]\s*|,\s+|\bformerly(?:\s+known\s+as)?\b|\bd\.?b\.?a\.?\s|\ba\.?k\.?a\.?\s|\bis an? dba of\b", re.IGNORECASE
)
_OF = re.compile(r"\s(?:of|for|in|at|de|del|du)\s", re.IGNORECASE)
_DASH = re.compile(r"\s[-–—]\s")
_IN_PARENTHESES = re.compile(r"\(([^()]{2,120})\)")
_SMALL = frozenset(re.findall(r"\w+", "of the and for in at to a an de la del los las el y et du des le les"))
_NOT_A_NAME = frozenset(
    re.findall(r"\w+", "inc llc corp none na ltd pa esquire the and of service services program programs")
)


@dataclass(frozen=True)
class ProviderNames:
    """The names of one provider, ready to be looked for: `phrases` are names of normal words by their first word,
    longest first; `spellings` are single words and acronyms that count only as they are written; `joined` are names of
    one long word or several, written together, and `heads` how they begin."""

    phrases: Mapping[str, tuple[tuple[str, ...], ...]]
    spellings: frozenset[str]
    joined: frozenset[str] = frozenset()
    heads: frozenset[str] = frozenset()

    def replaced(self, text: str, by: str) -> tuple[str, int]:
        """The text with every name replaced, capitalised where a sentence begins, and how many there were."""
        if not self.phrases and not self.spellings:
            return text, 0
        tokens = [(match.group(), match.start(), match.end()) for match in _TOKEN.finditer(text)]
        parts: list[str] = []
        last = position = total = 0
        while position < len(tokens):
            length = self._length_at(tokens, position)
            if not length:
                position += 1
                continue
            start, end = _widened(text, tokens, position, position + length - 1, last)
            owner = "'s" if tokens[position + length - 1][0].lower().endswith(("'s", "’s")) else ""
            parts += [text[last:start], _begin(text, start, by), owner]
            last, total, position = end, total + 1, position + length
        return ("".join([*parts, text[last:]]), total) if total else (text, 0)

    def _length_at(self, tokens: Sequence[tuple[str, int, int]], position: int) -> int:
        """How many tokens from a position on are a name; 0 if none."""
        word = tokens[position][0]
        normal = _normal(word)
        for phrase in self.phrases.get(normal, ()):
            if _follows(tokens, position, phrase):
                return len(phrase)
        if normal[:3] in self.heads:
            run = ""
            for length, (each, _, _) in enumerate(tokens[position : position + 3], 1):
                run += fold(each)
                if run in self.joined:
                    return length
        bare = word[:-2] if word[-2:-1] in ("'", "’") else word
        return int(bare in self.spellings or (bare[-1:] == "s" and bare[:-1] in self.spellings))


_TOKEN = re.compile(r"[^\W_]+(?:['’]s\b)?|&", re.IGNORECASE)
_OWNER = re.compile(r"['’]s$", re.IGNORECASE)


@lru_cache(maxsize=50_000)
def _normal(word: str) -> str:
    """A word without case, accents, plural and possessive."""
    if word == "&":
        return "and"
    word = fold(_OWNER.sub("", word))
    if word == "saint":
        return "st"
    return word[:-1] if len(word) > 3 and word.endswith("s") else word


def _follows(tokens: Sequence[tuple[str, int, int]], position: int, phrase: Sequence[str]) -> bool:
    if position + len(phrase) > len(tokens):
        return False
    for offset in range(1, len(phrase)):
        word, start, _ = tokens[position + offset]
        if start - tokens[position + offset - 1][2] > 4 or _normal(word) != phrase[offset]:
            return False
    return True


def _widened(text: str, tokens: Sequence[tuple[str, int, int]], first: int, final: int, last: int) -> tuple[int, int]:
    """The span of a name with the article before it and the legal form after it."""
    start, end = tokens[first][1], tokens[final][2]
    if (
        first
        and tokens[first - 1][0].lower() == "the"
        and tokens[first - 1][1] >= last
        and text[tokens[first - 1][2] : start] == " "
    ):
        start = tokens[first - 1][1]
    if final > first and end - tokens[final][1] == 1 and text[end : end + 1] == ".":
        end += 1
    legal = _LEGAL_NEXT.match(text, end)
    return start, legal.end() if legal else end


def provider_names(official: str, others: Iterable[str] = ()) -> ProviderNames:
    """What to look for: a provider's official name, other names, the parts of both, and acronyms: those in
    parentheses, and the initials of names of three words or more. Blind to case, accents, punctuation, plural and
    legal form; acronyms and single words of other names only as they are written or in capitals."""
    phrases: set[tuple[str, ...]] = set()
    spellings: set[str] = set()
    for name in (official, *others):
        for variant in _variants(name):
            words = _TOKEN.findall(variant)
            if all(len(word) == 1 for word in words):
                if len(words) > 1:
                    spellings.add("".join(words))
                    phrases.add(tuple(_normal(word) for word in words))
            elif len(words) > 1:
                phrases.add(tuple(_normal(word) for word in words))
                spellings |= _initials(words)
            elif words[0].lower() not in _NOT_A_NAME:
                if name == official and len(words[0]) > 4:
                    phrases.add((_normal(words[0]),))
                else:
                    spellings |= _spellings(words[0])
    by_first: dict[str, list[tuple[str, ...]]] = {}
    for phrase in sorted(phrases, key=lambda each: (-len(each), each)):
        by_first.setdefault(phrase[0], []).append(phrase)
    joined = frozenset(word for word in map("".join, phrases) if len(word) > 7)
    return ProviderNames(
        {first: tuple(found) for first, found in by_first.items()},
        frozenset(spellings),
        joined,
        frozenset(word[:3] for word in joined),
    )


def _variants(name: str) -> set[str]:
    """A name, and the names within it: in parentheses, beside a dash or comma, before `of`, without its legal form."""
    name = repaired(name)
    inside = _IN_PARENTHESES.findall(name)
    bare = _IN_PARENTHESES.sub(" ", name)
    parts = {bare, *inside, *_SPLIT.split(bare)}
    parts |= {part for each in tuple(parts) for part in _DASH.split(each or "") if len(_TOKEN.findall(part)) > 1}
    parts |= {part for each in tuple(parts) if len(_TOKEN.findall(part := _OF.split(each or "")[0])) > 2}
    found = set()
    for part in parts:
        part = re.sub(r"^the\s+", "", _LEGAL_END.sub("", (part or "").strip(" ,.-\"'")), flags=re.IGNORECASE).strip(
            " ,.-"
        )
        if len(part) > 1:
            found.add(part)
    return found


def _initials(words: Sequence[str]) -> set[str]:
    every = "".join(word[0] for word in words).upper()
    large = "".join(word[0] for word in words if word.lower() not in _SMALL).upper()
    return {each for each in (every, large) if len(each) > 2}


def _spellings(word: str) -> set[str]:
    return {word, word.upper()} if len(word) < 5 else {word, word.upper(), word.capitalize()}


_SENTENCE_END = re.compile(r"(?:^|[.!?:*•\n]|\n\s*-)\s*$")


def _begin(text: str, start: int, by: str) -> str:
    before = text[max(0, start - 12) : start]
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
        text, count = ProviderNames({}, frozenset(defined)).replaced(text, PROVIDER)
        total += count + len(defined)
    return _TWICE.sub(r"\1", text), total


# --- people, web addresses, known values ------------------------------------------------------------------------

_URL = re.compile(
    r"(?<![\w@.-])(?:(?:https?|ftp)\s?:\s?//[^\s<>\"”)\]]+|www\.[^\s<>\"”)\]]+"
    r"|(?:[a-z0-9-]{2,63}\.){1,4}(?:org|com|net|gov|edu|info|biz|int|mil|coop|ngo|foundation|us|uk|ca|fr|ke|ug|mx|co)"
    r"(?![\w@-])(?:/[^\s<>\"”)\]]*)?)",
    re.IGNORECASE,
)
_COMMON_WORDS = re.sub(
    r"\s+",
    "|",
    """The Our Your All Any Main Call Please For Must Can Toll Free Fax Phone Tel Text Email Mail Send After Hours?
    Office Center Centre Department Program Programs Services? Helpline Hotline Line Intake Registration
    Information Director Coordinator Manager Specialist Administrative Community County City State School Health
    Homeless National Florida Miami Dade Monroe Collier Monday Tuesday Wednesday Thursday Friday Saturday Sunday
    Summer Camp Medical Mental Legal Child Children Family Senior Youth Customer Support Crisis Emergency Social
    Security United Way Trust Hospital Clinic Church Park University College Board Agency Association Foundation
    General Human Resources? Public Outreach Admissions? Registry Bureau Regulation Division Library Location
    House Campus Advocate Academy Books Meals Pantry System Link Factory Page Professional Disorder Deficit Duty
    Stoppers Place Sports Relay Referral Theatre Adult Education English Spanish Creole Monitoring Poison Control
    Veterans? North South East West""",
)
_NO_COMMON = rf"(?!(?:{_COMMON_WORDS})\b)"
_PERSON_NAME = (
    rf"{_NO_COMMON}[A-ZÀ-Ý][a-zà-ÿ'’-]+"
    rf"(?:\s+(?:[A-Z]\.|[Dd]el?|[Ll]as?|[Vv][ao]n))*(?:\s+{_NO_COMMON}[A-ZÀ-Ý][\w'’-]*[a-zà-ÿ]){{1,2}}"
)
_PERSON_AFTER_CUE = re.compile(
    r"(?:\b(?:[Cc]ontact(?:ing)?|[Cc]all(?:ing)?|[Ee]-?mail(?:ing)?|[Aa]sk\s+for|[Ss]peak\s+(?:to|with)|[Aa]ttn:?|"
    r"[Aa]ttention:|[Ss]pecialist|[Dd]irector|[Cc]oordinator|[Cc]ounselor|[Mm]anager)\s+"
    rf"|(?<!\w)(?:Dr|Mr|Mrs|Ms|Sr|Sra|Rev|Fr|Pastor|Rabbi|Imam|Mme)\.?\s+)({_PERSON_NAME})"
)
_PERSON_BEFORE_MARK = re.compile(rf"({_PERSON_NAME})(?=\s*[:,(-]?\s*(?:at:?|by\s+\w+|@)?\s*{re.escape(CUT_MARK)})")


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
    people = _new((), "person", (match.span(1) for match in _PERSON_AFTER_CUE.finditer(text)))
    if CUT_MARK in text:
        people += _new(people, "person", (match.span(1) for match in _PERSON_BEFORE_MARK.finditer(text)))
        people.sort(key=lambda finding: finding.start)
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
