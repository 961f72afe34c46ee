"""Files of one kind each, read as blocks of rows."""
