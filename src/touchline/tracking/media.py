"""Copies of what a run logs as files, so that the caller may delete or overwrite the original at once."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from touchline.errors import TouchlineError
from touchline.tracking.frames import as_uint8

if TYPE_CHECKING:
    import numpy as np


def keep(run_directory: Path, source: Path, kind: str, name: str, *, unchanging: bool = False) -> str:
    """Copy a file or directory below ``media/<kind>/`` and return its path relative to the run's directory.

    ``unchanging`` files become hard links where the disk has them. Each copy has a directory of its own; its last
    part is the last part of ``name``. Raises TouchlineError when the source is missing or the disk refuses; nothing
    half-copied stays.
    """
    relative = Path("media") / kind / secrets.token_hex(4) / (Path(name).name or source.name)
    target = run_directory / relative
    copy = _link if unchanging else shutil.copyfile
    try:
        target.parent.mkdir(parents=True)
        if source.is_dir():
            shutil.copytree(source, target, copy_function=copy)
        else:
            copy(source, target)
    except (OSError, shutil.Error) as error:
        shutil.rmtree(target.parent, ignore_errors=True)
        cause = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise TouchlineError(
            f"{source} could not be copied to the run's directory {target.parent} ({cause}). "
            "Check that it exists and that the disk has space."
        ) from error
    return str(relative)


def _link(source: Path | str, target: Path | str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)


def keep_image(run_directory: Path, image: np.ndarray | Path | str, stem: str) -> str:
    """Keep an image file, or write an array (H, W), (H, W, 3) or (H, W, 4) as PNG; see ``keep``.

    Raises TouchlineError on another array, when Pillow is missing, and when the disk refuses.
    """
    if isinstance(image, Path | str):
        return keep(run_directory, Path(image), "images", stem + Path(image).suffix)
    import numpy as np

    pixels = np.asarray(image)
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.ndim not in (2, 3) or channels not in (1, 3, 4) or 0 in pixels.shape:
        raise TouchlineError(f"An image is an array (H, W), (H, W, 3) or (H, W, 4), and this is {pixels.shape}.")
    if pixels.dtype != np.uint8:
        pixels = as_uint8(pixels)
    try:
        from PIL import Image
    except ImportError as error:
        raise TouchlineError("Writing images needs Pillow; install it with: pip install pillow") from error
    relative = Path("media") / "images" / secrets.token_hex(4) / f"{stem}.png"
    target = run_directory / relative
    try:
        target.parent.mkdir(parents=True)
        Image.fromarray(pixels.squeeze()).save(target)
    except OSError as error:
        shutil.rmtree(target.parent, ignore_errors=True)
        raise TouchlineError(f"The image {target} could not be written ({error}). Check the disk's space.") from error
    return str(relative)
