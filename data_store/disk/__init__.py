"""Arrays, tables and bytes on disk or behind a URL; knows nothing of cells."""
