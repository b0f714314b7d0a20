"""Maps as pictures: arrays in, Pillow pictures out."""
