// How images look: what is shown, colours, range, sizes.

import { MAPS } from "./colours.js";
import { fill, h, set, whenChanged } from "./dom.js";
import { short } from "./format.js";
import { relevanceOf } from "./view.js";
import { LIMITS, VIEWS } from "./state.js";

const RANGES = {
  image: ["each image", "Every image has the full colour at its own largest |relevance|"],
  shared: ["a step, shared", "All images of an analyzer at a step have the full colour at the same value"],
  held: ["held at", "The full colour stays at one value, also over steps and analyzers"],
};

export class Toolbar {
  constructor(update) {
    this.update = update;
    const onView = (kind) => () => {
      const chosen = VIEWS.filter((other) => (other === kind) !== this.views.includes(other));
      if (chosen.length) update({ show: chosen.join(",") });
    };
    this.shows = VIEWS.map((kind) => h("button", { class: "toggle", title: `Show ${kind} (${kind[0]})`, "data-show": kind, onclick: onView(kind) }, kind));
    this.section = h("select", { onchange: () => update({ section: this.section.value, sample: this.view.state.sample }) });
    const maps = [["auto", "automatic colours"], ...Object.keys(MAPS).map((name) => [name, MAPS[name].title])];
    this.map = h("select", { "aria-label": "colours", title: "What stands for relevance for and against what is explained (c)", onchange: () => update({ map: this.map.value }) }, maps.map(([value, text]) => h("option", { value }, text)));
    this.range = h("select", { "aria-label": "full colour at", onchange: () => this.#range() }, Object.entries(RANGES).map(([value, [text, title]]) => h("option", { value, title }, text)));
    this.held = h("input", { type: "number", step: "any", min: 0, class: "number", "aria-label": "held at", onchange: () => this.#held() });
    this.gain = slider("gain", "Contrast: how many times earlier the full colour is reached", 0, 6, 1, (value) => update({ gain: 2 ** value }));
    this.opacity = slider("opacity", "How strongly relevance covers the input in overlays", ...LIMITS.opacity, 0.05, (opacity) => update({ opacity }));
    this.size = slider("size", "How large images are (+ and −)", ...LIMITS.size, 16, (size) => update({ size }));
    this.sectionLabel = labelled("Of", "Which input or layer is shown", this.section);
    this.gainText = h("span", { class: "value" });
    this.element = h(
      "div",
      { class: "toolbar", role: "toolbar", "aria-label": "how images look" },
      h("div", { class: "group", role: "group", "aria-label": "what is shown" }, this.shows),
      this.sectionLabel,
      this.map,
      labelled("Full colour", "From which |relevance| on an image has the full colour; the range is symmetric about 0", this.range, this.held),
      labelled("Contrast", "How many times earlier the full colour is reached", this.gain, this.gainText),
      labelled("Opacity", "How strongly relevance covers the input in overlays", this.opacity),
      labelled("Size", "How large images are (+ and −)", this.size),
    );
    this.sections = whenChanged((names) => fill(this.section, names.map(([name, role]) => h("option", { value: name }, role === "layer" ? `layer: ${name}` : name))));
  }

  draw(view) {
    this.view = view;
    this.views = view.views;
    const { state } = view;
    this.shows.forEach((button) => set(button, { "aria-pressed": String(view.views.includes(button.dataset.show)) }));
    const names = view.sections.map(({ name, role }) => [name, role]);
    this.sections(JSON.stringify(names), names);
    set(this.section, { value: view.section?.name ?? "" });
    set(this.sectionLabel, { hidden: names.length < 2 });
    set(this.map, { value: state.map in MAPS ? state.map : "auto" });
    set(this.range, { value: state.range });
    set(this.held, { value: String(state.held), hidden: state.range !== "held" });
    set(this.gain, { value: String(Math.log2(state.gain)) });
    set(this.gainText, { textContent: `×${short(state.gain)}` });
    set(this.opacity, { value: String(state.opacity), disabled: !view.views.includes("overlay") });
    set(this.size, { value: String(state.size), disabled: state.sample !== null });
  }

  /** Holding begins with what the first image has, so that nothing jumps. */
  #range() {
    const patch = { range: this.range.value };
    if (patch.range === "held" && this.view.columns.length && this.view.section) {
      const { one } = relevanceOf(this.view, this.view.columns[0], this.view.state.sample ?? this.view.shown[0]);
      const now = one && (this.view.state.range === "shared" ? one.limit ?? one.facts.largest : one.facts.largest);
      if (now > 0) patch.held = Number(now.toPrecision(3));
    }
    this.update(patch);
  }

  #held() {
    const held = Number(this.held.value);
    if (held >= LIMITS.held[0] && held <= LIMITS.held[1]) this.update({ held });
    else this.held.value = String(this.view.state.held);
  }
}

function slider(name, title, min, max, step, changed) {
  const input = h("input", { type: "range", name, title, "aria-label": title, min, max, step, oninput: () => changed(Number(input.value)) });
  return input;
}

function labelled(text, title, ...controls) {
  return h(controls.length > 1 ? "div" : "label", { class: "labelled", title }, h("span", {}, text), controls);
}
