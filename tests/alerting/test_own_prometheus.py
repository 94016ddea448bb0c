"""Rules and scrape jobs of one's own, in the Prometheus that storewatch runs."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from loopback import free_port
from running import running, serving, until

from alerting.own_prometheus import add_jobs, own_files
from alerting.prometheus import prometheus_argv, render_prometheus
from alerting.settings import AlertSettings
from storewatch.core.errors import AlertError
from storewatch.store.prometheus_api import instant
from storewatch.tools import find_program

RULE = {"alert": "QueueLong", "expr": "queue_length > 5", "labels": {"severity": "ticket"}}
OURS = "scrape_configs:\n- job_name: storewatch\n"


def jobs(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"scrape_configs:\n{text}")
    return file


def settings(folder: Path, **prometheus: Any) -> AlertSettings:
    """Validate as storewatch.yaml is: relative paths are taken from its folder."""
    return AlertSettings.model_validate({"prometheus": prometheus}, context={"folder": folder})


def test_an_own_rule_fires_and_an_own_job_is_scraped(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    own = {"groups": [{"name": "queues", "rules": [RULE]}]}
    (tmp_path / "rules" / "queues.yml").write_text(yaml.safe_dump(own))
    listen = f"127.0.0.1:{free_port()}"
    with serving({"/queues": "queue_length 7\n"}) as warehouse:
        target = warehouse.url.removeprefix("http://")
        sd = "file_sd_configs: [{files: [targets.yml]}]"
        job = f"- {{job_name: warehouse, metrics_path: /queues, {sd}}}\n"
        jobs(tmp_path / "jobs" / "warehouse.yml", job)
        (tmp_path / "jobs" / "targets.yml").write_text(f"- targets: ['{target}']\n")
        found = settings(
            tmp_path,
            listen=listen,
            scrape_interval="1s",
            evaluation_interval="1s",
            rule_files=["rules/*.yml"],
            scrape_config_files=["jobs/warehouse.yml"],
        )
        (tmp_path / "ours.yml").write_text("groups: []\n")
        config = tmp_path / "prometheus.yml"
        config.write_text(render_prometheus(found, tmp_path / "ours.yml", ("127.0.0.1", 1)))
        program = find_program("prometheus")
        argv = prometheus_argv(found, program, config, tmp_path / "data")
        with running(argv, tmp_path / "log", f"http://{listen}/-/ready"):
            firing = 'ALERTS{alertname="QueueLong",alertstate="firing",job="warehouse"}'
            assert until(lambda: instant(f"http://{listen}", firing), 30) == 1


def test_what_an_own_file_says_is_taken_over_letter_for_letter(tmp_path: Path) -> None:
    labels = "labels: {on: 010, country: no}"
    text = f"- {{job_name: a, honor_labels: yes, static_configs: [{{{labels}}}]}}\n"
    merged = add_jobs(OURS, [jobs(tmp_path / "a.yml", text)])
    for kept in ("honor_labels: yes", "on: 010", "country: no"):
        assert kept in merged


def test_relative_paths_in_an_own_file_are_taken_from_its_folder(tmp_path: Path) -> None:
    text = (
        "- job_name: a\n"
        "  basic_auth: {username: u, password_file: secret}\n"
        "  tls_config: {ca_file: /etc/ca.pem, cert_file: ''}\n"
        "  file_sd_configs: [{files: [a/*.json]}]\n"
    )
    merged = yaml.safe_load(add_jobs(OURS, [jobs(tmp_path / "sub" / "a.yml", text)]))
    job = merged["scrape_configs"][1]
    assert job["basic_auth"]["password_file"] == str(tmp_path / "sub" / "secret")
    assert job["tls_config"] == {"ca_file": "/etc/ca.pem", "cert_file": ""}
    assert job["file_sd_configs"] == [{"files": [str(tmp_path / "sub" / "a" / "*.json")]}]


def test_secrets_of_own_jobs_can_be_left_out(tmp_path: Path) -> None:
    text = "- {job_name: a, basic_auth: {username: u, password: s3cret}}\n"
    file = jobs(tmp_path / "a.yml", text)
    assert "s3cret" in add_jobs(OURS, [file])
    hidden = add_jobs(OURS, [file], secrets=False)
    assert "s3cret" not in hidden
    assert "<secret>" in hidden


def test_patterns_meet_each_file_once_and_in_order(tmp_path: Path) -> None:
    for name in ("b.yml", "a.yml", "c.txt"):
        (tmp_path / name).write_text("")
    found = own_files("rule_files", [tmp_path / "b.yml", tmp_path / "*.yml"])
    assert [path.name for path in found] == ["b.yml", "a.yml"]


def test_a_configuration_without_own_jobs_is_as_it_was() -> None:
    text = render_prometheus(AlertSettings(), Path("/rules.yml"), ("127.0.0.1", 1))
    assert yaml.safe_load(text)["rule_files"] == ["/rules.yml"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("global: {}\nscrape_configs: []\n", "'global' does not belong there; write scrape_conf"),
        ("[]\n", "no list of scrape jobs with their names"),
        ("", "no list of scrape jobs"),
        ("scrape_configs: {job_name: a}\n", "no list of scrape jobs"),
        ("scrape_configs: [{metrics_path: /a}]\n", "no list of scrape jobs with their names"),
        ("scrape_configs: [\n", "line 2: not YAML"),
        ("scrape_configs: [{job_name: storewatch}]\n", "job_name 'storewatch' is taken by store"),
    ],
)
def test_a_file_that_holds_no_scrape_jobs_is_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "a.yml"
    file.write_text(text)
    with pytest.raises(AlertError) as caught:
        add_jobs(OURS, [file])
    assert str(caught.value).startswith(f"{file}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_own_files_with_one_job_name_are_both_named(tmp_path: Path) -> None:
    first, second = (jobs(tmp_path / name, "- job_name: a\n") for name in ("a.yml", "b.yml"))
    with pytest.raises(AlertError, match=f"^{second}: job_name 'a' is taken by {first};"):
        add_jobs(OURS, [first, second])
