"""Families of error codes."""

from __future__ import annotations

import pytest

from models.features.error_codes import _RULES, FAMILIES, family

# Alternatives that are plain words, without a condition on what follows.
WORDS = [
    (name, word)
    for name, rule in _RULES
    for word in rule.pattern.split("|")
    if word.isascii() and word.isalpha()
]


@pytest.mark.parametrize(("name", "word"), WORDS)
def test_every_word_of_a_rule_can_match(name: str, word: str) -> None:
    """A word that an earlier rule has too would never be reached."""
    assert FAMILIES[family(word)] == name


@pytest.mark.parametrize(
    ("code", "name"),
    [("SocketOverTemp", "thermal"), ("WebSocketTimeout", "connector"), ("SimFailure", "communication")],
)
def test_the_first_matching_rule_counts(code: str, name: str) -> None:
    assert FAMILIES[family(code)] == name
