"""The methods that turn a question into maps, by name."""

from mmcam.methods import attention, cam, excitation, perturbation, pixels, smooth  # noqa: F401  (they register)
from mmcam.methods.cam import register_cam
from mmcam.methods.registry import METHODS, Maps, Method, Question, get, register
from mmcam.methods.rule_mode import backward_rules

__all__ = ["METHODS", "Maps", "Method", "Question", "backward_rules", "get", "register", "register_cam"]
