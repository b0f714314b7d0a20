"""Explanations in the forms that other programs read: tables, COCO's results."""
