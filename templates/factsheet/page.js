"use strict";
(() => {
  const source = JSON.parse(document.getElementById("explorer-data").textContent);
  const words = source.words;
  const make = (tag, text, attributes = {}) => {
    const node = document.createElement(tag);
    if (text) node.textContent = text;
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return node;
  };
  const shown = (value) => {
    if (value === 0 || value === undefined) return value === 0 ? "0" : "–";
    const size = Math.abs(value);
    const text = size < 1e-4 ? value.toExponential(2) : size >= 1000 ? Math.round(value).toLocaleString("en") : value.toPrecision(3);
    return (value > 0 ? "+" : "") + text.replace(/-/g, "\u2212");
  };

  // Light or dark
  const root = document.documentElement;
  const remembered = (() => { try { return localStorage.getItem("pgx-theme"); } catch { return null; } })();
  if (remembered) root.dataset.theme = remembered;
  const toggle = make("button", words.theme, { type: "button" });
  toggle.addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("pgx-theme", root.dataset.theme); } catch { /* a page opened as a file may not remember */ }
  });
  document.getElementById("theme").append(toggle);
  const contents = document.querySelector("nav details");
  if (matchMedia("(max-width: 63rem)").matches) contents.open = false;

  // Where the reader is
  const links = new Map([...document.querySelectorAll("nav li a")].map((link) => [link.getAttribute("href").slice(1), link]));
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) {
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(entry.target.id)?.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-10% 0px -80% 0px" });
  document.querySelectorAll("main > section").forEach((section) => watch.observe(section));
  document.querySelectorAll(".scroll").forEach((box) => { if (box.scrollWidth > box.clientWidth) box.tabIndex = 0; });

  // Sorting
  document.querySelectorAll("table.sortable").forEach((table) => {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = make("button", head.textContent, { type: "button", title: words.sort_by.replace("{column}", head.textContent) });
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const key = (row) => { const cell = row.cells[column]; return cell?.dataset.v ?? cell?.textContent.trim() ?? ""; };
        const compare = (a, b) => {
          const [x, y] = [key(a), key(b)];
          if (x === "" || y === "") return (x === "") - (y === "") || 0;
          const numbers = [Number(x), Number(y)];
          const order = numbers.some(Number.isNaN) ? x.localeCompare(y) : numbers[0] - numbers[1];
          return up ? order : -order;
        };
        const body = table.tBodies[0];
        body.append(...[...body.rows].sort(compare));
      });
    });
  });

  // Facts
  const facts = [...document.querySelectorAll("#facts-table tbody tr")];
  if (facts.length) {
    const search = make("input", "", { type: "search", placeholder: words.filter_facts, "aria-label": words.filter_facts });
    const choice = make("select", "", { "aria-label": words.all_statuses });
    choice.append(make("option", words.all_statuses, { value: "" }));
    for (const status of new Set(facts.map((row) => row.dataset.status))) {
      const row = facts.find((one) => one.dataset.status === status);
      choice.append(make("option", row.cells[4].textContent, { value: status }));
    }
    const count = make("span", "", { role: "status", class: "muted" });
    const filter = () => {
      const wanted = search.value.toLowerCase();
      let left = 0;
      for (const row of facts) {
        row.hidden = !(row.textContent.toLowerCase().includes(wanted) && (!choice.value || row.dataset.status === choice.value));
        left += !row.hidden;
      }
      count.textContent = words.shown_of.replace("{shown}", left).replace("{all}", facts.length);
    };
    search.addEventListener("input", filter);
    choice.addEventListener("change", filter);
    document.getElementById("facts-filter").append(search, choice, count);
    filter();
    for (const row of facts) {
      const id = row.querySelector(".fact-id");
      const copy = make("button", words.copy, { type: "button", class: "copy" });
      copy.addEventListener("click", async () => {
        try { await navigator.clipboard.writeText(id.textContent); } catch {
          const range = document.createRange();
          range.selectNodeContents(id);
          getSelection().removeAllRanges();
          getSelection().addRange(range);
          document.execCommand("copy");
        }
        copy.textContent = words.copied;
        setTimeout(() => { copy.textContent = words.copy; }, 1200);
      });
      id.after(copy);
    }
  }

  // One row, every method
  const place = document.getElementById("explorer");
  if (!place || !source.examples) return;
  const stops = source.stops.map((stop) => [1, 3, 5].map((at) => parseInt(stop.slice(at, at + 2), 16)));
  const colour = (value) => {
    const spot = ((Math.max(-1, Math.min(1, value)) + 1) / 2) * (stops.length - 1);
    const index = Math.min(Math.floor(spot), stops.length - 2);
    return `rgb(${stops[index].map((low, i) => Math.round(low + (stops[index + 1][i] - low) * (spot - index))).join(",")})`;
  };
  const box = make("div", "", { class: "explorer" });
  const bar = make("div", "", { class: "bar" });
  const select = make("select", "", { "aria-label": words.choose_row });
  source.examples.forEach((e, i) => select.append(make("option",
    `${words.row} ${e.row}: ${words.predicted} ${e.predicted}, ${words.label} ${e.label ?? "–"}`, { value: i })));
  const step = (by) => {
    select.selectedIndex = (select.selectedIndex + by + source.examples.length) % source.examples.length;
    draw();
  };
  const back = make("button", words.previous, { type: "button" });
  const forth = make("button", words.next, { type: "button" });
  back.addEventListener("click", () => step(-1));
  forth.addEventListener("click", () => step(1));
  select.addEventListener("change", () => draw());
  bar.append(make("b", words.choose_row), select, back, forth);
  const stage = make("div");
  const readout = make("p", words.hover_hint, { class: "readout", role: "status" });
  box.append(bar, stage, readout);
  place.append(box);

  const grid = ["grid", "windows", "blocks"].includes(source.layout.kind);
  const named = (e) => e.features ?? source.features;
  const svg = (tag, attributes) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return node;
  };
  const top = (values) => Math.max(...values.map(Math.abs)) || 1;
  const panel = (title, direction, rows, columns) => {
    const one = make("div", "", { class: "panel" });
    const head = make("p");
    head.append(make("b", title));
    if (direction) head.append(" ", make("span", direction, { class: `direction direction-${direction}` }));
    const frame = make("div", "", { class: "frame" });
    frame.style.setProperty("--rows", rows);
    frame.style.setProperty("--columns", columns);
    one.append(head, frame);
    return [one, frame];
  };
  const drawGrid = (e, index) => {
    const { rows, columns } = source.layout;
    // Of a volume some layers are shown, three in a line, as far apart as in its pictures; else there is one.
    const shown = e.layers ?? [0];
    const across = Math.min(3, shown.length), gap = e.layers ? columns / 16 : 0;
    const corner = (k) => [(k % across) * (columns + gap), Math.floor(k / across) * (rows + gap)];
    const width = across * (columns + gap) - gap, height = Math.ceil(shown.length / across) * (rows + gap) - gap;
    const panels = make("div", "", { class: "panels" });
    const picture = document.querySelector(`img[data-example="${index}"]`);
    const layers = [];
    if (picture) {
      const [one, frame] = panel(words.picture_of_row.replace("{row}", e.row), "", height, width);
      frame.append(make("img", "", { src: picture.src, alt: picture.alt }));
      panels.append(one);
      layers.push([frame, null]);
    }
    for (const method of source.methods) {
      const values = e.values[method.step];
      if (!values) continue;
      const [one, frame] = panel(method.title, method.direction, height, width);
      panels.append(one);
      layers.push([frame, values]);
    }
    const marks = layers.map(([frame, values]) => {
      const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, "shape-rendering": "crispEdges" });
      if (values) {
        const end = top(values);
        shown.forEach((layer, k) => {
          const [left, top] = corner(k), size = rows * columns;
          values.slice(layer * size, (layer + 1) * size).forEach((value, i) => drawing.append(svg("rect",
            { x: left + i % columns, y: top + Math.floor(i / columns), width: 1.02, height: 1.02, fill: colour(value / end) })));
        });
      }
      const mark = svg("rect", { width: 1, height: 1, fill: "none", class: "at", visibility: "hidden" });
      drawing.append(mark);
      frame.append(drawing);
      frame.addEventListener("pointermove", (event) => {
        const area = frame.getBoundingClientRect();
        const x = (event.clientX - area.left) / area.width * width, y = (event.clientY - area.top) / area.height * height;
        const k = Math.floor(x / (columns + gap)) + across * Math.floor(y / (rows + gap));
        if (!(k in shown)) return;
        const [left, top] = corner(k);
        const column = Math.min(columns - 1, Math.max(0, Math.floor(x - left)));
        const row = Math.min(rows - 1, Math.max(0, Math.floor(y - top)));
        say(e, (shown[k] * rows + row) * columns + column);
        for (const other of marks) {
          other.setAttribute("x", left + column);
          other.setAttribute("y", top + row);
          other.setAttribute("visibility", "visible");
        }
      });
      return mark;
    });
    return panels;
  };
  const say = (e, feature) => {
    const parts = source.methods.filter((m) => e.values[m.step]).map((m) => `${m.title} ${shown(e.values[m.step][feature])}`);
    readout.textContent = `${named(e)[feature]}: ${parts.join(" · ")}`;
  };
  const drawList = (e) => {
    const methods = source.methods.filter((m) => e.values[m.step]);
    const ends = methods.map((m) => top(e.values[m.step]));
    const weight = (i) => Math.max(...methods.map((m, k) => Math.abs(e.values[m.step][i]) / ends[k]));
    const table = make("table");
    const head = table.createTHead().insertRow();
    head.append(make("th", words.feature, { scope: "col" }), make("th", words.value, { scope: "col" }));
    for (const m of methods) head.append(make("th", m.title, { scope: "col" }), make("th", "", { scope: "col" }));
    const body = table.createTBody();
    const order = named(e).map((_, i) => i).sort((a, b) => weight(b) - weight(a)).slice(0, 20);
    for (const i of order) {
      const row = body.insertRow();
      row.append(make("th", named(e)[i], { scope: "row" }), make("td", e.inputs?.[named(e)[i]] ?? ""));
      methods.forEach((m, k) => {
        const value = e.values[m.step][i];
        const cell = make("td"), track = make("span", "", { class: "track" }), bar = make("i", "", { class: value < 0 ? "minus" : "plus" });
        const share = Math.abs(value) / ends[k] * 50;
        bar.style.width = `${share}%`;
        bar.style.left = `${value < 0 ? 50 - share : 50}%`;
        track.append(bar);
        cell.append(track);
        row.append(cell, make("td", shown(value), { class: "n" }));
      });
      row.addEventListener("pointermove", () => say(e, i));
    }
    const scroll = make("div", "", { class: "scroll" });
    scroll.append(table);
    return scroll;
  };
  const draw = () => {
    const e = source.examples[select.selectedIndex];
    stage.replaceChildren(grid ? drawGrid(e, select.selectedIndex) : drawList(e));
    readout.textContent = `${words.target} ${e.target}. ${words.hover_hint}`;
  };
  draw();
})();
