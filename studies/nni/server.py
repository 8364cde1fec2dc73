"""NNI's server with its web page: started so that it listens on this machine alone, and stopped again.

NNI 3.0 starts the server by `Experiment.run`. That is done here in its own parts, since as a whole it gives up after
three seconds, which a busy machine needs, keeps a list in the home folder, and lets the server outlive this process.
What the server itself needs changed, and why, is in `nni_server.js`. What passes between it and this program is read
as plain JSON: NNI's own reader would unpickle what anyone on this machine can send to the server.
"""

import importlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from foundation.errors import InputError
from studies.engines.workers import alone

HOST = "127.0.0.1"
START_SECONDS = 120.0
STOP_SECONDS = 30.0
HOME = "COORDNAS_NNI_HOME"
PRELOADED = Path(__file__).with_suffix(".js")


class NNIServer:
    """A running experiment of NNI's, its proposals sent from here.

    Args:
        folder: for the experiment's files.
        settings: of NNI's `ExperimentConfig` for its local training service.
        port: of the web page; None for one that is free.

    Raises InputError where NNI is missing, the port is taken, or the server does not start.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], port: int | None = None):
        self.port = _free_port() if port is None else port
        try:
            if not _is_free(self.port):
                raise InputError(f"`nni_port` {self.port}: is in use; choose another, or leave it out")
            experiment = importlib.import_module("nni.experiment")
            importlib.import_module("nni").silence_stdout()
            self._rest = importlib.import_module("nni.experiment.rest")
            self._kinds = importlib.import_module("nni.runtime.tuner_command_channel").CommandType
            client = importlib.import_module("websockets.sync.client")
        except ImportError as error:
            raise InputError(f"`engine` nni: needs {error.name or 'nni'}; pip install 'coordnas[nni]'") from None
        self._open = ExitStack()
        config = experiment.ExperimentConfig("local", **settings, experiment_working_directory=str(folder.resolve()))
        identifier = importlib.import_module("nni.experiment.management").generate_experiment_id()
        self.folder = folder.resolve() / identifier
        logs = self.folder / "log"
        logs.mkdir(parents=True)
        self._process = self._started(config, identifier, logs / "server.log")
        try:
            self._listed(config, identifier)
            self._wait(logs)
            self._rest.post(self.port, "/experiment", config.json())
            # NNI's own client would leave an event loop open.
            connection = client.connect(f"ws://{HOST}:{self.port}/tuner", max_size=None, proxy=None)
            self._channel = self._open.enter_context(connection)
        except BaseException as error:
            self.stop()
            if isinstance(error, Exception) and not isinstance(error, InputError):
                raise InputError(f"`engine` nni: its server did not start ({error}); see {logs}") from None
            raise

    @property
    def page(self) -> str:
        """The web page's address."""
        return f"http://{HOST}:{self.port}"

    def lives(self) -> bool:
        """Whether the server still runs."""
        return self._process.poll() is None

    def status(self) -> tuple[str, str]:
        """What the experiment is doing, in NNI's words (RUNNING, DONE, ERROR, …), and what went wrong if it did."""
        told = self._rest.get(self.port, "/check-status")
        return told["status"], "; ".join(map(str, told.get("errors", ())))

    def submit(self, number: int, parameters: Mapping[str, Any]) -> None:
        """Has a trial of these parameters run."""
        content = {
            "parameter_id": number,
            "parameters": parameters,
            "parameter_source": "algorithm",
            "parameter_index": 0,
        }
        self._send("NewTrialJob", json.dumps(content))

    def initialized(self) -> None:
        """Says that proposals may be asked for."""
        self._send("Initialized", "")

    def receive(self) -> tuple[str, Any]:
        """NNI's next message: the name of its kind, and its content. Waits for it.

        Raises what the connection raises, once it has ended.
        """
        while True:
            message = json.loads(self._channel.recv())
            if message["type"] == "_bye_":
                return "Terminate", None
            if message["type"] != "_nop_":
                content = message.get("content")
                return self._kinds(message["type"]).name, json.loads(content) if content else None

    def stop(self) -> None:
        """Ends the experiment, its trials and the server."""
        if self.lives():
            with suppress(Exception):
                self._rest.delete(self.port, "/experiment")
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        self._open.close()
        with suppress(ProcessLookupError):  # whatever is left of the server and its trials
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _send(self, kind: str, content: str) -> None:
        self._channel.send(json.dumps({"type": self._kinds[kind].value, "content": content}))

    def _started(self, config: Any, identifier: str, log: Path) -> "subprocess.Popen[bytes]":
        """The server, in a process group of its own with its trials, so that Ctrl-C reaches it by `stop` alone."""
        place = Path(importlib.import_module("nni_node").__path__[0])
        launcher = importlib.import_module("nni.experiment.launcher")
        channel = f"ws://localhost:{self.port}/tuner"
        canonical = config.canonical_copy()
        arguments = launcher.NniManagerArgs("create", identifier, canonical, self.port, False, False, None, channel)
        command = [str(place / "node"), str(place / "main.js"), *arguments.to_command_line_args()]
        environment = {**alone(), "NODE_OPTIONS": f'--require "{PRELOADED}"', HOME: str(self.folder)}
        for name in ("no_proxy", "NO_PROXY"):
            environment[name] = ",".join(filter(None, (environment.get(name), "localhost", HOST)))
        try:
            with open(log, "wb") as output:
                return subprocess.Popen(
                    command,
                    cwd=place,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
        except OSError as error:
            raise InputError(f"`engine` nni: {error.filename}: {error.strerror}") from None

    def _listed(self, config: Any, identifier: str) -> None:
        """Writes the list of experiments that the page reads, with this one alone."""
        kept = importlib.import_module("nni.tools.nnictl.config_utils").Experiments(
            str(self.folder / "nni-experiments")
        )
        kept.add_experiment(
            identifier,
            self.port,
            int(1000 * time.time()),
            "local",
            config.experiment_name,
            pid=self._process.pid,
            logDir=str(self.folder.parent),
        )

    def _wait(self, logs: Path) -> None:
        until = time.monotonic() + START_SECONDS
        while True:
            if not self.lives():
                raise InputError(f"`engine` nni: its server ended as soon as it was started; see {logs}")
            with suppress(Exception):
                self.status()
                return
            if time.monotonic() > until:
                raise InputError(f"`engine` nni: its server did not answer within {START_SECONDS:.0f} s; see {logs}")
            time.sleep(0.2)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
