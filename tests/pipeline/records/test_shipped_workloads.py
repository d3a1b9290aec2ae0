from __future__ import annotations

import hashlib
import json

from tvmopt.pipeline.support.shipped import shipped
from tvmopt.schedules.workload import Workload


def test_workloads_of_shipped_records_read_and_write_alike() -> None:
    """Each also gets the key that follows from its text."""
    texts = set()
    for log in sorted(shipped("tuning_logs").glob("*/*.jsonl")):
        lines = log.read_text().splitlines()
        texts |= {line[line.index('"workload":') + 11 : line.index(',"target":')] for line in lines}
    assert len(texts) > 300
    for text in texts:
        given = json.loads(text)
        made = Workload.from_json(given)
        assert json.dumps(made.to_json(), separators=(",", ":")) == text
        written = json.dumps(given, sort_keys=True, separators=(",", ":"))
        assert made.key == f"{given['op']}-{hashlib.sha256(written.encode()).hexdigest()[:12]}"
