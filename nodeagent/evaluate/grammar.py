"""Shell text to statements: reads what tree-sitter makes of it.

tree-sitter-bash accepts some texts with a wrong tree and without an error; they are put right here, or become
:class:`Opaque`, which the rest of the stage leaves alone:

* a redirection after a list, a pipeline or `!` belongs to its last command, not to the whole;
* words after a redirection's target are arguments of the command;
* assignments that end their line are no prefix of the command on the next line;
* what follows a here-doc's operator on its line (``| tee x``, ``&& y``) hangs below the here-doc;
* a reserved word in the place of a command's name: the whole text is not understood.
"""

import re
from dataclasses import replace
from typing import TypedDict

from nodeagent.evaluate.binding import joined, on_last
from nodeagent.evaluate.syntax import (
    AndOr,
    Block,
    Command,
    Compound,
    Function,
    Node,
    Opaque,
    Pipeline,
    Redirect,
    Script,
    Word,
)
from nodeagent.evaluate.tree import (
    Tree,
    below_heredoc,
    comments,
    first_error,
    head_end,
    head_of_heredoc,
    holds_heredoc,
    tree,
)

_PLAIN = re.compile(rb"[\w./:=,+@%^-]+")
# Where one of these is taken for a command's name, the tree is wrong.
_RESERVED = frozenset(
    {"if", "then", "else", "elif", "fi", "do", "done", "case", "esac", "for", "while", "until", "{", "}", "!", "[["}
)
_DEPTH_LIMIT = 200  # of nested constructs; deeper text is not understood


def parse(text: bytes) -> Script:
    """Parse a shell program; never raises for any bytes."""
    root = tree(text)
    if root.has_error:
        return Script(text=text, block=Block(), error_line=first_error(root))
    try:
        return Script(text=text, block=_Reader(text).block(root.children), comments=tuple(comments(root)))
    except _NotUnderstoodError as error:
        return Script(text=text, block=Block(), error_line=error.line)
    except RecursionError:  # nested beyond all measure
        return Script(text=text, block=Block(), error_line=1)


class _NotUnderstoodError(Exception):
    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


_COMPOUNDS = {
    "compound_statement": "group",
    "subshell": "subshell",
    "if_statement": "if",
    "while_statement": "while",
    "for_statement": "for",
    "c_style_for_statement": "for",
    "case_statement": "case",
}
_OPAQUE_KNOWN = {
    "variable_assignment",
    "variable_assignments",
    "declaration_command",
    "unset_command",
    "test_command",
}


