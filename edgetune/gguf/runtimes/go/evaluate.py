"""Runs the part of Go's text/template that `emit` writes, so that a template can be tried on a machine without Go.

Texts are bytes here, as `slice` and `len` count in Go. The source of what each construct means: Go's text/template documentation.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_ACTION = re.compile(r"\{\{(- )?\s*((?:/\*.*?\*/|\"(?:[^\"\\]|\\.)*\"|[^\"}]|\}(?!\}))*?)\s*( -)?\}\}", re.S)
_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|:=|[=(),]|\$?(?:\.?[A-Za-z_]\w*)+|\$|\.|\d+)')
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|(.))")


class GoError(Exception):
    """The template fails as it does in Go; the message is the missing template's name where one is called."""


def unquote(literal: str) -> bytes:
    """A string of Go as bytes."""
    plain = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}

    def character(match: re.Match[str]) -> str:
        code = match[1] or match[2] or match[3]
        return chr(int(code, 16)) if code else plain[match[4]]

    return _ESCAPE.sub(character, literal[1:-1]).encode()


@dataclass
class Node:
    """A part of a template: kind "text", "print", "set", "if", "range", "template"."""

    kind: str
    value: Any
    body: list["Node"] = field(default_factory=list)
    other: list["Node"] = field(default_factory=list)
    names: tuple[str, ...] = ()
    declares: bool = False


def _pieces(source: str) -> list[tuple[str, str]]:
    """Texts and actions in order, white space trimmed at `{{- ` and ` -}}`."""
    pieces: list[tuple[str, str]] = []
    at = 0
    trim = False
    for match in _ACTION.finditer(source):
        text = source[at : match.start()]
        text = text.lstrip(" \t\r\n") if trim else text
        text = text.rstrip(" \t\r\n") if match[1] else text
        pieces += [("text", text)] if text else []
        if not match[2].startswith("/*"):
            pieces.append(("action", match[2]))
        at, trim = match.end(), bool(match[3])
    rest = source[at:].lstrip(" \t\r\n") if trim else source[at:]
    return [*pieces, ("text", rest)] if rest else pieces


class Template:
    """A parsed template. Raises ValueError for source that this reader does not know."""

    def __init__(self, source: str) -> None:
        self._pieces = _pieces(source)
        self._at = 0
        self._named: dict[str, list[Node]] = {}
        self._root, end = self._list()
        if end:
            raise ValueError(f"{end!r} ends nothing")

    def _list(self) -> tuple[list[Node], str]:
        """Nodes up to `end` or `else`, and which it was."""
        nodes: list[Node] = []
        while self._at < len(self._pieces):
            kind, text = self._pieces[self._at]
            self._at += 1
            if kind == "text":
                nodes.append(Node("text", text.encode()))
                continue
            tokens = _tokens(text)
            word = tokens[0]
            if word in ("end", "else"):
                return nodes, text
            if word == "define":
                name = unquote(tokens[1]).decode()
                self._named[name], _ = self._list()
            elif word in ("if", "range"):
                nodes.append(self._branch(word, tokens[1:]))
            elif word == "template":
                nodes.append(Node("template", _pipeline(tokens[2:]), names=(unquote(tokens[1]).decode(),)))
            elif len(tokens) > 1 and tokens[1] in (":=", "="):
                nodes.append(Node("set", _pipeline(tokens[2:]), names=(word,), declares=tokens[1] == ":="))
            else:
                nodes.append(Node("print", _pipeline(tokens)))
        return nodes, ""

    def _branch(self, word: str, tokens: list[str]) -> Node:
        names: tuple[str, ...] = ()
        if ":=" in tokens:
            at = tokens.index(":=")
            names, tokens = tuple(t for t in tokens[:at] if t != ","), tokens[at + 1 :]
        node = Node(word, _pipeline(tokens), names=names)
        node.body, end = self._list()
        if end.startswith("else if"):
            node.other = [self._branch("if", _tokens(end)[2:])]
        elif end == "else":
            node.other, _ = self._list()
        return node

    def render(self, data: dict[str, Any]) -> str:
        """What the template writes for this data. Raises GoError."""
        out: list[bytes] = []
        self._run(self._root, _Scope({"$": data}), data, out)
        return b"".join(out).decode("utf-8", "replace")

    def _run(self, nodes: list[Node], scope: "_Scope", dot: Any, out: list[bytes]) -> None:
        for node in nodes:
            if node.kind == "text":
                out.append(node.value)
            elif node.kind == "set":
                (scope.declare if node.declares else scope.assign)(node.names[0], node.value(scope, dot))
            elif node.kind == "print":
                value = node.value(scope, dot)
                out.append(value if isinstance(value, bytes) else str(value).encode())
            elif node.kind == "template":
                if node.names[0] not in self._named:
                    raise GoError(node.names[0])
                value = node.value(scope, dot)
                self._run(self._named[node.names[0]], _Scope({"$": value}), value, out)
            elif node.kind == "if":
                inner = _Scope({}, scope)
                self._run(node.body if node.value(inner, dot) else node.other, inner, dot, out)
            else:
                for index, item in enumerate(node.value(scope, dot)):
                    loop_values = dict(zip(node.names, (index, item) if len(node.names) == 2 else (item,), strict=bool(node.names)))
                    self._run(node.body, _Scope(loop_values if node.names else {}, scope), item, out)


