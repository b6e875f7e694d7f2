"""Vouching: who speaks for whom, as entity statements of OpenID Federation 1.0. A chain says who vouches, and never
grants a scope: nothing outside this package reads what it says but to show it."""
