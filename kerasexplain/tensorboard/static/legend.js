// The meaning of the colours, per column with numbers; and the errors of a column.

import { gradient } from "./colours.js";
import { fill, h, whenChanged } from "./dom.js";
import { short } from "./format.js";
import { columnName, isOfOthers, limitOf, relevanceOf } from "./view.js";

export class Legend {
  constructor() {
    this.element = h("div", { class: "legends" });
    this.fill = whenChanged((view, items) => fill(this.element, items.map((item) => one(view, item))));
  }

  draw(view) {
    const items = view.columns.map((column) => this.#item(view, column));
    this.fill(JSON.stringify([items, view.map]), view, items);
  }

  #item(view, column) {
    const { steps, about } = { steps: view.data.steps(column), about: view.data.about(column) };
    const name = columnName(view, column);
    const error = steps.error ?? about.error;
    if (error) return { name, error };
    const at = steps.value ? view.data.stepAt(column, view.step) : null;
    const { state } = view;
    const sample = state.sample ?? view.shown[0];
    const found = view.section && view.count && at !== null ? relevanceOf(view, column, sample) : {};
    const isOne = state.range !== "image" || state.sample !== null;
    const limit = isOne && found.one ? short(limitOf(view, found.one)) : null;
    const kept = steps.value ? [steps.value.steps.length, steps.value.written] : [0, 0];
    const samples = Boolean(about.value && !view.data.samplesOf(column));
    const others = isOfOthers(view, column);
    return { name, error: found.error, at, limit, kept, samples, others, gain: state.gain };
  }
}

function one(view, { name, error, at, limit, kept, samples, others, gain }) {
  const largest = gain === 1 ? "max" : `max / ${short(gain)}`;
  const [low, high] = limit === null ? [`−${largest}`, `+${largest}`] : [`−${limit}`, `+${limit}`];
  const title = limit === null ? "max: the largest |relevance| of each image" : "|relevance| from here on has the full colour";
  const bar = h("span", { class: "ramp", role: "img", "aria-label": `colours from ${low} to ${high}` });
  bar.style.background = gradient(view.map);
  const [stored, written] = kept ?? [0, 0];
  return h(
    "div",
    { class: "legend" },
    h("strong", { title: name }, name),
    at !== null && at !== undefined && at !== view.step ? h("span", { class: "faint" }, `step ${at}`) : null,
    error
      ? h("span", { class: "error", role: "alert" }, error)
      : [
          h("span", { class: "ends", title }, h("span", { class: "faint" }, "against "), low),
          bar,
          h("span", { class: "ends", title }, high, h("span", { class: "faint" }, " for")),
        ],
    samples ? h("span", { class: "notice" }, "the samples were not logged") : null,
    others ? h("span", { class: "notice" }, "explains other samples than the first") : null,
    written > stored
      ? h(
          "span",
          { class: "notice" },
          `TensorBoard kept ${stored} of ${written} steps. To see all, start it as `,
          h("code", {}, "kerasexplain board DIR"),
        )
      : null,
  );
}
