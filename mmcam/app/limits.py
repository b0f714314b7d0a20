"""How much one visitor may ask for, so that another is still served."""

from __future__ import annotations

FILE_BYTES = 20 * 2**20
"""Of an uploaded picture."""

PIXELS = 40_000_000
"""Of an uploaded picture, unpacked: what telephones take, and no more."""

CHARACTERS = 300
"""Of a caption, a question or a name."""

AT_ONCE = 2
"""Questions that are worked on at a time; the others wait in line."""

WAITING = 24
"""Questions that may wait; more are refused with a sentence."""

UPLOAD_SECONDS = 3600
"""How long an uploaded file stays on the disk; all are gone when the server stops."""

SESSIONS = 16
"""Visitors whose pictures are kept; the one who has asked nothing for longest is forgotten first."""

PICTURES = 4
"""Pictures kept of each visitor."""

LOOKS = 6
"""Outputs of encoders kept of each visitor: about 4 MB each."""

MAPS = 96
"""Explanations kept of each visitor: at most about 1 MB each."""

ANSWERS = 12
"""Sets of maps kept of each visitor, to be taken away as files."""

QUICKER = {
    "rise": {"n": 300},
    "smoothgrad": {"n": 16},
    "integrated_gradients": {"steps": 24},
    "extremal": {"steps": 60},
}
"""Options of methods that run the model many times: fewer of these than they have by default."""
