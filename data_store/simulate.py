"""A simulated screen with known truth, similar to Norman et al., for use without files.

Numbers are those of real CRISPRa cells (Norman et al. 2019): library sizes, gene means and
dispersions, how effects share programmes, and how the effects of two genes combine. Effects are
natural-log fold changes of a gene's mean in the cells that respond.
"""

from typing import NamedTuple

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from data_store.simulate_options import CONTROL_SHARE, SimulateOptions

Floats = NDArray[np.float64]

_LIBRARY, _LIBRARY_SPREAD = 12_000, 0.35  # UMIs of a cell: median, sd of log
_MEAN_SPREAD = 2.2  # of gene means, sd of log
_SIZE, _SIZE_SPREAD = 6.0, 0.5  # negative-binomial size of genes: median, sd of log
_TRANSCRIPTOME = 20_000  # genes of a cell; the file holds some, `ncounts` counts all
_FOLD = (2.0, 8.0)  # by which the perturbed gene itself is raised
_SHARES = (0.44, 0.29, 0.09, 0.06, 0.04, 0.03, 0.03, 0.02)  # of the deltas' variance, per programme
_PROGRAMME_GENES = 0.2  # share of all genes
_PARALLEL = 1e-6  # of its length: what is left of a programme that the others contain
_STRENGTH = 5.3  # of a condition's delta in log expression, 2-norm per 5,000 genes
_FEWEST, _MOST, _CELLS_SPREAD = 49, 1_000, 0.45  # cells of a condition
_COEFFICIENT, _COEFFICIENT_SPREAD = 0.72, 0.3
_FIT, _FIT_SPREAD = 0.86, 0.05  # correlation of a double with its best fit by its singles
_RESPONDING = (0.6, 0.95)  # share of the cells of a condition
_KINDS = {"additive": 0.7, "synergy": 0.1, "suppression": 0.1, "masking": 0.1}
_BLOCK = 4_000_000  # counts drawn at once

# Purposes of the draws.
_GENES, _EFFECTS, _DOUBLES, _DESIGN, _CONTEXTS, _COUNTS = range(10, 16)


class Genes(NamedTuple):
    """Properties of genes without a perturbation."""

    names: list[str]
    share: Floats  # (contexts, genes), of a cell's UMIs
    size: Floats  # (genes,), negative-binomial size


class Effects(NamedTuple):
    """The truth about conditions, singles first."""

    names: list[str]
    kinds: list[str]  # "single", or how the two genes of a double combine
    coefficients: Floats  # (conditions, 2), of the first and second gene's effect
    loadings: Floats  # (conditions, programmes)
    programmes: Floats  # (programmes, genes), log fold changes
    log_fold: Floats  # (conditions, genes), of responding cells
    responding: Floats  # (conditions,), share of cells


def simulate(options: SimulateOptions) -> anndata.AnnData:
    """Simulate a screen.

    Returns:
        Counts in X (CSR float32), obs `condition` (`control`, `A`, `A+B`), `ncounts` (all UMIs of
        the cell, also of genes that X leaves out), `context` where there are several, and the truth
        in uns["truth"].
    """
    genes = _genes(options)
    effects = _effects(options, genes)
    condition, context = _design(options, conditions=len(effects.names))
    counts, library, responds = _counts(
        options, genes=genes, effects=effects, condition=condition, context=context
    )
    names = np.array(["control", *effects.names])
    obs = pd.DataFrame(
        {"condition": pd.Categorical(names[condition + 1]), "ncounts": library},
        index=pd.Index([f"cell{k}" for k in range(options.cells)]),
    )
    if options.contexts > 1:
        obs["context"] = pd.Categorical([f"line{k + 1}" for k in context])
    truth = _truth(options, genes=genes, effects=effects)
    truth["responds"] = responds
    return anndata.AnnData(
        X=counts, obs=obs, var=pd.DataFrame(index=pd.Index(genes.names)), uns={"truth": truth}
    )


def _genes(options: SimulateOptions) -> Genes:
    draw = np.random.default_rng((options.seed, _GENES))
    every = np.exp(draw.normal(0, _MEAN_SPREAD, max(_TRANSCRIPTOME, options.genes)))
    share = every[: options.genes] / every.sum()
    lines = np.random.default_rng((options.seed, _CONTEXTS))
    shift = np.exp(lines.normal(0, 0.3, (options.contexts, options.genes)))
    shift[0] = 1
    return Genes(
        names=[f"G{k:05d}" for k in range(options.genes)],
        share=share * shift,
        size=_SIZE * np.exp(draw.normal(0, _SIZE_SPREAD, options.genes)),
    )


