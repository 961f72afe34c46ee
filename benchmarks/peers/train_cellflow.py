"""CellFlow (cellflow-tools 0.0.9) through its public functions, in an environment of its own.

    python train_cellflow.py CELLS.h5ad ASKED.json PREDICTED.h5ad --seed 0

It is told of genes by one-hot vectors, averages those of a combination, and works on 50 principal
components of the training cells, as its tutorials do; widths are for two cores. Nothing is tuned.

CELLS holds log1p per 10k, the condition ("A+B", or the control's word) in obs. ASKED names the
conditions to predict and that word. PREDICTED gets one cell for each control cell and condition.
"""

import argparse
import json
from pathlib import Path

import anndata as ad
import numpy as np
import optax
import pandas as pd
from cellflow.model import CellFlow
from cellflow.preprocessing import centered_pca, project_pca, reconstruct_pca

COMPONENTS = 50
SLOTS = ("gene_1", "gene_2")  # of a combination
NONE = "none"  # in a slot that is empty


def slots(conditions: list[str], *, control: str) -> pd.DataFrame:
    """The genes of each condition, empty slots filled."""
    genes = [[] if name == control else name.split("+") for name in conditions]
    padded = [[*some, *[NONE] * (len(SLOTS) - len(some))] for some in genes]
    return pd.DataFrame(padded, columns=list(SLOTS)).astype("category")


def learn(cells: ad.AnnData, *, genes: list[str], seed: int, steps: int, batch: int) -> CellFlow:
    """Train on cells whose obs holds the slots and `control`."""
    unit = np.eye(len(genes), dtype=np.float32)
    one_hot = {gene: unit[row] for row, gene in enumerate(genes)}
    cells.uns["genes"] = one_hot | {NONE: np.zeros(len(genes), np.float32)}
    np.random.seed(seed)  # noqa: NPY002 - its sampler draws from numpy's own state
    model = CellFlow(cells, solver="otfm")
    model.prepare_data(
        sample_rep="X_pca",
        control_key="control",
        perturbation_covariates={"genes": SLOTS},
        perturbation_covariate_reps={"genes": "genes"},
        max_combination_length=len(SLOTS),
        null_value=0.0,
    )
    model.prepare_model(
        pooling="mean",
        condition_embedding_dim=64,
        cond_output_dropout=0.1,
        time_freqs=128,
        time_encoder_dims=(256, 256),
        hidden_dims=(256, 256),
        decoder_dims=(256, 256),
        optimizer=optax.adam(3e-4),
        layers_before_pool=({"layer_type": "mlp", "dims": (64,)},),
        layers_after_pool=({"layer_type": "mlp", "dims": (64,)},),
        seed=seed,
    )
    model.train(num_iterations=steps, batch_size=batch, valid_freq=steps + 1)
    return model


def predict(
    model: CellFlow, controls: ad.AnnData, *, conditions: list[str], control: str, like: ad.AnnData
) -> ad.AnnData:
    """A cell for each control and condition, at least 0."""
    wanted = slots(conditions, control=control)
    wanted["condition"] = conditions
    wanted["control"] = False
    found = model.predict(controls, covariate_data=wanted, condition_id_key="condition")
    assert found is not None
    parts = []
    for name, components in found.items():
        obs = pd.DataFrame({"condition": [name] * len(components)})
        obs.index = [f"{name}-{number}" for number in range(len(components))]
        part = ad.AnnData(X=np.zeros((len(components), like.n_vars), np.float32), obs=obs)
        part.var_names = like.var_names
        part.obsm["X_pca"] = np.asarray(components)
        reconstruct_pca(part, ref_adata=like)
        part.X = np.maximum(np.asarray(part.layers.pop("X_recon"), np.float32), 0)
        del part.obsm["X_pca"]
        parts.append(part)
    return ad.concat(parts)


def main() -> None:
    """Read, train, predict, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("cells", type=Path)
    parser.add_argument("asked", type=Path)
    parser.add_argument("predicted", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=3_000)
    parser.add_argument("--batch", type=int, default=256)
    told = parser.parse_args()
    cells, asked = ad.read_h5ad(told.cells), json.loads(told.asked.read_text())
    names = [str(name) for name in cells.obs["condition"]]
    known = [*dict.fromkeys(names), *asked["conditions"]]
    genes = sorted({gene for name in known if name != asked["control"] for gene in name.split("+")})
    cells.obs = slots(names, control=asked["control"]).set_index(cells.obs_names)
    cells.obs["control"] = np.array(names) == asked["control"]
    centered_pca(cells, n_comps=min(COMPONENTS, cells.n_vars - 1), keep_centered_data=False)
    model = learn(cells, genes=genes, seed=told.seed, steps=told.steps, batch=told.batch)
    controls = cells[cells.obs["control"].to_numpy()].copy()
    project_pca(controls, ref_adata=cells)
    predict(
        model, controls, conditions=asked["conditions"], control=asked["control"], like=cells
    ).write_h5ad(told.predicted)


if __name__ == "__main__":
    main()
