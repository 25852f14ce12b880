"""Names made comparable, and found again when they are written otherwise.

A name is transliterated to ASCII, lower-cased and cut into words, so that case, accents, scripts, punctuation,
invisible characters and the order of the words make no difference. Similarity is counted in thousandths of whole edits,
so that every machine comes to the same number.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from anyascii import anyascii
from rapidfuzz import process
from rapidfuzz.distance import Indel

THOUSAND: Final = 1_000
_WORD: Final = re.compile(r"[a-z0-9]+", re.ASCII)
NAME_CHARACTERS_MAX: Final = 500
"""A longer name is compared with nothing: whoever asks has to have a person look at it."""

_WORD_NEAR: Final = 0.7
"""Words less alike than this are different words; the exact count follows in thousandths."""
_REMEMBERED: Final = 20_000
"""Names whose answers are kept for as long as these lists are in force."""
_LONE_WORD_LETTERS: Final = 5
"""A listed name of one word counts inside a longer name from this length on: `Ali` is in too many names."""


def words(name: str) -> tuple[str, ...]:
    """The words of a name in ASCII and lower case, in their order. None for a name of signs alone."""
    visible = "".join(" " if c.isspace() else c for c in name if c.isspace() or unicodedata.category(c)[0] != "C")
    decomposed = unicodedata.normalize("NFKD", visible)
    plain = anyascii("".join(c for c in decomposed if unicodedata.category(c) != "Mn")).lower()
    return tuple(_WORD.findall(plain.replace("'", "").replace("`", "")))


def is_comparable(name: str) -> bool:
    """Whether anything can be said about a name: it has a letter or a digit, and no more than 500 characters."""
    return len(name) <= NAME_CHARACTERS_MAX and bool(words(name))


def _joined(parts: tuple[str, ...]) -> tuple[str, ...]:
    """All letters of a name, with the words sorted and in the given order, which torn words need."""
    return tuple({"".join(sorted(parts)), "".join(parts)})


def identifier(text: str) -> str:
    """An account or BIC without spaces, dashes and case."""
    return "".join(c for c in unicodedata.normalize("NFKC", text) if c.isalnum()).upper()


def similarity(one: str, other: str) -> int:
    """How alike two texts are, in thousandths: 1,000 is the same. Insertions and deletions over both lengths."""
    total = len(one) + len(other)
    return THOUSAND if total == 0 else THOUSAND - -(-THOUSAND * int(Indel.distance(one, other)) // total)


@dataclass(frozen=True, slots=True)
class Hit:
    """A listed name that a name resembles. Fields: entry_id; similarity (thousandths)."""

    entry_id: str
    similarity: int


class NameIndex:
    """Listed names, to be asked which of them a name resembles. Built once for each version of the rules."""

    def __init__(self, names: Iterable[tuple[str, str]] = ()) -> None:
        """`names`: (id of the entry, one of its names)."""
        self._entries: list[tuple[str, tuple[str, ...]]] = []
        self._by_joined: dict[str, list[int]] = defaultdict(list)
        self._by_word: dict[str, set[int]] = defaultdict(set)
        for entry_id, name in names:
            parts = words(name)
            if not parts:
                continue
            number = len(self._entries)
            self._entries.append((entry_id, parts))
            for joined in _joined(parts):
                self._by_joined[joined].append(number)
            for part in parts:
                self._by_word[part].add(number)
        self._joined = list(self._by_joined)
        self._words = list(self._by_word)
        # Against 20,000 names a search takes 20 ms, and a bank's customers come again.
        self._search = lru_cache(maxsize=_REMEMBERED)(self._look)

    def __len__(self) -> int:
        return len(self._entries)

    def search(self, name: str, at_least: int) -> tuple[Hit, ...]:
        """Entries with a name that is at least so similar, in thousandths; the most similar first, each once."""
        parts = words(name)
        return self._search(parts, at_least) if parts else ()

    def _look(self, parts: tuple[str, ...], at_least: int) -> tuple[Hit, ...]:
        scores: dict[str, int] = {}
        for number, score in (*self._whole(parts, at_least), *self._inside(parts)):
            if score >= at_least:
                entry_id = self._entries[number][0]
                scores[entry_id] = max(score, scores.get(entry_id, 0))
        return tuple(Hit(entry_id, score) for entry_id, score in sorted(scores.items(), key=lambda i: (-i[1], i[0])))

    def _whole(self, parts: tuple[str, ...], at_least: int) -> list[tuple[int, int]]:
        """Similarity to whole names, also where the words were put together or torn apart."""
        found: dict[str, int] = {}
        cutoff = max(0.0, at_least / THOUSAND - 0.01)  # the exact count follows in thousandths
        for asked in _joined(parts):
            for listed, _, _ in process.extract(
                asked, self._joined, scorer=Indel.normalized_similarity, score_cutoff=cutoff, limit=None
            ):
                found[listed] = max(found.get(listed, 0), similarity(asked, listed))
        return [(number, score) for listed, score in found.items() for number in self._by_joined[listed]]

    def _inside(self, parts: tuple[str, ...]) -> list[tuple[int, int]]:
        """How much of a listed name is found among the words, a middle name or a title more making no difference."""
        best: dict[str, int] = {}
        for part in set(parts):
            near = process.extract(
                part, self._words, scorer=Indel.normalized_similarity, score_cutoff=_WORD_NEAR, limit=None
            )
            for listed, _, _ in near:
                best[listed] = max(best.get(listed, 0), similarity(part, listed))
        touched = {number for listed in best for number in self._by_word[listed]}
        found = []
        for number in sorted(touched):
            listed_words = self._entries[number][1]
            if len(listed_words) == 1 and len(listed_words[0]) < _LONE_WORD_LETTERS:
                continue
            letters = sum(len(word) for word in listed_words)
            found.append((number, sum(best.get(word, 0) * len(word) for word in listed_words) // letters))
        return found
