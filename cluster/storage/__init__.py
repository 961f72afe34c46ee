"""Where runs, sweeps and predictions live: folders, and object stores behind an address."""
