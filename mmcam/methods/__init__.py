"""The methods that turn a question into maps, by name."""

from mmcam.methods import attention, cam, excitation, perturbation, pixels, smooth  # noqa: F401  (they register)
from mmcam.methods.registry import METHODS, Maps, Method, Question, get, register

__all__ = ["METHODS", "Maps", "Method", "Question", "get", "register"]
