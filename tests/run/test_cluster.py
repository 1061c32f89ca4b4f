import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from interrupted import contents
from patience import PATIENCE
from refusals import user_error
from tiny_job import TinyConfig, Trouble, tiny

from seediff.config.runs import GenerateConfig
from seediff.run import cluster as ray_module
from seediff.run.cluster import ENVIRONMENT, Ray
from seediff.run.generate_job import GenerateJob

pytestmark = pytest.mark.slow

os.environ |= ENVIRONMENT  # which Ray reads when it is imported
ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'seediff[ray]'")

BUILDERS = Path(__file__).parents[1] / "builders"
HEALTH = {"initial_delay_ms": 500, "period_ms": 500, "timeout_ms": 5000, "failure_threshold": 3}


@pytest.fixture(scope="module")
def cluster():
    """A machine of two cores, to which others may come; it finds out within seconds that one has left. This process is
    connected to it.
    """
    from ray.cluster_utils import Cluster

    system = {"worker_niceness": 0, **{f"health_check_{name}": value for name, value in HEALTH.items()}}
    head = {"num_cpus": 2, "object_store_memory": 80_000_000, "_system_config": system}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "PYTHONPATH", os.pathsep.join([str(BUILDERS), str(BUILDERS.parents[1] / "src")])
        )  # workers find tiny_job.py there
        cluster = Cluster(initialize_head=True, head_node_args=head)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        yield cluster
        ray.shutdown()
        cluster.shutdown()


@pytest.mark.parametrize(("asked", "sent"), [("cuda:1", "cuda"), (None, "cuda"), ("cpu", "cpu")])
def test_workers_are_sent_no_number_of_a_gpu(monkeypatch, asked, sent):
    """Ray shows each worker one GPU, which is number 0 to it."""
    monkeypatch.setattr(ray_module, "resources", lambda: {"CPU": 4.0, "GPU": 2.0})
    engine = Ray(workers=2)
    resolved = engine.resolve(GenerateJob(GenerateConfig(("dog",), device=asked, threads=1)))
    assert resolved.device == sent
    if sent == "cuda":
        assert engine.share(resolved) == (2, {"num_gpus": 1})


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """Everything that one process makes."""
    out = tmp_path_factory.mktemp("unbroken") / "out"
    assert tiny(out) == 20
    return contents(out)


def test_an_error_and_ctrl_c_leave_what_any_engine_continues(cluster, tmp_path, unbroken):
    def interrupt(done, total, what):
        if done >= 14:
            raise KeyboardInterrupt

    with pytest.raises(OSError, match="No space left on device"):
        tiny(tmp_path / "out", Trouble(tmp_path, fill_disk=9), engine=Ray(1))
    assert len(list((tmp_path / "out/.batches").iterdir())) in (3, 4)
    with pytest.raises(KeyboardInterrupt):
        tiny(tmp_path / "out", Trouble(tmp_path), engine=Ray(1), progress=interrupt)
    assert len(list((tmp_path / "out/.batches").iterdir())) == 7
    assert tiny(tmp_path / "out") == 6
    assert contents(tmp_path / "out") == unbroken


def test_workers_and_machines_that_die_or_join(cluster, tmp_path, capfd):
    """Three workers where there is room for two: one is killed in a batch; the third waits for the second machine, and
    is lost with it, its batches begun. Ray writes nothing about it to the terminal.
    """
    config = TinyConfig(items=600)  # minutes, unless the second machine has come
    trouble = Trouble(tmp_path, kill_once=5, seconds=0.2)
    machines, calls = [], []

    def change(*call):
        calls.append(call)
        if call[0] >= 2 and not machines:
            machines.append(cluster.add_node(num_cpus=1))
        if len(machines) == 1 and (tmp_path / "killed").exists() and len(trouble.processes()) == 4:
            cluster.remove_node(machines[0], allow_graceful=False)
            machines.append(call[0])
            (tmp_path / "hurry").touch()

    tiny(tmp_path / "local", config=config)
    capfd.readouterr()
    assert tiny(tmp_path / "out", trouble, engine=Ray(3), progress=change, config=config) == 600
    assert len(machines) == 2, "the second machine came too late"
    assert contents(tmp_path / "out") == contents(tmp_path / "local")
    assert capfd.readouterr() == ("", "")
    assert os.getpid() not in trouble.processes()
    assert calls[0] == (0, 600, "loading mini")
    assert calls[-1] == (600, 600, "finishing")


def test_a_batch_that_kills_every_worker(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(ray_module, "ATTEMPTS", 2)
    trouble = Trouble(tmp_path, kill_always=4)
    with user_error(r"Ray gave up in batch 2 \(The worker died .*run the same command to continue"):
        tiny(tmp_path / "out", trouble, engine=Ray(1))
    assert len(trouble.processes()) == 2


LISTENS = """
import json
import os
import signal
from pathlib import Path
from seediff.run.cluster import Ray

def family():
    \"\"\"This process and all that descend from it: others on the machine may listen wherever they like.\"\"\"
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[stat.parent.name] = stat.read_text().rpartition(")")[2].split()[1]
        except OSError:
            pass
    found = {str(os.getpid())}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found

def inodes(process):
    for descriptor in Path("/proc", process, "fd").glob("*"):
        try:
            yield os.readlink(descriptor)
        except OSError:
            pass

def stop(*_):
    \"\"\"A run's own handler, which says what is finished.\"\"\"

signal.signal(signal.SIGTERM, stop)
with Ray(workers=1):
    assert signal.getsignal(signal.SIGTERM) is stop
    own = {link for process in family() for link in inodes(process)}
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()[1:]]
    print(json.dumps(sorted({row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in own})))
"""


@pytest.mark.skipif(not Path("/proc/net/tcp").is_file(), reason="sockets are read from Linux's /proc/net")
def test_a_cluster_of_its_own_listens_on_loopback_alone_and_leaves_signals_to_the_run():
    found = subprocess.run(
        [sys.executable, "-c", LISTENS], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    sockets = json.loads(found.stdout.splitlines()[-1])
    assert sockets
    for socket in sockets:
        address = socket.rsplit(":", 1)[0]
        assert address in ("0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"), sockets
