"""What sign-ins cost those who do not sign in: discovery with and without people who offer passwords."""
import argparse, concurrent.futures, contextlib, datetime, http.client, os, random, re, statistics, threading, time, urllib.parse

from common import PATH, QUERY, Signpost, Work, fail, hostname, machine, note, show_ms, show_rate, table, version, write
from serving import CONNECTIONS, WRK_LUA, prepare_wrk, wrk

# Of discovery's p99.
TARGET = 1.20
MODES = {"paced": "TLS, keep-alive, about 1,000 requests a second", "keep-alive": "TLS, keep-alive, as many as it answers",
         "new connection": "TLS, new connections, as many as it answers"}
# Each of wrk's connections waits before it asks again, 64 ms on average.
PACED_LUA = WRK_LUA + "function delay() return math.random(0, 128) end\n"
# More than may wait inside signpost: it is told to come again, and nobody here waits for a place to ask from.
ASKERS = 200


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
        work.lua.write_text(PACED_LUA if mode == "paced" else WRK_LUA)
        wrk(work, server, mode, 1)
        for round_number in range(1, options.rounds + 1):
            for people in alternately(round_number):
                with offered(server, options.rate if people else 0) as told:
                    result = wrk(work, server, mode, options.seconds)
                report.rounds.setdefault((mode, people), []).append(result)
                note(f"{mode}, round {round_number} of {options.rounds}, {'with' if people else 'without'} sign-ins: {result['rate']:,.0f}/s, "
                     f"p50 {show_ms(result['p50'])}, p99 {show_ms(result['p99'])}" + (f"; {told.words()}" if people else ""))
                if people:
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
    return (False, True) if round_number % 2 else (True, False)


# --- People who sign in


class Told:
    """What they were answered, and how long that took."""

    def __init__(self):
        self.lock, self.statuses, self.seconds, self.began = threading.Lock(), {}, [], time.monotonic()
        self.offered, self.is_over = 0, False

    def add(self, status, seconds):
        with self.lock:
            if self.is_over:
                return
            self.statuses[status] = self.statuses.get(status, 0) + 1
            if status == 422:
                self.seconds.append(seconds)

    def end(self):
        """Those who are still waiting are left out."""
        with self.lock:
            self.is_over, self.took = True, time.monotonic() - self.began
        self.compared, self.refused = self.statuses.get(422, 0), self.statuses.get(503, 0)
        if others := {status: count for status, count in self.statuses.items() if status not in (422, 503)}:
            fail(f"sign-ins were answered {others}: only 422, compared and wrong, and 503, come again, are expected")
        if not self.compared:
            fail("no password was compared")

    def words(self):
        return (f"{self.offered / self.took:.0f} sign-ins a second offered, {self.compared / self.took:.0f} compared, "
                f"{self.refused / self.took:.0f} told to come again, each after {show_ms(statistics.median(self.seconds))}")


@contextlib.contextmanager
def offered(server, rate):
    """`rate` a second, evenly, however slowly they are answered."""
    told = Told()
    if not rate:
        yield told
        return
    over, headers, csrf = threading.Event(), *browser(server)
    mine = threading.local()

    def sign_in(number):
        if not hasattr(mine, "connection"):
            mine.connection = http.client.HTTPConnection("127.0.0.1", server.http, timeout=60)
        # An address that nobody has costs the same as one that somebody has; and nobody is locked out.
        form = {"csrf": csrf, "email": f"person-{number}-{random.randrange(2**40)}@example.com", "password": "a hat for every goose"}
        network = ".".join(str(random.randrange(1, 255)) for _ in range(3))
        began = time.monotonic()
        try:
            mine.connection.request("POST", "/sign-in", urllib.parse.urlencode(form), headers | {"X-Forwarded-For": f"10.{network}"})
            response = mine.connection.getresponse()
            response.read()
            told.add(response.status, time.monotonic() - began)
        except (OSError, http.client.HTTPException) as error:
            mine.connection.close()
            told.add(type(error).__name__, time.monotonic() - began)

    def offer(askers):
        due = time.monotonic()
        while not over.is_set():
            askers.submit(sign_in, told.offered)
            told.offered += 1
            due += 1 / rate
            time.sleep(max(0, due - time.monotonic()))

    with concurrent.futures.ThreadPoolExecutor(ASKERS) as askers:
        offering = threading.Thread(target=offer, args=[askers])
        offering.start()
        # So that a queue of them stands there when discovery is measured.
        time.sleep(2)
        try:
            yield told
        finally:
            over.set()
            offering.join()
            askers.shutdown(wait=False, cancel_futures=True)
        told.end()


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

    def middle(self, mode, people, key):
        return statistics.median(result[key] for result in self.rounds[mode, people])

    def ratio(self, mode, key):
        return self.middle(mode, True, key) / self.middle(mode, False, key)

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
            what = MODES[mode]
            ratio = self.ratio(mode, "p99")
            verdict = "met" if ratio <= TARGET else f"**missed** by {100 * (ratio / TARGET - 1):.0f} %"
            rows.append((f"{options_words(self.options)}: discovery's p99 at most {100 * (TARGET - 1):.0f} % more ({what})", f"{100 * (ratio - 1):+.0f} %", verdict))
        return table("## Targets", ["target", "measured", ""], rows)

    def figures(self):
        rows = []
        for mode in self.options.modes:
            what = MODES[mode]
            for key, unit, show in (("rate", "requests/s", show_rate), ("p50", "p50", show_ms), ("p99", "p99", show_ms)):
                rows.append((f"{what}: {unit}", show(self.middle(mode, False, key)), show(self.middle(mode, True, key)), f"{self.ratio(mode, key):.2f}"))
            low, high = (show_ms(edge(result["p99"] for result in self.rounds[mode, True])) for edge in (min, max))
            calm_low, calm_high = (show_ms(edge(result["p99"] for result in self.rounds[mode, False])) for edge in (min, max))
            rows.append((f"{what}: p99 of the best and the worst round", f"{calm_low} – {calm_high}", f"{low} – {high}", ""))

        def a_second(count):
            return f"{statistics.median(count(told) / told.took for told in self.told):.0f}"
        rows += [
            ("sign-ins offered a second", "0", a_second(lambda told: told.offered), ""),
            ("of these, passwords compared", "", a_second(lambda told: told.compared), ""),
            ("of these, told to come again (503)", "", a_second(lambda told: told.refused), ""),
            ("until a compared one is answered", "", show_ms(statistics.median(statistics.median(told.seconds) for told in self.told)), ""),
        ]
        return table("## Discovery", ["", "without sign-ins", "with sign-ins", "with ÷ without"], rows)

    def method(self):
        return "\n".join([
            "## How",
            "",
            "Server, its PostgreSQL and the load of both kinds share the machine, over loopback.",
            f"Discovery is asked by `wrk` with {CONNECTIONS} connections: for `{PATH}{QUERY}` of `{hostname(1)}`.",
            "Where it is asked as fast as it answers, the processors are busy without any sign-in, and whatever else runs takes from it.",
            f"Meanwhile {options_words(self.options)} arrive evenly as POSTs of the form, each for another address and, by `X-Forwarded-For` of a trusted",
            "proxy, from another network, so that neither throttle stops them. Nobody has these addresses: by design that costs the same Argon2id.",
        ])


def options_words(options): return f"{options.rate} sign-ins a second"


if __name__ == "__main__":
    main()
