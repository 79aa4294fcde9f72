"""Pictures as people hand them over (arrays, tensors, Pillow images, figures), turned into uint8 arrays."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from touchline.errors import TouchlineError, UsageError

if TYPE_CHECKING:
    import numpy as np


def pixels(image: Any) -> np.ndarray:
    """An array (H, W), (H, W, 3) or (H, W, 4) of uint8.

    Takes an array (H, W) or (H, W, C), a torch tensor (H, W) or (C, H, W), a Pillow image or a Matplotlib figure.
    Numbers up to 255 stay; a float array that stays within 0..1 is taken as a share of 255. Raises UsageError on
    another shape.
    """
    import numpy as np

    if is_figure(image):
        return _drawn(image)
    if hasattr(image, "convert") and hasattr(image, "mode"):
        mode = image.mode if image.mode in ("L", "RGB", "RGBA") else "RGB"
        return np.asarray(image.convert(mode))
    array = to_array(image)
    if array.ndim == 3 and type(image).__module__.partition(".")[0] == "torch":
        array = array.transpose(1, 2, 0)
    if array.ndim > 2:
        array = array.squeeze()
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)) or not array.size:
        raise UsageError(
            f"An image is an array (H, W), (H, W, 3) or (H, W, 4), or a torch tensor (C, H, W), and this has shape "
            f"{array.shape}. Bring its axes into that order."
        )
    return to_uint8(array)


def to_array(values: Any) -> np.ndarray:
    """A NumPy copy of an array or a torch or JAX tensor."""
    import numpy as np

    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    return np.array(values)


def to_uint8(array: np.ndarray) -> np.ndarray:
    """Pixels as uint8: a float array within 0..1 is stretched, everything else clipped to 0..255."""
    import numpy as np

    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * 255
    finite = np.nan_to_num(array.astype(np.float64), posinf=255.0, neginf=0.0)
    if np.issubdtype(array.dtype, np.floating) and finite.size and finite.min() >= 0.0 and finite.max() <= 1.0:
        finite = finite * 255.0
    return np.clip(np.rint(finite), 0, 255).astype(np.uint8)


def is_figure(value: Any) -> bool:
    """True for a Matplotlib figure, and for ``matplotlib.pyplot`` itself, which stands for the current one."""
    return callable(getattr(value, "savefig", None))


def _drawn(figure: Any) -> np.ndarray:
    import numpy as np

    try:
        from PIL import Image
    except ImportError as error:
        raise TouchlineError("Recording figures needs Pillow; install it with: pip install pillow") from error
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return np.asarray(Image.open(file).convert("RGB"))
