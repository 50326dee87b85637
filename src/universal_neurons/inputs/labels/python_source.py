"""Labels of Python's syntax, by tree-sitter (the extra ``labels``).

Not by the standard library: its tokens change with the version of Python (3.12 splits f-strings), and it refuses text
with an error.  A token has the label of its first character that is no blank.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from universal_neurons.errors import UserError
from universal_neurons.inputs.labels.source import LabelColumn, LabelSource, Of, characters_that, code_points, listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from universal_neurons.inputs.labels.source import LabelledText, Places, TokenFlags

INSTALL = "pip install 'universal-neurons[labels]'"
_KEYWORDS = frozenset(
    listed(
        "and as assert async await break class continue def del elif else except finally for from global if "
        "import in is lambda match case nonlocal not or pass raise return try while with yield"
    )
)
_BUILTINS = frozenset(
    listed(
        "abs all any bool bytes callable classmethod dict dir enumerate Exception filter float format "
        "frozenset getattr hasattr hash id int isinstance issubclass iter len list map max min next object "
        "open ord print property range repr reversed round set setattr sorted staticmethod str sum super "
        "tuple type zip ValueError TypeError KeyError AttributeError IndexError ImportError "
        "NotImplementedError OSError RuntimeError StopIteration"
    )
)
_ARITHMETIC = frozenset(("+", "-", "*", "/", "//", "%", "**", "@"))
_OPERATIONS = frozenset(("binary_operator", "unary_operator"))
# Labels of the signs between named nodes of the grammar.
_MARKS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_ARITHMETIC, ("operator", "operator_arithmetic")),
    **dict.fromkeys(("==", "!=", "<", ">", "<=", ">="), ("operator", "operator_comparison")),
    **dict.fromkeys(("&", "|", "^", "~", "<<", ">>"), ("operator", "operator_bitwise")),
    "=": ("operator", "equals"),
    **dict.fromkeys(
        ("+=", "-=", "*=", "/=", "//=", "%=", "**=", "&=", "|=", "^=", ":="), ("operator", "operator_augmented")
    ),
    "->": ("operator", "arrow"),
    "(": ("bracket_open", "paren_open"),
    ")": ("bracket_close", "paren_close"),
    "[": ("bracket_open", "square_open"),
    "]": ("bracket_close", "square_close"),
    "{": ("bracket_open", "brace_open"),
    "}": ("bracket_close", "brace_close"),
    ",": ("delimiter", "comma"),
    ":": ("delimiter", "colon"),
    ".": ("delimiter", "dot"),
}
# Labels of all text inside a node.
_NODES: dict[str, tuple[str, ...]] = {
    "integer": ("number",),
    "float": ("number",),
    "string": ("string",),
    "string_start": ("string_start",),
    "string_content": ("string_content",),
    "string_end": ("string_end",),
    "interpolation": ("interpolation",),
    "escape_sequence": ("escape",),
    "comment": ("comment",),
    "true": ("constant_word",),
    "false": ("constant_word",),
    "none": ("constant_word", "none"),
    "decorator": ("decorator",),
    "import_statement": ("import",),
    "import_from_statement": ("import",),
    "return_statement": ("return_statement",),
    "raise_statement": ("raise_statement",),
    "assert_statement": ("assert_statement",),
    "call": ("call",),
    "argument_list": ("call_arguments",),
    "keyword_argument": ("keyword_argument",),
    "parameters": ("parameters",),
    "type": ("annotation",),
    "lambda": ("lambda",),
    "subscript": ("subscript",),
    "list": ("list",),
    "dictionary": ("dictionary",),
    "tuple": ("tuple",),
    **dict.fromkeys(
        ("list_comprehension", "dictionary_comprehension", "set_comprehension", "generator_expression"),
        ("comprehension",),
    ),
}
# Labels of a node by its role in the node above it.
_ROLES: dict[tuple[str, str], str] = {
    ("function_definition", "name"): "function_name",
    ("class_definition", "name"): "class_name",
    ("class_definition", "superclasses"): "superclasses",
    ("function_definition", "return_type"): "return_annotation",
    ("typed_default_parameter", "value"): "default",
    ("default_parameter", "value"): "default",
    ("call", "function"): "called",
    ("keyword_argument", "name"): "keyword_argument_name",
    ("keyword_argument", "value"): "keyword_argument_value",
    ("assignment", "left"): "assignment_target",
    ("augmented_assignment", "left"): "assignment_target",
    ("assignment", "right"): "assigned",
    ("if_statement", "condition"): "condition",
    ("elif_clause", "condition"): "condition",
    ("while_statement", "condition"): "condition",
    ("attribute", "attribute"): "attribute",
    ("attribute", "object"): "attribute_owner",
    ("for_statement", "left"): "loop_variable",
    ("for_statement", "right"): "looped_over",
    ("subscript", "subscript"): "index",
    ("pair", "key"): "dictionary_key",
    ("pair", "value"): "dictionary_value",
}
_NAMES: dict[str, re.Pattern[str]] = {
    "dunder": re.compile(r"__\w+__"),
    "private": re.compile(r"_(?!_)\w+"),
    "camel": re.compile(r"_*[A-Z]\w*[a-z]\w*"),
    "constant_name": re.compile(r"[A-Z_]*[A-Z]{2}[A-Z_0-9]*"),
    "one_letter": re.compile(r"[a-zA-Z]"),
}
_HEADERS = {"function_definition": "function_header", "class_definition": "class_header"}
_BRACKETED = frozenset(
    listed(
        "argument_list parameters tuple list dictionary set subscript parenthesized_expression "
        "list_comprehension dictionary_comprehension set_comprehension generator_expression"
    )
)
_DEEPEST = 4
_WORDS = ("word_start", "word_continuation", "first_in_line")
NAMES: tuple[str, ...] = tuple(
    sorted(
        {
            "keyword", *(f"keyword_{name}" for name in _KEYWORDS), "identifier", "builtin", "self", "parameter",
            "docstring", "f_string", *_NAMES, *_HEADERS.values(), *_ROLES.values(), *_WORDS,
            *(label for labels in (*_MARKS.values(), *_NODES.values()) for label in labels),
            *(f"{what}_depth_{depth}" for what in ("block", "bracket") for depth in range(1, _DEEPEST + 1)),
        }
    )
)  # fmt: skip
_ROW = {name: row for row, name in enumerate(NAMES)}
_PARAMETERS = frozenset(
    listed(
        "identifier typed_parameter default_parameter typed_default_parameter list_splat_pattern "
        "dictionary_splat_pattern"
    )
)


def python_columns(text: LabelledText) -> Iterator[LabelColumn]:
    """One column per label of Python's syntax; raises UserError without tree-sitter."""
    parser = _parser()
    rows = text.tokens.rows
    flags = np.zeros((len(NAMES), rows.size), dtype=np.bool_)
    for passage in text.passages():
        here = passage.place >= 0
        flags[:, passage.place[here]] = labels_at(parser, passage.text, passage.start[here])
    for name, column in zip(NAMES, flags, strict=True):
        yield LabelColumn(name, "syntax", Of.PLACE, column.reshape(rows.shape))


