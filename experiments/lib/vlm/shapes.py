"""Numbers that fit one another, shared by families."""

from __future__ import annotations

from typing import Any

MERGED = {"patch_size": 4, "spatial_merge_size": 2, "temporal_patch_size": 2}
MERGES = {"patch_size": 4, "merge_size": 2, "temporal_patch_size": 2}
QWEN: dict[str, Any] = {"config": {"vision_config": MERGED}, "maker": MERGES}
ROPE = {"text_config": {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}}}
HALF = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [0, 1, 1], "partial_rotary_factor": 0.5}
TURNED: dict[str, Any] = {"config": {"vision_config": MERGED, **ROPE}, "maker": MERGES}
FOUR = {"vision_config": {"image_size": 32, "patch_size": 8}}  # 4×4 patches of a tile
EIGHT = {"vision_config": {"image_size": 32, "patch_size": 4}}  # 8×8
CLIP = {"shortest_edge": 32}
PINPOINTS = [[32, 64], [64, 32], [64, 64]]
