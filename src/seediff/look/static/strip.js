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
    Object.assign(this, { panel, fetch: latest(() => this.ask()) });
    $("steps-class").onchange = $("show-steps").onchange = this.fetch;
  }

  async ask() {
    const { panel } = this;
    if (!panel.info) return;
    const about = { name: $("steps-class").value, every: $("show-steps").checked };
    const of = JSON.stringify([about, panel.shown]);
    if ($("steps").firstChild && of === this.of) return this.drawEnds();
    if (about.every) panel.say("Computing all steps …", true);
    await panel.ask("steps", ({ steps }) => {
      this.of = of;
      $("steps").replaceChildren(...[IMAGE, ...steps, MASK].map((step) => this.item(step)));
      this.drawEnds();
      this.rest();
    }, { about: { ...panel.trial, ...about } });
  }

  rest() { this.panel.say(this.panel.info.note || "Point at a step to read it, click it to see it large."); }

  item(step) {
    const { panel } = this;
    const canvas = element("canvas");
    const button = element("button", {}, canvas, step.name);
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
