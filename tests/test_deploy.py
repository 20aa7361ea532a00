"""The files of `deploy/`: what they run exists, and they agree with what the service does."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from triptych.cli import app
from triptych.core.environment import EXTRAS
from triptych.serving import server

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
DEPLOY = Path(__file__).parents[1] / "deploy"


def compose() -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))  # type: ignore[no-any-return]


def kubernetes() -> dict[str, dict[str, Any]]:
    found = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text("utf-8"))
    return {f"{one['kind']}/{one['metadata']['name']}": one for one in found}


def container(name: str) -> dict[str, Any]:
    return kubernetes()[name]["spec"]["template"]["spec"]["containers"][0]  # type: ignore[no-any-return]


def dockerfile() -> str:
    return (DEPLOY / "Dockerfile").read_text("utf-8")


def test_every_command_and_flag_exists():
    commands = [service["command"] for service in compose()["services"].values() if "command" in service]
    commands += [container(name)["args"] for name in ("Deployment/triptych-search", "Job/triptych-mine")]
    commands.append(re.findall(r'"([^"]+)"', re.search(r"^CMD (.*)$", dockerfile(), re.MULTILINE)[1]))  # type: ignore[index]
    assert len(commands) == 6
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name, *rest in commands:
        flags = {flag for parameter in known[name].params for flag in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= flags, name


def test_the_image_has_the_extras_and_no_root():
    text = dockerfile()
    for extras in re.findall(r"'\.\[([a-z,]+)\]'", text):
        assert set(extras.split(",")) <= EXTRAS.keys()
    for target in ("serve", "cpu", "cuda"):
        stage = text.split(f"FROM runtime AS {target}\n")[1].split("FROM ")[0]
        assert "USER 10001:10001" in stage
    assert "HEALTHCHECK" in text


def test_a_replica_is_drained_before_it_is_killed():
    search = kubernetes()["Deployment/triptych-search"]["spec"]["template"]["spec"]
    (waits,) = [
        int(word) for word in search["containers"][0]["lifecycle"]["preStop"]["exec"]["command"] if word.isdigit()
    ]
    assert search["terminationGracePeriodSeconds"] >= int(waits) + server._DRAIN
    probes = search["containers"][0]
    assert probes["readinessProbe"]["httpGet"]["path"] == "/ready"
    assert probes["livenessProbe"]["httpGet"]["path"] == "/health"
    for service in ("writer", "search"):
        assert int(compose()["services"][service]["stop_grace_period"].rstrip("s")) >= server._DRAIN


def test_replicas_only_read():
    assert "--read-only" in compose()["services"]["search"]["command"]
    assert "--read-only" in container("Deployment/triptych-search")["args"]
    mounts = {mount["name"]: mount for mount in container("Deployment/triptych-search")["volumeMounts"]}
    assert mounts["catalog"]["readOnly"]
    assert mounts["pictures"]["readOnly"]


def test_the_files_fulfil_their_schemas():
    known = {"image", "build", "user", "read_only", "tmpfs", "cap_drop", "security_opt", "environment", "restart"}
    known |= {"volumes", "healthcheck", "profiles", "command", "depends_on", "stop_grace_period", "ports", "deploy"}
    file = compose()
    assert {name for name in file if not name.startswith("x-")} == {"name", "services", "volumes"}
    named = {*file["volumes"]}
    for name, service in file["services"].items():
        assert service.keys() <= known, name
        assert "image" in service
        assert {*service.get("depends_on", {})} <= file["services"].keys()
        mounted = {volume.split(":")[0] for volume in service["volumes"]}
        assert {volume for volume in mounted if not volume.startswith(("$", ".", "/"))} <= named
    for name, manifest in kubernetes().items():
        assert manifest.keys() == {"apiVersion", "kind", "metadata", "spec"}, name
        pod = manifest["spec"].get("template", {}).get("spec", {"containers": [], "volumes": []})
        for one in pod["containers"]:
            assert {mount["name"] for mount in one["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    search = kubernetes()["Deployment/triptych-search"]["spec"]
    labels = search["template"]["metadata"]["labels"]
    for selector in (search["selector"]["matchLabels"], kubernetes()["Service/triptych-search"]["spec"]["selector"]):
        assert selector.items() <= labels.items()


def test_schemas_of_kubernetes():
    validator = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    for manifest in kubernetes().values():
        validator.validate(manifest, "1.31", strict=True)


def test_a_job_is_not_tried_again_where_the_command_is_wrong():
    rules = kubernetes()["Job/triptych-mine"]["spec"]["podFailurePolicy"]["rules"]
    assert rules[0] == {"action": "FailJob", "onExitCodes": {"containerName": "mine", "operator": "In", "values": [2]}}
    assert container("Job/triptych-mine")["name"] == "mine"
