"use strict";

const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

const say = (text) => { document.getElementById("message").textContent = text; };

// One field for each parameter, of the kind that fits its schema.
const field = (parameter, id) => {
  const schema = parameter.schema || {};
  const hints = [
    schema.type === "array" ? "list of " + ((schema.items || {}).type || "string") + ", with commas" : schema.type,
    schema.default !== undefined && schema.default !== null ? "default " + schema.default : "",
    parameter.description,
    parameter.example !== undefined && parameter.example !== null ? "for example " + parameter.example : "",
  ];
  let input;
  if (Array.isArray(schema.enum) && schema.enum.length > 0) {
    input = element("select", {}, element("option", { value: "" }, "—"), ...schema.enum.map((value) => element("option", { value: String(value) }, String(value))));
  } else {
    input = element("input", { type: "text", spellcheck: false });
    if (schema.type === "integer" || schema.type === "number") input.inputMode = "decimal";
    if (schema.default !== undefined && schema.default !== null) input.placeholder = String(schema.default);
  }
  Object.assign(input, { id, name: parameter.name, required: parameter.required === true });
  input.setAttribute("aria-describedby", id + "-hint");
  const label = element("label", { htmlFor: id }, parameter.name + (parameter.required ? " (required)" : ""));
  return [label, element("p", { className: "hint", id: id + "-hint" }, hints.filter(Boolean).join(" · ")), input];
};

const call = async (path, form, output, token) => {
  const query = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (value !== "") query.append(name, value);
  const address = path + (query.size > 0 ? "?" + query : "");
  output.textContent = "…";
  try {
    const answer = await fetch(address.slice(1), { headers: { Authorization: "Bearer " + token } });
    // As it came: a number that JavaScript has read is no longer the answer's own.
    const text = await answer.text();
    output.className = answer.ok ? "" : "failed";
    output.textContent = "GET " + address + "\n" + answer.status + " " + answer.statusText + "\n\n" + text.slice(0, 100000);
  } catch (error) {
    output.className = "failed";
    output.textContent = "The request did not reach the server: " + error.message;
  }
};

const endpoint = (path, operation, number, token) => {
  const output = element("pre", { hidden: true, tabIndex: 0 });
  output.setAttribute("aria-live", "polite");
  const fields = (operation.parameters || []).filter((parameter) => parameter.in === "query").flatMap((parameter, at) => field(parameter, "p" + number + "-" + at));
  const form = element("form", {}, ...fields, element("button", {}, "Call"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    output.hidden = false;
    call(path, form, output, token);
  });
  const about = operation.description ? [element("p", { className: "about" }, operation.description)] : [];
  return element("details", {}, element("summary", {}, path), ...about, form, output);
};

// More endpoints than one sees at a glance are found by their names.
const FEW = 8;

const count = (number) => (number === 1 ? "1 endpoint" : number + " endpoints");

const filter = (list, all) => {
  const input = element("input", { id: "filter", type: "search", autocomplete: "off", spellcheck: false });
  input.addEventListener("input", () => {
    const wanted = input.value.trim().toLowerCase();
    let shown = 0;
    for (const one of list.querySelectorAll("details")) {
      const text = one.querySelector("summary").textContent + " " + (one.querySelector("p.about") || { textContent: "" }).textContent;
      one.hidden = !text.toLowerCase().includes(wanted);
      if (!one.hidden) shown += 1;
    }
    say(shown === all ? count(all) : shown + " of " + count(all));
  });
  return [element("label", { htmlFor: "filter" }, "Find"), input];
};

const show = async (token) => {
  const list = document.getElementById("endpoints");
  list.replaceChildren();
  const answer = await fetch("openapi.json", { headers: { Authorization: "Bearer " + token } });
  const described = await answer.json();
  if (!answer.ok) { say(described.error); return; }
  const paths = Object.entries(described.paths).filter(([path]) => /^\/v0\/pipes\/[^{}]+\.json$/.test(path));
  list.append(...paths.map(([path, item], number) => endpoint(path, item.get, number, token)));
  if (paths.length > FEW) list.prepend(...filter(list, paths.length));
  say(paths.length === 0 ? "The token may read no endpoint." : count(paths.length));
};

document.getElementById("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const token = document.getElementById("token").value.trim();
  sessionStorage.setItem("token", token);
  show(token).catch((error) => say(error.message));
});

const kept = sessionStorage.getItem("token");
if (kept) {
  document.getElementById("token").value = kept;
  show(kept).catch((error) => say(error.message));
}
