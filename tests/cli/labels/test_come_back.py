"""What `inspect` lists can be named in every command, and comes back as the same condition."""

import csv
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from cli.commands.data import _with_names_apart
from cli.names import as_given, from_text_or_file
from cluster.predict.request import asked_condition
from data_store.ingest.layout import Layout, read_layout
from data_store.ingest.write import IngestOptions, ingest
from data_store.sources.formats.memory import of_memory
from data_store.store.export import to_adata
from data_store.store.integrity import verify
from data_store.store.reader import Store
from data_store.store.summary import summarise
from scdfm.flow.checkpoint import ModelCard
from scdfm.flow.config import SamplingConfig
from scdfm.model.config import ModelConfig
from scdfm.screen.conditions import Condition, Words, name
from scdfm.screen.labels import judged
from scdfm.screen.names import apart
from scdfm.splits import SplitConfig, make_split
from tests.data_store.cells import adata

NAMES = (
    *("A", "B", "a", "KLF1", "ctrl2", "NT_1", "10", "HLA-A", "drug a", "Drug A", "T;N", "x|y"),
    *("CD4+", "(+)-JQ1", "Na+/K+ pump inhibitor", "A+", "+A", "2,4-D", "(2R,3S)-X", ",x", "C+D E"),
    *("1 \u00b5M Y", "1 \u03bcM Y", "Caf\u00e9", "Cafe\u0301", "a\u00a0b", "\u03b3\u200b-IFN"),
    *("[B", "B]", "(A", "*", "?", "-", "#1", "A_B", "A&B", "A/B", "none of it", "control A"),
)
SIGNS = ("+", "|", ",", ";", "_", " + ", "/", " ")
SOUP = st.text("AbC1+|,;()[] -_/&:\u00b5\u03bc\u0301\u00a0\u200b#", min_size=1, max_size=7)
DOSES = ("", "", "", "_10", " (10 \u00b5M)", " 0,5 mM")


@st.composite
def screens(draw: st.DrawFn) -> tuple[list[str], str, str | None]:
    """Labels of a screen, its control first; its control; the separator that is told."""
    sign = draw(st.sampled_from(SIGNS))
    control = draw(st.sampled_from(["ctrl", "DMSO", "PBS+vehicle", "non-targeting"]))
    single = st.builds(str.__add__, st.sampled_from(NAMES), st.sampled_from(DOSES))
    token = st.one_of(single, single, single, SOUP, st.just(control))
    label = st.builds(
        lambda parts, pad: pad + sign.join(parts),
        st.lists(token, min_size=1, max_size=3),
        st.sampled_from(["", "", " "]),
    )
    labels = draw(st.lists(label, min_size=2, max_size=7, unique=True))
    # A label of nothing but commas would be a list of nothing.
    labels = [one for one in labels if one.strip(" ,\u200b\u00a0")]
    return [control, *labels], control, draw(st.sampled_from([None, sign]))


def words_of(labels: Sequence[str], control: str, separator: str | None) -> Words:
    """The words of the store that a screen becomes; a screen that is refused is no example."""
    asked = Words(controls=(control,), separator=separator or "+")
    words = judged(labels, asked, told=separator is not None).words
    known: dict[Condition, str] = {}
    for label in labels:
        known.setdefault(words.parse(label), label)
    assume(len({name(tokens) for tokens in known}) == len(known))  # "are both written"
    assume(any(known))  # something is perturbed
    return words.knowing({label: tokens for tokens, label in known.items()})


@given(screen=screens())
@settings(max_examples=200)
def test_every_label_and_every_name_is_its_condition(
    screen: tuple[list[str], str, str | None],
) -> None:
    words = words_of(*screen)
    assert Words.model_validate_json(words.model_dump_json()) == words
    recipe = words.model_copy(update={"known": {}})  # what `verify` reads by
    for label in screen[0]:
        tokens = words.parse(label)
        assert tokens == Words(**recipe.model_dump()).parse(label)
        assert label in words
        for text in (name(tokens), words.spell(tokens), f" {label} "):
            assert words.parse(text) == tokens
            assert apart(text, known=words) == [text.strip()]


@given(screen=screens(), seed=st.integers(0, 99))
@settings(max_examples=60)
def test_conditions_of_known_tokens_that_nobody_measured_can_be_named(
    screen: tuple[list[str], str, str | None], seed: int
) -> None:
    words = words_of(*screen)
    assume(len(words.separator) == 1)  # ` + ` may overlap with a name that ends in ` +`
    every = sorted({token for tokens in words.known.values() for token in tokens})
    pair = tuple(sorted(random.Random(seed).sample(every, min(2, len(every)))))
    spelled = words.spell(pair)
    # A pair may be written as a label of the data; else it is the pair.
    assert (
        words.parse(spelled) == pair or spelled.strip() in words.known or _is_ambiguous(pair, words)
    )


