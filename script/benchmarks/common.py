"""What the benchmarks share: processes that end with the run, a signpost with many domains, and the file of the results."""
import atexit, ctypes, http.client, json, os, pathlib, platform, random, re, shutil, signal, socket, ssl, subprocess, sys, tempfile, time

# What signpost calls the numbers that are waited for or reported. (name, labels)
CERTIFICATES = ("signpost_certificates", {"state": "valid"})
QUEUE = ("signpost_request_log_unshipped_bytes", {})

PATH = "/.well-known/com.apple.remotemanagement"
QUERY = "?user-identifier=jane.appleseed%40example.com&model-family=iPhone"
KEPT = "<!-- Below this line people write; script/bench leaves it as it is. -->"
ACME = "<!-- From here on script/bench --acme writes. -->"
SIGN_IN = "<!-- From here on script/bench --sign-in writes. -->"
LOG = "<!-- From here on script/bench --log writes. -->"
PAGES = "<!-- From here on script/bench --pages writes. -->"
POLICIES = "<!-- From here on script/bench --policies writes. -->"


# --- What is measured


class Work:
    """A directory for this run, and every process that was started in it: both are gone at the end."""

    def __init__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="signpost-bench.", dir="/tmp"))
        self.running = []
        atexit.register(self.clean_up)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, _: sys.exit(128 + number))

    def spawn(self, command, log, environment=None):
        with open(log, "ab") as out:
            process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                       cwd=self.path, preexec_fn=die_with_parent)
        self.running.append(process)
        return process

    def stop(self, process, name):
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            note(f"{name} did not stop within 30 s of SIGTERM; killing it")
            process.kill()
            process.wait()
        self.running.remove(process)

    def clean_up(self):
        for process in list(self.running):
            self.stop(process, f"process {process.pid}")
        shutil.rmtree(self.path, ignore_errors=True)


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


