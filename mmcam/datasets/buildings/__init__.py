"""A world of small houses, sound and damaged, in which every damaged pixel is known.

>>> from mmcam.datasets import buildings
>>> photograph = buildings.photograph(building=3, view=0)
>>> photograph.image.size, photograph.damage in buildings.DAMAGES
((224, 224), True)

A building keeps its shape and its damage; its views differ in distance, place and light. The same numbers give the same
bytes. What is no damage and looks like some is drawn, too: pipes and cables beside cracks, repaired roofs and skylights
beside missing tiles, shadows and ivy beside damp. `export` writes a folder a class, the masks, and a table that says of
which building each picture is.
"""

from mmcam.datasets.buildings.export import export
from mmcam.datasets.buildings.house import DAMAGES, SHARES, SOUND, House, house
from mmcam.datasets.buildings.photograph import Photograph, photograph, seen

__all__ = ["DAMAGES", "SHARES", "SOUND", "House", "Photograph", "export", "house", "photograph", "seen"]
