"""Reports: what was found, as one page of tables and figures that opens anywhere."""
