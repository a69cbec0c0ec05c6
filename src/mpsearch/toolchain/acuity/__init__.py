"""The vendor's engine without a board: PyPI ``acuitylite`` in an environment of its own (``docs/acuity.md``)."""
