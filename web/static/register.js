// Shows the fields of the MDM that is chosen, at once. Without it, a button does.
for (const part of document.querySelectorAll("[data-mdm]")) {
  const select = part.querySelector("select[name=mdm]");
  const fields = part.querySelector("[data-fields]");
  part.querySelector("[data-show-fields]").remove();
  const typed = new Map();
  select.addEventListener("change", () => {
    for (const input of fields.querySelectorAll("input, select")) {
      if (input.name !== "enrollment") typed.set(input.name, input.value);
    }
    const template = [...part.querySelectorAll("template")].find((one) => one.dataset.vendor === select.value);
    fields.replaceChildren(...(template ? [template.content.cloneNode(true)] : []));
    for (const input of fields.querySelectorAll("input, select")) {
      if (typed.has(input.name)) input.value = typed.get(input.name);
    }
  });
}
