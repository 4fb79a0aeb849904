"use strict";
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const dark = window.matchMedia("(prefers-color-scheme: dark)");

const charts = read("charts");
function draw() {
  const ink = getComputedStyle(document.body).color;
  const config = {
    background: "transparent", view: { stroke: "transparent" }, font: "system-ui, sans-serif",
    axis: { labelColor: ink, titleColor: ink, domainColor: ink, tickColor: ink, gridOpacity: 0.25, labelLimit: 150 },
    legend: { labelColor: ink, titleColor: ink, orient: "bottom", columns: 2, labelLimit: 140 }, text: { color: ink }, rule: { color: ink },
    title: { color: ink }, header: { labelColor: ink },
  };
  for (const place of document.querySelectorAll(".chart")) {
    const spec = { ...charts[Number(place.dataset.chart)] };
    const width = Math.max(120, Math.min(640, place.clientWidth - 190));
    if (spec.spec) spec.spec = { ...spec.spec, width }; // panels
    else spec.width = width;
    vegaEmbed(place, spec, { actions: false, renderer: "svg", config });
  }
}
draw();
dark.addEventListener("change", draw);
let waiting;
let width = window.innerWidth;
window.addEventListener("resize", () => {
  if (window.innerWidth === width) return;
  width = window.innerWidth;
  clearTimeout(waiting);
  waiting = setTimeout(draw, 200);
});

const number = (text) => { const found = text.match(/^[-+]?\d[\d,]*\.?\d*(e[-+]?\d+)?/i); return found ? Number(found[0].replace(/,/g, "")) : null; };
for (const place of document.querySelectorAll(".table")) {
  const body = place.querySelector("tbody");
  const heads = [...place.querySelectorAll("th")];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") === "descending";
    heads.forEach((each) => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const value = (row) => row.cells[column].textContent;
    const rows = [...body.rows];
    rows.sort((one, other) => {
      const [a, b] = [value(one), value(other)];
      if ((a === "") !== (b === "")) return a === "" ? 1 : -1; // what is empty stands last
      const [m, n] = [number(a), number(b)];
      const order = m !== null && n !== null ? m - n : a.localeCompare(b);
      return up ? order : -order;
    });
    body.append(...rows);
  }));
  place.querySelector("input").addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/);
    for (const row of body.rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
  });
}

for (const image of document.querySelectorAll("figure img")) image.addEventListener("click", () => image.parentElement.classList.toggle("large"));

const element = (name, text, kind) => { const made = document.createElement(name); if (text !== undefined) made.textContent = text; if (kind) made.className = kind; return made; };
const { media, queries } = read("queries");
function shown(item) {
  if (item.sound !== undefined) {
    const place = element("div", item.text);
    const player = element("audio");
    player.controls = true;
    player.preload = "none";
    player.src = media[item.sound];
    player.setAttribute("aria-label", item.text);
    place.append(player);
    return place;
  }
  if (item.image === undefined) return element("div", item.text);
  const image = element("img");
  image.src = media[item.image];
  image.alt = item.text || "";
  return image;
}
queries.forEach((data, which) => {
  const place = document.querySelector(`[data-queries="${which}"]`);
  const rows = Object.keys(data.ranks);
  const choose = (names, chosen, label) => {
    const select = element("select");
    select.setAttribute("aria-label", label);
    for (const name of names) select.append(element("option", name));
    select.value = chosen;
    select.addEventListener("change", fill);
    place.append(select);
    return select;
  };
  const one = choose(rows, rows[0], "one row");
  const other = choose(rows, rows[1] || rows[0], "the other row");
  const way = choose(Object.keys(data.items), Object.keys(data.items)[0], "direction");
  const list = element("div");
  place.append(list);
  function fill() {
    list.replaceChildren();
    const [mine, theirs] = [data.ranks[one.value][way.value], data.ranks[other.value][way.value]];
    const scored = data.items[way.value].map((item) => ({ item, a: mine[item.row], b: theirs[item.row] }));
    const gain = (each) => Math.log(each.b) - Math.log(each.a);
    const groups = [[`${one.value} is better`, scored.filter((each) => each.a < each.b).sort((p, q) => gain(q) - gain(p)), "better"],
      [`${other.value} is better`, scored.filter((each) => each.a > each.b).sort((p, q) => gain(p) - gain(q)), "worse"]];
    for (const [title, found, kind] of groups) {
      list.append(element("p", `${title}: ${found.length} of ${scored.length} shown queries`));
      const grid = element("div", undefined, "items");
      for (const { item, a, b } of found.slice(0, 12)) {
        const card = element("div", undefined, "item");
        card.append(shown(item), element("b", `rank ${a} against ${b}`, kind));
        for (const partner of item.partners) { const line = shown(partner); if (partner.image === undefined) line.style.color = "var(--soft)"; card.append(line); }
        grid.append(card);
      }
      list.append(grid);
    }
  }
  fill();
});