class _Reader:
    """Turns tree-sitter nodes into ours; ``depth`` bounds the recursion on hostile text."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._depth = 0

    def block(self, children: list[Tree]) -> Block:
        items: list[tuple[Node, bool]] = []
        for child in children:
            if child.is_named and child.type not in {"comment", "heredoc_body", "heredoc_end"}:
                items.append((self.node(child), False))
            elif child.type == "&" and items:
                items[-1] = (items[-1][0], True)
        return Block(items=tuple(items))

    def node(self, node: Tree) -> Node:
        self._depth += 1
        if self._depth > _DEPTH_LIMIT:
            raise _NotUnderstoodError(node.start_point[0] + 1)
        try:
            return self._node(node)
        finally:
            self._depth -= 1

    def _node(self, node: Tree) -> Node:
        kind = node.type
        if kind == "command":
            command = self._command(node)
            if command.words and command.words[0].text == b"[":  # behind assignments it is none of its own kind
                return Opaque(kind="test_command", start=command.start, end=command.end, line=command.line)
            return command
        if kind == "redirected_statement":
            return self._redirected(node)
        if kind == "pipeline":
            parts = tuple(self.node(c) for c in node.children if c.is_named)
            return Pipeline(parts=parts, **_span(node, parts[0]))
        if kind == "list":
            operands = self._operands(node)
            return AndOr(operands=operands, **_span(node, operands[0]))
        if kind == "function_definition":
            name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
            if name is not None and body is not None and node.child_by_field_name("redirect") is None:
                return Function(name=self._slice(name).decode(errors="replace"), body=self.node(body), **_span(node))
        if kind in _COMPOUNDS:
            return self._compound(node, _COMPOUNDS[kind])
        if kind == "negated_command":
            return Compound(kind="negation", conditions=(self.block(node.children[1:]),), **_span(node))
        return _opaque(node, kind, known=kind in _OPAQUE_KNOWN)

    def _operands(self, node: Tree) -> tuple[Node, ...]:
        operands: list[Node] = []
        for child in node.children:
            if child.type == "list":
                operands.extend(self._operands(child))
            elif child.is_named and child.type != "comment":
                operands.append(self.node(child))
        return tuple(operands)

    def _compound(self, node: Tree, kind: str) -> Node:
        if kind == "group" and node.children[0].type == "((":
            return _opaque(node, "arithmetic", known=True)
        if kind == "if":
            return self._if(node)
        conditions: list[Block] = []
        bodies: list[Block] = []
        if kind in {"group", "subshell"}:
            bodies.append(self.block(node.children[1:-1]))
        elif kind == "case":
            bodies += [self.block(_case_body(c)) for c in node.children if c.type == "case_item"]
        else:
            condition = node.children_by_field_name("condition")
            if kind == "while":
                conditions.append(self.block(condition))
            body = node.child_by_field_name("body")
            if body is not None:
                bodies.append(self.block(body.children[1:-1]))
        return Compound(kind=kind, conditions=tuple(conditions), bodies=tuple(bodies), **_span(node))

    def _if(self, node: Tree) -> Node:
        conditions: list[Block] = []
        bodies: list[Block] = []
        clauses = [node, *(c for c in node.children if c.type in {"elif_clause", "else_clause"})]
        for clause in clauses:
            kept = [c for c in clause.children if c.type not in {"elif_clause", "else_clause"}]
            then = next((n for n, c in enumerate(kept) if c.type == "then"), None)
            if then is not None:
                conditions.append(self.block(kept[1:then]))
                bodies.append(self.block([c for c in kept[then + 1 :] if c.type != "fi"]))
            else:
                bodies.append(self.block(kept[1:]))
        return Compound(kind="if", conditions=tuple(conditions), bodies=tuple(bodies), **_span(node))

    def _redirected(self, node: Tree) -> Node:
        body = node.child_by_field_name("body")
        redirects = node.children_by_field_name("redirect")
        if body is None:
            return _opaque(node, "redirect", known=False)
        tails = [tail for redirect in redirects if (tail := below_heredoc(redirect)) is not None]
        if tails and (len(tails) > 1 or body.type not in {"command", "list", "pipeline"} or holds_heredoc(tails[0][1])):
            return _opaque(node, "heredoc", known=False)
        inner = self.node(body)
        if body.type in {"command", "list", "pipeline", "negated_command"} or isinstance(inner, Compound):
            first = on_last(inner, lambda last: self._bind(last, redirects, node, tails=bool(tails)))
            if first is not None:
                return joined(first, tails[0][0], self.node(tails[0][1]), int(node.end_byte)) if tails else first
        return _opaque(node, "redirect", known=isinstance(inner, Opaque) and inner.known)

    def _bind(self, last: Command | Compound, redirects: list[Tree], outer: Tree, *, tails: bool) -> Node | None:
        if isinstance(last, Command):
            return self._with_redirects(last, redirects, outer)
        found: list[Redirect] = []
        if tails or any(self._redirect(redirect, found) for redirect in redirects):
            return None
        return replace(last, redirects=tuple(found), end=head_end(outer), whole_end=int(outer.end_byte))

    def _command(self, node: Tree) -> Command:
        words: list[Word] = []
        found: list[Redirect] = []
        assigns = False
        own = self._own_children(node)
        for child in own:
            if child.type == "variable_assignment":
                assigns = True
            elif child.type in {"file_redirect", "herestring_redirect", "heredoc_redirect"}:
                extra = self._redirect(child, found)
                words += extra
            elif child.is_named:
                words.append(self._word(child))
        if words and words[0].text.decode(errors="replace") in _RESERVED:
            raise _NotUnderstoodError(node.start_point[0] + 1)
        return Command(
            words=tuple(words),
            redirects=tuple(found),
            assigns=assigns,
            start=own[0].start_byte,
            end=head_end(node),
            line=own[0].start_point[0] + 1,
        )

    def _own_children(self, node: Tree) -> list[Tree]:
        """Without the assignments that stand on lines before: they are a statement of their own.

        Raises:
            _NotUnderstoodError: other words stand on lines before (a reserved word that is taken for an argument).
        """
        own = [child for child in node.children if child.type != "comment"]
        first = 0
        for index in range(1, len(own)):
            between = self._text[own[index - 1].end_byte : own[index].start_byte]
            if b"\n" in between.replace(b"\\\n", b""):
                if any(child.type != "variable_assignment" for child in own[:index]):
                    raise _NotUnderstoodError(own[index].start_point[0] + 1)
                first = index
        return own[first:]

    def _with_redirects(self, command: Command, nodes: list[Tree], outer: Tree) -> Command:
        words, found = list(command.words), list(command.redirects)
        for node in nodes:
            words += self._redirect(node, found)
        return Command(
            words=tuple(words),
            redirects=tuple(found),
            assigns=command.assigns,
            heredoc=any(n.type == "heredoc_redirect" for n in nodes),
            start=command.start,
            end=next((head_of_heredoc(n) for n in nodes if below_heredoc(n) is not None), head_end(outer)),
            line=command.line,
            whole_end=int(outer.end_byte),
        )

    def _redirect(self, node: Tree, found: list[Redirect]) -> list[Word]:
        """Add the redirection(s) of the node to ``found``; returns the words that stand behind the target."""
        if node.type == "heredoc_redirect":
            found.append(Redirect(operator="<<", descriptor=None, target=None))
            extra: list[Word] = []
            for child in node.children_by_field_name("redirect"):
                extra += self._redirect(child, found)
            return extra + [self._word(c) for c in node.children_by_field_name("argument")]
        operator = next(c for c in node.children if not c.is_named)
        descriptor = node.child_by_field_name("descriptor")
        targets = [c for c in node.children if c.is_named and c.type != "file_descriptor"]
        number = self._slice(descriptor) if descriptor is not None else b""
        found.append(
            Redirect(
                operator=operator.type,
                descriptor=int(number) if number.isdigit() else None,
                target=self._word(targets[0]) if targets else None,
            )
        )
        return [self._word(target) for target in targets[1:]]

    def _word(self, node: Tree) -> Word:
        text = self._slice(node)
        return Word(start=node.start_byte, end=node.end_byte, text=text, literal=_literal(text))

    def _slice(self, node: Tree) -> bytes:
        return self._text[node.start_byte : node.end_byte]


def _literal(text: bytes) -> str | None:
    bare = text
    if len(text) >= 2 and text[:1] == text[-1:] and text[:1] in (b"'", b'"'):
        bare = text[1:-1]
    return bare.decode() if _PLAIN.fullmatch(bare) and bare.isascii() else None


def _case_body(item: Tree) -> list[Tree]:
    opening = next((n for n, c in enumerate(item.children) if c.type == ")"), len(item.children))
    return list(item.children[opening + 1 :])


def _opaque(node: Tree, kind: str, *, known: bool) -> Opaque:
    return Opaque(kind=kind, known=known, start=node.start_byte, end=head_end(node), line=node.start_point[0] + 1)


class _SpanFields(TypedDict):
    start: int
    end: int
    line: int
    whole_end: int


def _span(node: Tree, first: Node | None = None) -> _SpanFields:
    """``first``: the part that it begins with, where that may begin later than the grammar says."""
    return _SpanFields(
        start=int(node.start_byte) if first is None else first.start,
        end=head_end(node),
        line=int(node.start_point[0]) + 1 if first is None else first.line,
        whole_end=int(node.end_byte),
    )
