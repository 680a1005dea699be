"use strict";
(() => {
  const rows = JSON.parse(document.getElementById("migration").textContent);
  const list = document.getElementById("rules");
  const more = document.getElementById("more");
  const shown = document.getElementById("shown");
  const filters = { became: "", file: "", words: "" };
  const STEP = 200;
  let fitting = [];
  let made = 0;

  // Text from files only ever becomes a text node.
  const make = (name, text, kind) => {
    const found = document.createElement(name);
    if (text !== undefined) found.textContent = text;
    if (kind) found.className = kind;
    return found;
  };

  const entry = ([became, file, line, text, places, reason]) => {
    const row = make("details", undefined, "entry" + (became === "not translated" ? " refused" : ""));
    const head = make("summary");
    head.append(make("span", became, "category"), make("code", text));
    row.append(head);
    row.addEventListener("toggle", () => {
      if (!row.open || row.childElementCount > 1) return;
      const body = make("div", undefined, "body");
      body.append(make("p", file + ":" + line, "soft"));
      places.forEach((place) => body.append(make("p", "now in " + place)));
      if (reason) body.append(make("p", reason));
      row.append(body);
    });
    return row;
  };

  const extend = (number) => {
    const part = document.createDocumentFragment();
    fitting.slice(made, made + number).forEach((row) => part.append(entry(row)));
    made = Math.min(made + number, fitting.length);
    list.append(part);
    more.hidden = made >= fitting.length;
    shown.textContent = made + " of " + fitting.length + " that fit are shown, of " + rows.length + " rules";
  };

  const apply = () => {
    fitting = rows.filter(([became, file, line, text, places, reason]) =>
      (!filters.became || became === filters.became) && (!filters.file || file === filters.file) &&
      (!filters.words || (file + ":" + line + " " + text + " " + places.join(" ") + " " + reason).toLowerCase().includes(filters.words)));
    list.replaceChildren();
    made = 0;
    extend(STEP);
  };

  const choose = (name, values) => {
    const select = document.getElementById(name);
    [...new Set(values)].forEach((value) => { const option = make("option", value); option.value = value; select.append(option); });
    select.addEventListener("change", () => { filters[name] = select.value; apply(); });
  };
  choose("became", rows.map((row) => row[0]));
  choose("file", rows.map((row) => row[1]));
  const words = document.getElementById("words");
  words.addEventListener("input", () => { filters.words = words.value.toLowerCase(); apply(); });
  document.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
  more.addEventListener("click", () => { const next = made; extend(STEP); list.children[next].firstChild.focus(); });
  window.addEventListener("beforeprint", () => extend(fitting.length));
  apply();
})();
