// Why a mask is as it is: where pixels and words attend, other constants, every step.

import { WINDOW, decode, get, pixels, post } from "./api.js";
import { element, long } from "./page.js";
import { paintHeat } from "./stage.js";

const $ = (id) => document.getElementById(id);
const digits = (value) => (Number(value.toFixed(2)) === value ? value.toFixed(2) : String(Number(value.toFixed(4))));
const unpack = (map) => ({ ...map, values: decode(map.data) });

export class Why {
  // page: { set, heat, notice(text), view: SampleView, query() }
  constructor(page) {
    this.page = page;
    this.info = null;
    this.level = 0;
    for (const id of ["alpha", "beta"]) $(id).addEventListener("input", () => this.try());
    for (const id of ["method", "pamr"]) $(id).addEventListener("change", () => this.try());
    $("untune").addEventListener("click", () => this.endTrial());
    $("apply").addEventListener("click", () => this.apply());
    $("apply-shown").addEventListener("click", () => this.applyToShown());
    $("show-steps").addEventListener("click", () => this.steps());
    $("capture").addEventListener("click", () => this.capture());
  }

  leave() {
    this.info = null;
    this.number = null;
    this.word = -1;
    this.fixed = false;
    this.page.view?.stage.drawHeat(null);
    $("attention").hidden = true;
    $("capture").hidden = true;
    $("attention-state").textContent = "";
    $("prompt").replaceChildren();
    $("levels").replaceChildren();
    $("steps").replaceChildren();
    $("tuned-shown").textContent = "";
  }

  async enter(number, about) {
    this.number = number;
    $("attention-state").textContent = "Loading the attention …"; // the first time, torch too
    $("prompt").textContent = about.prompt;
    long($("prompt"));
    let info;
    try {
      info = await get(`/api/samples/${number}/attention`);
    } catch (error) {
      $("attention-state").textContent = error.message;
      return;
    }
    if (number !== this.number) return;
    this.show(info);
    if (!info.levels.length) return;
    const { words } = await get(`/api/samples/${number}/words`).catch(() => info);
    if (number === this.number && words.length > info.words.length && this.word < 0) this.words({ ...this.info, words });
  }

  show(info) {
    $("attention-state").textContent = info.told;
    $("capture").hidden = !info.canCapture;
    if (!info.levels.length) return;
    this.info = info;
    $("attention").hidden = false;
    this.words(info);
    this.level = Math.min(this.level, info.levels.length - 1);
    const constants = info.constants;
    $("method").replaceChildren(...info.methods.map((name) => new Option(name, name, false, name === constants.method)));
    for (const id of ["alpha", "beta"]) $(id).value = constants[id];
    this.untouched = { alpha: $("alpha").value, beta: $("beta").value };
    $("pamr").checked = constants.pamr;
    $("steps-class").replaceChildren(...info.classes.map((name) => new Option(name, name)));
    this.say();
  }

  // The prompt, with a button for each word whose columns are known.
  words(info) {
    this.info = info;
    const parts = [];
    let at = 0;
    info.words.forEach((word, i) => {
      if (word.start > at) parts.push(info.prompt.slice(at, word.start));
      const button = element("button", { type: "button", textContent: info.prompt.slice(word.start, word.end) });
      button.dataset.word = i;
      button.setAttribute("aria-pressed", "false");
      button.addEventListener("click", () => this.showWord(this.word === i ? -1 : i));
      button.addEventListener("pointerenter", () => { if (this.word < 0) this.fetchMaps({ columns: word.columns.join(",") }); });
      button.addEventListener("pointerleave", () => { if (this.word < 0) this.page.view.stage.drawHeat(null); });
      parts.push(button);
      at = word.end;
    });
    parts.push(info.prompt.slice(at));
    $("prompt").replaceChildren(...parts.filter((part) => part !== ""));
    this.word = -1;
  }

  nextWord() {
    if (this.info?.words.length) this.showWord(this.word + 1 < this.info.words.length ? this.word + 1 : -1);
  }

  showWord(i) {
    this.word = i;
    for (const button of $("prompt").querySelectorAll("button")) button.setAttribute("aria-pressed", Number(button.dataset.word) === i);
    if (i < 0) return void this.page.view.stage.drawHeat(null);
    return void this.fetchMaps({ columns: this.info.words[i].columns.join(",") });
  }

  // A pixel: where it attends. fixed: it was clicked, and stays.
  point(x, y, fixed) {
    if (!this.info || (this.fixed && !fixed)) return;
    if (fixed) {
      this.fixed = true;
      this.showWord(-1);
    }
    const [top, left, height, width] = this.info.part;
    if (y < top || x < left || y >= top + height || x >= left + width) return;
    this.fetchMaps({ x, y });
  }

