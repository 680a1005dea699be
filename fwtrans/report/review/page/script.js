"use strict";
(() => {
  const data = JSON.parse(document.getElementById("review").textContent);
  const list = document.getElementById("differences");
  const shown = document.getElementById("shown");
  const filters = { guest: "", way: "", severity: "", words: "" };

  // Text from files only ever becomes a text node.
  const make = (name, text, kind) => {
    const found = document.createElement(name);
    if (text !== undefined) found.textContent = text;
    if (kind) found.className = kind;
    return found;
  };
  const put = (parent, ...children) => { parent.append(...children); return parent; };

  const firstOther = (one, other) => {
    let at = 0;
    while (at < one.length && at < other.length && one[at].text === other[at].text && one[at].chain === other[at].chain) at += 1;
    return at;
  };

  const trace = (steps, other) => {
    const differs = firstOther(steps, other);
    const found = make("ol", undefined, "trace");
    steps.forEach((step, at) => {
      const line = make("li", undefined, at === differs ? "differs" : "");
      found.append(put(line, make("span", step.chain + (step.location ? "  " + step.location : ""), "chain"), make("span", step.text)));
    });
    if (!steps.length) found.append(make("li", "no rule matched: the policy decides"));
    return found;
  };

  const way = (hook, steps, other) => {
    const differs = firstOther(steps, other);
    const found = make("ol", undefined, "way");
    found.append(make("li", hook));
    let last = "";
    steps.forEach((step, at) => {
      const here = at === differs;
      if (step.chain === last) { if (here) found.lastChild.className = "differs"; return; }
      last = step.chain;
      found.append(make("li", step.chain, here ? "differs" : ""));
    });
    return found;
  };

  const side = (title, rules, verdict, hook, steps, other) => {
    const found = make("div");
    put(found, make("h3", title), make("p", verdict));
    rules.forEach((rule) => put(found, make("div", rule.text, "rule"), make("p", rule.location || rule.chain, "soft")));
    put(found, make("h3", "The packet's way"), way(hook, steps, other), make("h3", "Rules that held"), trace(steps, other));
    return found;
  };

  const fill = (entry, body) => {
    body.append(make("p", entry.cause + (entry.size ? " (" + entry.size + ")" : "")));
    if (entry.context.length) body.append(make("p", "after " + entry.context.join(", "), "soft"));
    if (entry.guests.length > 5) body.append(make("p", "guests " + entry.guests.join(", "), "soft"));
    const witness = entry.witnesses[0];
    if (!witness) return;
    put(body, make("h3", "A packet that shows it"), make("code", witness.text));
    put(body, put(make("div", undefined, "sides"),
      side("Before", entry.before.slice(0, 10), witness.old, witness.hook, witness.trace.old, witness.trace.new),
      side("Now", entry.now.slice(0, 10), witness.new, witness.hook, witness.trace.new, witness.trace.old)));
  };

  const rows = data.differences.map((entry) => {
    const row = make("details", undefined, "entry " + entry.severity);
    put(row, put(make("summary"), make("span", entry.category, "category"), make("span", entry.text)));
    row.addEventListener("toggle", () => {
      if (!row.open || row.childElementCount > 1) return;
      const body = make("div", undefined, "body");
      fill(entry, body);
      row.append(body);
    });
    return { entry, row, words: (entry.text + " " + entry.cause).toLowerCase() };
  });
  const all = document.createDocumentFragment();
  rows.forEach(({ row }) => all.append(row));
  list.append(all);

  const fits = ({ entry, words }) =>
    (!filters.guest || entry.guests.includes(filters.guest)) && (!filters.way || entry.way === filters.way) &&
    (!filters.severity || entry.severity === filters.severity) && (!filters.words || words.includes(filters.words));

  const apply = () => {
    let count = 0;
    rows.forEach((item) => { const fit = fits(item); item.row.hidden = !fit; if (fit) count += 1; });
    shown.textContent = count + " of " + rows.length + " shown";
  };

  const choose = (name, values) => {
    const select = document.getElementById(name);
    values.forEach((value) => { const option = make("option", value); option.value = value; select.append(option); });
    select.addEventListener("change", () => { filters[name] = select.value; apply(); });
  };
  const unique = (values) => [...new Set(values)];
  choose("guest", unique(data.differences.flatMap((entry) => entry.guests)).sort((a, b) => a.localeCompare(b, "en", { numeric: true })));
  choose("way", unique(data.differences.map((entry) => entry.way)).sort());
  choose("severity", unique(data.differences.map((entry) => entry.severity)));
  const words = document.getElementById("words");
  words.addEventListener("input", () => { filters.words = words.value.toLowerCase(); apply(); });
  document.querySelector("form").addEventListener("submit", (event) => event.preventDefault());

  const structure = document.getElementById("structure");
  data.structure.slice(0, 1000).forEach((item) => {
    const row = make("details", undefined, "entry");
    put(row, make("summary", item.kind + " " + item.action + ": " + item.name));
    const body = make("div", undefined, "body");
    item.removed.slice(0, 200).forEach((text) => body.append(make("div", "- " + text, "rule")));
    item.added.slice(0, 200).forEach((text) => body.append(make("div", "+ " + text, "rule")));
    item.locations.forEach((text) => body.append(make("p", text, "soft")));
    structure.append(put(row, body));
  });
  const told = (id, texts) => {
    const place = document.getElementById(id);
    texts.forEach((text) => place.append(make("li", text)));
    place.parentElement.hidden = !texts.length;
  };
  structure.parentElement.hidden = !data.structure.length;
  told("undecided", data.undecided.map((item) => item.hook + ": " + item.reason));
  told("assumptions", data.assumptions);
  told("intended", data.intended.map((item) => item.name + ": " + item.text));
  apply();
})();
