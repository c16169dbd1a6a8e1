"""Where a stage's time goes: stock-check at full load under perf, as a flame graph in build/bench-results/profile.svg. Usage: scripts/bench profile"""
import collections
import re
import signal
import subprocess

from compare import RESULTS, Bench, Holdfast, PassThrough, Table, say
from rig import HERE, broker

RECORDS, WARM = 500000, 300000
SAMPLES_A_SECOND = 199
FLAME_GRAPH = "/usr/share/perl5/Devel/NYTProf/flamegraph.pl"  # Debian's libdevel-nytprof-perl


class Profiled(Holdfast):
    def begin(self, work, slot=0):
        super().begin(work, slot)
        self.wait("stock-check", WARM // 2)  # all threads are there, with their names
        # Debian's libraries have no frame pointers: stacks are unwound from copies of them.
        self.perf = subprocess.Popen(["perf", "record", "-q", "-F", str(SAMPLES_A_SECOND), "--call-graph", "dwarf,16384", "-o", HERE / "perf.data", "-p",
                                      str(self.processes["stock-check"].pid)])

    def stop(self):
        self.perf.send_signal(signal.SIGINT)
        self.perf.wait()
        super().stop()


def name_of(frame):
    """Of "ip symbol+offset (library)": the function without its arguments, or the library where it keeps its names to itself."""
    symbol, library = re.fullmatch(r"\s*[0-9a-f]+ (.*) \((.*)\)", frame).groups()
    if symbol == "[unknown]":
        return library.rsplit("/", 1)[-1]
    return re.sub(r"\+0x[0-9a-f]+$|<.*>|\(.*\)|@@.*", "", symbol).replace(";", ":")


def fold(lines):
    """perf script's samples as "thread;caller;...;callee" -> how often."""
    stacks, stack = collections.Counter(), []
    for line in lines:
        if line and not line[0].isspace():
            stack = [line.split()[0]]
        elif line.strip():
            name = name_of(line)
            if name != stack[-1]:
                stack.append(name)
        elif stack:
            stacks[";".join([stack[0], *stack[:0:-1]])] += 1
            stack = []
    return stacks


def main():
    with broker() as address:
        bench = Bench(address, Table(), False, 1)
        say("warming the broker up")
        bench.stage_once(PassThrough, RECORDS, WARM)
        bench.stage_once(Holdfast, RECORDS, WARM)
        say("stock-check under perf")
        bench.stage_once(Profiled, RECORDS, WARM)
        say("unwinding")
        script = subprocess.run(["perf", "script", "-i", HERE / "perf.data", "--no-inline", "-F", "comm,ip,sym,dso"], check=True, capture_output=True, text=True)
    stacks = fold(script.stdout.splitlines() + [""])
    folded, picture = RESULTS / "profile.folded", RESULTS / "profile.svg"
    RESULTS.mkdir(parents=True, exist_ok=True)
    folded.write_text("".join("%s %d\n" % one for one in sorted(stacks.items())))
    svg = subprocess.run([FLAME_GRAPH, "--title", "stock-check at full load", "--width", "1200", "--minwidth", "3", folded], check=True, capture_output=True, text=True)
    picture.write_text(svg.stdout)
    say("%d samples: %s" % (sum(stacks.values()), picture))


if __name__ == "__main__":
    main()
