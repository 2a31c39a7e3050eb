"""Certificates from ACME: signpost and Caddy before the same Pebble, and what one more certificate costs beside 10 and 100,000."""
import argparse, datetime, http.client, json, os, pathlib, re, statistics, sys, time

from common import (CERTIFICATES, Signpost, Work, can_connect, free_port, hostname, machine, note, progress, run, table, tls, tls_to, version, wait_for,
                    write)

TARGETS = {"rate": 5.0, "requests": 17.0, "more": 1.15}
# Ours beside the customers': the portal and the edge.
OWN = 2
REQUEST = re.compile(r"(GET|HEAD|POST) /(\S*) -> calling handler")


def main():
    options = parse_options()
    work = Work()
    report = Report(options)
    if options.names:
        ca = Ca(work, "beside", {})
        for peer in [] if options.caddy_only else [AcmeSignpost(work, 0, ca)]:
            report.peers["signpost"] = obtain_with_signpost(peer, ca, options)
        report.peers["Caddy"] = obtain_with_caddy(Caddy(work, ca, options.names), ca, options)
        ca.stop()
    if not options.caddy_only:
        for count in options.domains:
            # The waits of a CA are the same for all, and would hide what is to be seen.
            ca = Ca(work, f"more-{count}", {"PEBBLE_VA_NOSLEEP": "1"})
            report.more[count] = add_to(AcmeSignpost(work, count, ca), options)
            ca.stop()
    text = report.markdown()
    print("\n" + text)
    if options.output:
        write(options.output, acme=text)


def parse_options():
    parser = argparse.ArgumentParser(prog="script/bench --acme")
    parser.add_argument("--quick", action="store_true", help="50 names, a minute of Caddy, 10 and 1,000 domains")
    parser.add_argument("--names", type=int, help="how many both obtain; 0: neither")
    parser.add_argument("--window", type=float, help="seconds for which Caddy is watched")
    parser.add_argument("--domains", type=lambda text: [int(n) for n in text.split(",") if n], help="beside how many one more is added: 10,100000")
    parser.add_argument("--seconds", type=int, help="for which they are added one after the other, and for which nothing is done")
    parser.add_argument("--output", help="the file to write; docs/benchmarks.md, or none with --quick")
    parser.add_argument("--caddy-only", action="store_true", help="without signpost")
    options = parser.parse_args()
    default = lambda value, quick, full: value if value is not None else (quick if options.quick else full)
    options.names = default(options.names, 50, 500)
    options.window = default(options.window, 60, 300)
    options.domains = default(options.domains, [10, 1_000], [10, 100_000])
    options.seconds = default(options.seconds, 20, 120)
    if not options.output and not options.quick and not options.caddy_only:
        options.output = "docs/benchmarks.md"
    return options


# --- The measurements


