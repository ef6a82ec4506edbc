"""`python -m modplane_sdk`."""

from modplane_sdk.cli import main

main()
