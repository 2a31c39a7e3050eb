"""What sign-ins cost those who do not sign in: discovery with and without people who offer passwords."""
import argparse, contextlib, datetime, http.client, re, signal, statistics, time, urllib.parse

from common import PATH, QUERY, Signpost, Work, fail, hostname, machine, note, run, show_ms, show_rate, table, version, write
from serving import CONNECTIONS, WRK_LUA, prepare_wrk, wrk

# Of discovery's p99.
TARGET = 1.20
MODES = {"devices": "TLS, each request on a connection of its own, about 400 a second", "paced": "TLS, keep-alive, about 1,000 requests a second",
         "keep-alive": "TLS, keep-alive, as many as it answers"}
# For so many milliseconds at most each of wrk's 64 connections waits before it asks.
PAUSES = {"devices": 320, "paced": 128}
# More than may wait inside signpost.
ASKERS = 200
# What goes on beside discovery: nothing; a process that gives way as the hashing threads do, takes as much of a processor and
# touches no memory; forms whose password is longer than any that is hashed; forms.
KINDS = ("none", "counting", "unhashed", "hashed")
# 17 of 20 milliseconds of processor time: a hash, 50 times a second.
COUNTING = r"""
#define _GNU_SOURCE
#include <sched.h>
#include <stdint.h>
#include <time.h>
static int64_t at(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec * 1000000000ll + t.tv_nsec;
}
int main(void) {
  struct sched_param none = {0};
  if (sched_setscheduler(0, SCHED_IDLE, &none)) return 1;
  for (volatile uint64_t x = 1;;) {
    int64_t next = at(CLOCK_MONOTONIC) + 20000000, enough = at(CLOCK_THREAD_CPUTIME_ID) + 17000000;
    while (at(CLOCK_THREAD_CPUTIME_ID) < enough)
      for (int i = 0; i < 100000; i++) x = x * 6364136223846793005ull + 1;
    int64_t left = next - at(CLOCK_MONOTONIC);
    struct timespec rest = {0, left > 0 ? left : 0};
    nanosleep(&rest, 0);
  }
}
"""


def main():
    options = parse_options()
    work = Work()
    prepare_wrk(work)
    server = Signpost(work, 1)
    # Each attempt says that it comes from another network: one network alone is stopped after a minute.
    server.environment["SIGNPOST_TRUSTED_PROXIES"] = "127.0.0.1/32"
    server.set_up()
    report = Report(options)
    for mode in options.modes:
        work.lua.write_text(WRK_LUA + (f"function delay() return math.random(0, {PAUSES[mode]}) end\n" if mode in PAUSES else ""))
        wrk(work, server, mode, 1)
        for round_number in range(1, options.rounds + 1):
            for kind in alternately(round_number):
                with beside(work, server, options.rate, kind) as end:
                    result = wrk(work, server, mode, options.seconds)
                    told = end()
                report.rounds.setdefault((mode, kind), []).append(result)
                note(f"{mode}, round {round_number} of {options.rounds}, {kind}: {result['rate']:,.0f}/s, "
                     f"p50 {show_ms(result['p50'])}, p99 {show_ms(result['p99'])}" + (f"; {told.words()}" if told else ""))
                if kind == "hashed":
                    report.told.append(told)
                server.settle()
    server.stop()
    text = report.markdown()
    print("\n" + text)
    if options.output:
        write(options.output, sign_in=text)


def parse_options():
    parser = argparse.ArgumentParser(prog="script/bench --sign-in")
    parser.add_argument("--quick", action="store_true", help="short rounds, and no file")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=int, help="of one round")
    parser.add_argument("--rate", type=int, default=50, help="sign-ins offered a second")
    parser.add_argument("--modes", type=lambda text: [mode for mode in MODES if mode in text.split(",")], default=list(MODES),
                        help="of " + ", ".join(f"`{mode}`" for mode in MODES))
    parser.add_argument("--output", help="the file to write; docs/benchmarks.md, or none with --quick")
    options = parser.parse_args()
    options.rounds = options.rounds or (3 if options.quick else 7)
    options.seconds = options.seconds or (3 if options.quick else 10)
    if not options.output and not options.quick:
        options.output = "docs/benchmarks.md"
    return options


def alternately(round_number):
    """Whatever grows during a round meets both alike."""
    return KINDS if round_number % 2 else KINDS[::-1]


