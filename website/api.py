"""Pages of docs/api from docstrings: there a list item that is a module's name alone stands for what the module
documents.

The package is read, not imported: building the site takes no torch. Docstrings are Markdown, as the pages are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import griffe
from sphinx.application import Sphinx
from sphinx.util import logging

SOURCES = Path(__file__).parents[1] / "src"
ITEM = re.compile(r"^- `(seediff[\w.]*)`$", re.M)
CLASS, MEMBER = "`" * 8, "`" * 7  # fences: docstrings may hold shorter ones


@cache
def package() -> griffe.Module:
    return griffe.load("seediff", search_paths=[SOURCES], allow_inspection=False)  # pyright: ignore[reportReturnType]


def add_documentation(_app: Sphinx, page: str, source: list[str]) -> None:
    """`source-read` of a page of docs/api. A module that is not there is a warning, which ends a strict build."""

    def documented(found: re.Match[str]) -> str:
        try:
            return "\n".join(module_lines(found[1]))
        except KeyError:
            logging.getLogger(__name__).warning("there is no module %s", found[1], location=page)
            return found[0]

    if page.startswith("docs/api/"):
        source[0] = ITEM.sub(documented, source[0])


def module_lines(name: str) -> Iterator[str]:
    """Markdown of a module: its docstring, then every public function and class that has one."""
    module = package() if name == "seediff" else package()[name.removeprefix("seediff.")]
    yield from (f"## `{name}`", "", "```{py:module} " + name, "```", "", _text(module), "")
    own = [member for member in module.members.values() if not member.is_alias and not member.is_module]
    for member in sorted(own, key=lambda member: member.lineno or 0):
        if not member.is_public or not member.has_docstring:
            continue
        if member.is_class:
            yield from _class(member)
        elif member.is_function:
            yield from _function("function", member)
        elif member.is_attribute:
            yield from _attribute("data", member)
    if names := [
        member for member in module.members.values() if member.is_alias and member.name in (module.exports or ())
    ]:
        yield from _table(names)


def _table(names: list) -> Iterator[str]:
    """Names that a module gives though they are written elsewhere, each with a link and the first sentence there."""
    yield from ("| name | |", "|---|---|")
    for alias in names:
        first = _text(alias.final_target).split("\n\n")[0].replace("\n", " ").replace("|", "\\|")
        yield f"| {{py:obj}}`{alias.name} <{alias.target_path}>` | {first} |"
    yield ""


def _class(member) -> Iterator[str]:
    parameters = "" if _is_protocol(member) else _parameters(member)
    yield from (f"{CLASS}{{py:class}} {member.name}{parameters}", "", _text(member), "")
    for inner in sorted(member.members.values(), key=lambda inner: inner.lineno or 0):
        if inner.is_alias or not inner.is_public or not inner.has_docstring or inner.name == "__init__":
            continue
        if inner.is_function:
            yield from _function("method", inner, self_too=True)
        elif inner.is_attribute:
            yield from _attribute("property" if "property" in inner.labels else "attribute", inner)
    yield from (CLASS, "")


def _is_protocol(member) -> bool:
    return any(str(base).endswith(("Protocol", "Exception", "Error")) for base in member.bases)


def _shown(expression: griffe.Expr | str | None) -> str:
    """An annotation or a default, on one line; the package's own names in full, of which Sphinx shows the last part and
    makes links.
    """
    if expression is None or isinstance(expression, str):
        return expression or ""
    parts = [part if isinstance(part, str) else _name(part) for part in expression.iterate(flat=True)]
    return " ".join("".join(parts).split())


def _name(part) -> str:
    path = getattr(part, "canonical_path", "")
    return path if path.startswith("seediff.") else str(part)


def _function(directive: str, member, *, self_too: bool = False) -> Iterator[str]:
    kinds = {"staticmethod", "classmethod"} & set(member.labels)
    returns = f" -> {_shown(member.returns)}" if member.returns else ""
    options = [f":{kind}:" for kind in sorted(kinds)]
    skipped = 1 if self_too and "staticmethod" not in kinds else 0
    yield f"{MEMBER}{{py:{directive}}} {member.name}{_parameters(member, skipped)}{returns}"
    yield from (*options, "", _text(member), MEMBER, "")


def _parameters(member, skipped: int = 0) -> str:
    """(a: int, *, b: str = "x"), on one line."""
    shown: list[str] = []
    before = None
    for parameter in list(member.parameters)[skipped:]:
        kind = parameter.kind
        if before is griffe.ParameterKind.positional_only and kind is not before:
            shown.append("/")
        if kind is griffe.ParameterKind.keyword_only and before not in (kind, griffe.ParameterKind.var_positional):
            shown.append("*")
        stars = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}.get(kind, "")
        text = stars + parameter.name + (f": {_shown(parameter.annotation)}" if parameter.annotation else "")
        if parameter.default is not None and not stars:
            text += f" = {parameter.default}" if parameter.annotation else f"={parameter.default}"
        shown.append(text)
        before = kind
    return "(" + ", ".join(shown).replace("\n", " ") + ")"


def _attribute(directive: str, member) -> Iterator[str]:
    yield f"{MEMBER}{{py:{directive}}} {member.name}"
    if member.annotation:
        yield f":type: {_shown(member.annotation)}"
    value = "" if member.value is None else str(member.value)
    if value and len(value) <= 80 and "\n" not in value:
        yield f":value: {value}"
    yield from ("", _text(member), MEMBER, "")


def _text(member) -> str:
    return member.docstring.value if member.docstring else ""
