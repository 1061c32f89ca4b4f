"use strict";
(function () {
  const tiles = Array.from(document.querySelectorAll(".tile"));
  const filters = Array.from(document.querySelectorAll("[data-show]"));
  const count = document.getElementById("count");
  const large = document.getElementById("large");
  const blend = document.getElementById("blend");
  let current = -1;

  document.querySelectorAll(".filters, .blend").forEach((e) => { e.hidden = false; });

  function show(what) {
    filters.forEach((f) => f.setAttribute("aria-pressed", String(f.dataset.show === what)));
    tiles.forEach((t) => { t.hidden = what !== "all" && !t.dataset.classes.split(" ").includes(what); });
    count.textContent = String(tiles.filter((t) => !t.hidden).length);
  }

  function enlarge(position) {
    current = position;
    const tile = tiles[position];
    const from = tile.querySelectorAll("img");
    large.querySelectorAll("img").forEach((image, i) => { image.src = from[i].src; image.alt = from[i].alt; });
    large.querySelector(".caption").replaceChildren(...tile.querySelector("figcaption").cloneNode(true).childNodes);
    if (!large.open) { large.showModal(); }
  }

  function go(by) {
    const shown = tiles.map((t, i) => i).filter((i) => !tiles[i].hidden);
    enlarge(shown[(shown.indexOf(current) + by + shown.length) % shown.length]);
  }

  filters.forEach((f) => f.addEventListener("click", () => show(f.dataset.show)));
  tiles.forEach((t, i) => t.querySelector("button").addEventListener("click", () => enlarge(i)));
  large.addEventListener("click", (event) => {
    const by = event.target.dataset.go;
    if (by) { go(Number(by)); }
    if (event.target === large || "close" in event.target.dataset) { large.close(); }
  });
  large.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") { go(-1); }
    if (event.key === "ArrowRight") { go(1); }
  });
  large.addEventListener("close", () => { if (current >= 0) { tiles[current].querySelector("button").focus(); } });
  if (blend) { blend.addEventListener("input", () => document.body.style.setProperty("--blend", String(blend.value / 100))); }
})();