# --- People who sign in


# One of wrk's connections is a person after the other. Each attempt is for another address and from another network, so that no throttle stops it.
# Each begins at a moment of its own, and then waits as long as all the others: that many a second, evenly.
PEOPLE_LUA = """
local headers, csrf, password, pause = { HEADERS }, "CSRF", "PASSWORD", PAUSE
local own
function setup(thread) own = thread end
function init() math.randomseed(os.time()) compared, refused, others, asked, begun = 0, 0, 0, 0, 0 end
function delay()
  begun = begun + 1
  return begun <= ASKERS and math.random(0, pause) or pause
end
function request()
  asked = asked + 1
  headers["X-Forwarded-For"] = string.format("10.%d.%d.%d", math.random(254), math.random(254), math.random(254))
  local email = string.format("person-%d-%d@example.com", asked, math.random(2^30))
  return wrk.format("POST", "/sign-in", headers, "csrf=" .. csrf .. "&email=" .. email .. "&password=" .. password)
end
function response(status)
  if status == 422 then compared = compared + 1 elseif status == 503 then refused = refused + 1 else others = others + 1 end
end
function done(summary, latency)
  print(string.format("told %d %d %d %d %d", own:get("compared"), own:get("refused"), own:get("others"), summary.duration, latency:percentile(50)))
end
"""


class Told:
    """What they were answered, and how long that took."""

    def __init__(self, out):
        told = re.search(r"^told (\d+) (\d+) (\d+) (\d+) (\d+)$", out, re.M)
        if not told:
            fail(f"wrk's sign-ins told nothing: {out}")
        self.compared, self.refused, others, microseconds, middle = map(int, told.groups())
        if others or not self.compared:
            fail(f"sign-ins: {self.compared} compared, {self.refused} told to come again, and {others} were answered neither 422 nor 503")
        self.took, self.middle = microseconds / 1e6, middle / 1e6

    def words(self):
        return (f"{self.compared / self.took:.0f} sign-ins a second compared, {self.refused / self.took:.0f} told to come again, "
                f"half of them after {show_ms(self.middle)}")


