"""What was measured: a table of medians, as text, CSV and a picture."""
import csv
import re
import shutil
import statistics
import subprocess
import time

from rig import ROOT

RESULTS = ROOT / "build/bench-results"


def say(text):
    print(time.strftime("%H:%M:%S "), text, flush=True)


class Table:
    """(scenario, contender, figure) -> values, one of each turn."""

    def __init__(self):
        self.rows = {}

    def add(self, scenario, contender, **figures):
        for figure, value in figures.items():
            self.rows.setdefault((scenario, contender), {}).setdefault(figure, []).append(value)
        say("  %-38s %s" % (contender, "  ".join("%s %s" % (f, short(v)) for f, v in figures.items())))

    def median(self, scenario, contender, figure):
        values = self.rows.get((scenario, contender), {}).get(figure)
        return statistics.median(values) if values else None

    def text(self):
        lines, last = [], None
        for (scenario, contender), figures in self.rows.items():
            if scenario != last:
                lines += ["", scenario, "  %-38s %s" % ("", " ".join("%16s" % f for f in figures))]
                last = scenario
            lines.append("  %-38s %s" % (contender, " ".join("%16s" % short(statistics.median(v)) for v in figures.values())))
        return "\n".join(lines)

    def write(self):
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / "report.txt").write_text(self.text() + "\n")
        with open(RESULTS / "results.csv", "w") as file:
            out = csv.writer(file)
            out.writerow(["scenario", "contender", "figure", "median", "least", "most", "turns"])
            for (scenario, contender), figures in self.rows.items():
                for figure, values in figures.items():
                    out.writerow([scenario, contender, figure, statistics.median(values), min(values), max(values), len(values)])
        if shutil.which("gnuplot"):
            self.draw()
            self.draw_latency()

    def draw_latency(self):
        """Command to outcome by rate, on four partitions: a line for each contender, p50 and p99."""
        lines = {}  # (figure, contender) -> [(rate, ms)]
        for (scenario, contender), figures in self.rows.items():
            found = re.fullmatch(r"command to outcome, (\d+/s|half of its own highest rate), 4 partitions, ms", scenario)
            for figure in ("p50", "p99") if found else ():
                rate = statistics.median(figures["rate"]) if "rate" in figures else float(found[1][:-2])
                lines.setdefault((figure, contender), []).append((rate, statistics.median(figures[figure])))
        if not lines:
            return
        data = RESULTS / "latency.dat"
        data.write_text("\n\n\n".join("\n".join("%f %f" % point for point in sorted(points)) for points in lines.values()) + "\n")
        script = ["set terminal pngcairo size 1100,900", "set output '%s'" % (RESULTS / "latency.png"), "set logscale xy", "set grid", "set key outside right",
                  "set xlabel 'reservations a second'", "set ylabel 'ms'", "set multiplot layout 2,1"]
        for figure in ("p50", "p99"):
            plots = ["'%s' index %d using 1:2 with linespoints lw 2 title '%s'" % (data, i, contender)
                     for i, (of, contender) in enumerate(lines) if of == figure]
            script += ["set title 'command to outcome, %s'" % figure, "plot " + ", ".join(plots)]
        subprocess.run(["gnuplot", "-e", "; ".join([*script, "unset multiplot"])], check=False)

    def draw(self):
        scenarios = {"records/s": "stock-check alone, records/s", "reservations/s": "whole pipeline, reservations/s"}
        data, plots = RESULTS / "throughput.dat", []
        with open(data, "w") as file:
            for figure, title in scenarios.items():
                rows = [(c, statistics.median(f[figure])) for (s, c), f in self.rows.items() if figure in f and s.startswith(("stock-check alone", "whole pipeline"))]
                if not rows:
                    continue
                file.write("\n".join('"%s" %f' % (name.replace(", ", "\\n"), value) for name, value in rows) + "\n\n\n")
                plots.append(title)
        script = ["set terminal pngcairo size 1100,%d" % (420 * max(len(plots), 1)), "set output '%s'" % (RESULTS / "throughput.png"), "set style fill solid 0.8",
                  "set boxwidth 0.6", "set yrange [0:*]", "set offsets 0, 0, graph 0.1, 0", "set grid y", "set bmargin 4", "unset key", "set multiplot layout %d,1" % max(len(plots), 1)]
        for i, title in enumerate(plots):
            boxes = "'%s' index %d using 0:2:xtic(1) with boxes lc rgb '#3b6ea5'" % (data, i)
            values = "'' index %d using 0:2:(sprintf('%%.0f', $2)) with labels offset 0,0.7" % i
            script += ["set title '%s'" % title, "plot %s, %s" % (boxes, values)]
        subprocess.run(["gnuplot", "-e", "; ".join([*script, "unset multiplot"])], check=False)


def short(value):
    return "%.0f" % value if abs(value) >= 1000 else "%.1f" % value if abs(value) >= 10 else "%.2f" % value
