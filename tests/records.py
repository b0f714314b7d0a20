"""Records of localisation as the scripts keep them."""

from experiments.lib import boxes


def record(name, top, truth, boxes_of, size=(100, 80)):
    maps = [
        {"label": label, "peak": [10, 10], "maximum": 1.0, "boxes": dict.fromkeys(map(str, boxes.SHARES), box)}
        for label, box in boxes_of.items()
    ]
    return {"picture": name, "size": size, "top": top, "blacklisted": False, "truth": truth, "maps": maps}
