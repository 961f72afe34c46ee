"""Cells on disk: AnnData in, a sharded zarr store, arrays out. Knows no model and no cluster."""
