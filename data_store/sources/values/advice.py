"""What matrices hold, in words, and the options that settle it. Each advice is tested."""

import numpy as np

from data_store.store import normalise
from data_store.store.scales import Values
from scdfm.screen.names import listed

Found = dict[str, Values]
"""What each matrix of a source holds, by its name for --layer."""

_MILLION = 1e6
_LOGS = {np.e: "log1p", 2.0: "log2(1 + x)", 10.0: "log10(1 + x)"}
_PART_OF_COUNTS = ("spliced", "unspliced", "ambiguous")  # of RNA velocity: not all of a cell's


def shown(name: str) -> str:
    """A matrix's name, as AnnData has it."""
    return name if name == "X" else "raw/X" if name in ("raw", "raw/X") else f"layers[{name!r}]"


def holding_counts(found: Found) -> list[str]:
    """Matrices that hold counts, not only whether a gene is seen."""
    return [
        name
        for name, values in found.items()
        if values.form == "counts" and values.largest > 1 and name not in _PART_OF_COUNTS
    ]


def taking_counts(found: Found) -> list[str]:
    """The options that take counts."""
    names = holding_counts(found)
    return [f"counts are in {shown(name)}: --layer {name} takes them" for name in names]


def may_be_log(values: Values) -> bool:
    """Whether values can be log1p per 10k, although the totals of cells do not show it."""
    if values.form not in ("log", "fractions") or values.depth is not None:
        return False
    return values.base == np.e and values.scaled and normalise.may_be_log(values)


def described(values: Values) -> str:
    """What a matrix holds, after "holds" or "got"."""
    match values.form:
        case "counts":
            return "counts"
        case "undefined":
            return "NaN or infinite values"
        case "mixed":
            return f"counts in some cells and fractions such as {values.example:.4g} in others"
        case "negative":
            return f"scaled values or residuals, such as {values.example:.4g}"
        case "fractions":
            return f"fractions such as {values.example:.4g}, corrected counts or logs of them"
    what = f"{_LOGS[values.base]} values" if values.form == "log" else "normalised values, no logs,"
    if values.depth is not None:
        by = f" (genes left out; obs column {values.told_by!r} tells it)" if values.told_by else ""
        return f"{what} of {_total(values.depth)} a cell{by}"
    if not values.scaled:
        return f"{what} of counts that were not normalised"
    totals = f"{values.least:,.0f} to {values.largest:,.0f} a cell"
    return f"{what} of {totals} (genes left out, or several depths)"


def remedy(found: Found, *, name: str) -> str:
    """The options that settle what matrix `name` does not; each of them works."""
    values = found[name]
    ways = taking_counts({other: one for other, one in found.items() if other != name})
    counts = bool(ways)
    option = "" if name == "X" else f"--layer {name} "
    if values.form == "fractions":
        ways.append(f"{option}--round rounds corrected counts (SoupX, CellBender)")
    if may_be_log(values):
        ways.append(f"{option}--normalised keeps log1p per 10k of which genes were left out")
    if values.depth is not None:
        done = "stores log1p per 10k" if normalise.is_rescaled(values) else "keeps them"
        ways.append(f"{option}--normalised {done}")
    elif not counts:
        ways += [
            f"{shown(other)} holds {described(one)}: --layer {other} --normalised takes them"
            for other, one in found.items()
            if one.depth is not None
        ]
    if values.form == "mixed":
        ways.append("write cells of each kind to a file of their own")
    if ways:
        return ", or ".join(ways)
    if not values.scaled:
        return "store numpy.expm1 of them, which are counts"
    return (
        f"no matrix holds counts ({listed([shown(one) for one in found])}); give a file that does"
    )


def _total(depth: float) -> str:
    return f"{depth:,.0f}{' (counts per million)' if depth == _MILLION else ''}"
