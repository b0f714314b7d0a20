"""Whole data sets as jobs that go on where they were stopped, and their results.

import mmcam
job = mmcam.jobs.open("out/photos")       # what `mmcam run` wrote
job.to_pandas(["id", "target", "score", "peak"])
job["holiday/dog.jpg"].show()
"""

from mmcam.jobs.reader import Job, open
from mmcam.jobs.run import run

__all__ = ["Job", "open", "run"]