@contextlib.contextmanager
def beside(work, server, rate, kind):
    """What goes on while discovery is measured; forms `rate` a second, as long as they are answered within the time that each waits between two."""
    if kind == "none":
        yield lambda: None
        return
    if kind == "counting":
        program = work.path / "counting"
        if not program.exists():
            (work.path / "counting.c").write_text(COUNTING)
            run(["cc", "-O2", "-o", str(program), str(work.path / "counting.c")])
        counting = work.spawn([str(program)], work.path / "counting.log")
        yield lambda: None
        if counting.poll() is not None:
            fail(f"what should count ended with {counting.returncode}")
        counting.kill()
        counting.wait(10)
        work.running.remove(counting)
        return
    headers, csrf = browser(server)
    # A longer one than any that is hashed: everything else is done as for the others.
    password = {"hashed": "a+hat+for+every+goose", "unhashed": "x" * 1025}[kind]
    lua = work.path / "people.lua"
    lua.write_text(PEOPLE_LUA.replace("HEADERS", ", ".join(f'["{name}"] = "{value}"' for name, value in headers.items()))
                   .replace("CSRF", urllib.parse.quote_plus(csrf)).replace("PASSWORD", password).replace("PAUSE", str(1000 * ASKERS // rate))
                   .replace("ASKERS", str(ASKERS)))
    log = work.path / "people.log"
    log.unlink(missing_ok=True)
    people = work.spawn(["wrk", "-t1", f"-c{ASKERS}", "-d1h", "--timeout", "60s", "-s", str(lua), f"http://127.0.0.1:{server.http}/sign-in"], log)
    # Everybody has begun.
    time.sleep(ASKERS / rate)

    def end():
        people.send_signal(signal.SIGINT)
        people.wait(30)
        work.running.remove(people)
        return Told(log.read_text())
    yield end
    if people in work.running:
        fail("sign-ins went on when nobody measured")


def browser(server):
    """The headers of one that has opened the sign-in, and its form's token."""
    connection = http.client.HTTPConnection("127.0.0.1", server.http, timeout=10)
    connection.request("GET", "/sign-in", headers={"Host": server.portal})
    response = connection.getresponse()
    page = response.read().decode()
    token = re.search(r'name="csrf" value="([^"]+)"', page)
    if response.status != 200 or not token:
        fail(f"GET /sign-in: {response.status} {page[:500]}")
    cookie = response.headers["Set-Cookie"].split(";")[0]
    connection.close()
    return {"Host": server.portal, "Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}, token[1]


# --- The report


class Report:
    def __init__(self, options):
        self.options, self.rounds, self.told = options, {}, []

    def middle(self, mode, kind, key):
        return statistics.median(result[key] for result in self.rounds[mode, kind])

    def ratio(self, mode, key, to="none"):
        return self.middle(mode, "hashed", key) / self.middle(mode, to, key)

    def markdown(self):
        options = self.options
        parts = [
            "# Sign-ins",
            f"Written by `script/bench --sign-in` on {datetime.date.today()}. Every figure is the median of {options.rounds} rounds of "
            f"{options.seconds} s; rounds with and without sign-ins take turns.",
            self.targets(), self.figures(), self.method(),
            machine(("wrk", version(["wrk", "-v"], r"wrk (?:debian/)?(\S+)"))),
        ]
        return "\n\n".join(parts) + "\n"

    def targets(self):
        rows = []
        for mode in self.options.modes:
            ratio = self.ratio(mode, "p99")
            verdict = "met" if ratio <= TARGET else f"**missed** by {100 * (ratio / TARGET - 1):.0f} %"
            counting = self.middle(mode, "counting", "p99") / self.middle(mode, "none", "p99")
            rows.append((f"{options_words(self.options)}: discovery's p99 at most {100 * (TARGET - 1):.0f} % more than without ({MODES[mode]})",
                         f"{100 * (ratio - 1):+.0f} %", verdict, f"{100 * (counting - 1):+.0f} %"))
        return table("## Targets", ["target", "measured", "", "a process that only counts"], rows)

    def figures(self):
        rows = []
        for mode in self.options.modes:
            what = MODES[mode]
            for key, unit, show in (("rate", "requests/s", show_rate), ("p50", "p50", show_ms), ("p99", "p99", show_ms)):
                rows.append((f"{what}: {unit}", *(show(self.middle(mode, kind, key)) for kind in KINDS), f"{self.ratio(mode, key):.2f}"))
            rows.append((f"{what}: p99 of the best and the worst round",
                         *(" – ".join(show_ms(edge(result["p99"] for result in self.rounds[mode, kind])) for edge in (min, max)) for kind in KINDS), ""))

        def a_second(count):
            return f"{statistics.median(count(told) / told.took for told in self.told):.0f}"
        rows += [
            ("passwords compared, a second", "", "", "", a_second(lambda told: told.compared), ""),
            ("told to come again (503), a second", "", "", "", a_second(lambda told: told.refused), ""),
            ("until half of the sign-ins are answered", "", "", "", show_ms(statistics.median(told.middle for told in self.told)), ""),
        ]
        return table("## Discovery", ["", "without sign-ins", "a process that only counts", "forms, not hashed", "sign-ins", "sign-ins ÷ without"], rows)

    def method(self):
        return "\n".join([
            "## How",
            "",
            "Server, its PostgreSQL and the load of both kinds share the machine, over loopback.",
            f"Discovery is asked by `wrk` with {CONNECTIONS} connections: for `{PATH}{QUERY}` of `{hostname(1)}`.",
            "Where it is asked as fast as it answers, the processors are busy without any sign-in, and whatever else runs takes from it.",
            f"Meanwhile another `wrk` offers {options_words(self.options)} by {ASKERS} connections that wait between two: POSTs of the form, each for another",
            "address and, by `X-Forwarded-For` of a trusted proxy, from another network, so that neither throttle stops them. Nobody has these addresses: by",
            "design that costs the same Argon2id. *Not hashed* are the same forms with a password longer than any that is hashed: what is left is the form, the",
            "database and `wrk` itself. *A process that only counts* is the machine's own part: it is not signpost, gives way to everything as the hashing",
            "threads do (`SCHED_IDLE`), takes 17 of 20 milliseconds of a processor, about what the hashes take, and touches no memory.",
            "Where each request has a connection of its own, the time from `connect()` to the first byte counts, without `wrk`'s pause before the request.",
        ])


def options_words(options): return f"{options.rate} sign-ins a second"


if __name__ == "__main__":
    main()
