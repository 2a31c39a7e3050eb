"""How long the slowest policies that intake accepts take to choose an action, and how much memory they keep."""
import argparse, datetime, json, os

from common import fail, machine, note, run, table, write

TARGET = 50_000  # ns


def main():
    options = parse_options()
    program = os.environ["BENCH_POLICIES"]
    shapes = [json.loads(line) for line in run([program]).splitlines()]
    if not shapes:
        fail(f"{program} printed nothing")
    for shape in shapes:
        note(f"{shape['name']}: {show_us(shape['slowest_ns'])}")
    text = markdown(shapes)
    print("\n" + text)
    if options.output:
        write(options.output, policies=text)


def parse_options():
    parser = argparse.ArgumentParser(prog="script/bench --policies")
    parser.add_argument("--quick", action="store_true", help="no file")
    parser.add_argument("--output", help="the file to write; docs/benchmarks.md, or none with --quick")
    options = parser.parse_args()
    if not options.output and not options.quick:
        options.output = "docs/benchmarks.md"
    return options


def markdown(shapes):
    parts = [
        "# Policies",
        f"Written by `script/bench --policies` on {datetime.date.today()}.",
        targets(shapes), decisions(shapes), method(),
        machine(server=False),
    ]
    return "\n\n".join(parts) + "\n"


def targets(shapes):
    rows = []
    for what, is_stored in (("that intake accepts", False), ("that were stored before the limits", True)):
        slowest = max(max(shape["slowest_ns"], shape["cold_ns"]) for shape in shapes if shape["name"].startswith("stored before") == is_stored)
        verdict = "met" if slowest < TARGET else f"**missed** by {100 * (slowest / TARGET - 1):.0f} %"
        rows.append((f"policies {what}: a decision takes less than {TARGET // 1000} µs", show_us(slowest), verdict))
    return table("## Targets", ["target", "measured", ""], rows)


def decisions(shapes):
    rows = [(shape["name"], f"{shape['patterns']:,}", f"{shape['pattern_bytes']:,}", show_us(shape["usual_ns"]), show_us(shape["slowest_ns"]),
             show_us(shape["slowest_p99_ns"]), show_us(shape["cold_ns"]), f"{shape['held_bytes']:,}") for shape in shapes]
    return table("## Decisions", ["policy", "patterns", "their bytes", "usual address", "slowest identifier", "its p99", "not in the caches", "memory in bytes"], rows)


def method():
    return "\n".join([
        "## How",
        "",
        "One thread calls `Policy::choose`, 3,000 times for each identifier; each call is measured. *Usual address*: the median for",
        "`jane.appleseed@eu.contoso.com`. *Slowest identifier*: the largest median of identifiers that were made for the policy, most of them with 512",
        "bytes, the most that is compared. *Not in the caches*: the same for domains in turn that have 128 MiB of such policies together. *Memory*: bytes that are allocated for the patterns, without the answers; a domain without rules has none.",
        "Policies that intake accepts are as large as it accepts them. Those from before the limits are compared up to a number of steps.",
    ])


def show_us(ns): return f"{ns / 1000:.2f} µs"


if __name__ == "__main__":
    main()
