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

  // Chains in the order in which a packet comes to them; `from` is the first step that is drawn.
  const chains = (steps, from) => {
    const found = [];
    steps.slice(from).forEach((step) => { if (found.at(-1) !== step.chain) found.push(step.chain); });
    return found;
  };

  const lane = (title, steps, differs, trunk, verdict) => {
    const found = make("ol", undefined, "lane");
    found.setAttribute("aria-label", title);
    put(found, make("li", title, "title"));
    const step = steps[differs];
    if (step) {
      if (step.chain !== trunk) found.append(make("li", step.chain, "box differs"));
      found.append(make("li", step.text, "step differs"));
    } else found.append(make("li", "no rule: the policy decides", "step differs"));
    chains(steps, differs + 1).forEach((name, at) => { if (at || !step || name !== step.chain) found.append(make("li", name, "box")); });
    const word = verdict.split(/[ ,]/)[0];
    found.append(make("li", word, "end " + (word === "accept" ? "passes" : "denied")));
    return found;
  };

  // The way through hook and chains: one line while both sides do the same, then one for each.
  const drawing = (witness) => {
    const one = witness.trace.old, other = witness.trace.new;
    const differs = firstOther(one, other);
    const here = one[differs] && other[differs] && one[differs].chain === other[differs].chain ? one[differs].chain : "";
    const trunk = make("ol", undefined, "trunk");
    trunk.append(make("li", witness.hook, "box hook"));
    const shared = chains(one.slice(0, differs), 0);
    if (here && shared.at(-1) !== here) shared.push(here);
    shared.forEach((name, at) => trunk.append(make("li", name, "box" + (here && at === shared.length - 1 ? " differs" : ""))));
    const fork = put(make("div", undefined, "fork"), lane("Before", one, differs, here, witness.old), lane("Now", other, differs, here, witness.new));
    return put(make("figure", undefined, "path"), make("figcaption", "The packet's way through hook and chains"), trunk, fork);
  };

  const side = (title, rules, verdict, steps, other) => {
    const found = make("div");
    put(found, make("h3", title), make("p", verdict));
    rules.forEach((rule) => put(found, make("div", rule.text, "rule"), make("p", rule.location || rule.chain, "soft")));
    put(found, make("h3", "Rules that held"), trace(steps, other));
    return found;
  };

  const fill = (entry, body) => {
    body.append(make("p", entry.cause + (entry.size ? " (" + entry.size + ")" : "")));
    if (entry.context.length) body.append(make("p", "after " + entry.context.join(", "), "soft"));
    entry.also.forEach((text) => body.append(make("p", "also " + text, "soft")));
    if (entry.guests.length > 5) body.append(make("p", "guests " + entry.guests.join(", "), "soft"));
    const witness = entry.witnesses[0];
    if (!witness) return;
    put(body, make("h3", "A packet that shows it"), make("code", witness.text), drawing(witness));
    put(body, put(make("div", undefined, "sides"),
      side("Before", entry.before.slice(0, 10), witness.old, witness.trace.old, witness.trace.new),
      side("Now", entry.now.slice(0, 10), witness.new, witness.trace.new, witness.trace.old)));
  };

  const build = (entry) => {
    const row = make("details", undefined, "entry " + entry.severity);
    const summary = put(make("summary"), make("span", entry.category, "category"));
    if (entry.known) summary.append(make("span", entry.known, "known"));
    put(row, put(summary, make("span", entry.text)));
    row.addEventListener("toggle", () => {
      if (!row.open || row.childElementCount > 1) return;
      const body = make("div", undefined, "body");
      fill(entry, body);
      row.append(body);
    });
    return row;
  };

  // Rows are built some at a time, as the reader comes to them: the work of opening the page does not grow with the review.
  const AT_ONCE = 200;
  const items = data.differences.map((entry) => ({ entry, row: undefined, words: undefined }));
  const next = document.getElementById("next");
  let fitting = items;
  let built = 0;

  const fits = (item) => {
    const entry = item.entry;
    if (filters.words && item.words === undefined) item.words = (entry.text + " " + entry.cause + " " + entry.known).toLowerCase();
    return (!filters.guest || entry.guests.includes(filters.guest)) && (!filters.way || entry.way === filters.way) &&
      (!filters.severity || entry.severity === filters.severity) && (!filters.words || item.words.includes(filters.words));
  };

  const more = (number) => {
    const some = document.createDocumentFragment();
    fitting.slice(built, built + number).forEach((item) => { item.row ??= build(item.entry); some.append(item.row); });
    list.append(some);
    built = Math.min(built + number, fitting.length);
    next.hidden = built === fitting.length;
    next.textContent = "Show more: " + (fitting.length - built) + " are left";
  };

  const apply = () => {
    fitting = items.filter(fits);
    built = 0;
    list.replaceChildren();
    more(AT_ONCE);
    shown.textContent = fitting.length + " of " + items.length + (fitting.length === items.length ? "" : " fit the filter");
  };
  next.addEventListener("click", () => {
    const last = list.lastElementChild;
    more(AT_ONCE);
    last.nextElementSibling?.firstElementChild.focus();
  });
  new IntersectionObserver((seen) => { if (seen.some((one) => one.isIntersecting) && !next.hidden) more(AT_ONCE); }, { rootMargin: "50%" }).observe(next);
  window.addEventListener("beforeprint", () => more(fitting.length));

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
