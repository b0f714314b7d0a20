"""The methods that turn a question into maps, by name."""

from mmcam.methods import (  # noqa: F401  (they register)
    attention,
    cam,
    eigen,
    excitation,
    extremal,
    fullgrad,
    gap_cam,
    grad_eclip,
    legrad,
    libragrad,
    localisation_heads,
    perturbation,
    pixels,
    score_cam,
    smooth,
    tam,
)
from mmcam.methods.cam_family import register_cam
from mmcam.methods.registry import METHODS, Maps, Method, Question, get, register
from mmcam.methods.rule_mode import backward_rules

__all__ = ["METHODS", "Maps", "Method", "Question", "backward_rules", "get", "register", "register_cam"]
