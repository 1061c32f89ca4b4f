// "Why this mask", under the image: image → the method's main steps → mask, or all steps.

import { $, element, latest } from "./page.js";
import { heat } from "./set.js";
import { paintHeat } from "./stage.js";

const SIDE = 160;
const IMAGE = { name: "image", text: "What the model drew or saw." };
const MASK = { name: "mask", text: "What reaches β, after PAMR if it is on." };

export class Strip {
  // panel: its AttentionPanel.
  constructor(panel) {
    Object.assign(this, { panel, fetch: latest(() => this.draw()) });
    $("steps-class").onchange = $("show-steps").onchange = this.fetch;
  }

  async draw() {
    const { panel } = this;
    if (!panel.info) return;
    const query = { ...panel.trial, name: $("steps-class").value, every: $("show-steps").checked };
    const wanted = JSON.stringify([query, panel.shown]);
    if ($("steps").firstChild && wanted === this.drawn) return this.drawEnds();
    if (query.every) panel.say("Computing all steps …", true);
    await panel.request("steps", ({ steps }) => {
      this.drawn = wanted;
      $("steps").replaceChildren(...[IMAGE, ...steps, MASK].map((step) => this.item(step)));
      this.drawEnds();
      this.rest();
    }, { query });
  }

  rest() { this.panel.say(this.panel.info.note || "Point at a step to read it, click it to see it large."); }

  item(step) {
    const { panel } = this;
    const canvas = element("canvas");
    const button = element("button", { className: "plain" }, canvas, step.name);
    if (step.data) paintHeat(canvas, step, heat);
    button.onmouseenter = button.onfocus = () => panel.say(`${step.name}: ${step.text}`);
    button.onmouseleave = button.onblur = () => button.matches(":hover") || this.rest();
    button.onclick = () => {
      panel.showWord(-1);
      panel.fixed = Boolean(step.data);
      if (step.data) panel.showMaps([step]);
    };
    return element("li", {}, button);
  }

  drawEnds() {
    const { photo, mask } = this.panel.view.stage;
    $("steps").querySelectorAll("li:is(:first-child, :last-child) canvas").forEach((canvas, i) => {
      Object.assign(canvas, { width: (SIDE * photo.width) / photo.height, height: SIDE });
      const pen = canvas.getContext("2d");
      for (const layer of [photo, mask].slice(0, i + 1)) {
        pen.drawImage(layer, 0, 0, canvas.width, SIDE);
        pen.globalAlpha = 0.6;
      }
    });
  }
}
