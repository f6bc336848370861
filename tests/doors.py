"""Every way in, found in the code: which views and commands lead to something that gives somebody rights.

An edge is a mention, not a call alone: a function handed over, or kept in a table, counts as used. So this finds rather
too many ways than too few. What is called on an object is not followed; nothing here is issued by a method.
"""

import ast
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flask import Flask

import authsvc

PACKAGE = Path(authsvc.__file__).parent
SECRET = "authsvc.core.crypto.random_token"  # the one source of what a browser or program holds
EXECUTORS = "authsvc.access.stepup.EXECUTORS"  # what a step-up carries out, by its action
CARRIES_OUT = "authsvc.access.stepup.carries_out"


@dataclass
class Module:
    """One module: what it defines, and what its names stand for."""

    name: str
    imports: dict[str, str] = field(default_factory=dict)
    nodes: dict[str, list[ast.stmt]] = field(default_factory=dict)


class Mentions:
    """Who mentions whom among functions, classes and names of the package."""

    def __init__(self, sources: dict[str, str]) -> None:
        """`sources`: the text of each module by its dotted name."""
        self.modules = {name: _read(name, text) for name, text in sources.items()}
        self.of: dict[str, set[str]] = {}
        self.rows: dict[str, set[str]] = defaultdict(set)  # row classes that a function makes rows of
        self.decorators: dict[str, set[str]] = {}
        for module in self.modules.values():
            for name, statements in module.nodes.items():
                self._note(module, f"{module.name}.{name}", statements)
        self.of[f"{EXECUTORS}[]"] = {name for name, marks in self.decorators.items() if CARRIES_OUT in marks}

    def _note(self, module: Module, name: str, statements: list[ast.stmt]) -> None:
        marks = [mark for one in statements for mark in getattr(one, "decorator_list", ())]
        within = [part for mark in marks for part in ast.walk(mark)]
        passed_over = set(map(id, within))
        self.decorators[name] = set(self._names(module, within))
        body = [part for one in statements for part in ast.walk(one) if id(part) not in passed_over]
        self.of[name] = set(self._names(module, body))
        for part in body:
            match part:
                case ast.Call(func=ast.Name(id="insert"), args=[made, *_]) | ast.Call(func=made):
                    self.rows[name] |= set(self._names(module, [made]))
                case ast.Subscript(value=table, ctx=ast.Load()) if EXECUTORS in self._names(module, [table]):
                    self.of[name].add(f"{EXECUTORS}[]")

    def _names(self, module: Module, parts: Iterable[ast.AST]) -> Iterator[str]:
        """What these pieces of code are names of, in the package, each by where it is defined."""
        for dotted in filter(None, map(_dotted, parts)):
            first, _, rest = dotted.partition(".")
            start = f"{module.name}.{first}" if first in module.nodes else module.imports.get(first, "")
            if start:
                yield self._resolve(f"{start}.{rest}" if rest else start)

    def _resolve(self, dotted: str) -> str:
        """Past cover pages to where a name is defined."""
        head, _, tail = dotted.rpartition(".")
        module = self.modules.get(head)
        if dotted in self.modules or module is None or tail in module.nodes or tail not in module.imports:
            return dotted
        return self._resolve(module.imports[tail])

    def reaching(self, ends: set[str]) -> dict[str, set[str]]:
        """Every name that leads to some of these, with those."""
        back: dict[str, set[str]] = defaultdict(set)
        for name, mentioned in self.of.items():
            for other in mentioned:
                back[other].add(name)
        found: dict[str, set[str]] = defaultdict(set)
        for end in ends:
            waiting, seen = [end], {end}
            while waiting:
                for name in back[waiting.pop()] - seen:
                    seen.add(name)
                    waiting.append(name)
            for name in seen:
                found[name].add(end)
        return found

    def makers(self, rows: set[str]) -> set[str]:
        """Functions that make a secret, or a row of one of these classes (by dotted name)."""
        return {name for name, seen in self.of.items() if SECRET in seen or self.rows.get(name, set()) & rows}

    def unmentioned(self) -> set[str]:
        """Names that nobody else mentions."""
        return set(self.of) - set().union(*(mentioned - {name} for name, mentioned in self.of.items()))


def _dotted(part: ast.AST) -> str:
    match part:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr) if _dotted(value):
            return f"{_dotted(value)}.{attr}"
    return ""


def _read(name: str, text: str) -> Module:
    module = Module(name)
    for one in ast.walk(ast.parse(text)):
        match one:
            case ast.ImportFrom(module=str() as source, names=names):
                module.imports |= {alias.asname or alias.name: f"{source}.{alias.name}" for alias in names}
            case ast.Import(names=names):
                module.imports |= {alias.asname or alias.name: alias.asname or alias.name for alias in names}
    for statement in ast.parse(text).body:
        match statement:
            case ast.FunctionDef(name=defined) | ast.ClassDef(name=defined):
                module.nodes.setdefault(defined, []).append(statement)
            case ast.Assign(targets=targets):
                for target in targets:
                    if isinstance(target, ast.Name):
                        module.nodes.setdefault(target.id, []).append(statement)
            case ast.AnnAssign(target=ast.Name(id=defined)):
                module.nodes.setdefault(defined, []).append(statement)
    return module


def sources() -> dict[str, str]:
    """The text of every module of the package by its dotted name, but for migrations."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        if "migrations" not in parts:
            found[".".join(parts).removesuffix(".__init__")] = path.read_text("utf-8")
    return found


def name_of(view: Callable[..., Any]) -> str:
    """The dotted name of the function below a view's decorators."""
    while hasattr(view, "__wrapped__"):
        view = view.__wrapped__
    return f"{view.__module__}.{view.__qualname__}"


def ways_in(app: Flask, mentions: Mentions, ends: set[str]) -> dict[str, set[str]]:
    """What each endpoint, command and task leads to, of these ends; those that lead to none are left out."""
    views = {name_of(view): endpoint for endpoint, view in app.view_functions.items()}
    outside = mentions.unmentioned() | views.keys()  # where a call can come from outside
    outside |= {name for name, marks in mentions.decorators.items() if any(m.endswith(".command") for m in marks)}
    return {views.get(name, name): found for name, found in mentions.reaching(ends).items() if name in outside}
