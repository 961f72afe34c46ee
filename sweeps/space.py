"""From a search space to proposals, and from a proposal to runs and their places."""

import hashlib
import json
import warnings
from collections.abc import Collection, Mapping

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GridSampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)

from cluster.runs.identity import PLACES
from cluster.settings.config import RunConfig
from cluster.settings.yaml_file import flat
from scdfm.screen.randomness import numpy_generator
from sweeps.directory import SweepDirectory
from sweeps.schema.dimension import Dimension, Value
from sweeps.schema.rules import SearchConfig
from sweeps.schema.space import Space
from sweeps.schema.sweep import Configuration, SweepConfig

# Change neither a configuration nor its values.
_OWN = {"name", "output", "split", "threads", "failure", "watch"}
_TRIES = 1000


def distribution(dimension: Dimension) -> BaseDistribution:
    """A dimension as Optuna knows it."""
    if dimension.values is not None:
        return CategoricalDistribution(dimension.values)
    assert dimension.low is not None
    low, high, step = dimension.low, dimension.last, dimension.step
    if dimension.type == "int":
        return IntDistribution(round(low), round(high), log=dimension.log, step=round(step or 1))
    return FloatDistribution(low, high, log=dimension.log, step=step)


def distributions(space: Mapping[str, Dimension]) -> dict[str, BaseDistribution]:
    """What a space tries, as Optuna knows it; tied settings have no distribution."""
    return {name: distribution(one) for name, one in Space(space).tried.items()}


def ask(study: optuna.Study, space: Space) -> tuple[optuna.Trial, Configuration]:
    """A new trial of a study, and the configuration that its sampler proposes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        trial = study.ask()
        return trial, space.complete(lambda name: _suggested(trial, name, space.dimensions[name]))


def _suggested(trial: optuna.Trial, name: str, one: Dimension) -> Value:
    match distribution(one):
        case CategoricalDistribution() as known:
            value: Value = trial.suggest_categorical(name, known.choices)
            return value
        case IntDistribution() as known:
            return trial.suggest_int(name, known.low, known.high, step=known.step, log=known.log)
        case FloatDistribution() as known:
            return trial.suggest_float(name, known.low, known.high, step=known.step, log=known.log)
        case other:
            raise AssertionError(other)


def sampler(search: SearchConfig, *, space: Space, number: int) -> BaseSampler:
    """The sampler that proposes configuration `number`.

    A fresh one for each: its draws must not depend on restarts. What a sampler has to remember,
    Optuna keeps in the study. Arguments that decide draws are said aloud, because their defaults
    differ between versions of Optuna.
    """
    with warnings.catch_warnings():
        # One of them, and an argument of another, may still change; what they propose is tested.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return _sampler(search, space=space, number=number)


def _sampler(search: SearchConfig, *, space: Space, number: int) -> BaseSampler:
    seed = int(numpy_generator(search.seed, "search", number).integers(2**31))
    match search.sampler:
        case "random":
            return RandomSampler(seed=seed)
        case "grid":
            # Places in its shuffled list are kept in the study, so there is one list.
            points = {name: one.every() for name, one in space.tried.items()}
            return GridSampler(points, seed=search.seed)
        case "qmc":
            # Likewise: how far a study has come belongs to this seed's sequence.
            return QMCSampler(
                qmc_type="sobol",
                scramble=True,
                warn_asynchronous_seeding=False,  # the seed is given
                seed=search.seed,
                independent_sampler=RandomSampler(seed=seed),
                warn_independent_sampling=False,
            )
        case "cmaes":
            return CmaEsSampler(
                x0=None,  # the middle of the space
                sigma0=None,  # a sixth of the smallest range
                popsize=None,  # 4 + 3 log(dimensions)
                source_trials=None,
                n_startup_trials=search.startup,
                independent_sampler=RandomSampler(seed=seed),
                warn_independent_sampling=False,
                seed=seed,
                consider_pruned_trials=False,  # their values are of other rounds
                use_separable_cma=False,
                with_margin=False,
                lr_adapt=False,
            )
        case "nsga2":
            return NSGAIISampler(
                population_size=search.startup,
                mutation=None,  # a value is drawn again
                mutation_prob=None,  # 1 / number of settings
                crossover=None,  # uniform
                crossover_prob=0.9,
                swapping_prob=0.5,
                seed=seed,
                elite_population_selection_strategy=None,
                child_generation_strategy=None,
                after_trial_strategy=None,
            )
        case "tpe":
            return TPESampler(
                n_startup_trials=search.startup,
                n_ei_candidates=24,
                multivariate=True,
                group=space.conditional,  # else what is tried in some trials is independent
                constant_liar=True,
                seed=seed,
            )


def untried(
    space: Space, *, tried: Collection[str], seed: int, number: int
) -> Configuration | None:
    """A random configuration that was not tried yet; None if the space seems used up.

    Args:
        space: The search space.
        tried: Identities of the configurations that were.
        seed: Of the search.
        number: Of the proposal.
    """
    draw = int(numpy_generator(seed, "untried", number).integers(2**31))
    study = optuna.create_study(sampler=RandomSampler(seed=draw))
    for _ in range(_TRIES):
        configuration = ask(study, space)[1]
        if identity(configuration) not in tried:
            return configuration
    return None


def identity(configuration: Configuration) -> str:
    """A configuration as text; equal for equal ones.

    So 1 and 1.0 are one: an older version wrote the base's 1.0 where the space has 1.
    """
    whole = {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in configuration.items()
    }
    return json.dumps(whole, sort_keys=True)


def content_hash(run: RunConfig, *, tried: Collection[str] = ()) -> str:
    """Hash of what decides a configuration's values, without its name, place and split.

    Args:
        run: Of the configuration.
        tried: Settings that the sweep tries. Where one is a place, such as init_from, its spelling
            tells configurations apart; else the sweep's lock knows the content.
    """
    content = flat(run.model_dump(mode="json", exclude=_OWN))
    for place in PLACES:
        if content.get(place) is not None and place not in tried:
            content[place] = "a place"
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def begun_keys(sweep: SweepConfig) -> dict[str, str]:
    """Keys of the trials that the ledger knows, by the identity of their configuration."""
    trials = SweepDirectory(sweep.directory).ledger.trials()
    return {identity(trial.configuration): trial.key for trial in trials}


def trial_key(
    sweep: SweepConfig, configuration: Configuration, *, begun: Mapping[str, str] | None = None
) -> str:
    """The key of a configuration's trial: the ledger's, or else its content hash.

    A sweep of an older version hashed the store's spelling, too, so the ledger comes first.

    Args:
        sweep: The sweep.
        configuration: Of the trial.
        begun: Keys that the ledger knows (`begun_keys`); none: it is read, which takes long once
            there are a thousand trials.

    Raises:
        ValueError: The configuration is not a valid run.
    """
    known = begun_keys(sweep) if begun is None else begun
    key = known.get(identity(configuration))
    return key or content_hash(sweep.run(configuration, split=0), tried=sweep.settings)


def split_run(
    sweep: SweepConfig, configuration: Configuration, *, split: int, key: str | None = None
) -> RunConfig:
    """The run of one (configuration, split) pair, with its own directory.

    Args:
        sweep: The sweep.
        configuration: Of the trial.
        split: By position.
        key: The trial's; none: `trial_key` finds it.
    """
    key = key or trial_key(sweep, configuration)
    place = SweepDirectory(sweep.directory).trial(key)
    return sweep.run(configuration, split=split, output=place)
