"""Captions of photographs: Karpathy's splits (JSON), and Flickr8k's own files (captions, and a list of pictures)."""

from fuzz.harness import in_a_sentence, parts, picture, workplace

from mmcam.datasets.captioned import flickr8k, karpathy

ROOT = workplace()
for name in ("images/1.jpg", "images/val2014/2.jpg"):
    picture(ROOT / name)


def read(data: bytes) -> None:
    with in_a_sentence():
        if data.lstrip().startswith(b"{"):
            (ROOT / "dataset.json").write_bytes(data)
            splits = karpathy(ROOT / "dataset.json", ROOT / "images")
        else:
            captions, listed = parts(data, 2)
            (ROOT / "Flickr8k.token.txt").write_bytes(captions)
            for split in ("train", "dev", "test"):
                (ROOT / f"Flickr_8k.{split}Images.txt").write_bytes(listed)
            splits = flickr8k(ROOT)
        for item in (one for split in splits.values() for one in split):
            assert all(isinstance(caption, str) for caption in item.captions)
