"""Nodes for human rights protection networks."""
