"""A VQA set made of captions, as COCO-QA was (Ren et al. 2015, arXiv:1505.02074), with balance as in VQA v2.

Five captions of a photograph by five people agree on some things: the dog is brown, two men are there, it is a beach.
Those are asked; what captions contradict is not. Questions are of six types, `TYPES`, and in every split each way of
asking is balanced (Goyal et al. 2017, arXiv:1612.00837), so that who has not seen the photograph is near chance.

`things.csv` and `words` hold what is known of English, `phrases` finds it in a caption, `rules` asks, `exists` finds
what is not there, `balance` evens out, `wording` puts it as people would, `making` does it all, and `files` writes
VQA's official format.
"""

from .files import write
from .making import TYPES, Pair, make, shares

__all__ = ["TYPES", "Pair", "make", "shares", "write"]
