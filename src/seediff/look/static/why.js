// Why a mask is as it is: where pixels and words attend, other constants, every step.

import { WINDOW, decode, get, pixels, post } from "./api.js";
import { $, element, latest } from "./page.js";
import { paintHeat } from "./stage.js";

const digits = (value) => (Number(value.toFixed(2)) === value ? value.toFixed(2) : String(Number(value.toFixed(4))));
const unpack = (map) => ({ ...map, values: decode(map.data) });

export class Why {
  // page: { set, heat, notice(text), view: SampleView, list, many }
  constructor(page) {
    Object.assign(this, { page, info: null, level: 0 });
    this.fetchMaps = latest((about) => this.ask(`attends?${new URLSearchParams(about)}`, ({ maps }) => this.showMaps(maps.map(unpack))));
    this.tryOut = latest((constants) => this.tried(constants));
    for (const id of ["alpha", "beta"]) $(id).oninput = () => this.try();
    for (const id of ["method", "pamr"]) $(id).onchange = () => this.try();
    const actions = { untune: "endTrial", apply: "apply", "apply-shown": "applyToShown", "show-steps": "steps", capture: "capture" };
    for (const [id, action] of Object.entries(actions)) $(id).onclick = () => this[action]();
  }

  // Ask about this sample; `then` gets the answer, unless another sample was opened.
  async ask(path, then, failed = (text) => this.page.notice(text), from = get) {
    const { number } = this;
    try {
      const found = await from(`/api/samples/${number}/${path}`);
      if (number === this.number) await then(found);
    } catch (error) {
      if (number === this.number) failed(error.message);
    }
  }

  state(text) { $("attention-state").textContent = text; }

  leave() {
    Object.assign(this, { info: null, number: null, word: -1, fixed: false });
    this.page.view?.stage.drawHeat(null);
    $("attention").hidden = $("capture").hidden = true;
    for (const id of ["attention-state", "prompt", "levels", "steps", "tuned-shown"]) $(id).replaceChildren();
  }

  async enter(number, about) {
    this.number = number;
    this.state("Loading the attention maps …"); // the first time, torch too
    $("prompt").textContent = about.prompt;
    await this.ask("attention", async (info) => {
      this.show(info);
      const more = ({ words }) => { if (words.length > info.words.length && this.word < 0) this.words({ ...this.info, words }); };
      if (info.levels.length) await this.ask("words", more, () => {});
    }, (text) => this.state(text));
  }

  show(info) {
    this.state(info.note);
    $("capture").hidden = !info.canCapture;
    this.page.view.attention(info.levels.length ? "" : info.note);
    if (!info.levels.length) return;
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
    this.word = -1;
    let at = 0;
    const parts = info.words.flatMap((word, i) => {
      const before = info.prompt.slice(at, word.start), button = element("button", { textContent: info.prompt.slice(word.start, word.end) });
      at = word.end;
      button.setAttribute("aria-pressed", "false");
      button.onclick = () => this.showWord(this.word === i ? -1 : i);
      return [before, button];
    });
    $("prompt").replaceChildren(...[...parts, info.prompt.slice(at)].filter(Boolean));
  }

  showWord(i) {
    this.word = i;
    $("prompt").querySelectorAll("button").forEach((button, at) => button.setAttribute("aria-pressed", at === i));
    if (i < 0) this.page.view.stage.drawHeat(null);
    else this.fetchMaps({ columns: this.info.words[i].columns.join(",") });
  }

  // A pixel: where it attends. fixed: it was clicked, and stays.
  point(x, y, fixed) {
    if (!this.info || (this.fixed && !fixed)) return;
    if (fixed) {
      this.fixed = true;
      this.showWord(-1);
    }
    const [top, left, height, width] = this.info.part;
    if (y >= top && x >= left && y < top + height && x < left + width) this.fetchMaps({ x, y });
  }

  showMaps(maps) {
    this.maps = maps;
    const box = $("levels");
    if (box.children.length !== maps.length) {
      box.replaceChildren(...maps.map((map, i) => {
        const button = element("button", {}, element("canvas"), element("span"));
        button.onclick = () => { this.level = i; this.showMaps(this.maps); };
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

  // Show what other constants make.
  try() {
    if (!this.info) return;
    this.say();
    this.page.view.stage.drawHeat(null);
    this.tryOut(this.constants());
  }

  // null: none, as a trial was ended.
  async tried(constants) {
    const begun = performance.now(), trial = (this.trial = constants);
    if (!constants) return;
    await this.ask(`tuned?${new URLSearchParams(constants)}`, (made) => {
      if (trial !== this.trial) return;
      this.page.view.shownLabels = made.values;
      this.page.view.draw();
      $("tuned-shown").textContent = `tried, not saved (${Math.round(performance.now() - begun)} ms)`;
    }, undefined, pixels);
  }

  // Back to the mask as it is; whether anything was tried.
  endTrial() {
    const view = this.page.view;
    this.trial = null;
    this.tryOut(null);
    this.fixed = false;
    if (!view?.shownLabels) return false;
    view.shownLabels = null;
    view.draw();
    $("tuned-shown").textContent = "";
    return true;
  }

  apply() {
    if (!this.info) return;
    const number = this.number, view = this.page.view, constants = this.constants();
    this.endTrial();
    if (number !== view.base.number) return; // the next one is being opened
    const send = (version) => post(`/api/samples/${number}/tuned`, { ...constants, version, window: WINDOW });
    return view.changes.enqueue(view.base, send, { redrawn: true });
  }

  applyToShown() {
    const { list, many } = this.page;
    if (!window.confirm(`Make new masks for ${list.count === 1 ? "the sample" : `all ${list.count.toLocaleString()} samples`} shown? Reviewed and corrected samples keep their masks.`)) return;
    many.ask("/api/job/masks", { ...this.constants(), view: list.view });
  }

  async capture() {
    $("capture").disabled = true;
    this.state("Recomputing …");
    await this.ask("capture", (info) => this.show(info), (text) => this.state(text), (path) => post(path, {}));
    $("capture").disabled = false;
  }

  steps() {
    const query = new URLSearchParams({ ...this.constants(), name: $("steps-class").value });
    return this.ask(`steps?${query}`, ({ steps }) => $("steps").replaceChildren(...steps.map((step) => {
      const canvas = element("canvas"), text = [step.text, step.equation].filter(Boolean).join(" ");
      paintHeat(canvas, unpack(step), this.page.heat);
      return element("li", {}, canvas, element("strong", { textContent: `${step.name} ` }), element("span", { textContent: text }));
    })));
  }
}
