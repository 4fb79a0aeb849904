"use strict";
// What was found for a text, or near an item; all text is set as text.
const told = document.getElementById("told"), found = document.getElementById("found"), text = document.getElementById("text");
let asked = 0;

async function search(query) {
  const mine = ++asked;
  told.textContent = "…";
  const begin = performance.now();
  const answer = await fetch("/search?" + new URLSearchParams(query));
  const result = await answer.json();
  if (mine !== asked) return;
  found.replaceChildren();
  if (!answer.ok) { told.textContent = result.error; return; }
  for (const item of result.items) found.append(shown(item));
  told.textContent = `best ${result.items.length} of ${result.of.toLocaleString()}, ${Math.round(performance.now() - begin)} ms`;
}

function shown(item) {
  const box = document.createElement("article");
  if (item.kind === "image") {
    const image = document.createElement("img");
    image.src = `/item/${item.row}`;
    image.alt = item.name;
    image.loading = "lazy";
    box.append(image);
  } else if (item.kind === "audio") {
    const audio = document.createElement("audio");
    audio.src = `/item/${item.row}`;
    audio.controls = true;
    audio.preload = "none";
    box.append(audio);
  }
  const name = document.createElement("div"), score = document.createElement("span"), like = document.createElement("button");
  name.textContent = item.name;
  score.textContent = `${item.score.toFixed(3)} `;
  like.textContent = "like this";
  like.type = "button";
  like.addEventListener("click", () => search({ like: item.row }));
  box.append(name, score, like);
  return box;
}

document.getElementById("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  if (text.value.trim()) search({ text: text.value });
});
text.hidden = document.querySelector("#ask button").hidden = document.documentElement.dataset.text === "no";
if (text.hidden) search({ like: 0 });
