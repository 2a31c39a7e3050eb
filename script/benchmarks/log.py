"""What the request log costs those who are answered: discovery with it, without it, and with PostgreSQL away."""
import argparse, contextlib, datetime, os, pathlib, resource, signal, statistics, time

from common import PATH, QUERY, Signpost, Work, fail, hostname, machine, note, show_ms, show_rate, table, version, write
from serving import CONNECTIONS, DROPPED, prepare_wrk, wrk

# Of the keep-alive rate.
TARGET = 0.90
MODES = {"keep-alive": "TLS, keep-alive", "plain": "plain HTTP, keep-alive"}
# Nothing is written; the workers write, and PostgreSQL takes nothing; all of it.
KINDS = ("none", "disk", "shipped")
DOMAINS = 1_000


def main():
    options = parse_options()
    work = Work()
    prepare_wrk(work)
    server = Signpost(work, DOMAINS)
    server.set_up()
    report = Report(options)
    for mode in MODES:
        wrk(work, server, mode, 1)
        for round_number in range(1, options.rounds + 1):
            for kind in alternately(round_number):
                server.settle()
                before = server.metric(DROPPED)
                with of_kind(server, kind):
                    result = wrk(work, server, mode, options.seconds)
                    time.sleep(0.2)
                    dropped = server.metric(DROPPED) - before
                asked = result["rate"] * options.seconds
                if kind == "none" and dropped < asked * 0.9 or kind != "none" and dropped:
                    fail(f"{mode}, {kind}: {dropped:,.0f} of about {asked:,.0f} requests were not recorded")
                report.rounds.setdefault((mode, kind), []).append(result)
                if kind == "disk":
                    began = time.monotonic()
                    server.settle()
                    report.shipped.append(asked / (time.monotonic() - began))
                note(f"{mode}, round {round_number} of {options.rounds}, {kind}: {result['rate']:,.0f}/s, p99 {show_ms(result['p99'])}")
    server.stop()
    text = report.markdown()
    print("\n" + text)
    if options.output:
        write(options.output, log=text)


def parse_options():
    parser = argparse.ArgumentParser(prog="script/bench --log")
    parser.add_argument("--quick", action="store_true", help="short rounds, and no file")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=int, help="of one round")
    parser.add_argument("--output", help="the file to write; docs/benchmarks.md, or none with --quick")
    options = parser.parse_args()
    options.rounds = options.rounds or (3 if options.quick else 9)
    options.seconds = options.seconds or (2 if options.quick else 4)
    if not options.output and not options.quick:
        options.output = "docs/benchmarks.md"
    return options


def alternately(round_number):
    """Each kind comes first, second and last equally often."""
    first = round_number % len(KINDS)
    return KINDS[first:] + KINDS[:first]


@contextlib.contextmanager
def of_kind(server, kind):
    pid = server.process.pid
    if kind == "none":
        # No file may grow: to the server a disk that refuses. It asks it again once a second.
        unlimited = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, unlimited[1]))
        try:
            # The workers notice, and let go of their files.
            let_it_notice()
            yield
        finally:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)
            let_it_notice()
    elif kind == "disk":
        frozen = postgres(server)
        for process in frozen:
            os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in frozen:
                os.kill(process, signal.SIGCONT)
    else:
        yield


def let_it_notice():
    """Longer than the server rests after a refusal."""
    time.sleep(1.2)


def postgres(server):
    """The embedded server's processes."""
    pid_file = server.path / "state/postgres/data/postmaster.pid"
    postmaster = int(pid_file.read_text().split()[0])
    children = pathlib.Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    return [postmaster, *map(int, children)]


class Report:
    def __init__(self, options):
        self.options, self.rounds, self.shipped = options, {}, []

    def middle(self, mode, kind, key):
        return statistics.median(result[key] for result in self.rounds[mode, kind])

    def ratio(self, mode, kind, key="rate"):
        return self.middle(mode, kind, key) / self.middle(mode, "none", key)

    def markdown(self):
        options = self.options
        parts = [
            "# The request log",
            f"Written by `script/bench --log` on {datetime.date.today()}. Every figure is the median of {options.rounds} rounds of "
            f"{options.seconds} s; the kinds take turns.",
            self.targets(), self.figures(), self.method(),
            machine(("wrk", version(["wrk", "-v"], r"wrk (?:debian/)?(\S+)"))),
        ]
        return "\n\n".join(parts) + "\n"

    def targets(self):
        rows = []
        for mode, what in MODES.items():
            ratio = self.ratio(mode, "disk")
            verdict = "met" if ratio >= TARGET else f"**missed** by {100 * (1 - ratio / TARGET):.0f} %"
            rows.append((f"writing each request before its answer costs at most {100 * (1 - TARGET):.0f} % of the rate: {what}",
                         f"{100 * (ratio - 1):+.1f} %", verdict, f"{100 * (self.ratio(mode, 'shipped') - 1):+.1f} %"))
        return table("## Targets", ["target", "measured", "", "PostgreSQL's work on the same processors included"], rows)

    def figures(self):
        rows = []
        for mode, what in MODES.items():
            for key, unit, show in (("rate", "requests/s", show_rate), ("p50", "p50", show_ms), ("p99", "p99", show_ms)):
                rows.append((f"{what}: {unit}", *(show(self.middle(mode, kind, key)) for kind in KINDS)))
            rates = {kind: [result["rate"] for result in self.rounds[mode, kind]] for kind in KINDS}
            rows.append((f"{what}: slowest and fastest round", *(f"{show_rate(min(rates[kind]))} – {show_rate(max(rates[kind]))}" for kind in KINDS)))
        rows.append(("rows that reach PostgreSQL a second, while nobody asks", "", "", f"{statistics.median(self.shipped):,.0f}"))
        return table("## Discovery", ["", "no log", "on disk", "on disk and in PostgreSQL"], rows)

    def method(self):
        return "\n".join([
            "## How",
            "",
            f"One process with {DOMAINS:,} domains, its PostgreSQL and `wrk` with {CONNECTIONS} connections share the machine, over loopback.",
            f"Asked is `{PATH}{QUERY}`, of `{hostname(1)}` and the others at random.",
            "*No log*: the process may write to no file (`RLIMIT_FSIZE`), which to it is a disk that refuses: it answers and counts what is not recorded, and",
            "tries again once a second. *On disk*: its PostgreSQL is frozen, so that what is measured is the worker's own write before each answer.",
            "*On disk and in PostgreSQL*: as it comes; what is shipped meanwhile is work for the same processors.",
            "That nothing was recorded in the first and everything in the others is checked after each round.",
        ])


if __name__ == "__main__":
    main()
