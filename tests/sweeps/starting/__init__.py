"""A run file and a sweep file for a user's own cells."""
