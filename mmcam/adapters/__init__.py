"""Other people's models as mmcam's tasks take them."""
