"""A job's folder: its manifest (JSON) and a part of its table (Parquet)."""

from fuzz.harness import in_a_sentence, parts, workplace

from mmcam import jobs

ROOT = workplace()
PART = ROOT / "results" / "part-000000.parquet"
PART.parent.mkdir()


def read(data: bytes) -> None:
    manifest, table = parts(data, 2)
    (ROOT / "manifest.json").write_bytes(manifest)
    PART.write_bytes(table) if table else PART.unlink(missing_ok=True)
    with in_a_sentence():
        job = jobs.open(ROOT)
        len(job)
        for name, results in job.items():
            assert name
            repr(results)
