"""Whether a screen perturbs genes or gives drugs, told by how many tokens are measured genes."""

import re
from collections.abc import Collection, Sequence

import pandas as pd

from data_store.sources.notes import note, warn
from data_store.sources.options import IngestOptions
from data_store.store.schema import Perturbation
from scdfm.screen.names import SOME, how_many, listed

_MOST = 0.6  # of the tokens: they are genes
_HARDLY_ANY = 0.1  # of the tokens: a few agents have the name of a gene
_ALL = 0.9  # of the tokens, but for a few odd names
_SEVERAL = 3  # measured genes
_SYMBOL = re.compile(r"[A-Z][A-Z0-9]+(?:orf\d+)?(?:-[A-Z0-9]+)?")
_DRUG = re.compile(
    "[a-z]*(?:nib|mab|stat|taxel|platin|rubicin|mycin|ciclib|parib|zomib|limus|clax|degib"
    "|sartan|statin|azole|sone|cillin|vir|tadine|fungin)",
    re.IGNORECASE,
)
"""Ends of drugs' international names: the WHO's stems for what is given to cells."""


def perturbation(
    tokens: Collection[str],
    *,
    genes: Collection[str],
    var: pd.DataFrame,
    columns: Sequence[str],
    options: IngestOptions,
) -> Perturbation:
    """Whether tokens name genes or drugs.

    Args:
        tokens: All that cells are perturbed with.
        genes: Measured genes, of any source.
        var: What else is known about the genes; a column may hold the names that labels use.
        columns: The obs columns of the conditions; their names may say that they are drugs.
        options: What the user said wins.

    Raises:
        ValueError: Neither most nor hardly any names are measured genes, or none and nothing
            says that they are drugs; gives the figures, and what each choice does.
    """
    measured = set(genes)
    every = sorted(tokens)
    known = [token for token in every if token in measured]
    if options.perturbation is not None:
        _question(options.perturbation, every, known, var=var)
        return options.perturbation
    share = len(known) / max(1, len(every))
    if known and share >= _MOST:
        note(
            f"perturbation: gene ({len(known)} of {len(every)} perturbed names are measured genes)"
        )
        return "gene"
    hint = (
        _gene_column(every, known, var=var)
        or _guides(every, measured)
        or _another_case(every, measured)
    )
    if share <= _HARDLY_ANY and not hint and any(map(_says_drug, columns)):
        where = " and ".join(map(repr, columns))
        note(f"perturbation: drug (obs column {where}; {_figures(every, known)})")
        return "drug"
    told = any(map(_says_drug, columns))
    if len(known) >= _SEVERAL and share > _HARDLY_ANY and _spelt_as_genes(every) and not told:
        note(
            f"perturbation: gene (all names are spelt as genes are; {_figures(every, known)}; "
            "--perturbation drug if they are none)"
        )
        return "gene"
    if not known and not hint and all(map(_DRUG.fullmatch, every)) and every:
        note(
            f"perturbation: drug ({listed(every, most=SOME)}: named as drugs are; "
            f"{_figures(every, known)}; --perturbation gene if they are genes)"
        )
        return "drug"
    rest = [token for token in every if token not in measured]
    others = f"not {listed(rest, most=SOME)}" if known else listed(rest, most=SOME)
    likely = " (likely: all are spelt as genes are)" if _spelt_as_genes(every) else ""
    raise ValueError(
        f"expected names of genes or of drugs, got {_figures(every, known)} ({others}); with gene"
        f"{likely} a model knows a name by its gene, with drug it learns each name from its own "
        f"cells; pass --perturbation gene or --perturbation drug{hint}"
    )


def _spelt_as_genes(every: Sequence[str]) -> bool:
    return sum(_SYMBOL.fullmatch(token) is not None for token in every) >= _ALL * len(every)


def _question(told: Perturbation, every: list[str], known: list[str], *, var: pd.DataFrame) -> None:
    """Warn where the figures contradict the user."""
    if told == "gene" and every and len(known) <= _HARDLY_ANY * len(every):
        rest = [token for token in every if token not in known]
        others = f"{'not ' if known else ''}{listed(rest, most=SOME)}"
        warn(
            f"--perturbation gene, but {_figures(every, known)} ({others})"
            f"{_gene_column(every, known, var=var)}"
        )
    if told == "drug" and len(known) >= _MOST * max(1, len(every)):
        warn(f"--perturbation drug, but {_figures(every, known)}")


def _figures(every: list[str], known: list[str]) -> str:
    """Such as "1 of 14 names is a measured gene: EPO"."""
    if not known:
        return f"none of {how_many(len(every), 'perturbed name')} is a measured gene"
    verb = "is a measured gene" if len(known) == 1 else "are measured genes"
    names = how_many(len(every), "perturbed name")
    return f"{len(known)} of {names} {verb}: {listed(known, most=SOME)}"


def _gene_column(every: list[str], known: list[str], *, var: pd.DataFrame) -> str:
    """The var column that holds more of the tokens than the gene names do; "" if none does."""
    held = {
        str(name): len(set(every).intersection(var[name].dropna().astype(str)))
        for name in var
        if not pd.api.types.is_numeric_dtype(var[name])
    }
    best = max(held, key=lambda name: held[name], default="")
    if not best or held[best] <= len(known):
        return ""
    return f"; var column {best!r} holds {held[best]} of them: --gene-column {best}"


def _guides(every: list[str], measured: Collection[str]) -> str:
    """A hint where most tokens are a gene with a number or a sign, as guides are named."""
    found = {
        token: gene
        for token in every
        for part in re.split(r"[\W_]+", token)
        if (gene := part if part in measured else part.removeprefix("sg")) in measured
        and gene != token
    }
    if len(found) < _MOST * len(every):
        return ""
    token, gene = next(iter(found.items()))
    return f"; they look like guides ({token}: {gene}), --guides TABLE tells their genes"


def _another_case(every: list[str], measured: Collection[str]) -> str:
    """A hint where most tokens are genes but for upper and lower case."""
    folded = {gene.casefold(): gene for gene in measured}
    found = {token: folded[token.casefold()] for token in every if token.casefold() in folded}
    other = {token: gene for token, gene in found.items() if token != gene}
    if not other or len(found) < _MOST * len(every):
        return ""
    token, gene = next(iter(other.items()))
    return f"; the genes are written in another case ({token}: {gene}), write both alike"


def _says_drug(column: str) -> bool:
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", column).lower())
    about = any(re.match("drug|compound|cytokine|chemical|molecule", word) for word in words)
    return about and not {"target", "gene"} & set(words)
