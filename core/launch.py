"""Starts of the commands: Ctrl-C while the modules are imported, which takes a second, ends without a traceback.

The entry points of the package are here; what they start is imported when they are called.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from functools import partial
from types import FrameType
from typing import Final, NoReturn, cast

__all__ = ["launch"]

INTERRUPTED: Final = 130  # exit code, as a shell has it after SIGINT


def launch(name: str, reference: str) -> int | None:
    """Import and call a command.

    Parameters
    ----------
    name : str
        As it is shown to the user.
    reference : str
        ``module:function``.

    Returns
    -------
    int or None
        What the function returns: its exit code.
    """

    def interrupted(_number: int, _frame: FrameType | None) -> NoReturn:
        # Nothing is written yet, so nothing has to be undone.
        os.write(2, f"{name}: interrupted\n".encode())
        os._exit(INTERRUPTED)

    module, _, function = reference.partition(":")
    listens = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not if it is to be ignored, as by nohup
    if listens:
        signal.signal(signal.SIGINT, interrupted)
    command = getattr(importlib.import_module(module), function)
    if listens:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return cast("int | None", command())
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return INTERRUPTED


muserex = partial(launch, "muserex", "core.recipes.muserex:command")
muse_trace_plot_samples = partial(launch, "muse_trace_plot_samples", "core.tools.trace_commands:plot_samples")
muse_trace_plot_widths = partial(launch, "muse_trace_plot_widths", "core.tools.trace_commands:plot_widths")
muse_wave_plot_residuals = partial(launch, "muse_wave_plot_residuals", "core.tools.wave_commands:plot_residuals")
muse_wave_plot_column = partial(launch, "muse_wave_plot_column", "core.tools.wave_commands:plot_column")
muse_geo_plot = partial(launch, "muse_geo_plot", "core.tools.geo_commands:plot")
muse_geo_smooth = partial(launch, "muse_geo_smooth", "core.tools.geo_commands:smooth")
muse_badpix_from_dq = partial(launch, "muse_badpix_from_dq", "core.tools.badpix_commands:from_dq")
muse_badpix_from_ascii = partial(launch, "muse_badpix_from_ascii", "core.tools.badpix_commands:from_ascii")
muse_badpix_from_region = partial(launch, "muse_badpix_from_region", "core.tools.badpix_commands:from_region")
muse_pixtable_dump = partial(launch, "muse_pixtable_dump", "core.tools.pixtable_dump:dump")
muse_pixtable_crop = partial(launch, "muse_pixtable_crop", "core.tools.pixtable_crop:crop")
muse_pixtable_erase_slice = partial(launch, "muse_pixtable_erase_slice", "core.tools.pixtable_erase:erase_slice")
muse_pixtable_convert = partial(launch, "muse_pixtable_convert", "core.tools.pixtable_convert:convert")
muse_cube_concatenate = partial(launch, "muse_cube_concatenate", "core.tools.cube_join:concatenate")
muse_cube_combine = partial(launch, "muse_cube_combine", "core.tools.cube_join:combine")
muse_cube_filter = partial(launch, "muse_cube_filter", "core.tools.cube_filter:filter_cube")
muse_products_merge = partial(launch, "muse_products_merge", "core.tools.product_commands:merge")
muse_product_split = partial(launch, "muse_product_split", "core.tools.product_commands:split")
muse_product_sign = partial(launch, "muse_product_sign", "core.tools.product_commands:sign")
muse_offset_list_create = partial(launch, "muse_offset_list_create", "core.tools.offset_list:create")
muse_fill_image = partial(launch, "muse_fill_image", "core.tools.fill_image:fill")
muse_image_fwhm = partial(launch, "muse_image_fwhm", "core.tools.image_fwhm:measure")
muse_sdp_check = partial(launch, "muse_sdp_check", "core.tools.science_product:check")
muse_dark_image_model = partial(launch, "muse_dark_image_model", "core.tools.dark_model:model")