def obtain_with_signpost(server, ca, options):
    """From the moment at which the domains are proved to be their owners'."""
    server.set_up()
    server.count = options.names
    server.import_domains(server.token)
    asked, cpu, began = ca.requests(), cpu_seconds(server), time.monotonic()
    server.verify(range(1, options.names + 1))
    server.wait_for_certificates()
    result = Obtained(options.names, time.monotonic() - began, ca.requests_since(asked), cpu_seconds(server) - cpu)
    for number in (1, options.names // 2 + 1, options.names):
        wait_for(f"signpost serves {hostname(number)}", 10, lambda: shows(server.https, number), server)
    server.stop()
    note(f"signpost: {result}")
    return result


def obtain_with_caddy(caddy, ca, options):
    asked, began = ca.requests(), time.monotonic()
    caddy.start()
    while (done := caddy.obtained()) < options.names and time.monotonic() - began < options.window:
        progress("Caddy: certificates", done, options.names)
        time.sleep(0.5)
    result = Obtained(done, time.monotonic() - began, ca.requests_since(asked), cpu_seconds(caddy))
    caddy.stop()
    note(f"Caddy: {result}")
    return result


def add_to(server, options):
    """One domain after the other, beside those that have their certificates: from its proof to the first handshake."""
    server.set_up_filled()
    # What a start brings with it is over, and each window has as many of the jobs that run once a minute.
    time.sleep(options.seconds / 2)
    before = cpu_seconds(server)
    time.sleep(options.seconds)
    idle = cpu_seconds(server) - before
    times, began, before, number = [], time.monotonic(), cpu_seconds(server), server.count
    while time.monotonic() - began < options.seconds:
        number += 1
        server.import_rows(server.token, [number])
        at = time.monotonic()
        server.verify([number])
        wait_for(f"{server.name}: {hostname(number)}", 120, lambda: shows(server.https, number), server, pause=0.005)
        times.append(time.monotonic() - at)
    busy = (cpu_seconds(server) - before) * options.seconds / (time.monotonic() - began)
    server.stop()
    result = {"count": len(times), "time": statistics.median(times), "slowest": max(times),
              "cpu": (busy - idle) / len(times), "idle": idle / options.seconds}
    note(f"{server.name}: one more: {result}")
    return result


class Obtained:
    def __init__(self, count, seconds, requests, cpu):
        self.count, self.seconds, self.requests, self.cpu = count, seconds, requests, cpu

    def rate(self): return self.count / self.seconds * 60
    def requests_each(self): return sum(self.requests.values()) / max(self.count, 1)

    def __str__(self):
        return (f"{self.count} certificates in {self.seconds:.1f} s, {self.rate():.0f} a minute, "
                f"{self.requests_each():.1f} requests and {self.cpu / max(self.count, 1):.3f} CPU seconds each")


def cpu_seconds(server):
    """Of a process, of what works in its directory (signpost's PostgreSQL), and of all below them."""
    total, counted, below, children, ticks = 0, set(), [server.process.pid], {}, {}
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            fields = (process / "stat").read_text().rsplit(")", 1)[1].split()
            command = (process / "cmdline").read_text(errors="replace")
        except OSError:
            continue  # it has ended
        pid = int(process.name)
        # man 5 proc: the parent; time of its own, and of its children that have ended.
        children.setdefault(int(fields[1]), []).append(pid)
        ticks[pid] = sum(map(int, fields[11:15]))
        if f"{server.path}/" in command and pid != os.getpid():
            below.append(pid)
    while below:
        pid = below.pop()
        if pid not in counted:
            counted.add(pid)
            total += ticks.get(pid, 0)
            below += children.get(pid, [])
    return total / os.sysconf("SC_CLK_TCK")


def shows(port, number):
    try:
        with tls(port, number):
            return True
    except (OSError, ValueError):
        return False


# --- What is measured


class Ca:
    """Pebble as it comes, which refuses one nonce in twenty and waits before it validates; and the name server that it asks."""

    def __init__(self, work, name, environment):
        self.work, self.name = work, f"Pebble ({name})"
        self.path = work.path / f"pebble-{name}"
        self.path.mkdir()
        self.port, self.management, self.names = free_port(), free_port(), free_port()
        # Where it looks for the answers to its challenges.
        self.http, self.https = free_port(), free_port()
        self.root, self.directory = self.path / "root.pem", f"https://localhost:{self.port}/dir"
        self.make_certificate()
        (self.path / "pebble.json").write_text(json.dumps({"pebble": {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self.management}",
            "certificate": str(self.path / "certificate.pem"),
            "privateKey": str(self.path / "key.pem"),
            "httpPort": self.http,
            "tlsPort": self.https,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": False,
        }}))
        names = pathlib.Path(__file__).with_name("names.py")
        self.resolver = work.spawn([sys.executable, str(names), str(self.names)], self.path / "names.log")
        self.process = work.spawn(["pebble", "-config", str(self.path / "pebble.json"), "-dnsserver", f"127.0.0.1:{self.names}"],
                                  self.path / "log", {"PATH": os.environ["PATH"]} | environment)
        wait_for(self.name, 20, lambda: can_connect(self.port) and can_connect(self.management), self)

    def make_certificate(self):
        openssl = lambda *arguments: run(["openssl", *arguments], cwd=self.path)
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        openssl("req", "-x509", *key, "-days", "30", "-subj", "/CN=Bench Root", "-keyout", "root.key", "-out", "root.pem")
        openssl("req", "-new", *key, "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "request.pem")
        (self.path / "extensions").write_text("subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n")
        openssl("x509", "-req", "-in", "request.pem", "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial", "-days", "30",
                "-extfile", "extensions", "-out", "certificate.pem")

    def requests(self):
        """How many there were of each kind, from its log."""
        counts = {}
        for method, path in REQUEST.findall((self.path / "log").read_text(errors="replace")):
            kind = f"{method} {path.split('/')[0]}"
            counts[kind] = counts.get(kind, 0) + 1
        return counts

    def requests_since(self, before):
        return {kind: count - before.get(kind, 0) for kind, count in self.requests().items() if count > before.get(kind, 0)}

    def stop(self):
        self.work.stop(self.process, self.name)
        self.work.stop(self.resolver, "the name server")


class AcmeSignpost(Signpost):
    """One that obtains its certificates from a CA, over HTTP-01."""

    def __init__(self, work, count, ca):
        super().__init__(work, count)
        self.http, self.https, self.ca = ca.http, ca.https, ca
        self.acme = {
            "SIGNPOST_CERTIFICATES": "acme",
            "SIGNPOST_ACME_DIRECTORY": ca.directory,
            "SIGNPOST_ACME_CA_FILE": str(ca.root),
        }
        self.environment |= self.acme | {
            "SIGNPOST_HTTP_ADDR": f"127.0.0.1:{self.http}",
            "SIGNPOST_HTTPS_ADDR": f"127.0.0.1:{self.https}",
            "SIGNPOST_PUBLIC_HTTP_PORT": str(self.http),
            "SIGNPOST_PUBLIC_HTTPS_PORT": str(self.https),
            "SIGNPOST_PORTAL_HOST": "portal.example.com",
            "SIGNPOST_EDGE_HOST": "edge.example.com",
            "SIGNPOST_EDGE_ADDRESSES": "127.0.0.1",
            "SIGNPOST_OUTBOUND_ALLOW": "127.0.0.0/8",
            "SIGNPOST_DNS_SERVERS": f"127.0.0.1:{ca.names}",
        }
        self.portal = "portal.example.com"

    def set_up(self):
        self.path.mkdir(exist_ok=True)
        self.start()
        wait_for(self.name, 60, self.is_ready, self)
        self.token = json.loads(self.command("org", "create", "--name", "Bench", "--email", "bench@example.com"))["token"]
        # Our own first: the account is made with them.
        self.wait_for_certificates(own_alone=True)

    def set_up_filled(self):
        """With certificates as if the CA had issued them: it would take hours."""
        self.environment |= {"SIGNPOST_CERTIFICATES": "internal"}
        self.path.mkdir()
        self.start()
        wait_for(self.name, 60, self.is_ready, self)
        self.token = json.loads(self.command("org", "create", "--name", "Bench", "--email", "bench@example.com"))["token"]
        self.wait_for_certificates(own_alone=True)
        self.import_domains(self.token)
        self.verify(range(1, self.count + 1))
        self.stop()
        self.environment |= self.acme
        note(run([os.environ["BENCH_FILL"]], env=self.environment, cwd=self.path).strip())
        self.start()
        wait_for(self.name, 120, self.is_ready, self)

    def api(self):
        """Over TLS: where certificates are a CA's, plain HTTP leads there."""
        connection = http.client.HTTPConnection("127.0.0.1", self.https)
        connection.sock = tls_to(self.https, self.portal, 300)
        return connection

    def verify(self, numbers):
        self.command("domain", "verify", "-", given="".join(f"{hostname(number)}\n" for number in numbers))

    def wait_for_certificates(self, own_alone=False):
        wanted = OWN if own_alone else self.count + OWN

        def done():
            valid = self.metric(CERTIFICATES) or 0
            progress(f"{self.name}: certificates", int(min(valid, wanted)), wanted)
            return valid >= wanted
        wait_for(f"{self.name}: its certificates", 3600, done, self, pause=0.2)


class Caddy:
    name = "Caddy"

    def __init__(self, work, ca, names):
        self.work, self.path = work, work.path / "caddy"
        self.path.mkdir()
        hosts = [hostname(number) for number in range(1, names + 1)]
        site = {"match": [{"host": hosts}], "handle": [{"handler": "static_response", "body": "ok"}], "terminal": True}
        issuer = {"module": "acme", "ca": ca.directory, "trusted_roots_pem_files": [str(ca.root)], "challenges": {"tls-alpn": {"disabled": True}}}
        (self.path / "caddy.json").write_text(json.dumps({
            "admin": {"disabled": True},
            "apps": {
                "http": {"http_port": ca.http, "https_port": ca.https,
                         "servers": {"bench": {"listen": [f"127.0.0.1:{ca.https}"], "routes": [site]}}},
                "tls": {"automation": {"policies": [{"issuers": [issuer]}]}},
            },
        }))

    def start(self):
        home = {name: str(self.path) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")}
        self.process = self.work.spawn(["caddy", "run", "--config", str(self.path / "caddy.json")], self.path / "log",
                                       {"PATH": os.environ["PATH"]} | home)

    def obtained(self):
        return (self.path / "log").read_text(errors="replace").count('"certificate obtained successfully"')

    def stop(self):
        self.work.stop(self.process, self.name)


# --- The report


class Report:
    def __init__(self, options):
        self.options, self.peers, self.more = options, {}, {}

    def markdown(self):
        parts = [
            "# Certificates",
            f"Written by `script/bench --acme` on {datetime.date.today()}.",
            self.targets(), self.beside_caddy(), self.kinds(), self.one_more(), self.method(), self.where(),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"

    def targets(self):
        rows = []
        if len(self.peers) == 2:
            ours, caddy = self.peers["signpost"], self.peers["Caddy"]
            ratio = ours.rate() / caddy.rate()
            rows.append(("at least five times Caddy's certificates a minute", f"{ratio:.1f} ×", ratio / TARGETS["rate"] - 1))
        if "signpost" in self.peers:
            each = self.peers["signpost"].requests_each()
            rows.append(("at most 17 requests a certificate", f"{each:.1f}", TARGETS["requests"] / each - 1))
        if len(self.more) == 2:
            few, many = self.options.domains
            for key, what in (("time", "time"), ("cpu", "CPU")):
                ratio = self.more[many][key] / self.more[few][key]
                rows.append((f"one more beside {many:,} costs no more than beside {few:,} (within 15 %): {what}", f"{ratio:.2f} ×",
                             TARGETS["more"] / ratio - 1))
        return table("## Targets", ["target", "measured", ""],
                     [(what, value, "met" if margin >= 0 else f"**missed** by {-100 * margin:.0f} %") for what, value, margin in rows]) if rows else ""

    def beside_caddy(self):
        peers = list(self.peers.items())
        rows = [
            ("certificates obtained", *(f"{peer.count} of {self.options.names}" for _, peer in peers)),
            ("in", *(f"{peer.seconds:.0f} s" for _, peer in peers)),
            ("certificates a minute", *(f"{peer.rate():.0f}" for _, peer in peers)),
            ("requests a certificate", *(f"{peer.requests_each():.1f}" for _, peer in peers)),
            ("CPU seconds", *(f"{peer.cpu:.1f}" for _, peer in peers)),
            ("CPU seconds a certificate", *(f"{peer.cpu / max(peer.count, 1):.3f}" for _, peer in peers)),
        ]
        return table("## Beside Caddy", [f"{self.options.names} names, HTTP-01", *(name for name, _ in peers)], rows) if peers else ""

    def kinds(self):
        peers = list(self.peers.items())
        kinds = sorted({kind for _, peer in peers for kind in peer.requests})
        each = lambda peer, kind: f"{peer.requests.get(kind, 0) / max(peer.count, 1):.2f}"
        rows = [(f"`{kind}`", *(each(peer, kind) for _, peer in peers)) for kind in kinds]
        return table("## Requests a certificate", ["Pebble's path", *(name for name, _ in peers)], rows) if peers else ""

    def one_more(self):
        counts = list(self.more)
        if not counts:
            return ""
        rows = [(what, *(show(self.more[count][key]) for count in counts)) for key, what, show in (
            ("count", "added, one after the other", lambda n: f"{n:,}"),
            ("time", "from proof of ownership to the first handshake: median", lambda s: f"{s * 1000:.0f} ms"),
            ("slowest", "the slowest", lambda s: f"{s * 1000:.0f} ms"),
            ("cpu", "CPU of signpost and its PostgreSQL", lambda s: f"{s * 1000:.0f} ms"),
            ("idle", "CPU while nothing happens, a second", lambda s: f"{s * 1000:.1f} ms"),
        )]
        return table("## One more", ["beside this many certificates", *(f"{count:,}" for count in counts)], rows)

    def method(self):
        return "\n".join([
            "## How",
            "",
            "CA, name server, the server that obtains and nothing else run on one machine, over loopback. Pebble is as hostile as it comes: it refuses one nonce in",
            "twenty and waits up to five seconds before it looks at a challenge. Signpost and Caddy are before the same Pebble, one after the other, with the same names.",
            "",
            "- Signpost: the domains are registered, and their ownership is proved at once; the time goes until the last certificate is served. Before each order it",
            "  asks the name server and fetches a token of its own through the public name.",
            f"- Caddy: started with the names in its configuration, and watched for at most {self.options.window:.0f} s. It throttles itself.",
            "- Requests are counted in Pebble's log; CPU is that of the process and all below it (signpost's PostgreSQL is one of them).",
            f"- *One more*: domains are added one after the other for {self.options.seconds} s, before a Pebble that does not wait. 100,000 certificates would take hours: those that are there",
            "  before are written into the database, sealed, by `examples/fill_certificates.rs`. The CPU is what is used beyond that of the same time without anything to do.",
        ])

    def where(self):
        return machine(("Caddy", version(["caddy", "version"], r"v?(\d\S*)")),
                       ("Pebble", version(["dpkg-query", "-W", "pebble"], r"\t(\S+)")))


main()
