"""Copies of what a run logs as files, so that the caller may delete or overwrite the original at once."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from touchline.errors import TouchlineError, UsageError
from touchline.filesystem import close_to_others, create_private, is_inside, make_private, refuse_links_out
from touchline.redaction import redact_file_name
from touchline.tracking.frames import as_uint8

if TYPE_CHECKING:
    import numpy as np


LONGEST_NAME = 255
"""Bytes of one part of a path that file systems take."""


def check_links(directory: Path) -> None:
    """Raise TouchlineError when a link in a directory that is to be copied leads out of it.

    What it leads to, and all below, would be copied too, and delivered.
    """
    refuse_links_out(
        directory,
        f"The directory {directory}",
        "Nothing was copied. Put the file itself in the place of the link, or log what it leads to by itself.",
    )


def check_path(name: str) -> None:
    """Raise UsageError unless ``name`` is a path below its run, of one line, that file systems take."""
    parts = name.split("/")
    if name.startswith("/") or ".." in parts:
        raise UsageError(f"A file's name is a path below its run, and this is {name!r}. Leave out '/' and '..'.")
    if not name or any(ord(character) < 32 or ord(character) == 127 for character in name):
        raise UsageError(f"A file's name is one line of characters that can be seen, and this is {name!r}.")
    if any(len(part.encode("utf-8", "replace")) > LONGEST_NAME for part in parts):
        raise UsageError(f"The name {name[:60]!r}… has a part of more than {LONGEST_NAME} bytes. Give a shorter one.")


def kept(run_directory: Path, path: object) -> Path:
    """The file or directory that an event names by its path below the run's directory.

    Raises TouchlineError on a path that leads elsewhere, as that of a restored journal might which somebody has
    changed: a courier would send, and a page show, any file of this machine.
    """
    file = run_directory / str(path)
    if not is_inside(file, run_directory):
        raise TouchlineError(
            f"The journal of run {run_directory.name} names the file {str(path)[:200]!r}, which is not in the run's "
            "directory. It is not read; restore the journal from a checkpoint that you trust."
        )
    return file


def keep(run_directory: Path, source: Path, kind: str, name: str, *, unchanging: bool = False) -> str:
    """Copy a file or directory below ``media/<kind>/`` and return its path relative to the run's directory.

    ``unchanging`` files become hard links where the disk has them. Each copy has a directory of its own; its last
    part is the last part of ``name``. Links inside of a directory become what they lead to. Raises UsageError on a
    name that ``check_path`` refuses, TouchlineError when the source is missing, a link in it leads out of it or the
    disk refuses; nothing half-copied stays.
    """
    check_path(name)
    check_links(source)
    relative = Path("media") / kind / secrets.token_hex(4) / redact_file_name(Path(name).name or source.name)
    target = run_directory / relative
    copy = _link if unchanging else shutil.copyfile
    try:
        make_private(target.parent)
        if source.is_dir():
            shutil.copytree(source, target, copy_function=copy)
        else:
            copy(source, target)
        if not unchanging:  # links have the rights of the files that they lead to
            close_to_others(target)
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
        os.link(os.path.realpath(source), target)  # of a link, Linux would link the link
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
        make_private(target.parent)
        create_private(target)
        Image.fromarray(pixels.squeeze()).save(target)
    except OSError as error:
        shutil.rmtree(target.parent, ignore_errors=True)
        raise TouchlineError(f"The image {target} could not be written ({error}). Check the disk's space.") from error
    return str(relative)