  // Maps of all levels; while some are on their way only the last that was asked for waits.
  async fetchMaps(about) {
    this.wanted = about;
    if (this.fetching) return;
    this.fetching = true;
    while (this.wanted) {
      const asked = this.wanted, number = this.number;
      this.wanted = null;
      try {
        const { maps } = await get(`/api/samples/${number}/attends?${new URLSearchParams(asked)}`);
        if (number === this.number) this.showMaps(maps.map(unpack));
      } catch (error) {
        this.page.notice(error.message);
      }
    }
    this.fetching = false;
  }

  showMaps(maps) {
    this.maps = maps;
    const box = $("levels");
    if (box.children.length !== maps.length) {
      box.replaceChildren(...maps.map((map, i) => {
        const button = element("button", { type: "button" }, element("canvas"), element("span"));
        button.addEventListener("click", () => { this.level = i; this.showMaps(this.maps); });
        return button;
      }));
    }
    maps.forEach((map, i) => {
      const [canvas, text] = box.children[i].children;
      paintHeat(canvas, map, this.page.heat);
      text.textContent = `${map.name}, ${map.height} × ${map.width}`;
      box.children[i].setAttribute("aria-pressed", i === this.level);
    });
    this.page.view.stage.drawHeat(maps[Math.min(this.level, maps.length - 1)], this.page.heat, this.info.part);
  }

  constants() {
    return { method: $("method").value, alpha: this.value("alpha"), beta: this.value("beta"), pamr: $("pamr").checked };
  }

  // Sliders have steps of 0.01; one where it began stands for the exact value.
  value(id) { return $(id).value === this.untouched[id] ? this.info.constants[id] : Number($(id).value); }

  say() {
    const seeded = this.info.seeded.includes($("method").value);
    $("alpha").disabled = !seeded;
    $("alpha-shown").textContent = seeded ? digits(this.value("alpha")) : "none";
    $("beta-shown").textContent = digits(this.value("beta"));
  }

  // Show what other constants make; while one is on its way only the last that was asked for waits.
  async try() {
    if (!this.info) return;
    this.say();
    this.trial = this.constants();
    this.page.view.stage.drawHeat(null);
    if (this.trying) return;
    this.trying = true;
    try {
      while (this.trial) {
        const asked = this.trial, number = this.number, begun = performance.now();
        this.trial = null;
        const made = await pixels(`/api/samples/${number}/tuned?${new URLSearchParams(asked)}`);
        if (number !== this.number) return;
        this.page.view.shownLabels = made.values;
        this.page.view.draw();
        $("tuned-shown").textContent = `tried, not saved (${Math.round(performance.now() - begun)} ms)`;
      }
    } catch (error) {
      this.page.notice(error.message);
    } finally {
      this.trying = false;
    }
  }

  // Back to the mask as it is; whether anything was tried.
  endTrial() {
    const view = this.page.view;
    this.trial = null;
    this.fixed = false;
    if (!view?.shownLabels) return false;
    view.shownLabels = null;
    view.draw();
    $("tuned-shown").textContent = "";
    return true;
  }

  apply() {
    if (!this.info) return undefined;
    const number = this.number, view = this.page.view, constants = this.constants();
    this.endTrial();
    if (number !== view.base.number) return undefined; // the next one is being opened
    const send = (version) => post(`/api/samples/${number}/tuned`, { ...constants, version, window: WINDOW });
    return view.changes.enqueue(view.base, send, { redrawn: true });
  }

  applyToShown() {
    if (!window.confirm(`Make new masks of all ${this.page.shownCount().toLocaleString()} that are shown? Those that somebody reviewed or corrected stay as they are.`)) return undefined;
    return void this.page.jobs.ask("/api/job/masks", { ...this.constants(), view: this.page.viewName() });
  }

  async capture() {
    const number = this.number;
    $("capture").disabled = true;
    $("attention-state").textContent = "Capturing …";
    try {
      const info = await post(`/api/samples/${number}/capture`, {});
      if (number === this.number) this.show(info);
    } catch (error) {
      $("attention-state").textContent = error.message;
    } finally {
      $("capture").disabled = false;
    }
  }

  async steps() {
    const number = this.number, query = new URLSearchParams({ ...this.constants(), name: $("steps-class").value });
    let steps;
    try {
      ({ steps } = await get(`/api/samples/${number}/steps?${query}`));
    } catch (error) {
      return void this.page.notice(error.message);
    }
    if (number !== this.number) return undefined;
    $("steps").replaceChildren(...steps.map((step) => {
      const canvas = element("canvas"), text = [step.text, step.equation].filter(Boolean).join(" ");
      paintHeat(canvas, unpack(step), this.page.heat);
      return element("li", {}, canvas, element("strong", { textContent: `${step.name} ` }), element("span", { textContent: text }));
    }));
    return undefined;
  }
}
