// The slider over the steps, and playback.

import { h, set } from "./dom.js";

export class Timeline {
  /** `go` takes a position among the steps. */
  constructor(go, update, play, help) {
    const button = (text, title, onclick) => h("button", { class: "round", title, "aria-label": title, onclick }, text);
    this.slider = h("input", { type: "range", class: "steps", min: 0, "aria-label": "step", oninput: () => go(Number(this.slider.value)) });
    this.play = button("▶", "Play (space)", play);
    this.speed = h(
      "select",
      { "aria-label": "steps per second", title: "Steps per second", onchange: () => update({ speed: Number(this.speed.value) }) },
      [1, 2, 5, 10, 20, 30].map((value) => h("option", { value }, `${value} / s`)),
    );
    this.text = h("output", { class: "step" });
    this.latest = h("button", { class: "toggle", title: "Stay at the last step, also when there are new ones", onclick: () => update({ step: null }) }, "latest");
    this.back = button("‹", "One step back (←)", () => go(this.position - 1));
    this.on = button("›", "One step on (→)", () => go(this.position + 1));
    this.element = h(
      "div",
      { class: "timeline", role: "group", "aria-label": "steps of the training" },
      this.back, this.play, this.on, this.slider, this.text, this.latest, this.speed,
      button("?", "Keyboard and colours (?)", help),
    );
  }

  draw(view, playing) {
    const { steps, position, step } = view;
    this.position = position;
    set(this.element, { hidden: !steps.length });
    set(this.slider, { max: String(Math.max(0, steps.length - 1)), disabled: steps.length < 2 });
    set(this.slider, { value: String(position), "aria-valuetext": `step ${step}, ${position + 1} of ${steps.length}` });
    set(this.text, { textContent: `step ${step} (${position + 1} of ${steps.length})` });
    set(this.play, { textContent: playing ? "❚❚" : "▶", "aria-label": playing ? "Pause (space)" : "Play (space)", disabled: steps.length < 2 });
    set(this.back, { disabled: position <= 0 });
    set(this.on, { disabled: position >= steps.length - 1 });
    set(this.latest, { "aria-pressed": String(view.state.step === null) });
    set(this.speed, { value: String(view.state.speed) });
  }
}