class _Scope:
    """Variables of a block, and of those around it."""

    def __init__(self, values: dict[str, Any], outer: "_Scope | None" = None) -> None:
        self._values, self._outer = values, outer

    def declare(self, name: str, value: Any) -> None:
        self._values[name] = value

    def assign(self, name: str, value: Any) -> None:
        scope: _Scope | None = self
        while scope is not None and name not in scope._values:
            scope = scope._outer
        if scope is None:
            raise GoError(f"undefined variable {name}")
        scope._values[name] = value

    def get(self, name: str) -> Any:
        scope: _Scope | None = self
        while scope is not None and name not in scope._values:
            scope = scope._outer
        if scope is None:
            raise GoError(f"undefined variable {name}")
        return scope._values[name]


Value = Callable[[_Scope, Any], Any]


def _tokens(text: str) -> list[str]:
    tokens = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if not match:
            raise ValueError(f"cannot read {text[at:]!r}")
        tokens.append(match[1])
        at = match.end()
    return tokens


def _pipeline(tokens: list[str]) -> Value:
    value, at = _command(tokens, 0)
    if at != len(tokens):
        raise ValueError(f"cannot read {' '.join(tokens)}")
    return value


def _command(tokens: list[str], at: int) -> tuple[Value, int]:
    """One value, or a function with its arguments."""
    name = tokens[at]
    if name in FUNCTIONS:
        arguments: list[Value] = []
        at += 1
        while at < len(tokens) and tokens[at] != ")":
            argument, at = _operand(tokens, at)
            arguments.append(argument)
        if name in ("and", "or"):
            return _lazily(name == "and", arguments), at
        function = FUNCTIONS[name]
        return (lambda scope, dot: function(*(argument(scope, dot) for argument in arguments))), at
    return _operand(tokens, at)


def _lazily(every: bool, arguments: list[Value]) -> Value:
    """`and` and `or`, which look no further than they must."""

    def value(scope: _Scope, dot: Any) -> Any:
        result: Any = None
        for argument in arguments:
            result = argument(scope, dot)
            if bool(result) is not every:
                break
        return result

    return value


def _operand(tokens: list[str], at: int) -> tuple[Value, int]:
    token = tokens[at]
    if token == "(":
        value, at = _command(tokens, at + 1)
        if at >= len(tokens) or tokens[at] != ")":
            raise ValueError("a parenthesis is not closed")
        return value, at + 1
    if token.startswith('"'):
        text = unquote(token)
        return (lambda _scope, _dot: text), at + 1
    if token.isdigit():
        return (lambda _scope, _dot: int(token)), at + 1
    if token in ("true", "false"):
        return (lambda _scope, _dot: token == "true"), at + 1
    if token == ".":
        return (lambda _scope, dot: dot), at + 1
    if token.startswith("."):
        return (lambda _scope, dot: dot[token[1:]]), at + 1
    if token.startswith("$"):
        name, _, member = token.partition(".")
        if not member:
            return (lambda scope, _dot: scope.get(name)), at + 1
        return (lambda scope, _dot: scope.get(name)[member]), at + 1
    raise ValueError(f"{token!r} is not known")


def _slice(value: Any, start: int = 0, end: int | None = None) -> Any:
    end = len(value) if end is None else end
    if not 0 <= start <= end <= len(value):
        raise GoError("index out of range")
    return value[start:end]


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "and": lambda *values: values,
    "or": lambda *values: values,
    "not": lambda value: not value,
    "len": len,
    "slice": _slice,
    "eq": lambda first, *rest: first in rest,
    "ge": lambda left, right: left >= right,
    "lt": lambda left, right: left < right,
    "print": lambda *values: b"".join(values),
}
"""Functions the emitter uses; `print` joins texts without a space between them."""
