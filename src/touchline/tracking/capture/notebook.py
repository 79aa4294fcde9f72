"""The notebook that a run lives in, if it does: Jupyter's, Databricks', or a plain IPython."""

from __future__ import annotations

import sys
from typing import Any


def shell() -> Any:
    """IPython's shell when this process has one, else None; imports nothing."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None


def executed_cells() -> str:
    """The cells that were executed, in order, as one Python file; empty outside of a notebook."""
    cells = getattr(shell(), "user_ns", {}).get("In", [])
    return "\n\n".join(f"# In [{number}]\n{cell}" for number, cell in enumerate(cells) if cell)
