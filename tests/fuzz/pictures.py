"""`mmcam.load_image`: files of every raster kind."""

from fuzz.harness import in_a_sentence, workplace

from mmcam import load_image

FILE = workplace() / "picture"


def read(data: bytes) -> None:
    FILE.write_bytes(data)
    with in_a_sentence():
        picture = load_image(FILE)
        assert picture.mode == "RGB"
        assert min(picture.size) > 0