def _is_ambiguous(pair: Condition, words: Words) -> bool:
    """Whether the tokens, side by side, hold another known token."""
    text = words.separator.join(pair)
    others = {token for one in words.known.values() for token in one} - set(pair)
    return any(words.separator in other and other in text for other in others) or any(
        name(one) == text for one in words.known.values()
    )


class Named(NamedTuple):
    """A condition that `inspect` lists."""

    condition: str
    text: str  # canonical name, or label
    cells: int


def listed(store: Store) -> Iterator[Named]:
    for unit in summarise(store)["units"]:
        for text in {unit["condition"], unit["label"]}:
            yield Named(unit["condition"], text, unit["cells"])


def given_as(named: Named, folder: Path) -> Iterator[list[str]]:
    """What a user writes behind an option: the name as it stands, or a file that holds it."""
    yield [named.text]
    table = folder / "wanted.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["condition"], [named.text]])
    yield [str(table)]
    if not named.text.lstrip().startswith("#"):  # a comment
        lines = folder / "wanted.txt"
        lines.write_text(f"{named.text}\n", encoding="utf-8")
        yield [str(lines)]


@given(screen=screens())
@settings(
    max_examples=5,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_what_inspect_lists_can_be_named_everywhere(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    screen: tuple[list[str], str, str | None],
) -> None:
    words_of(*screen)
    folder = tmp_path_factory.mktemp("screen")
    monkeypatch.chdir(folder)
    labels, control, separator = screen
    told = {"control": (control,), "separator": separator}
    options = IngestOptions.model_validate({"perturbation": "drug", **told})
    ingest(adata(labels), folder / "store", options=options)
    assert verify(folder / "store") == []
    with Store.open(folder / "store") as store:
        card = card_of(store)
        every = {unit.condition for unit in store.units}
        for named in listed(store):
            for texts in given_as(named, folder):
                check_export(store, named, texts)
                if named.condition != "control":
                    check_predict(store, card, named, texts)
                    if len(store.conditions) > 1:
                        check_split(store, named, texts)
                        check_exclude(labels, told, named, texts, every=every)


def card_of(store: Store) -> ModelCard:
    """Of a model that learnt from this store."""
    return ModelCard(
        model=ModelConfig(),
        source="noise",
        sampling=SamplingConfig(),
        genes=store.genes,
        perturbations=tuple(sorted({t for some in store.conditions.values() for t in some})),
        perturbation="drug",
        contexts=store.contexts,
        evaluation_genes=store.genes,
        genes_per_step=3,
        seed=0,
        words=store.words,
        provenance={},
    )


def known_names(texts: Sequence[str], words: Words) -> tuple[str, ...]:
    return from_text_or_file(texts, column="condition", option="--c", known=lambda: words)


def check_export(store: Store, named: Named, texts: list[str]) -> None:
    found = to_adata(store, conditions=known_names(texts, store.words))
    assert {store.words.name(label) for label in found.obs["condition"]} == {named.condition}
    assert found.n_obs == named.cells


def check_predict(store: Store, card: ModelCard, named: Named, texts: list[str]) -> None:
    (asked,) = known_names(texts, card.words)
    assert asked_condition(asked, card, card.words) == store.conditions[named.condition]


def check_split(store: Store, named: Named, texts: list[str]) -> None:
    test = as_given(texts, column="condition", option="--test")
    config = _with_names_apart(SplitConfig(kind="list", test=test), known=store.words)
    contexts = dict.fromkeys(store.conditions, store.contexts)
    made = make_split(config, conditions=store.conditions, words=store.words, contexts=contexts)
    assert made.test == (named.condition,)


def laid_out(labels: Sequence[str], **options: object) -> Layout:
    told = IngestOptions.model_validate(options)
    source = of_memory(adata(labels))
    try:
        return read_layout([source], columns=("condition",), options=told)
    finally:
        source.close()


def check_exclude(
    labels: Sequence[str],
    told: dict[str, object],
    named: Named,
    texts: list[str],
    *,
    every: set[str],
) -> None:
    left_out = as_given(texts, column="condition", option="--exclude")
    rest = laid_out(labels, exclude=left_out, **told)
    assert every - {name(tokens) for _, tokens in rest.units} == {named.condition}
