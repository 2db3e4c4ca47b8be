"""Names and docstrings are in the field's words: no private glossary, every public function explained."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
NOT_PRODUCT: Final = re.compile(r"(tests|typings|bench/rivals|clients/python/tests|clients/python/examples)/")
# datamodel-codegen writes it from /openapi.json.
GENERATED: Final = "clients/python/src/evzone_ml_client/schemas.py"
# Names that this project once used for things that have a usual name.
OURS: Final = frozenset(
    re.findall(
        r"\w+",
        """
        gate places entry entries ask answer gist door window flight board depart mark line news tell to_tell
        inbox pace along seal pulse turned say hindrance work round bury book opinion calm leash front past
        tally words held_out lessons known_and_strange watched watch begun gone late
        """,
    )
)
# Names that are not ours to choose: file -> names.
GIVEN: Final = {
    GENERATED: {"Window", "window"},
    "web/openapi/model_schemas.py": {"window"},  # a query parameter
    "web/downloads/result_files.py": {"tell"},  # of io.RawIOBase
    # A field of the file beside the results of a batch.
    "clients/python/src/evzone_ml_client/command/memory.py": {"work"},
}
MOST_WORDS: Final = 30
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
DEFINITIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@cache
def tracked() -> frozenset[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True)
    return frozenset(listed.stdout.splitlines())


def product_files() -> list[str]:
    return sorted(name for name in tracked() if name.endswith(".py") and not NOT_PRODUCT.match(name))


def names_in(tree: ast.AST) -> Iterator[str]:
    """Classes, functions, and attributes of classes, instances and modules."""
    for node in ast.walk(tree):
        if isinstance(node, DEFINITIONS):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        if isinstance(node, ast.Module | ast.ClassDef):
            for statement in node.body:
                targets = statement.targets if isinstance(statement, ast.Assign) else []
                if isinstance(statement, ast.AnnAssign):
                    targets = [statement.target]
                yield from (target.id for target in targets if isinstance(target, ast.Name))


def public(tree: ast.AST) -> Iterator[Definition]:
    """Public functions, classes, and methods of these; not those within functions, and no overloads."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, DEFINITIONS) and not node.name.startswith("_"):
            if not any(isinstance(each, ast.Name) and each.id == "overload" for each in node.decorator_list):
                yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node)


def sentences(docstring: str) -> Iterator[str]:
    """Of prose; the lines of a table, which have columns, stand alone."""
    for paragraph in re.split(r"\n\s*\n|\n(?=\s*[-*|] )|:\n", docstring):
        table = re.search(r"\S {2,}\S", paragraph)
        yield from re.split(r"\n" if table else r"(?<=[.!?])\s+", paragraph.strip())


def docstrings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, (*DEFINITIONS, ast.Module)) and (text := ast.get_docstring(node)):
            yield getattr(node, "lineno", 1), text


def source(name: str) -> str:
    return (ROOT / name).read_text()


@cache
def parsed(name: str) -> ast.Module:
    return ast.parse(source(name))


def test_nothing_is_named_by_a_word_of_ours() -> None:
    found = {
        f"{name}: {given}"
        for name in product_files()
        for given in (*names_in(parsed(name)), Path(name).stem)
        if given.strip("_").lower() in OURS and given not in GIVEN.get(name, ())
    }
    assert sorted(found) == []


def test_each_public_function_has_a_docstring() -> None:
    found = [
        f"{name}:{each.lineno} {each.name}"
        for name in product_files()
        for each in public(parsed(name))
        if name != GENERATED and not ast.get_docstring(each)
    ]
    assert found == []


def test_no_sentence_of_a_docstring_is_longer_than_thirty_words() -> None:
    found = [
        f"{name}:{line} {sentence}"
        for name in product_files()
        for line, text in docstrings(parsed(name))
        for sentence in sentences(text)
        if len(sentence.split()) > MOST_WORDS
    ]
    assert found == []


FILE_NAME: Final = re.compile(r"(?<![\w./-])((?:[\w-]+/)*[\w-]+\.(?:py|md|sh|toml|svg))(?![\w/])")
# Folders of what the commands make.
MADE: Final = ("build/", "var/")


def test_each_file_that_is_mentioned_is_there() -> None:
    ends = {"/".join(Path(each).parts[at:]) for each in tracked() for at in range(len(Path(each).parts))}
    missing = {
        f"{name}: {mention}"
        for name in product_files()
        for text in (*(text for _, text in docstrings(parsed(name))), *re.findall(r"#.*", source(name)))
        for mention in FILE_NAME.findall(text)
        if mention not in ends and not mention.startswith(MADE)
    }
    assert sorted(missing) == []


def test_the_rules_find_what_they_look_for() -> None:
    tree = ast.parse("class Gate:\n    door: int\n    def bury(self):\n        self._pulse = 1\nnews = 1\n")
    assert set(names_in(tree)) >= {"Gate", "door", "bury", "_pulse", "news"}
    assert [each.name for each in public(tree)] == ["Gate", "bury"]
    long_one = "One. " + "word " * MOST_WORDS + "end. Two."
    assert max(len(each.split()) for each in sentences(long_one)) == MOST_WORDS + 1
    assert FILE_NAME.findall("see nowhere/absent.py and DESIGN.md.") == ["nowhere/absent.py", "DESIGN.md"]
