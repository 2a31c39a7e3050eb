// What a script makes nicer. Every page does its work without it.

// Copies the text beside the button; of buttons that come later, too.
for (const button of document.querySelectorAll("button[data-copy]")) button.hidden = false;
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button || button.dataset.copied) return;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
  } catch {
    // The browser does not let us: mark it, so that the person can.
    const text = button.closest(".value, .snippet")?.querySelector("code");
    if (text) getSelection().selectAllChildren(text);
    return;
  }
  const before = button.textContent;
  button.dataset.copied = "yes";
  button.textContent = "Copied";
  setTimeout(() => {
    button.textContent = before;
    delete button.dataset.copied;
  }, 1500);
});

// A button that takes long says so.
for (const form of document.querySelectorAll("form[data-slow]")) {
  const button = form.querySelector("button");
  const before = button.textContent;
  form.addEventListener("submit", () => (button.textContent = form.dataset.slow));
  addEventListener("pageshow", () => (button.textContent = before));
}

// One press sends a form once.
for (const form of document.querySelectorAll("form")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
  });
}
addEventListener("pageshow", () => document.querySelectorAll("form").forEach((form) => delete form.dataset.sent));