class Signpost:
    """A server with `count` domains in a state directory of its own, its embedded PostgreSQL and internal CA included."""

    def __init__(self, work, count):
        self.work, self.count = work, count
        self.name = f"signpost with {count:,} domain{'s' if count > 1 else ''}"
        self.path = work.path / f"signpost-{count}"
        self.http, self.https, self.ops = free_port(), free_port(), free_port()
        self.portal = "localhost"
        self.took = {}
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith(("SIGNPOST_", "DATABASE_URL", "BENCH_"))}
        nowhere = "https://127.0.0.1:1"  # no word leaves this machine
        self.environment |= {
            "SIGNPOST_STATE_DIR": str(self.path / "state"),
            "SIGNPOST_HTTP_ADDR": f"127.0.0.1:{self.http}",
            "SIGNPOST_HTTPS_ADDR": f"127.0.0.1:{self.https}",
            "SIGNPOST_OPS_ADDR": f"127.0.0.1:{self.ops}",
            "SIGNPOST_PUBLIC_HTTP_PORT": str(self.http),
            "SIGNPOST_PUBLIC_HTTPS_PORT": str(self.https),
            "SIGNPOST_DNS_SERVERS": "127.0.0.1:1",
            "SIGNPOST_ENTRA_URLS": f"global={nowhere},us_government={nowhere},china={nowhere}",
        }

    def set_up(self):
        self.path.mkdir()
        self.start()
        wait_for(self.name, 60, self.is_ready, self)
        self.token = json.loads(self.command("org", "create", "--name", "Bench", "--email", "bench@example.com"))["token"]
        self.took["import"] = seconds_of(lambda: self.import_domains(self.token))
        names = "".join(f"{hostname(n)}\n" for n in range(1, self.count + 1))
        self.took["verify"] = seconds_of(lambda: self.command("domain", "verify", "-", given=names))
        self.took["certificates"] = seconds_of(self.wait_for_certificates)
        for number in {1, self.count, random.randint(1, self.count)}:
            wait_for(f"{self.name}: {hostname(number)}", 30, lambda: ask(self.https, number) == (200, answer(number)), self)
            check_answer(self.name, self.https, number)

    def start(self):
        self.process = self.work.spawn([os.environ["BENCH_BINARY"], "serve"], self.path / "log", self.environment)

    def stop(self):
        self.work.stop(self.process, self.name)

    def command(self, *arguments, given=None):
        return run([os.environ["BENCH_BINARY"], *arguments], env=self.environment, input=given, cwd=self.path)

    def import_domains(self, token):
        for first in range(1, self.count + 1, 1000):
            self.import_rows(token, range(first, min(first + 1000, self.count + 1)))
            progress(f"{self.name}: imported", min(first + 999, self.count), self.count)

    def import_rows(self, token, numbers):
        rows = [{
            "hostname": hostname(n),
            "client_name": f"Client {n:06}",
            "server": {"vendor": "intune", "parameters": {"tenant_id": tenant(n)}},
            "connection": "direct",
        } for n in numbers]
        self.post("/api/v1/domains/import", token, {"dry_run": False, "rows": rows})

    def api(self):
        return http.client.HTTPConnection("127.0.0.1", self.http, timeout=300)

    def post(self, path, token, body):
        while True:
            connection = self.api()
            connection.request("POST", path, json.dumps(body),
                               {"Host": self.portal, "Authorization": f"Bearer {token}", "Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read().decode()
            connection.close()
            if response.status == 429:
                time.sleep(float(response.headers.get("Retry-After", 1)))
            elif response.status not in (200, 201, 207):
                fail(f"POST {path}: {response.status} {text[:2000]}")
            else:
                return text

    def wait_for_certificates(self):
        def done():
            valid = self.metric(CERTIFICATES) or 0
            progress(f"{self.name}: certificates", int(min(valid, self.count)), self.count)
            return valid >= self.count
        wait_for(f"{self.name}: its certificates", 3600, done, self, pause=1)

    def is_ready(self):
        return ask_plain(self.ops, "/readyz")[0] == 200

    def metric(self, which):
        name, labels = which
        total = None
        for found, inside, value in re.findall(r"^(\w+)(?:\{(.*)\})? (\S+)$", ask_plain(self.ops, "/metrics")[1], re.M):
            if found == name and labels.items() <= dict(re.findall(r'(\w+)="([^"]*)"', inside)).items():
                total = (total or 0) + float(value)
        return total

    def settle(self):
        """Until the request log of the last round is written, so that the next round of another server pays nothing for it."""
        time.sleep(1)
        deadline = time.monotonic() + 60
        while (self.metric(QUEUE) or 0) > 0 and time.monotonic() < deadline:
            time.sleep(0.2)

    def memory(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return {key: int(re.search(rf"^{key}:\s+(\d+) kB", text, re.M)[1]) * 1024 for key in ("VmRSS", "VmHWM")}

    def time_to_first_answer(self):
        """From exec to the first right answer over https, for a domain chosen at random."""
        self.stop()
        number = random.randint(1, self.count)
        began = time.monotonic()
        self.start()
        wait_for(f"{self.name}: its first answer", 120, lambda: ask(self.https, number) == (200, answer(number)), self, pause=0.002)
        took = time.monotonic() - began
        note(f"{self.name}: first answer after {took:.2f} s")
        wait_for(self.name, 60, self.is_ready, self)
        return took


# --- The report


def write(path, **texts):
    """Its own part of the file anew; the other parts, and what people wrote, as they are."""
    path = pathlib.Path(path)
    old = path.read_text() if path.exists() else ""
    old, kept = old.split(KEPT, 1) if KEPT in old else (old, "\n")
    parts = []
    for name, mark in reversed([("acme", ACME), ("sign_in", SIGN_IN), ("log", LOG), ("pages", PAGES), ("policies", POLICIES)]):
        old, own = old.split(mark, 1) if mark in old else (old, "")
        parts = [mark, texts.get(name, own).strip(), *parts]
    parts = [texts.get("serving", old).strip(), *parts]
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n\n".join(part for part in parts if part) + f"\n\n{KEPT}{kept}")
    note(f"wrote {path}")


def machine(*rows, signpost=True, server=True):
    model = re.search(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    memory = int(re.search(r"^MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text(), re.M)[1]) / 2**20
    system = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    rows = [
        ("processor", f"{model[1] if model else platform.machine()}, {len(os.sched_getaffinity(0))} cores for server and load together"),
        ("memory", f"{memory:.0f} GiB"),
        ("system", f"{system}, Linux {platform.release()}"),
        *rows,
    ]
    if signpost:
        rows.append(("signpost", version(["sed", "-n", "/^version/p", "Cargo.toml"], r'"(.*)"')
                     + ", commit " + version(["git", "rev-parse", "--short", "HEAD"], r"(\w+)") + ", rustc " + version(["rustc", "--version"], r"rustc (\S+)")))
    if signpost and server:
        rows.append(("PostgreSQL", version([os.environ["BENCH_POSTGRES"] + "/postgres", "--version"], r"(\d\S*)")))
    return table("## Where", ["", ""], rows)


def table(title, head, rows):
    lines = [title, "", "| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def show_rate(value): return f"{value:,.0f}"
def show_range(result): return f"{result['low']:,.0f} – {result['high']:,.0f}"
def show_ms(seconds): return f"{seconds * 1000:.2f} ms"
def show_mib(size): return f"{size / 2**20:.0f} MiB"
def show_count(value): return "–" if value is None else f"{value:,.0f}"


# --- Small things


def hostname(number): return f"bench-{number:06}.example.com"
def tenant(number): return f"{number:08x}-0000-4000-8000-{number:012x}"


def answer(number):
    url = f"https://manage.microsoft.com/EnrollmentServer/PostReportDeviceInfoForUEV2?aadTenantId={tenant(number)}"
    return f'{{"Servers":[{{"Version":"mdm-byod","BaseURL":"{url}"}}]}}'


def ask(port, number):
    """(status, body) over TLS, or None while nobody gives an answer."""
    try:
        with tls(port, number) as connection:
            return exchange(connection, hostname(number), PATH + QUERY)
    except (OSError, ValueError):
        return None


def ask_plain(port, path):
    try:
        with socket.create_connection(("127.0.0.1", port), 10) as connection:
            return exchange(connection, "localhost", path)
    except (OSError, ValueError):
        return 0, ""


def exchange(connection, host, path):
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response.status, response.read().decode()


def tls(port, number): return tls_to(port, hostname(number))


def tls_to(port, name, patience=10):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), patience), server_hostname=name)


def check_answer(name, port, number):
    """What is compared must be the same: the body, the TLS version and the kind of certificate."""
    found = ask(port, number)
    if found != (200, answer(number)):
        fail(f"{name} answers {found}, not {answer(number)}")
    with tls(port, number) as connection:
        p256 = bytes.fromhex("06082a8648ce3d030107")
        if connection.version() != "TLSv1.3" or p256 not in connection.getpeercert(binary_form=True):
            fail(f"{name} does not speak TLS 1.3 with a P-256 certificate")


def wait_for(what, seconds, done, server, pause=0.05):
    deadline = time.monotonic() + seconds
    while not done():
        if server.process.poll() is not None:
            fail(f"{server.name} ended with {server.process.returncode}:\n{tail(server.path / 'log')}")
        if time.monotonic() > deadline:
            fail(f"{what}: not there after {seconds} s\n{tail(server.path / 'log')}")
        time.sleep(pause)


def tail(path): return "\n".join(path.read_text(errors="replace").splitlines()[-20:])


def can_connect(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


handed_out = set()


def free_port():
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port not in handed_out:
            handed_out.add(port)
            return port


def run(command, **options):
    out = subprocess.run(command, capture_output=True, text=True, **options)
    if out.returncode != 0:
        fail(f"{' '.join(command)}: exit {out.returncode}\n{out.stdout[-2000:]}{out.stderr[-2000:]}")
    return out.stdout


def version(command, pattern):
    if not shutil.which(command[0]):
        return "?"
    out = subprocess.run(command, capture_output=True, text=True)
    found = re.search(pattern, out.stdout + out.stderr)
    return found[1] if found else "?"


def seconds_of(action):
    began = time.monotonic()
    action()
    return time.monotonic() - began


last_progress = 0


def progress(what, done, of):
    global last_progress
    if time.monotonic() - last_progress > 5:
        last_progress = time.monotonic()
        note(f"{what} {done:,} of {of:,}")


def note(text): print(text, file=sys.stderr, flush=True)


def fail(text):
    note(f"error: {text}")
    sys.exit(1)
