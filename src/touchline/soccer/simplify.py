"""A model with as many triangles as a picture can show: most of the robot's are smaller than a pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from touchline.soccer.camera import trunk_of

_CELL_PIXELS = 1.6
"""Vertices nearer than this in the picture become one."""
_ROBOT_VIEW, _OTHER_VIEW = 2.1, 5.0
"""Metres from the camera to the robot where it is nearest, see ``camera.views``, and to what stands behind it."""
_PLANE = 0
"""``mujoco.mjtGeom.mjGEOM_PLANE``."""
_PLANE_SPACING = 4.0
"""Metres between the grid lines into which a plane is cut; the official pitch has 1 cm, and needs none."""
_SLICES = 16
"""Sides of what is round and no mesh: goal posts and the ball."""


def simplify(model: Any, height: int) -> None:
    """Thin out what ``model`` draws, in place, for a picture ``height`` pixels high; physics is of no use then."""
    planes = model.geom_type == _PLANE
    model.geom_size[planes, 2] = np.maximum(model.geom_size[planes, 2], _PLANE_SPACING)
    model.vis.quality.numslices = min(model.vis.quality.numslices, _SLICES)
    simplify_meshes(model, height)


def simplify_meshes(model: Any, height: int) -> None:
    """Thin out the meshes of ``model``, in place, for a picture ``height`` pixels high.

    Vertex clustering (Rossignac & Borrel 1993, "Multi-resolution 3D approximations for rendering complex scenes"):
    the vertices in one cell of a grid become the first of them, and the triangles that collapse are dropped.
    """
    pixel = 2 * np.tan(np.radians(model.vis.global_.fovy) / 2) / height
    robot = model.body_rootid[model.geom_bodyid] == model.body_rootid[trunk_of(model)]
    worn = set(model.geom_dataid[robot].tolist())
    for mesh in range(model.nmesh):
        cell = _CELL_PIXELS * pixel * (_ROBOT_VIEW if mesh in worn else _OTHER_VIEW)
        vertices = _part(model.mesh_vert, model.mesh_vertadr[mesh], model.mesh_vertnum[mesh])
        start, count = model.mesh_faceadr[mesh], model.mesh_facenum[mesh]
        faces = _part(model.mesh_face, start, count)
        kept, clustered = _cluster(vertices, faces, cell)
        if len(kept) < 4:
            continue  # a body smaller than a cell stays as it is
        for array in (model.mesh_facenormal, model.mesh_facetexcoord):
            array[start : start + len(kept)] = _part(array, start, count)[kept]
        model.mesh_face[start : start + len(kept)] = clustered
        model.mesh_facenum[mesh] = len(kept)


def _part(array: NDArray[Any], start: int, count: int) -> NDArray[Any]:
    return array[start : start + count]


def _cluster(vertices: NDArray[Any], faces: NDArray[Any], cell: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return which faces stay, (k,), and the vertices they have then, (k, 3)."""
    cells = np.floor(vertices / cell).astype(np.int64)
    _, first, group = np.unique(cells, axis=0, return_index=True, return_inverse=True)
    clustered = first[group.ravel()][faces]
    a, b, c = clustered.T
    kept = np.flatnonzero((a != b) & (b != c) & (a != c))
    # The front and the back of a thin plate are two faces: equal are those that go round the same way.
    first_corner = np.argmin(clustered[kept], axis=1)[:, None]
    turned = np.take_along_axis(clustered[kept], (first_corner + np.arange(3)) % 3, axis=1)
    _, unique = np.unique(turned, axis=0, return_index=True)
    kept = kept[np.sort(unique)]
    return kept, clustered[kept]
