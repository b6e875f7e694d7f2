"""`python -m federation`: the command line."""

from federation.cli import main

main()
