"""A root whose process 1 is systemd, and pipelines whose processes are the package's units in it."""
import os
import shutil
import signal
import subprocess

from conftest import SECRET, VIEWS, Filter, Pipeline, free_port, wait_until

STORES = "/var/lib/holdfast"


class Machine:
    """Booted by systemd-nspawn, with the network of this machine: brokers are reached as from here."""

    def __init__(self, root):
        self.root, self.nspawn, self.leader = root, None, None

    def boot(self):
        # Where systemd is not process 1 there is nobody to make a scope. The container gets a hierarchy of version 2, whatever this machine has.
        keep = [] if os.path.isdir("/run/systemd/system") else ["--keep-unit"]
        with open(self.root.parent / "nspawn.log", "a") as log:
            self.nspawn = subprocess.Popen(["systemd-nspawn", "--boot", "--directory", self.root, "--machine", "holdfast-%d" % os.getpid(), "--register=no", *keep,
                                            "--resolv-conf=off", "--timezone=off", "--console=pipe"],
                                           env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.leader = wait_until(self.process_1, "systemd to be process 1")
        # It is starting for as long as a unit that is enabled has no broker.
        wait_until(lambda: self.run("systemctl", "is-system-running", check=False).stdout.strip() in ("starting", "running", "degraded"), "the machine to be up")

    def process_1(self):
        assert self.nspawn.poll() is None, "systemd-nspawn ended: see %s" % (self.root.parent / "nspawn.log")
        children = subprocess.run(["pgrep", "-P", str(self.nspawn.pid), "-x", "systemd"], capture_output=True, text=True).stdout.split()
        return children[0] if children else None

    def run(self, *command, check=True, stdin=None, timeout=300):
        """Inside."""
        enter = ["nsenter", "--target", self.leader, "--mount", "--uts", "--ipc", "--pid", "--cgroup", "--root", "--wd"]
        clean = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"]
        result = subprocess.run([*enter, *clean, *map(str, command)], input=stdin, capture_output=True, text=True, timeout=timeout)
        assert not check or result.returncode == 0, "%s: %s%s" % (command, result.stdout, result.stderr)
        return result

    def systemctl(self, *arguments, check=True):
        return self.run("systemctl", *arguments, check=check).stdout.strip()

    def halt(self):
        self.nspawn.terminate()  # an orderly shutdown
        assert self.nspawn.wait(timeout=150) == 0

    def file(self, path):
        return self.root / path.lstrip("/")


class Unit(Filter):
    """A filter or gateway that systemd started: asked as if it were a process of the test's own."""

    def __init__(self, pipeline, name, slot, ports):
        self.pipeline, self.name, self.slot, self.ports = pipeline, name, slot, ports
        self.unit = "holdfast-%s@%d.service" % (name, slot)
        self.process = self

    def show(self, name):
        return self.pipeline.machine.systemctl("show", "--property", name, "--value", self.unit)

    def count(self, name):
        return int(self.show(name))

    def poll(self):
        return None if self.show("ActiveState") in ("active", "activating") else self.count("ExecMainStatus")

    def text(self):
        return self.pipeline.machine.run("journalctl", "--quiet", "--no-pager", "--output", "cat", "--unit", self.unit).stdout

    def kill(self, number):
        self.pipeline.machine.systemctl("kill", "--kill-whom=main", "--signal=%d" % number, self.unit)

    def status(self, name):
        """Of /proc."""
        lines = self.pipeline.machine.run("cat", "/proc/%s/status" % self.show("MainPID")).stdout.splitlines()
        return next(line.split(":", 1)[1].split() for line in lines if line.startswith(name + ":"))

    def end(self, number=signal.SIGTERM):
        if self.poll() is None:
            if number == signal.SIGTERM:
                self.pipeline.machine.systemctl("stop", self.unit)
            else:
                self.kill(number)
        return self.count("ExecMainStatus")


class UnitPipeline(Pipeline):
    def __init__(self, broker, folder, machine):
        super().__init__(broker, folder)
        self.machine, self.stores = machine, STORES
        for store in machine.file(STORES).iterdir():  # of the test before
            shutil.rmtree(store)
        machine.file("/etc/holdfast/holdfast.properties").write_text("brokers = %s\nprefix = %s\n" % (broker.address, self.prefix))

    def holdfast(self, *arguments, stdin=None, check=True):
        """The package's own."""
        return self.machine.run("holdfast", arguments[0], "-F", "/etc/holdfast/holdfast.properties", *arguments[1:], stdin=stdin, check=check)

    def apply(self):
        self.holdfast("topics", "apply")

    def start(self, *names, slot=0, flags=(), wait=True):
        """A unit counts as started once its filter is ready."""
        for name in names:
            self.filters[name, slot] = self.configure(name, slot, dict(zip(flags[::2], flags[1::2])))
        units = [self.filters[name, slot].unit for name in names]
        self.machine.systemctl("start", *([] if wait else ["--no-block"]), *units)
        return self.filters[names[-1], slot]

    def configure(self, name, slot, flags):
        ports = {"probes": free_port(), **({"questions": free_port()} if name in VIEWS else {"requests": free_port()} if name == "gateway" else {})}
        settings = {flag[2:].replace("-", "_").upper(): value for flag, value in flags.items()}
        settings["HEALTH"] = "127.0.0.1:%d" % ports["probes"]
        settings |= {"HTTP": "127.0.0.1:%d" % port for what, port in ports.items() if what != "probes"}
        settings |= {"charge": {"PROVIDER_URL": self.provider_url}, "notify": {"WEBHOOK_URL": self.receiver_url, "WEBHOOK_SECRET": SECRET}}.get(name, {})
        self.variables(name, slot).write_text("".join("HOLDFAST_%s=%s\n" % setting for setting in settings.items()))
        return Unit(self, name, slot, ports)

    def variables(self, name, slot=0):
        return self.machine.file("/etc/holdfast/%s@%d.env" % (name, slot))

    def units(self):
        return [filter_.unit for filter_ in self.filters.values()]

    def close(self):
        failed = [(one.unit, one.show("Result"), one.text()[-2000:]) for one in self.filters.values() if one.end() != 0]
        for name, slot in self.filters:
            self.variables(name, slot).unlink(missing_ok=True)
        self.filters = {}
        super().close()
        assert not failed, failed
