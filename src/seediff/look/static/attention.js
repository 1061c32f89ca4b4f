// "Why this mask": where pixels and words attend, masks with other constants, every step.

import { act, decode, get, pixels, post } from "./api.js";
import { $, counted, element, latest, notice } from "./page.js";
import { heat } from "./set.js";
import { paintHeat } from "./stage.js";

const unpack = (map) => ({ ...map, values: decode(map.data) });

export class AttentionPanel {
  number = null;
  info = null;
  maps = [];
  level = 0;
  word = -1;
  fixed = false; // to a clicked pixel
  trial = null; // constants
  tried = null; // their label map

  constructor(view) {
    this.view = view;
    this.fetchMaps = latest((about) => {
      return this.ask("attends", ({ maps }) => this.showMaps(maps.map(unpack)), { about });
    });
    this.tryOut = latest(() => this.fetchTried());
    for (const id of ["alpha", "beta"]) {
      $(id).oninput = () => {
        $(id).value = Number($(id).value).toFixed(2); // untouched, it is exact
        this.try();
      };
    }
    for (const id of ["method", "pamr"]) $(id).onchange = () => this.try();
    $("untune").onclick = () => this.endTrial();
    $("apply").onclick = () => this.apply();
    $("apply-shown").onclick = () => this.applyToShown();
    $("show-steps").onclick = () => this.steps();
    $("capture").onclick = () => this.capture();
    this.captureSoon = latest((number) => number === this.number && this.capture()); // the open sample before others
  }

  // Call then(answer) or failed(message): neither after another sample was opened.
  async ask(what, then, { about = {}, failed = notice, from = get } = {}) {
    const { number } = this;
    try {
      const found = await from(`/api/samples/${number}/${what}?${new URLSearchParams(about)}`);
      if (number === this.number) await then(found);
    } catch (error) {
      if (number === this.number) failed(error.message);
    }
  }

  say(text) { $("attention-state").textContent = text; }

  leave() {
    Object.assign(this, { info: null, number: null, word: -1, fixed: false, trial: null, tried: null });
    this.view.stage.drawHeat(null);
    $("attention").hidden = $("capture").hidden = true;
    for (const id of ["attention-state", "prompt", "levels", "steps", "tuned-shown"]) $(id).replaceChildren();
  }

  async enter(number, about) {
    this.number = number;
    this.say("Loading the attention maps …"); // the first time, torch too
    $("prompt").textContent = about.prompt;
    await this.ask("attention", (info) => this.show(info), { failed: (note) => this.show({ note }) });
  }

  show(info) {
    this.say(info.note);
    $("capture").hidden = !info.canCapture;
    if (!info.words) this.view.allowAttention(info.note);
    if (info.quick) return this.captureSoon(this.number);
    if (!info.words) return undefined;
    $("attention").hidden = false;
    this.showWords(info);
    this.view.allowAttention("");
    $("method").replaceChildren(...info.methods.map((name) => new Option(name, name)));
    $("steps-class").replaceChildren(...info.classes.map((name) => new Option(name, name)));
    this.fillFields();
    return this.ask("words", ({ words }) => {
      if (words.length > info.words.length && this.word < 0) this.showWords({ ...info, words });
    }, { failed: () => {} });
  }

  showWords(info) {
    this.info = info;
    this.word = -1;
    let at = 0;
    const parts = info.words.flatMap((word, i) => {
      const before = info.prompt.slice(at, word.start);
      const button = element("button", { textContent: info.prompt.slice(word.start, word.end) });
      at = word.end;
      button.ariaPressed = false;
      button.onclick = () => this.showWord(this.word === i ? -1 : i);
      return [before, button];
    });
    $("prompt").replaceChildren(...[...parts, info.prompt.slice(at)].filter(Boolean));
  }