def _effects(options: SimulateOptions, genes: Genes) -> Effects:
    draw = np.random.default_rng((options.seed, _EFFECTS))
    singles, doubles = options.design
    conditions = singles + doubles
    programmes = _programmes(genes, draw=draw, count=max(1, min(len(_SHARES), conditions - 1)))
    shares = np.array(_SHARES[: len(programmes)])
    # Strong and weak perturbations; the programmes' shares are set exactly further down.
    own = draw.normal(size=(singles, len(shares))) * np.sqrt(shares)
    own *= np.exp(draw.normal(0, 0.3, (singles, 1)))
    pairs = _pairs(singles, doubles, draw=np.random.default_rng((options.seed, _DOUBLES, 0)))
    kinds, coefficients, both = _combine(
        own, pairs, shares=shares, draw=np.random.default_rng((options.seed, _DOUBLES, 1))
    )
    loadings = _with_shares(np.concatenate([own, both]), shares=shares)
    # Weakly expressed genes are not targets of a screen: their change could not be seen.
    seen = np.argsort(-genes.share[0])[: max(2 * singles, options.genes // 2)]
    targets = np.sort(draw.choice(seen, size=singles, replace=False))
    fold = np.log(draw.uniform(*_FOLD, size=singles))
    # No gene is more than all of a cell, however strongly a rare one seems to rise.
    log_fold = np.minimum(loadings @ programmes, -np.log(genes.share[0]))
    members = [(k,) for k in range(singles)] + [tuple(pair) for pair in pairs.tolist()]
    for row, tokens in enumerate(members):
        log_fold[row, targets[list(tokens)]] = fold[list(tokens)]
    responding = draw.uniform(*_RESPONDING, size=singles)
    return Effects(
        names=["+".join(genes.names[targets[k]] for k in tokens) for tokens in members],
        kinds=["single"] * singles + kinds,
        coefficients=np.concatenate([np.tile([1.0, 0.0], (singles, 1)), coefficients]),
        loadings=loadings,
        programmes=programmes,
        log_fold=log_fold,
        responding=np.array([responding[list(tokens)].mean() for tokens in members]),
    )


def _programmes(genes: Genes, *, draw: np.random.Generator, count: int) -> Floats:
    """Log fold changes of each programme: orthogonal and equally long in log EXPRESSION."""
    number = genes.share.shape[1]
    mean = genes.share[0] * 10_000
    # The derivative of log1p(mean) by the log fold change: rare genes hardly move.
    visible = mean / (1 + mean)
    hit = draw.random((count, number)) < _PROGRAMME_GENES
    raw = draw.normal(size=(count, number)) * hit * visible
    for k in range(count):
        length = np.linalg.norm(raw[k])
        _make_orthogonal(raw[k], raw[:k])
        if np.linalg.norm(raw[k]) <= _PARALLEL * length:
            # Of few genes a programme may hit none, or none but those of the others: it gets all.
            raw[k] = draw.normal(size=number) * visible
            _make_orthogonal(raw[k], raw[:k])
        raw[k] /= np.linalg.norm(raw[k])
    programmes: Floats = raw / visible * _STRENGTH * np.sqrt(number / 5_000)
    return programmes


def _make_orthogonal(row: Floats, others: Floats) -> None:
    for other in others:
        row -= (row @ other) * other


def _pairs(singles: int, doubles: int, *, draw: np.random.Generator) -> NDArray[np.int64]:
    """Distinct pairs of singles in either order, (doubles, 2)."""
    first, second = np.triu_indices(singles, k=1)
    chosen = np.sort(draw.choice(len(first), size=doubles, replace=False))
    pairs = np.stack([first[chosen], second[chosen]], axis=1).astype(np.int64)
    swapped = draw.random(doubles) < 0.4
    pairs[swapped] = pairs[swapped, ::-1]
    return pairs


def _combine(
    own: Floats, pairs: NDArray[np.int64], *, shares: Floats, draw: np.random.Generator
) -> tuple[list[str], Floats, Floats]:
    """How doubles follow from their singles: kinds, coefficients and loadings."""
    kinds = draw.choice(list(_KINDS), p=list(_KINDS.values()), size=len(pairs)).tolist()
    coefficients = np.array([_coefficients(kind, draw=draw) for kind in kinds]).reshape(-1, 2)
    both = np.zeros((len(pairs), own.shape[1]))
    for k, (pair, c) in enumerate(zip(pairs, coefficients, strict=True)):
        fit = c @ own[pair]
        rest = draw.normal(size=own.shape[1]) * np.sqrt(shares)
        basis, _ = np.linalg.qr(own[pair].T)
        rest -= basis @ (basis.T @ rest)
        agreement = float(np.clip(draw.normal(_FIT, _FIT_SPREAD), 0.6, 0.99))
        length = np.linalg.norm(rest)
        # Fewer than three programmes leave no room for anything but the fit.
        both[k] = fit
        if length > 1e-9:
            both[k] += rest / length * np.linalg.norm(fit) * np.sqrt(1 / agreement**2 - 1)
    return kinds, coefficients, both


def _coefficients(kind: str, *, draw: np.random.Generator) -> Floats:
    if kind == "synergy":
        return draw.uniform(1.1, 1.5, 2)
    if kind == "suppression":
        return draw.uniform(0.2, 0.4, 2)
    if kind == "masking":
        return draw.permutation([draw.uniform(0.85, 1.05), draw.uniform(0, 0.15)])
    return np.clip(draw.normal(_COEFFICIENT, _COEFFICIENT_SPREAD, 2), 0.05, None)


def _with_shares(loadings: Floats, *, shares: Floats) -> Floats:
    """Rotate and scale all conditions together, to the wanted variances of the programmes.

    A linear map: sums of conditions stay sums.
    """
    centred = loadings - loadings.mean(axis=0)
    variance = centred.T @ centred / len(loadings)
    values, vectors = np.linalg.eigh(variance)
    white = vectors / np.sqrt(np.maximum(values, 1e-12)) @ vectors.T
    result: Floats = loadings @ white * np.sqrt(shares)
    return result


def _design(
    options: SimulateOptions, *, conditions: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Condition (-1 control) and context of each cell, in random order."""
    draw = np.random.default_rng((options.seed, _DESIGN))
    per_context = np.diff(np.linspace(0, options.cells, options.contexts + 1).astype(int))
    condition, context = [], []
    for line, cells in enumerate(per_context.tolist()):
        controls = max(2, round(cells * CONTROL_SHARE))
        sizes = _sizes(cells - controls, conditions, draw=draw)
        condition.append(np.repeat(np.arange(-1, conditions), [controls, *sizes]))
        context.append(np.full(cells, line))
    order = draw.permutation(options.cells)
    return np.concatenate(condition)[order], np.concatenate(context)[order]


def _sizes(cells: int, conditions: int, *, draw: np.random.Generator) -> NDArray[np.int64]:
    """Cells of each condition: uneven, from 49 to 1,000 if the total allows, with that total."""
    weights = np.exp(draw.normal(0, _CELLS_SPREAD, conditions))
    mean = cells / conditions
    low, high = min(_FEWEST, 0.5 * mean), max(_MOST, 2 * mean)
    wanted = np.clip(weights / weights.mean() * mean, low, high)
    ends = np.round(np.cumsum(wanted) * cells / wanted.sum()).astype(np.int64)
    sizes: NDArray[np.int64] = np.diff(ends, prepend=0)
    return sizes


def _counts(
    options: SimulateOptions,
    *,
    genes: Genes,
    effects: Effects,
    condition: NDArray[np.int64],
    context: NDArray[np.int64],
) -> tuple[sp.csr_matrix, Floats, NDArray[np.bool_]]:
    """Counts (cells, genes), all UMIs of each cell, and whether it responds."""
    fold = np.exp(np.concatenate([np.zeros((1, options.genes)), effects.log_fold]))
    responding = np.concatenate([[0.0], effects.responding])
    step = max(1, _BLOCK // options.genes)
    blocks, libraries, responses = [], [], []
    for start in range(0, options.cells, step):
        draw = np.random.default_rng((options.seed, _COUNTS, start))
        rows = slice(start, min(start + step, options.cells))
        which, line = condition[rows] + 1, context[rows]
        library = _LIBRARY * np.exp(draw.normal(0, _LIBRARY_SPREAD, len(which)))
        responds = draw.random(len(which)) < responding[which]
        share = genes.share[line] * fold[np.where(responds, which, 0)]
        # Gamma-Poisson: negative binomial with the gene's size.
        rate = draw.standard_gamma(genes.size, size=share.shape) * (share / genes.size)
        counts = draw.poisson(rate * library[:, None])
        others = draw.poisson(library * np.maximum(0, 1 - genes.share[line].sum(axis=1)))
        blocks.append(sp.csr_matrix(counts.astype(np.float32)))
        libraries.append((counts.sum(axis=1) + others).astype(np.float64))
        responses.append(responds)
    matrix = sp.csr_matrix(sp.vstack(blocks, format="csr"))
    return matrix, np.concatenate(libraries), np.concatenate(responses)


def _truth(
    options: SimulateOptions, *, genes: Genes, effects: Effects
) -> dict[str, str | NDArray[np.generic]]:
    """The truth in a form that h5ad can hold."""
    return {
        "options": options.model_dump_json(),
        "conditions": np.array(effects.names, dtype=object),
        "kinds": np.array(effects.kinds, dtype=object),
        "coefficients": effects.coefficients,
        "loadings": effects.loadings,
        "programmes": effects.programmes.astype(np.float32),
        "log_fold": effects.log_fold.astype(np.float32),
        "responding": effects.responding,
        "gene_share": genes.share,
        "gene_size": genes.size,
    }
