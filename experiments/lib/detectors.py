"""What the first units of the classifier's last convolution are trained to answer for, a class or a fact each."""

from mmcam.datasets.vignettes import world

CLASSES = world.KINDS + world.SCENES
LOCAL = (
    len(world.KINDS) * (len(world.COLOURS) + len(world.TEXTURES) + len(world.SCALES))
    + len(world.COLOURS) * len(world.TEXTURES)
    + len(world.COLOURS)
    + len(world.TEXTURES)
    + len(world.OPTIONAL_PARTS)
)  # facts that one place of the picture can show; they come first
DETECTORS = len(CLASSES) + LOCAL  # units of the last convolution
