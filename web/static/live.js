// Parts of a page that change by themselves. Without this script they change when the page is loaded again.

const said = document.querySelector("[data-live-said]");
const box = document.querySelector("[data-live]");
const began = Date.now();

function content() {
  return box.querySelector("[data-live-content]");
}

// Often at first, for somebody who has just set a record; no longer than half an hour.
function pause() {
  const minutes = (Date.now() - began) / 60000;
  return minutes < 3 ? 3000 : minutes < 30 ? 15000 : 0;
}

function wait() {
  if (content()?.hasAttribute("data-awaited") && pause()) setTimeout(ask, pause());
}

async function ask() {
  if (!document.hidden) {
    try {
      const answer = await fetch(box.dataset.live, { redirect: "error" });
      // Signed out, or the link is over: the page says so when it is loaded again.
      if (answer.status >= 400 && answer.status < 500) return;
      if (answer.ok) show(await answer.text());
    } catch {
      // Away for a moment: ask again.
    }
  }
  wait();
}

function show(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  const next = page.querySelector("[data-live-content]");
  if (!next) return;
  for (const button of next.querySelectorAll("button[data-copy]")) button.hidden = false;
  const before = content();
  if (next.innerHTML === before.innerHTML || before.querySelector("[data-copied]")) return;
  const focused = before.contains(document.activeElement) ? document.activeElement.id : "";
  const words = next.dataset.said;
  const isNews = words !== before.dataset.said;
  before.replaceWith(document.adoptNode(next));
  if (focused) document.getElementById(focused)?.focus();
  if (isNews) said.textContent = words;
}

if (box) wait();

// A walk as a device: drawn into the page instead of a new one, since it takes long.
const walk = document.querySelector("a[data-walk]");
walk?.addEventListener("click", async (event) => {
  event.preventDefault();
  const place = document.getElementById("walk");
  if (place.getAttribute("aria-busy") === "true") return;
  place.setAttribute("aria-busy", "true");
  place.textContent = "Asking as a device does. This may take a minute…";
  try {
    const answer = await fetch(walk.dataset.walk, { redirect: "error" });
    if (!answer.ok) throw new Error();
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    place.replaceChildren(...page.body.childNodes);
  } catch {
    place.textContent = "That did not work. Try again in ten seconds.";
  }
  place.removeAttribute("aria-busy");
});
