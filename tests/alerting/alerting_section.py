"""What tests of commands write into the section `alerting`."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

Command = Callable[..., subprocess.CompletedProcess[str]]
SLACK = {"slack_configs": [{"api_url": "${SLACK_URL}", "channel": "#shop"}]}
SLO: dict[str, Any] = {
    "version": "prometheus/v1",
    "service": "shop",
    "slos": [
        {
            "name": "pages",
            "objective": 99,
            "sli": {
                "events": {
                    "error_query": 'sum(rate(pages_total{code="500"}[{{.window}}]))',
                    "total_query": "sum(rate(pages_total[{{.window}}]))",
                }
            },
        }
    ],
}


def slo_file(folder: Path, **events: str) -> str:
    spec = json.loads(json.dumps(SLO))
    spec["slos"][0]["sli"]["events"] |= events
    (folder / "slo.yaml").write_text(yaml.safe_dump(spec))
    return "slo.yaml"
