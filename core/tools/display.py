"""Windows for plots, or files if asked for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from matplotlib.figure import Figure

from core.tools.commandline import ToolError

__all__ = ["present"]

NO_WINDOW = 21


def present(draw: Callable[[Figure], object], output: str | None) -> None:
    """Draw into a file, or into a window and wait until it is closed.

    Parameters
    ----------
    draw : callable
        Fills the figure it is given.
    output : str or None
        File name; its suffix (``.png``, ``.pdf``, ``.svg``) tells the format.

    Raises
    ------
    ToolError
        With exit code 21 if there is no display, or matplotlib has no toolkit to open a window; with 50 if the format
        of the file is unknown.
    """
    if output is not None:
        figure = Figure()
        draw(figure)
        try:
            figure.savefig(output, dpi=120)
        except ValueError as error:
            raise ToolError(50, f"{output} cannot be written: {error}") from error
        return
    hint = "use -o FILE to write the plot to a file"
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise ToolError(NO_WINDOW, f"there is no display to open a window on; {hint}")
    # Imported late: a plot written to a file needs no toolkit.
    import matplotlib.pyplot as plt

    try:
        figure = plt.figure()
    except ImportError as error:
        raise ToolError(NO_WINDOW, f"no window can be opened: {error}; {hint}") from error
    if figure.canvas.required_interactive_framework is None:
        plt.close(figure)
        raise ToolError(NO_WINDOW, f"matplotlib has no toolkit to open windows; {hint}")
    draw(figure)
    plt.show(block=True)
