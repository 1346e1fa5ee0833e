"""Meshes of a folder: point-to-surface distance, Chamfer distance, normal error."""

import dataclasses
import functools
from pathlib import Path

from volhuman.errors import InputError
from volhuman.evaluation.alignment import ALIGNMENTS, align_surface
from volhuman.evaluation.config import EvaluateConfig
from volhuman.evaluation.files import list_items
from volhuman.evaluation.kinds import METRES, Kind, chosen_variants, protocol_for
from volhuman.evaluation.mesh_files import MESH_SUFFIXES, read_mesh
from volhuman.evaluation.meshes import Mesh, mesh_problem
from volhuman.evaluation.normals import NORMAL_PROTOCOLS, normal_reprojection_error
from volhuman.evaluation.surfaces import SURFACE_PROTOCOLS, surface_errors


def mesh_kind(config: EvaluateConfig) -> Kind:
    """Returns how meshes are read and measured.

    Raises:
        InputError: If an option has a value that meshes do not have.
    """
    if config.alignment not in ALIGNMENTS:
        raise InputError(
            f"--config.alignment is {config.alignment!r}, expected one of "
            f"{', '.join(ALIGNMENTS)}"
        )
    if config.mask:
        raise InputError(
            "--config.mask is given, but meshes have no masks; leave it out"
        )
    variants = chosen_variants(config, list(SURFACE_PROTOCOLS | NORMAL_PROTOCOLS))
    return Kind(
        list_items=functools.partial(list_items, suffixes=MESH_SUFFIXES),
        read=functools.partial(_read, metres=METRES[config.unit]),
        check_truth=_check_truth,
        measure=functools.partial(_measure, config=config, variants=variants),
        protocols=[p for name in variants for p in _protocols(config, name)],
    )


def _protocols(config, name):
    """Protocols in the order of the values of `_measure`."""
    protocols = []
    if name in SURFACE_PROTOCOLS:
        surface = SURFACE_PROTOCOLS[name]
        extra = {
            "p2s": surface.p2s,
            "chamfer": surface.chamfer,
            "reduction": surface.reduction,
        }
        protocols += [
            protocol_for(
                config,
                metric,
                name,
                unit=surface.unit,
                alignment=config.alignment,
                samples=surface.samples,
                seed=config.seed,
                extra=extra,
            )
            for metric in ("P2S", "Chamfer")
        ]
    if name in NORMAL_PROTOCOLS:
        extra = dataclasses.asdict(NORMAL_PROTOCOLS[name])
        del extra["name"]
        protocols.append(
            protocol_for(
                config,
                "normal error",
                name,
                alignment=config.alignment,
                # An alignment starts from random samples.
                seed=None if config.alignment == "none" else config.seed,
                extra=extra,
            )
        )
    return protocols


def _read(path: Path, *, metres: float) -> Mesh:
    mesh = read_mesh(path)
    return Mesh(mesh.vertices * metres, mesh.faces)


def _check_truth(path: Path, mesh: Mesh, mask: None) -> None:
    problem = mesh_problem(mesh)
    if problem:
        raise InputError(f"{path}: {problem}; a true surface needs faces with area")


def _measure(prediction, truth, mask, *, config, variants):
    problem = mesh_problem(prediction)
    if problem:
        raise InputError(problem)
    prediction = align_surface(prediction, truth, config.alignment, seed=config.seed)
    values = []
    for name in variants:
        if name in SURFACE_PROTOCOLS:
            errors = surface_errors(
                prediction, truth, SURFACE_PROTOCOLS[name], seed=config.seed
            )
            values += [errors.p2s, errors.chamfer]
        if name in NORMAL_PROTOCOLS:
            protocol = NORMAL_PROTOCOLS[name]
            values.append(normal_reprojection_error(prediction, truth, protocol))
    return values
