"""Policies: who may see which field how exactly. Pure functions over frozen values; no I/O, no clock, no state."""
