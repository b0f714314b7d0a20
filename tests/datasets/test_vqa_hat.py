"""VQA-HAT's maps, written in the official layout: vqahat_val/{question_id}_{1..3}.png, vqahat_train/{id}_1.png."""

import numpy as np
import pytest
from PIL import Image

from mmcam.datasets.vqa_hat import attention_files, attention_maps, read_map


def write(folder, question, person, values):
    """A grey PNG of 8 bits."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{question}_{person}.png"
    Image.fromarray(np.asarray(values, np.uint8)).save(path)
    return path


@pytest.fixture
def val(tmp_path):
    folder = tmp_path / "vqahat_val"
    write(folder, 1500073, 2, [[0, 51], [102, 255]])
    write(folder, 1500073, 1, [[255, 0], [0, 0]])
    write(folder, 1500073, 3, [[0, 0, 255]])  # each file has the size it has
    write(folder, 420, 1, [[7]])
    return folder


def test_each_persons_map_is_its_files_grey(val):
    first, second, third = attention_maps(val, 1500073)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, [[1, 0], [0, 0]])
    np.testing.assert_allclose(second, [[0, 0.2], [0.4, 1]], rtol=1e-6)
    assert third.shape == (1, 3)


def test_the_training_folder_has_one_person_a_question(tmp_path):
    write(tmp_path / "vqahat_train", 3550, 1, [[0, 255]])
    (only,) = attention_maps(tmp_path / "vqahat_train", 3550)
    np.testing.assert_array_equal(only, [[0, 1]])


def test_files_are_listed_by_question_and_person(val):
    for other in ("readme.txt", "1500073_1.jpg", "x_1.png", "99_0.png", "99.png"):
        (val / other).write_bytes(b"")
    assert {question: [path.name for path in own] for question, own in attention_files(val).items()} == {
        420: ["420_1.png"],
        1500073: ["1500073_1.png", "1500073_2.png", "1500073_3.png"],
    }


def test_the_tenth_person_comes_after_the_second(tmp_path):
    for person in (10, 2):
        write(tmp_path / "hat", 5, person, [[person]])
    assert [path.name for path in attention_files(tmp_path / "hat")[5]] == ["5_2.png", "5_10.png"]


def test_a_black_map_stays_black(tmp_path):
    write(tmp_path / "vqahat_val", 1, 1, np.zeros((4, 6)))
    (black,) = attention_maps(tmp_path / "vqahat_val", 1)
    assert black.shape == (4, 6)
    assert not black.any()


def test_sixteen_bits_and_three_equal_channels_are_grey_too(tmp_path):
    Image.fromarray(np.array([[0, 65535, 13107]], np.uint16)).save(tmp_path / "1_1.png")
    np.testing.assert_allclose(read_map(tmp_path / "1_1.png"), [[0, 1, 0.2]], rtol=1e-6)
    Image.fromarray(np.array([[[51] * 3, [255] * 3]], np.uint8)).save(tmp_path / "2_1.png")
    np.testing.assert_allclose(read_map(tmp_path / "2_1.png"), [[0.2, 1]], rtol=1e-6)


def test_what_cannot_be_read_is_named(val, tmp_path):
    with pytest.raises(ValueError, match=r"nowhere is missing; put VQA-HAT's folder there"):
        attention_files(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"holds no map such as"):
        attention_files(tmp_path)
    with pytest.raises(ValueError, match=r"no map of question 42; VQA-HAT covers a part of VQA version 1"):
        attention_maps(val, 42)
    (val / "7_1.png").write_bytes((val / "420_1.png").read_bytes()[:40])
    with pytest.raises(ValueError, match=r"7_1.png cannot be read as a picture"):
        attention_maps(val, 7)
    with pytest.raises(ValueError, match=r"8_1.png cannot be read as a picture"):
        read_map(val / "8_1.png")
    Image.new("RGB", (2, 2), (9, 9, 8)).save(val / "9_1.png")
    with pytest.raises(ValueError, match=r"9_1.png is not grey \(its mode is RGB\)"):
        attention_maps(val, 9)
    Image.new("RGBA", (2, 2), (9, 9, 9, 9)).save(val / "10_1.png")
    with pytest.raises(ValueError, match=r"10_1.png is not grey \(its mode is RGBA\)"):
        attention_maps(val, 10)
