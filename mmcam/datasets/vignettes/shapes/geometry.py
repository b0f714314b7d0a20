"""Closed outlines as polygons: every function returns points of shape (k, 2), x right, y down."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Point = tuple[float, float]


def polygon(*corners: Point) -> Points:
    """The polygon with these corners."""
    return np.array(corners, dtype=np.float64)


def oval(x: float, y: float, rx: float, ry: float | None = None, turn: float = 0, n: int = 24) -> Points:
    """An ellipse around (x, y), turned by `turn` degrees."""
    t = np.linspace(0, 2 * math.pi, n, endpoint=False)
    a, b = rx * np.cos(t), (rx if ry is None else ry) * np.sin(t)
    c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    return np.stack([x + a * c - b * s, y + a * s + b * c], axis=1)


def rounded(radius: float, *corners: Point, n: int = 4) -> Points:
    """The polygon with these corners, each replaced by a parabola that starts `radius` before it."""
    p = polygon(*corners)
    t = np.linspace(0, 1, n + 1)[:, None]
    arcs = []
    for before, corner, after in zip(np.roll(p, 1, 0), p, np.roll(p, -1, 0), strict=True):
        start = corner + (before - corner) * min(0.5, radius / float(np.hypot(*(before - corner))))
        stop = corner + (after - corner) * min(0.5, radius / float(np.hypot(*(after - corner))))
        arcs.append((1 - t) ** 2 * start + 2 * t * (1 - t) * corner + t**2 * stop)
    return np.concatenate(arcs)


def box(x0: float, y0: float, x1: float, y1: float, radius: float = 0) -> Points:
    """A rectangle, with rounded corners where `radius` is positive."""
    corners = (x0, y0), (x1, y0), (x1, y1), (x0, y1)
    return rounded(radius, *corners) if radius else polygon(*corners)


def curve(*through: Point, n: int = 5) -> Points:
    """A smooth closed line through these points (Catmull-Rom)."""
    p = polygon(*through)
    return _spline(np.roll(p, 1, 0), p, np.roll(p, -1, 0), np.roll(p, -2, 0), n)


def stroke(width: float, *through: Point, n: int = 5) -> Points:
    """A thick line through these points with round ends."""
    p = polygon(*through)
    if len(p) > 2:
        padded = np.concatenate([p[:1] * 2 - p[1:2], p, p[-1:] * 2 - p[-2:-1]])
        p = np.concatenate([_spline(padded[:-3], padded[1:-2], padded[2:-1], padded[3:], n), p[-1:]])
    along = np.gradient(p, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    aside = np.stack([-along[:, 1], along[:, 0]], axis=1) * width / 2
    t = np.linspace(0, math.pi, 6)[1:-1, None]
    end = p[-1] + np.cos(t) * aside[-1] + np.sin(t) * along[-1] * width / 2
    start = p[0] - np.cos(t) * aside[0] - np.sin(t) * along[0] * width / 2
    return np.concatenate([p + aside, end, (p - aside)[::-1], start])


def bumpy(x: float, y: float, rx: float, ry: float, bumps: int, depth: float) -> Points:
    """An ellipse whose edge swells `bumps` times by a share `depth` of its radius, like a cloud."""
    t = np.linspace(0, 2 * math.pi, bumps * 7, endpoint=False)
    r = 1 - depth + depth * np.abs(np.sin(t * bumps / 2)) * 2
    return np.stack([x + rx * r * np.cos(t), y + ry * r * np.sin(t)], axis=1)


def star(x: float, y: float, radius: float, points: int = 5, inner: float = 0.45) -> Points:
    """A star with one point up."""
    t = np.arange(2 * points) * math.pi / points - math.pi / 2
    r = np.where(np.arange(2 * points) % 2 == 0, radius, radius * inner)
    return np.stack([x + r * np.cos(t), y + r * np.sin(t)], axis=1)


def _spline(a: Points, b: Points, c: Points, d: Points, n: int) -> Points:
    t = np.linspace(0, 1, n, endpoint=False)[None, :, None]
    a, b, c, d = (v[:, None, :] for v in (a, b, c, d))
    points = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return points.reshape(-1, 2)
