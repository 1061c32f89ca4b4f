// Why a mask is so: where pixels and words attend, the strip of its steps, masks with other constants.

import { act, get, pixels, post } from "./api.js";
import { $, counted, element, hint, latest, notice, say } from "./page.js";
import { heat } from "./set.js";
import { paintHeat } from "./stage.js";
import { Strip } from "./strip.js";

export class AttentionPanel {
  number = null;
  info = null;
  settled = false; // whether it is known what there is
  maps = [];
  level = 0;
  word = -1;
  fixed = false; // to a clicked pixel
  trial = null; // what the person moved and has not saved: constant → value
  tried = null; // the label map of the trial

  constructor(view) {
    this.view = view;
    this.strip = new Strip(this);
    this.fetchMaps = latest((query) => {
      return this.request("attends", ({ maps }) => this.showMaps(maps), { query });
    });
    this.tryOut = latest(() => this.fetchTried());
    for (const id of ["alpha", "beta"]) {
      $(id).oninput = () => {
        $(id).value = Number($(id).value).toFixed(2); // untouched, it is exact
        this.move(id, Number($(id).value));
      };
    }
    $("method").onchange = () => this.move("method", $("method").value);
    $("pamr").onchange = () => this.move("pamr", $("pamr").checked);
    $("untune").onclick = () => this.endTrial();
    $("apply").onclick = () => this.apply();
    $("apply-shown").onclick = () => this.applyToShown();
    $("capture").onclick = () => this.capture();
    this.captureSoon = latest((number) => number === this.number && this.capture()); // the open sample before others
  }

  // Call then(answer) or failed(message): neither after another sample was opened.
  async request(what, then, { query = {}, failed = notice, from = get } = {}) {
    const { number } = this;
    try {
      const found = await from(`/api/samples/${number}/${what}?${new URLSearchParams(query)}`);
      if (number === this.number) await then(found);
    } catch (error) {
      if (number === this.number) failed(error.message);
    }
  }

  say(text, busy) { say($("attention-state"), text, busy); }

  leave() {
    Object.assign(this, { info: null, settled: false, number: null, word: -1, fixed: false, trial: null, tried: null });
    this.say("");
    this.view.stage.drawHeat(null);
    $("attention").hidden = $("strip-options").hidden = $("capture").hidden = true;
    for (const id of ["prompt", "levels", "steps", "tuned-shown"]) $(id).replaceChildren();
  }

  async enter(number, record) {
    this.number = number;
    this.say("Loading the attention maps …"); // the first time, torch too
    $("prompt").textContent = record.prompt;
    await this.request("attention", (info) => this.show(info), { failed: (note) => this.show({ note }) });
  }

  show(info) {
    if (info.quick) return this.captureSoon(this.number);
    this.settled = true;
    this.say(info.note);
    $("capture").hidden = !info.canCapture;
    this.view.allowAttention(info);
    if (!info.words) return undefined;
    $("attention").hidden = $("strip-options").hidden = false;
    this.showWords(info);
    $("method").replaceChildren(...Object.keys(info.constants).map((name) => new Option(name, name)));
    $("steps-class").replaceChildren(...info.classes.map((name) => new Option(name, name)));
    this.showConstants();
    return this.request("words", ({ words }) => {
      if (words.length > info.words.length && this.word < 0) this.showWords({ ...this.info, words });
    }, { failed: () => {} });
  }

  // After a change of the sample's mask.
  refresh() {
    return this.info && this.request("attention", ({ constants, method, note }) => {
      if (!constants || !this.info) return;
      Object.assign(this.info, { constants, method, note });
      this.showConstants();
    });
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

  get shown() {
    const { constants, method } = this.info;
    const moved = { method, ...this.trial };
    return { ...constants[moved.method], ...moved };
  }

  showConstants() {
    const { shown } = this;
    const seeded = this.info.constants[shown.method].alpha;
    for (const id of ["method", "alpha", "beta"]) $(id).value = shown[id];
    $("pamr").checked = shown.pamr;
    $("alpha").disabled = !seeded;
    $("alpha-shown").textContent = seeded ? shown.alpha : "none";
    $("beta-shown").textContent = shown.beta;
    this.strip.fetch();
  }

  move(name, value) {
    if (!this.info) return;
    if (!this.view.settle(this)) return this.showConstants();
    this.trial = { ...this.trial, [name]: value };
    this.showConstants();
    this.view.stage.drawHeat(null);
    this.tryOut();
  }

  async fetchTried() {
    const { trial } = this;
    if (!trial) return;
    const isOver = () => trial !== this.trial;
    await this.request("tuned", ({ values }) => {
      if (isOver()) return;
      this.tried = values;
      this.view.draw();
      $("tuned-shown").textContent = "Tried, not saved";
    }, { query: trial, from: pixels, failed: (text) => {
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
    this.showConstants();
    this.view.draw();
    return true;
  }

  apply() {
    if (!this.info) return;
    const { number, trial, view } = this;
    if (number !== view.number || !view.settle(this)) return; // or the next sample is being opened
    this.endTrial();
    view.make({ send: (version) => act(number, { ...trial, ...version }, "/api/masks"), newMap: true });
  }

  applyToShown() {
    const { list, bulk } = this.view.page;
    if (!this.trial) return hint("Move a setting first.");
    const samples = counted(list.count, "sample");
    const question = `Make new masks for ${samples}? Reviewed and corrected samples keep their masks.`;
    if (!window.confirm(question)) return;
    bulk.run(list.samples, "/api/masks", { ...this.trial, unreviewed: true }, { part: 4 });
  }

  async capture() {
    $("capture").disabled = true;
    this.say("Reading the model's attention …", true);
    const from = (path) => post(path, {});
    await this.request("capture", (info) => this.show(info), { failed: (note) => this.show({ note, canCapture: true }), from });
    $("capture").disabled = false;
  }
}