def _parser() -> Any:
    try:
        import tree_sitter
        import tree_sitter_python
    except ImportError:
        raise UserError(f"labels.sources: 'python' needs tree-sitter; run: {INSTALL}") from None
    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_python.language()))


def labels_at(parser: Any, text: str, places: Places) -> TokenFlags:
    """The labels of some characters of Python source (label place), in the order of :data:`NAMES`.

    ``places`` (place,): the characters, in ascending order.
    """
    source = text.encode("utf-8", "surrogatepass")
    code = code_points(text)
    # Bytes of a character in UTF-8.
    width = 1 + (code >= 0x80).astype(np.int64) + (code >= 0x800) + (code >= 0x10000)
    flags = _node_labels(parser.parse(source).root_node, source, (np.cumsum(width) - width)[places])
    _mark_words(flags, text, places)
    return flags


def _node_labels(root: Any, source: bytes, places: Places) -> TokenFlags:
    """The labels that nodes of the grammar have, at the bytes ``places``; parts without any are not looked at."""
    flags = np.zeros((len(NAMES), len(places)), dtype=np.bool_)
    # How many of the places lie before each byte.
    before = np.searchsorted(places, np.arange(len(source) + 1)).tolist()

    def mark(label: str, start: int, stop: int) -> None:
        flags[_ROW[label], before[start] : before[stop]] = True

    # Without recursion, because source may be nested more deeply than Python's stack.
    left: list[tuple[Any, Any, str | None, int, int]] = [(root, None, None, 0, 0)]
    while left:
        node, above, role, blocks, brackets = left.pop()
        start, stop, kind = node.start_byte, node.end_byte, node.type
        if before[start] == before[stop]:
            continue
        for label in _labels(node, above, role, source):
            mark(label, start, stop)
        if kind in _HEADERS and (body := node.child_by_field_name("body")) is not None:
            mark(_HEADERS[kind], start, body.start_byte)
        if kind == "block":
            blocks += 1
            mark(f"block_depth_{min(blocks, _DEEPEST)}", start, stop)
        if kind in _BRACKETED:
            brackets += 1
            mark(f"bracket_depth_{min(brackets, _DEEPEST)}", start, stop)
        for number, child in enumerate(node.children):
            left.append((child, node, node.field_name_for_child(number), blocks, brackets))
    return flags


