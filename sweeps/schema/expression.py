"""A setting that follows from others: numbers, names of settings, and arithmetic.

    model.width // 64
    min(4, round(model.width / 100))

Nothing else is understood, and nothing is executed: a sweep file stays data.
"""

import ast
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

Number = int | float

_LONGEST = 200  # characters
_LARGEST = 2.0**53  # above it, floats are no longer exact
_SPOKEN = "expected numbers, settings, + - * / // % **, ( ), min, max and round"


def _power(base: Number, exponent: Number) -> Number:
    # As floats: 9 ** 9 ** 9 in whole numbers would never end.
    value = math.pow(base, exponent)
    whole = isinstance(base, int) and isinstance(exponent, int) and value.is_integer()
    return int(value) if whole else value


_BETWEEN: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
_BEFORE: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
_CALLS: dict[str, tuple[Callable[..., Any], range]] = {  # and how many arguments they take
    "min": (min, range(2, 10)),
    "max": (max, range(2, 10)),
    "round": (round, range(1, 2)),
}


@cache
def settings_in(text: str) -> frozenset[str]:
    """Dotted names of the settings that an expression reads.

    Raises:
        ValueError: It is not an expression of this language.
    """
    return frozenset(_names(text, _parsed(text)))


def evaluate(text: str, values: Mapping[str, object]) -> Number:
    """The value of an expression.

    Args:
        text: The expression.
        values: Of settings, by dotted name; those that it reads are numbers.

    Raises:
        ValueError: It is not an expression of this language, reads what is not a number, or has no
            finite value.
    """
    numbers = {name: _number(text, name, values.get(name)) for name in settings_in(text)}
    try:
        value = _value(_parsed(text), numbers)
    except (ArithmeticError, ValueError) as error:
        raise ValueError(f"{text!r} has no value ({error}); write it otherwise") from error
    if not math.isfinite(value):
        raise ValueError(f"{text!r} has no finite value; write it otherwise")
    return value


def _number(text: str, name: str, value: object) -> Number:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(
            f"{text!r} reads {name}, expected a number, got {value!r}; name another setting"
        )
    return value


@cache
def _parsed(text: str) -> ast.expr:
    if len(text) > _LONGEST:
        raise ValueError(f"tie must hold at most {_LONGEST} characters, got {len(text)}; shorten")
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise ValueError(f"cannot read {text!r}: {_SPOKEN}; correct it") from error


def _names(text: str, node: ast.expr) -> Iterator[str]:
    """Names of settings; every part is one that `_value` knows."""
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            pass
        case ast.Name() | ast.Attribute() if _dotted(node):
            yield _dotted(node)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BETWEEN:
            yield from _names(text, left)
            yield from _names(text, right)
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _BEFORE:
            yield from _names(text, operand)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _CALLS:
            if len(args) not in _CALLS[name][1]:
                wanted = "one value" if name == "round" else "two values or more"
                raise ValueError(f"{name} in {text!r} takes {wanted}, got {len(args)}; correct it")
            for part in args:
                yield from _names(text, part)
        case _:
            raise ValueError(
                f"cannot read {ast.unparse(node)!r} in {text!r}: {_SPOKEN}; correct it"
            )


def _value(node: ast.expr, numbers: Mapping[str, Number]) -> Number:
    match node:
        case ast.Constant(value=int() | float() as value):
            return value
        case ast.BinOp(left=left, op=op, right=right):
            return _kept(_BETWEEN[type(op)](_value(left, numbers), _value(right, numbers)))
        case ast.UnaryOp(op=op, operand=operand):
            return _kept(_BEFORE[type(op)](_value(operand, numbers)))
        case ast.Call(func=ast.Name(id=name), args=args):
            return _kept(_CALLS[name][0](*(_value(part, numbers) for part in args)))
        case _:
            return numbers[_dotted(node)]


def _kept(value: Any) -> Number:
    if abs(value) > _LARGEST:
        raise OverflowError(f"it leaves the numbers up to {_LARGEST:.0e}")
    return value  # type: ignore[no-any-return]


def _dotted(node: ast.expr) -> str:
    """A setting's name; nothing where it is something else."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name):
            before = _dotted(value)
            return f"{before}.{name}" if before else ""
        case _:
            return ""