  showWord(i) {
    this.word = i;
    $("prompt").querySelectorAll("button").forEach((button, at) => { button.ariaPressed = at === i; });
    if (i < 0) this.view.stage.drawHeat(null);
    else this.fetchMaps({ columns: this.info.words[i].columns.join(",") });
  }

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
    const shown = Math.min(this.level, maps.length - 1);
    const buttons = $("levels").children;
    if (buttons.length !== maps.length) {
      $("levels").replaceChildren(...maps.map(() => element("button", {}, element("canvas"), element("span"))));
    }
    maps.forEach((map, i) => {
      const [canvas, text] = buttons[i].children;
      paintHeat(canvas, map, heat);
      text.textContent = `${map.name}, ${map.height} × ${map.width}`;
      buttons[i].ariaPressed = i === shown;
      buttons[i].onclick = () => {
        this.level = i;
        this.showMaps(this.maps);
      };
    });
    this.view.stage.drawHeat(maps[shown], heat, this.info.part);
  }

  constantsInFields() {
    const { value: method } = $("method");
    return { method, alpha: Number($("alpha").value), beta: Number($("beta").value), pamr: $("pamr").checked };
  }

  fillFields() {
    const { constants } = this.info;
    for (const id of ["method", "alpha", "beta"]) $(id).value = constants[id];
    $("pamr").checked = constants.pamr;
    this.showConstants();
  }

  showConstants() {
    const seeded = this.info.seeded.includes($("method").value);
    $("alpha").disabled = !seeded;
    $("alpha-shown").textContent = seeded ? $("alpha").value : "none";
    $("beta-shown").textContent = $("beta").value;
  }

  try() {
    if (!this.info) return;
    if (!this.view.settle(this)) return this.fillFields();
    this.showConstants();
    this.view.stage.drawHeat(null);
    this.trial = this.constantsInFields();
    this.tryOut();
  }

  async fetchTried() {
    const { trial } = this;
    if (!trial) return;
    const isOver = () => trial !== this.trial;
    await this.ask("tuned", ({ values }) => {
      if (isOver()) return;
      this.tried = values;
      this.view.draw();
      $("tuned-shown").textContent = "Tried, not saved";
    }, { about: trial, from: pixels, failed: (text) => {
      notice(text);
      if (!isOver()) this.endTrial();
    } });
  }

  get unsaved() { return this.trial ? "This mask is tried, not saved: U applies it, Esc discards it." : ""; }

  // Returns whether there was a trial.
  endTrial() {
    const { trial } = this;
    this.trial = this.tried = null;
    this.fixed = false;
    $("tuned-shown").textContent = "";
    if (!trial) return false;
    this.fillFields();
    this.view.draw();
    return true;
  }

  apply() {
    if (!this.info) return;
    const { number, view } = this;
    const constants = this.constantsInFields();
    if (number !== view.number || !view.settle(this)) return; // or the next sample is being opened
    this.info.constants = constants;
    this.endTrial();
    const send = (about) => act(number, { ...constants, ...about }, "/api/masks");
    view.make({ send, newMap: true });
  }

  applyToShown() {
    const { list, bulk } = this.view.page;
    const samples = counted(list.count, "sample");
    const question = `Make new masks for ${samples}? Reviewed and corrected samples keep their masks.`;
    if (!window.confirm(question)) return;
    bulk.run(list.samples, "/api/masks", { ...this.constantsInFields(), unreviewed: true }, { part: 4 });
  }

  async capture() {
    $("capture").disabled = true;
    this.say("Recomputing …");
    const from = (path) => post(path, {});
    await this.ask("capture", (info) => this.show(info), { failed: (note) => this.show({ note, canCapture: true }), from });
    $("capture").disabled = false;
  }

  steps() {
    const about = { ...this.constantsInFields(), name: $("steps-class").value };
    return this.ask("steps", ({ steps }) => $("steps").replaceChildren(...steps.map((step) => {
      const canvas = element("canvas");
      paintHeat(canvas, unpack(step), heat);
      const equation = step.equation && ` (paper, ${step.equation})`;
      return element("li", {}, canvas, element("strong", { textContent: step.name }), ` ${step.text}${equation}`);
    })), { about });
  }
}