def _labels(node: Any, above: Any, role: str | None, source: bytes) -> Iterator[str]:
    """The labels of all text inside a node."""
    kind, parent = node.type, "" if above is None else above.type
    if not node.is_named:
        if kind in _KEYWORDS:
            yield "keyword"
            yield f"keyword_{kind}"
        # The signs of decorators and of unpacking are no operators.
        if kind not in _ARITHMETIC or parent in _OPERATIONS:
            yield from _MARKS.get(kind, ())
        return
    yield from _NODES.get(kind, ())
    if (parent, role) in _ROLES:
        yield _ROLES[parent, role or ""]
    if parent in ("parameters", "lambda_parameters") and kind in _PARAMETERS:
        yield "parameter"
    if kind == "string":
        if parent == "expression_statement":
            yield "docstring"
        if b"f" in source[node.start_byte : node.start_byte + 2].lower():
            yield "f_string"
    if kind == "identifier":
        yield from _name_labels(source[node.start_byte : node.end_byte].decode("utf-8", "replace"))


def _name_labels(name: str) -> Iterator[str]:
    yield "identifier"
    if name in _BUILTINS:
        yield "builtin"
    if name in ("self", "cls"):
        yield "self"
    yield from (label for label, pattern in _NAMES.items() if pattern.fullmatch(name))


def _mark_words(flags: TokenFlags, text: str, places: Places) -> None:
    """Labels that need no grammar: where words begin and go on, and where lines begin."""
    is_word = characters_that(lambda character: character.isalnum() or character == "_", text)
    is_shown = ~characters_that(str.isspace, text)
    ends = characters_that("\n".__eq__, text).astype(np.int64)
    before: npt.NDArray[np.bool_] = np.concatenate([[False], is_word])[:-1]
    flags[_ROW["word_start"]] = (is_word & ~before)[places]
    flags[_ROW["word_continuation"]] = (is_word & before)[places]
    first = np.zeros(len(text), dtype=np.bool_)
    shown, line = np.flatnonzero(is_shown), np.cumsum(ends) - ends
    first[shown[np.diff(line[shown], prepend=-1) > 0]] = True
    flags[_ROW["first_in_line"]] = first[places]


PYTHON = LabelSource("python", ("syntax",), python_columns)
