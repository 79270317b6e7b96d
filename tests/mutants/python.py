"""Mutants of Python functions: those of Cosmic Ray's operators that change decisions, each call without a used result
removed, and each `except` that catches nothing.

Operators for numbers and for arithmetic on sizes are left out: waiting a little longer is no mistake that a test could
see.
"""

import ast
import difflib
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

from cosmic_ray.ast import Visitor, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

from tests.mutants.mutant import Mutant, replaced

_COMPARISONS = (
    "Eq_NotEq",
    "NotEq_Eq",
    "Lt_LtE",
    "Lt_GtE",
    "LtE_Lt",
    "LtE_Gt",
    "Gt_GtE",
    "Gt_LtE",
    "GtE_Gt",
    "GtE_Lt",
    "Is_IsNot",
    "IsNot_Is",
)
_OPERATORS = (
    *(f"ReplaceComparisonOperator_{pair}" for pair in _COMPARISONS),
    *(f"ReplaceBinaryOperator_{pair}" for pair in ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "BitOr_BitAnd")),
    "ReplaceUnaryOperator_Delete_Not",
    "AddNot",
    "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue",
    "ReplaceAndWithOr",
    "ReplaceOrWithAnd",
    "ReplaceBreakWithContinue",
    "ReplaceContinueWithBreak",
    "ZeroIterationForLoop",
)


def mutants_of_python(path: Path, source: str) -> Iterator[Mutant]:
    """The mutants of all functions and methods of a file."""
    tree = ast.parse(source)
    spans, original = _spans(tree), _code(source)

    def function_at(line: int) -> str | None:
        return next((name for name, span in spans.items() if line in span), None)

    for name in _OPERATORS:
        operator = get_operator(f"core/{name}")()
        for occurrence, line in enumerate(_places(operator, source)):
            if function := function_at(line):
                changed = mutate_code(source, operator, occurrence)
                if changed is not None and _code(changed) not in (None, original):
                    yield _described(path, source, changed, line, name).within(function)
    for mutant in _by_statement(path, source, tree):
        if function := function_at(mutant.line):
            yield mutant.within(function)


def _code(source: str) -> CodeType | None:
    """The compiled code without annotations of local names; None if the change is no valid Python."""
    try:
        return compile(source, "mutant", "exec")
    except SyntaxError:
        return None


def _spans(tree: ast.Module) -> dict[str, range]:
    found: dict[str, range] = {}
    for node in tree.body:
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
        for function in inner:
            if isinstance(function, ast.FunctionDef):
                # From the body's first line: a default that changes is no decision.
                assert function.end_lineno is not None
                found[prefix + function.name] = range(function.body[0].lineno, function.end_lineno + 1)
    return found


class _Places(Visitor):  # type: ignore[misc]
    def __init__(self, operator: Any) -> None:
        self.operator, self.lines = operator, []  # type: ignore[var-annotated]

    def visit(self, node: Any) -> Any:
        self.lines += [start[0] for start, _ in self.operator.mutation_positions(node)]
        return node


def _places(operator: Any, source: str) -> list[int]:
    """The line of each occurrence, in the order of `mutate_code`."""
    places = _Places(operator)
    places.walk(get_ast(source))
    return places.lines


def _described(path: Path, source: str, changed: str, line: int, name: str) -> Mutant:
    lines = list(difflib.unified_diff(source.splitlines(), changed.splitlines(), n=0, lineterm=""))[3:]
    before, after = (" ".join(" ".join(one[1:] for one in lines if one[0] == sign).split()) for sign in "-+")
    return Mutant(path, line, name, before, after, changed)


def _by_statement(path: Path, source: str, tree: ast.Module) -> Iterator[Mutant]:
    """Removes each call without a used result, and makes each `except` catch nothing."""
    starts = [0]
    for text in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(text))

    def without(node: ast.expr, text: str, what: str) -> Mutant:
        assert node.end_lineno is not None and node.end_col_offset is not None
        start, end = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
        return replaced(path, source, start, end, text, what)

    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and node.type is not None:
            for error in node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]:
                yield without(error, "()", "error not caught")
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and not _logs(node.value):
            yield without(node.value, "pass", "call left out")


def _logs(call: ast.Call) -> bool:
    return ast.unparse(call.func).startswith("_log.")
