"""Tests of noise ceilings and intervals."""
