"""Several runs beside each other: judged alike, and averaged."""
