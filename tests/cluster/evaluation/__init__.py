"""Tests of rows, intervals and comparisons of evaluations."""
