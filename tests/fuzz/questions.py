"""Questions of photographs: VQA's two files (JSON), and DAQUAR's pairs and lists (text)."""

from fuzz.harness import in_a_sentence, parts, picture, workplace

from mmcam.datasets.asked import daquar, vqa

ROOT = workplace()
for name in ("COCO_val2014_000000000042.jpg", "images/image1.jpg"):
    picture(ROOT / name)
FILES = (ROOT / "all_qa_pairs.txt", ROOT / "train_images_list.txt", ROOT / "test_images_list.txt")


def read(data: bytes) -> None:
    with in_a_sentence():
        if data.lstrip().startswith(b"{"):
            questions, annotations = ROOT / "questions.json", ROOT / "annotations.json"
            for file, content in zip((questions, annotations), parts(data, 2), strict=True):
                file.write_bytes(content)
            items = vqa(questions, annotations, ROOT)
        else:
            for file, content in zip(FILES, parts(data, 3), strict=True):
                file.write_bytes(content)
            items = daquar(ROOT)
        for one in items:
            assert isinstance(one.question, str)
            assert isinstance(one.type, str)
            assert all(isinstance(answer, str) for answer in one.answers)
