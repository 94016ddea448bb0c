"""`make bench`: run each figure beside its peer, print a line each, write bench.json."""

import json
import sys

from benchmarks.anomaly import anomaly_drops_found
from benchmarks.backup import (
    backup_cpu_s_per_gb,
    backup_rss_peak_bytes,
    backup_throughput_ratio,
    restore_throughput_ratio,
)
from benchmarks.edge import edge_lines_per_s, edge_vs_mtail_ratio
from benchmarks.load import load_vs_k6_ratio, load_vs_locust_ratio
from benchmarks.probe import (
    probe_1000_targets_core_ratio,
    probe_1000_targets_rss_bytes,
    probe_added_latency_p99_s,
    probe_cost_ratio,
)
from benchmarks.slo import slo_eval_core_ratio
from storewatch.config import DEFAULT_FILE, state_folder
from storewatch.core.figures import number
from storewatch.core.targets import worst
from storewatch.store.files import write_atomic

FIGURES = {
    function.__name__: function
    for function in (
        edge_lines_per_s,
        edge_vs_mtail_ratio,
        anomaly_drops_found,
        slo_eval_core_ratio,
        probe_cost_ratio,
        probe_1000_targets_core_ratio,
        probe_1000_targets_rss_bytes,
        probe_added_latency_p99_s,
        load_vs_k6_ratio,
        load_vs_locust_ratio,
        backup_throughput_ratio,
        restore_throughput_ratio,
        backup_rss_peak_bytes,
        backup_cpu_s_per_gb,
    )
}


def main(names: list[str]) -> int:
    """Run the named figures, all without a name; return the exit code of the worst verdict."""
    if unknown := [name for name in names if name not in FIGURES]:
        print(f"no figure {unknown[0]!r}; there are: {', '.join(FIGURES)}", file=sys.stderr)
        return 2
    figures = [FIGURES[name]() for name in names or FIGURES]
    for figure in figures:
        ratio = "-" if figure.ratio is None else f"{figure.ratio:.2f}"
        print(
            f"{figure.name}: {number(figure.value)} {figure.unit}; {figure.peer}:"
            f" {number(figure.peer_value)}; ratio {ratio} (target {figure.target})"
            f" {figure.verdict}"
        )
    home = state_folder(DEFAULT_FILE.resolve())
    home.mkdir(parents=True, exist_ok=True)
    content = json.dumps([figure.to_json() for figure in figures], indent=2) + "\n"
    write_atomic(home / "bench.json", content.encode())
    return worst([figure.verdict for figure in figures]).exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
