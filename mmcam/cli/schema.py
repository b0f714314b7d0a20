"""What `mmcam explain --json` prints, as a JSON schema in a file of the package."""

from pathlib import Path

SCHEMA = Path(__file__).with_name("explanation.schema.json")
